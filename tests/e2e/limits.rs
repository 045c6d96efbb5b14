//! Limits: of an agent's account, of agents at work, of visits to a stage, and of patience.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Sandbox, attention, word};

/// The scripted program under the name of a preset, whose stream is read as that program's.
fn preset(s: &Sandbox, name: &str, role: &str, preset: &str) -> String {
    s.agent_block(name, role).replace("preset = \"custom\"", &format!("preset = \"{preset}\""))
}

/// A workflow of one stage by this role.
fn one_stage(s: &Sandbox, role: &str) {
    s.write(
        &format!(".pipeline/workflows/{role}.json"),
        &format!(
            r#"{{"id":"{role}","name":"w","stages":[{{"id":"{role}","name":"s","agent":"{role}","description":"d"}}]}}"#
        ),
    );
}

/// Two presets with an agent each, and a workflow for each.
fn two_presets(scheduler: &str) -> Sandbox {
    let s = Sandbox::new();
    one_stage(&s, "write");
    one_stage(&s, "read");
    let agents = preset(&s, "writer", "write", "claude") + &preset(&s, "reader", "read", "codex");
    let config = format!("[project]\nbase = \"main\"\n[scheduler]\nbackoff = \"0s\"\n{scheduler}\n{agents}");
    s.init("production", &config);
    s
}

/// What the stream of `claude` says when the account's limit is reached, until some seconds from now.
fn claude_limit(seconds: u32) -> String {
    let event =
        r#"{"type":"rate_limit_event","session_id":"s1","rate_limit_info":{"status":"rejected","resetsAt":%s}}\n"#;
    let result = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"You have hit your limit","session_id":"s1"}\n"#;
    format!("printf '{event}' $(( $(date +%s) + {seconds} )); printf '{result}'; exit 1")
}

/// The verdict and the attempt of each run of a task.
fn runs(s: &Sandbox, id: &str) -> Vec<(String, u64)> {
    let show = s.show(id);
    let verdict = |run: &Value| run["verdict"].as_str().unwrap_or_default().to_owned();
    let run = |run: &Value| (verdict(run), run["attempt"].as_u64().unwrap_or_default());
    show["runs"].as_array().into_iter().flatten().map(run).collect()
}

/// A limit stops new starts of its preset until it is over, and burns no attempt; other presets go on. Then a monitor that
/// nobody wakes goes on by itself.
#[test]
fn a_usage_limit_rests_the_preset_until_it_is_over() {
    let s = two_presets("retries = 0");
    s.plan("A.write.1", &claude_limit(4));
    s.add("A", &["--workflow", "write"]);
    s.add("B", &["--workflow", "write"]);
    s.add("C", &["--workflow", "read"]);
    let monitor = s.start("monitor", ["monitor", "--headless", "--interval", "1h"]);
    s.run(["wait", "--for", "attention", "--timeout", "80"]).ok();
    let status = s.status();
    assert_eq!(attention(&status), [("rate_limited".to_owned(), String::new())]);
    let item = &status["attention"][0];
    assert!(item["summary"].as_str().unwrap().contains("claude agents rest until"), "{item}");
    let writer = &status["agents"]["writer"];
    assert_eq!((&writer["status"], &writer["status_source"]), (&"rate_limited".into(), &"stream".into()), "{writer}");
    assert_eq!((word(&status, "A"), word(&status, "B")), ("write_ready", "unassigned"));
    assert_eq!((&status["tasks"]["A"]["attempt"], s.calls("B.write")), (&0.into(), 0));
    s.run(["wait", "--for", "idle", "--timeout", "0"]).code(124);
    s.run(["wait", "C", "--timeout", "80"]).ok();
    s.run(["explain", "writer"]).ok().says(&["rate_limited", "agent start writer"]);
    s.run(["wait", "A", "B", "--timeout", "80"]).ok();
    assert_eq!(runs(&s, "A"), [("void".to_owned(), 1), ("passed".to_owned(), 1)]);
    let status = s.status();
    assert_eq!(
        (status["attention"].as_array().unwrap().len(), &status["agents"]["writer"]["status"]),
        (0, &"idle".into())
    );
    assert_eq!((&status["metrics"]["retries_total"], &status["metrics"]["runs_failed"]), (&0.into(), &0.into()));
    let paused = s.run(["events", "--type", "preset_paused"]).ok().json_lines();
    let resumed = s.run(["events", "--type", "preset_resumed"]).ok().json_lines();
    assert_eq!((paused.len(), resumed.len()), (1, 1));
    let second = |time: &Value| time.as_str().unwrap()[..19].to_owned();
    assert!(second(&resumed[0]["at"]) >= second(&paused[0]["data"]["until"]), "{paused:?} {resumed:?}");
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}

