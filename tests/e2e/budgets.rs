//! Budgets while agents are at work: what their streams tell and the time that passes stop a run that has used up what it
//! may, keep its work, and ask a person.

use rustix::process::Signal;

use crate::support::{Sandbox, attention, word};

/// One agent under the name of `claude`, a workflow of its one stage, and this budget.
fn sandbox(budget: &str) -> Sandbox {
    let s = Sandbox::new();
    s.write(
        ".pipeline/workflows/short.json",
        r#"{"id":"short","name":"s","stages":[{"id":"write","name":"w","agent":"write","description":"d"}]}"#,
    );
    let agent = s.agent_block("writer", "write").replace("preset = \"custom\"", "preset = \"claude\"");
    s.init("production", &format!("[project]\nbase = \"main\"\n[budget]\n{budget}\n{agent}"));
    s
}

/// Shell for a message in the stream of `claude` that used so many tokens.
fn message(id: &str, tokens: u32) -> String {
    format!(
        r#"printf '%s\n' '{{"type":"assistant","session_id":"s","message":{{"id":"{id}","role":"assistant","content":[{{"type":"text","text":"on it"}}],"usage":{{"input_tokens":{tokens},"output_tokens":0}}}}}}'"#
    )
}

/// The stream of a live run grows; once it has told more than the task may use, the run is stopped with its work kept.
#[test]
fn a_live_run_that_passes_its_budget_is_stopped_and_asks() {
    let s = sandbox("task_tokens = 1000");
    let [first, second, again, third] =
        [("m1", 300), ("m2", 400), ("m2", 450), ("m3", 350)].map(|(m, n)| message(m, n));
    s.plan("A.write.1", &format!("put half.txt done; {first}; {second}; {again}; hang; {third}; hang"));
    s.plan("A.write.2", "work; marker COMPLETED");
    s.add("A", &["--workflow", "short"]);
    let monitor = s.start("monitor", ["monitor", "--headless", "--interval", "1h"]);
    s.wait_at("A.write.1");
    let told = |s: &Sandbox| s.run(["events", "--type", "run_used"]).ok().json_lines();
    // Each message counts once, as it was told last.
    let so_far = |s: &Sandbox| told(s).last().map(|event| event["data"]["usage"]["tokens"].clone());
    s.look_until("the use so far is on record", |_| so_far(&s) == Some(750.into()));
    assert_eq!(word(&s.status(), "A"), "write_wip", "something is left");
    s.run(["explain", "writer"]).ok().says(&["it has used 750 tokens"]);
    s.release("A.write.1");
    s.run(["wait", "A", "--for", "attention", "--timeout", "80"]).ok();
    let status = s.status();
    assert_eq!((word(&status, "A"), attention(&status)), ("blocked", vec![("blocked".to_owned(), "A".to_owned())]));
    let reason = status["tasks"]["A"]["reason"].as_str().unwrap();
    assert!(reason.contains("1100 of 1000 tokens"), "{reason}");
    assert_eq!(status["metrics"]["tokens_total"], 1100, "what a stopped run used counts");
    assert_eq!(status["tasks"]["A"]["attempt"], 0, "that was no attempt");
    let run = &s.show("A")["runs"][0];
    assert_eq!((&run["verdict"], &run["how"]["stopped"]["reason"]), (&"void".into(), &"budget".into()), "{run}");
    assert_eq!(s.git(&["show", "pipeline/A:half.txt"]), "done", "its work is kept");
    assert!(told(&s).len() <= 11, "however often it was looked at");
    s.run(["task", "retry", "A"]).ok();
    s.run(["wait", "A", "--timeout", "80"]).ok();
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}

/// A session draws for people; what it used stands in the transcript that its program keeps, and what stood there before
/// it began is not its own.
#[test]
fn a_session_counts_by_the_transcript_that_its_hooks_name() {
    let s = sandbox("task_tokens = 1000");
    let config =
        s.read(".pipeline/config.toml").replace("preset = \"claude\"", "preset = \"claude\"\nmode = \"interactive\"");
    s.write(".pipeline/config.toml", &config);
    let entry = |at: &str, id: &str, tokens: u32| {
        format!(
            r#"printf '{{"type":"assistant","timestamp":"%s","sessionId":"s","message":{{"id":"{id}","content":[],"usage":{{"input_tokens":{tokens},"output_tokens":0}}}}}}\n' "{at}" >> "$box/transcript""#
        )
    };
    let (old, now) = ("2020-01-01T00:00:00.000Z", "$(date -u -d '1 second' +%Y-%m-%dT%H:%M:%S.000Z)");
    let hook = r#"printf '{"hook_event_name":"UserPromptSubmit","session_id":"s","transcript_path":"%s"}' "$box/transcript" | "$pipeline" hook"#;
    let plan = [&entry(old, "m0", 5_000), &entry(now, "m1", 600), hook, "work", "hang", &entry(now, "m2", 500), "hang"];
    s.plan("A.write.1", &plan.join("\n"));
    s.add("A", &["--workflow", "short"]);
    s.tick_to("A", "write_wip");
    s.wait_at("A.write.1");
    let told = |s: &Sandbox| s.run(["events", "--type", "run_used"]).ok().json_lines();
    s.tick_until("the use so far is on record", |_| !told(&s).is_empty());
    assert_eq!(told(&s)[0]["data"]["usage"]["tokens"], 600, "what is older is not its own");
    s.release("A.write.1");
    let status = s.tick_until("it is stopped and asks", |status| word(status, "A") == "blocked");
    assert!(status["tasks"]["A"]["reason"].as_str().unwrap().contains("1100 of 1000 tokens"), "{status}");
    assert_eq!(status["metrics"]["tokens_total"], 1100);
}

/// The same by single ticks, which remember nothing between them.
#[test]
fn single_ticks_find_it_too() {
    let s = sandbox("day_tokens = 500");
    s.plan("A.write.1", &format!("{}; hang", message("m1", 600)));
    s.add("A", &["--workflow", "short"]);
    s.add("B", &["--workflow", "short"]);
    let status = s.tick_until("the run is stopped", |status| word(status, "A") == "write_ready");
    assert_eq!(attention(&status), [("budget".to_owned(), String::new())]);
    assert!(status["attention"][0]["summary"].as_str().unwrap().contains("600 of 500 tokens"), "{status}");
    assert_eq!((&status["agents"]["writer"]["status"], s.calls("B.write")), (&"rate_limited".into(), 0));
    s.run(["explain", "writer"]).ok().says(&["600 of 500 tokens", "larger budget"]);
}

/// Time needs nobody to tell: a monitor that nothing wakes stops the run at its moment.
#[test]
fn a_budget_of_time_ends_a_run() {
    let s = sandbox("agent_time = \"1s\"");
    s.plan("A.write.1", "put half.txt done; hang");
    s.add("A", &["--workflow", "short"]);
    let monitor = s.start("monitor", ["monitor", "--headless", "--interval", "1h"]);
    s.run(["wait", "--for", "attention", "--timeout", "80"]).ok();
    let status = s.look_until("the run is settled", |status| word(status, "A") == "write_ready");
    assert_eq!(attention(&status), [("budget".to_owned(), String::new())]);
    assert_eq!(s.git(&["show", "pipeline/A:half.txt"]), "done", "its work is kept");
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}