/// A lost login, and a limit that says no time, rest the preset for as long as the configuration says, or until a person
/// says that it is mended.
#[test]
fn a_lost_login_rests_the_preset_until_a_person_mends_it() {
    let s = two_presets("retries = 0\nlimit_pause = \"1h\"");
    let codex = r#"printf '%s\n' '{"type":"thread.started","thread_id":"t"}' '{"type":"turn.failed","error":{"message":"unexpected status 401 Unauthorized: not logged in"}}'; exit 1"#;
    s.plan("A.read.1", codex);
    s.plan("A.read.2", &codex.replace("unexpected status 401 Unauthorized: not logged in", "Usage limit reached."));
    s.add("A", &["--workflow", "read"]);
    s.add("B", &["--workflow", "read"]);
    s.add("C", &["--workflow", "write"]);
    for (run, says) in [(1, "not logged in"), (2, "Usage limit reached")] {
        let status = s.tick_until("the preset rests", |status| !attention(status).is_empty());
        assert_eq!(attention(&status), [("rate_limited".to_owned(), String::new())]);
        let summary = status["attention"][0]["summary"].as_str().unwrap();
        assert!(summary.contains("codex agents rest until") && summary.contains(says), "{summary}");
        assert_eq!(status["agents"]["reader"]["status"], "rate_limited");
        s.tick_to("C", "completed");
        assert_eq!((s.calls("A.read"), s.calls("B.read")), (run, 0), "nothing is started meanwhile");
        assert_eq!(status["attention"][0]["command"], "pipeline agent start reader");
        s.run(["agent", "start", "reader"]).ok();
    }
    s.tick_to("B", "completed");
    assert_eq!(runs(&s, "A"), [("void".to_owned(), 1), ("void".to_owned(), 1), ("passed".to_owned(), 1)]);
}

/// Aider ends with 0 whatever happened. What it keeps for itself in its folder is not committed with its work.
#[test]
fn an_aider_whose_key_is_refused_has_claimed_nothing_and_its_own_files_stay_out() {
    let s = Sandbox::new();
    one_stage(&s, "write");
    let agents = preset(&s, "writer", "write", "aider");
    s.init("production", &format!("[project]\nbase = \"main\"\n[scheduler]\nbackoff = \"0s\"\nretries = 0\n{agents}"));
    let own =
        "put .aider.chat.history.md '# chat'; put .aider.input.history '+ do it'; put .aider.tags.cache.v4/cache.db x";
    let refused = "printf 'Aider v0.86.2\\n\\nlitellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect \\nAPI key provided: dummy.\\nThe API provider is not able to authenticate you. Check your API key.\\n'";
    let done = "put work.txt hello; echo 'Tokens: 1.2k sent, 40 received.'; echo 'Applied edit to work.txt'";
    s.plan("A.write.1", &format!("{own}; {refused}"));
    s.plan("A.write.2", &format!("{own}; {done}"));
    s.add("A", &["--workflow", "write"]);
    let status = s.tick_until("the preset rests", |status| !attention(status).is_empty());
    assert_eq!(attention(&status), [("rate_limited".to_owned(), String::new())]);
    let summary = status["attention"][0]["summary"].as_str().unwrap();
    assert!(summary.contains("aider agents rest until") && summary.contains("Incorrect API key"), "{summary}");
    s.run(["agent", "start", "writer"]).ok();
    s.tick_to("A", "completed");
    assert_eq!(runs(&s, "A"), [("void".to_owned(), 1), ("passed".to_owned(), 1)]);
    let files = s.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert!(files.contains("work.txt") && !files.contains(".aider"), "{files}");
}

/// A network that is down burns no attempt, whichever way the program says so; only what lasts comes to a person.
#[test]
fn an_agent_that_cannot_reach_its_service_is_tried_again_later() {
    let s = two_presets("retries = 0");
    let codex = r#"printf '%s\n' '{"type":"thread.started","thread_id":"t"}' '{"type":"turn.failed","error":{"message":"stream disconnected before completion: error sending request for url (http://127.0.0.1:9/v1/responses)"}}'; exit 1"#;
    (1..=3).for_each(|n| s.plan(&format!("A.read.{n}"), codex));
    s.plan("B.write.1", "echo 'Unable to connect to Anthropic services' >&2; echo 'Failed to connect to api.anthropic.com: ECONNREFUSED' >&2; exit 1");
    s.add("A", &["--workflow", "read"]);
    s.add("B", &["--workflow", "write"]);
    let status = s.tick_until("it lasts", |status| !attention(status).is_empty());
    assert_eq!(attention(&status), [("unreachable".to_owned(), String::new())]);
    let item = &status["attention"][0];
    let summary = item["summary"].as_str().unwrap();
    assert!(summary.starts_with("codex 3 times in a row: cannot reach its service: stream disconnected"), "{summary}");
    assert_eq!((&item["agent"], &item["command"]), (&"reader".into(), &"pipeline agent start reader".into()));
    s.run(["explain", "reader"]).ok().says(&["cannot reach its service"]);
    s.run(["agent", "start", "reader"]).ok();
    s.tick_to("A", "completed");
    s.tick_to("B", "completed");
    let void = || ("void".to_owned(), 1);
    let passed = || ("passed".to_owned(), 1);
    assert_eq!(runs(&s, "A"), [void(), void(), void(), passed()]);
    assert_eq!(runs(&s, "B"), [void(), passed()]);
    assert_eq!(attention(&s.status()), []);
}

/// What an agent writes about limits is not taken for one.
#[test]
fn talking_about_a_limit_is_none() {
    let s = two_presets("retries = 0");
    let said = r#"{"type":"assistant","session_id":"s","message":{"content":[{"type":"text","text":"the API answers 429 rate limit reached"}]}}"#;
    s.plan("write", &format!("echo '{said}'; work; marker COMPLETED"));
    s.add("A", &["--workflow", "write"]);
    s.tick_to("A", "completed");
    assert!(s.run(["events", "--type", "preset_paused"]).ok().json_lines().is_empty());
}

/// At most so many agents work at once; 0 is as many as there are.
#[test]
fn the_number_of_agents_at_work_is_bounded() {
    let s = Sandbox::new();
    one_stage(&s, "work");
    let agents: String = (1..=4).map(|n| s.agent_block(&format!("w{n}"), "work")).collect();
    let config = |limit: u32| format!("[project]\nbase = \"main\"\n[scheduler]\nmax_parallel = {limit}\n{agents}");
    s.init("production", &config(2));
    s.plan("work", "hang; work; marker COMPLETED");
    let ids = ["A", "B", "C", "D"];
    ids.iter().for_each(|id| s.add(id, &["--workflow", "work"]));
    let working = |status: &Value| {
        let agents = status["agents"].as_object().unwrap().values();
        agents.filter(|agent| agent["status"] == "working" || agent["status"] == "starting").count()
    };
    s.tick_until("two work", |status| working(status) == 2);
    s.wait_at("A.work.1");
    s.wait_at("B.work.1");
    s.tick();
    assert_eq!((working(&s.status()), s.calls("C.work")), (2, 0));
    s.release("A.work.1");
    s.tick_to("C", "work_wip");
    assert_eq!((s.status_of("A").as_str(), s.calls("D.work")), ("completed", 0));
    s.write(".pipeline/config.toml", &config(0));
    s.tick_to("D", "work_wip");
    assert_eq!(working(&s.status()), 3);
}

/// A stage may be entered only so often, then a person decides.
#[test]
fn a_loop_ends_with_a_person() {
    let s = Sandbox::new();
    s.write(
        ".pipeline/workflows/loop.json",
        r#"{"id":"loop","name":"l","stages":[
            {"id":"make","name":"m","agent":"architect","description":"d","max_visits":2},
            {"id":"judge","name":"j","agent":"test","description":"d","decisions":[{"choice":"good"},{"choice":"again"}]}],
            "connections":[{"from":"make","to":"judge"},{"from":"judge","to":"make","condition":"again"},
                           {"from":"judge","to":null,"condition":"good"}]}"#,
    );
    s.init("production", &s.config("", ""));
    s.plan("judge", "decision again");
    s.plan("judge.3", "decision good");
    s.add("T-1", &["--workflow", "loop"]);
    let status = s.tick_to("T-1", "blocked");
    assert_eq!((s.calls("T-1.make"), s.calls("T-1.judge")), (2, 2));
    let reason = status["tasks"]["T-1"]["reason"].as_str().unwrap();
    assert!(reason.contains("make was entered 2 times"), "{reason}");
    assert_eq!(s.show("T-1")["visits"]["make"], 2);
    s.run(["task", "retry", "T-1"]).ok().says(&["make_ready"]);
    s.tick_to("T-1", "completed");
}

/// Waiting makes a task more urgent, so that nothing starves behind what is always more urgent.
#[test]
fn whoever_waits_long_enough_comes_first() {
    let order = |ageing: &str| {
        let s = Sandbox::ready_with("", &format!("ageing = \"{ageing}\""));
        s.run(["task", "add", "old", "--id", "OLD", "--priority", "9"]).ok();
        // Time passes: nothing will be completed.
        s.run(["wait", "OLD", "--timeout", "1"]).code(124);
        s.run(["task", "add", "new", "--id", "NEW", "--priority", "1"]).ok();
        s.plan("arch", "hang");
        s.tick();
        s.status()["tasks"].clone()
    };
    let status = |tasks: &Value, id: &str| tasks[id]["status"].as_str().unwrap().to_owned();
    let patient = order("1h");
    assert_eq!((status(&patient, "NEW").as_str(), status(&patient, "OLD").as_str()), ("arch_wip", "unassigned"));
    let hasty = order("100ms");
    assert_eq!((status(&hasty, "NEW").as_str(), status(&hasty, "OLD").as_str()), ("unassigned", "arch_wip"));
}

/// Agents of one program do not all start at once where that is asked for, and nobody has to look for the next to start.
#[test]
fn starts_of_one_preset_are_staggered() {
    let s = Sandbox::new();
    one_stage(&s, "write");
    let agents = preset(&s, "one", "write", "claude") + &preset(&s, "two", "write", "claude");
    s.init("production", &format!("[project]\nbase = \"main\"\n[scheduler]\nstagger = \"2s\"\n{agents}"));
    ["A", "B"].iter().for_each(|id| s.add(id, &["--workflow", "write"]));
    s.plan("write", "work; marker COMPLETED");
    s.tick();
    let waits = if s.status_of("A") == "write_wip" { "B" } else { "A" };
    assert_eq!(s.status_of(waits), "unassigned");
    s.run(["explain", waits]).ok().says(&["starts of claude agents are 2s apart", "stagger"]);
    let monitor = s.start("monitor", ["monitor", "--headless", "--interval", "1h"]);
    s.run(["wait", "A", "B", "--timeout", "80"]).ok();
    let claimed = s.run(["events", "--type", "run_claimed"]).ok().json_lines();
    let at: Vec<jiff::Timestamp> = claimed.iter().map(|event| event["at"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(at.len(), 2);
    assert!(at[1].duration_since(at[0]) >= jiff::SignedDuration::from_secs(2), "{at:?}");
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}
