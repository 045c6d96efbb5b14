//! `pipeline run`: workflows of commands on real repositories, with real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pipeline_lib::workflow::{Figure, figures};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::screen::Screen;
use crate::support::{Output, Sandbox};

/// Writes a workflow of the project.
fn workflow(s: &Sandbox, id: &str, mut document: Value) {
    document["id"] = id.into();
    s.write(&format!(".pipeline/workflows/{id}.json"), &document.to_string());
}

/// A workflow of commands, one after the other.
fn commands(s: &Sandbox, id: &str, stages: &[(&str, &str)]) {
    let stages: Vec<Value> = stages.iter().map(|(id, run)| json!({ "id": id, "run": run })).collect();
    workflow(s, id, json!({ "stages": stages }));
}

/// The document with which a run ends.
#[track_caller]
fn ended(output: &Output) -> Value {
    let lines = output.json_lines();
    let last = lines.last().cloned().unwrap_or_else(|| panic!("it said nothing: {output:?}"));
    assert_eq!(last["event"], "run_ended", "{last}");
    last
}

/// What was done, in order: the stage, what came of it, and the decision.
fn done(output: &Output) -> Vec<String> {
    let lines = output.json_lines();
    let ends = lines.iter().filter(|line| line["event"] == "stage_ended");
    ends.map(|line| {
        let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", word("label"), word("result"), word("decision"))
    })
    .collect()
}

/// A file on a task's branch.
fn on_branch(s: &Sandbox, task: &str, file: &str) -> String {
    s.git(&["show", &format!("pipeline/{task}:{file}")])
}

/// A command that says that it is there and then waits for good, unless it was tried before.
fn hang_once(s: &Sandbox, name: &str) -> String {
    let (at, fifo) = (s.path(&format!("at/{name}")), s.path(&format!("fifo/{name}")));
    s.shell(&format!("mkfifo {}", fifo.display())).ok();
    format!("[ \"$PIPELINE_ATTEMPT\" -gt 1 ] || {{ : > {}; read -r _ < {}; }}", at.display(), fifo.display())
}

#[test]
fn exit_codes_decide_where_it_goes() {
    let s = Sandbox::ready();
    let decisions = json!([{ "choice": "good", "exit": 0 }, { "choice": "bad", "exit": 7 }]);
    workflow(
        &s,
        "mend",
        json!({ "name": "Mend it", "stages": [
            { "id": "check", "run": "test -e mended.txt || exit 7", "decisions": decisions },
            { "id": "fix", "run": "echo yes > mended.txt" },
            { "id": "report", "run": "echo all is well", "merge": true },
        ], "connections": [
            { "from": "check", "to": "report", "condition": "good" }, { "from": "check", "to": "fix", "condition": "bad" },
            { "from": "fix", "to": "check" },
        ] }),
    );
    let output = s.run(["run", "mend", "--json"]).ok();
    assert_eq!(done(&output), ["check passed bad", "fix passed success", "check passed good", "report passed success"]);
    let end = ended(&output);
    assert_eq!(
        (&end["result"], &end["stages_run"], &end["stages_repeated"]),
        (&json!("completed"), &json!(4), &json!(1))
    );
    let log = fs::read_to_string(end["log"].as_str().unwrap()).unwrap();
    assert!(log.contains("| all is well") && log.contains("$ echo yes > mended.txt"), "{log}");
    assert!(log.find("fix  passed").unwrap() < log.find("report  passed").unwrap(), "{log}");
    assert_eq!(on_branch(&s, "TASK-001", "mended.txt"), "yes");
    let people = s.run(["run", "mend", "--title", "again"]).ok();
    assert_eq!(people.stdout, "");
    people.says(&["check", "2 run, 0 skipped, 0 repeated", "TASK-002 completed", "run-TASK-002.log"]);
    assert_eq!(s.show("TASK-002")["title"].as_str().or(s.show("TASK-002")["task"]["title"].as_str()), Some("again"));
    assert_eq!(s.run(["-q", "run", "mend"]).ok().stderr, "", "quiet is quiet");
}

#[test]
fn a_loop_ends_and_a_failure_is_a_failure() {
    let s = Sandbox::ready_with("", "retries = 0");
    workflow(
        &s,
        "round",
        json!({ "stages": [{ "id": "a", "run": "true", "max_visits": 3 }],
                "connections": [{ "from": "a", "to": "a", "condition": "success" }, { "from": "a", "to": null, "condition": "failed" }] }),
    );
    let output = s.run(["run", "round", "--json"]).code(1);
    assert_eq!((done(&output).len(), ended(&output)["result"].as_str()), (3, Some("blocked")));
    commands(&s, "bad", &[("a", "echo it broke >&2; exit 3"), ("b", "true")]);
    let output = s.run(["run", "bad"]).code(1).says(&["exited with code 3", "blocked", "pipeline task retry TASK-002"]);
    assert!(!output.stderr.contains("b begins"), "{output:?}");
}

#[test]
fn what_holds_already_is_skipped() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "setup",
        json!({ "stages": [
            { "id": "one", "run": "exit 1", "probe": "test -e README.md" },
            { "id": "two", "run": "echo x > two.txt", "probe": "test -e two.txt" },
        ] }),
    );
    let output = s.run(["run", "setup", "--json"]).ok();
    assert_eq!(done(&output), ["one skipped success", "two passed success"]);
    assert_eq!((&ended(&output)["stages_skipped"], &ended(&output)["stages_run"]), (&json!(1), &json!(1)));
}

#[test]
fn a_parameter_is_never_a_command() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "say",
        json!({ "params": { "word": { "required": true }, "count": { "type": "integer", "default": 2 } }, "stages": [
            { "id": "a", "run": "printf %s {{ word }} > word.txt; echo \"{{ count }}\" > count.txt; printf %s \"$PIPELINE_PARAM_WORD\" > env.txt" },
        ] }),
    );
    let evil = "it's $(touch pwned) `id`; \"é\" \\ {{ count }} | rm -rf * &";
    s.run(["run", "say", "--param", &format!("word={evil}"), "--param", "count=3"]).ok();
    assert_eq!(on_branch(&s, "TASK-001", "word.txt"), evil);
    assert_eq!(on_branch(&s, "TASK-001", "env.txt"), evil);
    assert_eq!(on_branch(&s, "TASK-001", "count.txt"), "3");
    assert!(!s.git(&["ls-tree", "--name-only", "pipeline/TASK-001"]).contains("pwned"));
}

#[test]
fn a_matrix_runs_once_for_each_environment() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "nets",
        json!({ "stages": [
            { "id": "net", "matrix": { "name": ["regtest", "testnet", "mainnet"] }, "run": "echo {{ name }} > {{ matrix.name }}.txt" },
            { "id": "after", "run": "cat *net.txt *test.txt | sort -u > all.txt" },
        ] }),
    );
    let output = s.run(["run", "nets", "--json"]).ok();
    let mut labels = done(&output);
    labels.sort();
    assert_eq!(
        labels,
        [
            "after passed success",
            "net passed success",
            "net.mainnet passed success",
            "net.regtest passed success",
            "net.testnet passed success"
        ]
    );
    assert_eq!(on_branch(&s, "TASK-001", "all.txt"), "mainnet\nregtest\ntestnet");
}

#[test]
fn parallel_stages_are_joined_unless_they_do_not_fit() {
    let s = Sandbox::ready();
    let stages = |two: &str| {
        json!({ "stages": [
            { "id": "both", "parallel": ["one", "two"] },
            { "id": "one", "run": "echo 1 > one.txt; echo \"$PIPELINE_TASK_ID\" > who.txt" },
            { "id": "two", "run": two },
            { "id": "last", "run": "cat one.txt two.txt > sum.txt" },
        ], "startStage": "both", "connections": [{ "from": "both", "to": "last" }] })
    };
    workflow(&s, "fits", stages("echo 2 > two.txt"));
    s.run(["run", "fits"]).ok();
    assert_eq!(on_branch(&s, "TASK-001", "sum.txt"), "1\n2");
    workflow(&s, "clash", stages("echo 2 > who.txt"));
    let output = s.run(["run", "clash", "--json"]).code(1);
    let end = ended(&output);
    assert_eq!(end["result"], "blocked");
    assert!(end["reason"].as_str().unwrap().contains("who.txt"), "{end}");
}

#[test]
fn a_workflow_in_a_workflow_works_on_the_same_branch() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "inner",
        json!({ "params": { "word": { "required": true } },
                "stages": [{ "id": "x", "run": "echo {{ word }} > x.txt" }, { "id": "y", "run": "cp x.txt y.txt" }] }),
    );
    workflow(
        &s,
        "outer",
        json!({ "params": { "name": { "default": "joe" } }, "stages": [
            { "id": "sub", "workflow": { "id": "inner", "params": { "word": "hello {{ name }}" } } },
            { "id": "end", "run": "test \"$(cat y.txt)\" = 'hello joe'" },
        ] }),
    );
    let output = s.run(["run", "outer", "--json"]).ok();
    assert_eq!(
        done(&output),
        ["sub.x passed success", "sub.y passed success", "sub passed success", "end passed success"]
    );
}

#[test]
fn what_a_failure_starts_is_followed_too() {
    let s = Sandbox::ready_with("", "retries = 0");
    workflow(
        &s,
        "rollback",
        json!({ "params": { "failed_stage": {}, "reason": {} },
                "stages": [{ "id": "undo", "run": "echo {{ failed_stage }} > ../../../../undone", "place": "worktree" }] }),
    );
    workflow(&s, "deploy", json!({ "on_failure": "rollback", "stages": [{ "id": "ship", "run": "exit 1" }] }));
    let output = s.run(["run", "deploy", "--json"]).code(1);
    assert_eq!(done(&output), ["ship failed -", "on-failure.undo passed success"]);
    assert_eq!(fs::read_to_string(s.path("undone")).unwrap(), "ship\n");
}

#[test]
fn a_stage_that_hangs_is_tried_again() {
    let s = Sandbox::ready();
    let hang = hang_once(&s, "slow");
    workflow(
        &s,
        "slow",
        json!({ "stages": [{ "id": "a", "run": hang, "timeout": "1s", "retries": 1, "backoff": "1s" }] }),
    );
    let output = s.run(["run", "slow", "--json"]).ok();
    assert_eq!(done(&output), ["a failed -", "a passed success"]);
    let lines = output.json_lines();
    assert!(lines.iter().any(|line| line["text"].as_str().is_some_and(|text| text.starts_with("again in 1 s"))));
    assert_eq!(ended(&output)["stages_repeated"], 1);
}

#[test]
fn a_pause_outlives_the_death_of_everything() {
    let s = Sandbox::ready();
    let hang = hang_once(&s, "second");
    let count = s.path("count");
    workflow(
        &s,
        "long",
        json!({ "stages": [
            { "id": "first", "run": format!("echo ran >> {}", count.display()) },
            { "id": "second", "run": hang },
        ] }),
    );
    let output = s.run(["run", "long", "--pause-before-stage", "2", "--json"]).code(3);
    let end = ended(&output);
    assert_eq!((&end["result"], &end["command"]), (&json!("waits"), &json!("pipeline task approve TASK-001")));
    s.run(["run", "--resume", "TASK-001"]).code(3);
    s.run(["task", "approve", "TASK-001"]).ok();
    let pid = s.start("run", ["run", "--resume", "TASK-001"]);
    s.wait_at("second");
    s.signal(pid, Signal::KILL);
    for pid in s.processes() {
        let _ = rustix::process::kill_process(crate::support::process(pid), Signal::KILL);
    }
    assert_eq!(s.exit_of(pid), -9);
    let output = s.run(["run", "--resume", "TASK-001", "--json"]).ok();
    assert_eq!(fs::read_to_string(&count).unwrap(), "ran\n", "what was finished is not done again");
    let end = ended(&output);
    assert_eq!(end["stages_run"], 3, "{end}");
    let log = fs::read_to_string(end["log"].as_str().unwrap()).unwrap();
    assert!(log.contains("first  passed") && log.contains("second  passed"), "all of it is in the log: {log}");
}

#[test]
fn every_stage_can_be_approved() {
    let s = Sandbox::ready();
    commands(&s, "two", &[("a", "true"), ("b", "true")]);
    s.run(["run", "two", "--require-manual-approval"]).code(3).says(&["pipeline task approve TASK-001"]);
    s.run(["task", "approve", "TASK-001"]).ok();
    s.run(["run", "--resume", "TASK-001"]).code(3);
    s.run(["task", "approve", "TASK-001"]).ok();
    s.run(["run", "--resume", "TASK-001"]).ok();
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let s = Sandbox::ready();
    commands(&s, "two", &[("a", "true"), ("b", "true")]);
    let mut screen = Screen::open(&s, &["run", "two", "--pause-before-stage", "2"], (120, 40));
    screen.wait("the question", |text| text.contains("Go on? [y/N]"));
    assert_eq!(s.status_of("TASK-001"), "awaiting_approval");
    screen.send(b"y\r");
    assert_eq!(screen.end().code(), Some(0));
    let mut screen = Screen::open(&s, &["run", "two", "--pause-before-stage", "1"], (120, 40));
    screen.wait("the question", |text| text.contains("Go on? [y/N]"));
    screen.send(b"\r");
    assert_eq!(screen.end().code(), Some(3));
    assert_eq!(s.status_of("TASK-002"), "awaiting_approval");
}

#[test]
fn ctrl_c_leaves_the_task_where_it_is() {
    let s = Sandbox::ready();
    let hang = hang_once(&s, "a");
    commands(&s, "wait", &[("a", &hang)]);
    let pid = s.start("run", ["run", "wait"]);
    s.wait_at("a");
    s.signal(pid, Signal::INT);
    assert_eq!(s.exit_of(pid), 130);
    let said = fs::read_to_string(s.path("run.err")).unwrap();
    assert!(said.contains("run --resume TASK-001") && said.contains("task cancel TASK-001"), "{said}");
    assert_eq!(s.status_of("TASK-001"), "a_wip");
    s.release("a");
    s.run(["run", "--resume", "TASK-001"]).ok();
}

#[test]
fn a_dry_run_starts_nothing() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "plan",
        json!({ "params": { "v": { "required": true } }, "stages": [
            { "id": "a", "run": "make V={{ v }}", "probe": "test -e {{ v }}" },
            { "id": "b", "run": "echo {{ outputs.a.summary }}" },
        ] }),
    );
    let output = s.run(["run", "plan", "--param", "v=1 2", "--dry-run", "--pause-before-stage", "2"]).ok();
    output.says(&[
        "make V='1 2'",
        "test -e '1 2'",
        "outputs.a.summary",
        "v = 1 2",
        "a person, before it begins",
        "nothing was started",
    ]);
    let document = s.run(["run", "plan", "--param", "v=x", "--dry-run", "--json"]).ok().json();
    assert_eq!((&document["stages"][0]["what"], &document["dry_run"]), (&json!("make V=x"), &json!(true)));
    assert_eq!(s.status()["tasks"], json!({}));
}

#[test]
fn what_is_wrong_is_said_and_nothing_starts() {
    let s = Sandbox::ready();
    workflow(&s, "need", json!({ "params": { "v": { "required": true } }, "stages": [{ "id": "a", "run": "true" }] }));
    s.run(["run", "nope"]).code(5).says(&["nope", "need"]);
    s.run(["run", "../x"]).code(5);
    s.run(["run", "need"]).code(1).says(&["`v` is missing"]);
    s.run(["run", "need", "--param", "w=1", "--param", "v=1"]).code(1).says(&["no parameter `w`"]);
    s.run(["run", "need", "--param", "v"]).code(2).says(&["NAME=VALUE"]);
    s.run(["run", "need", "--param", "v=1", "--pause-before-stage", "2"]).code(2).says(&["1 stages"]);
    s.run(["run"]).code(2);
    s.run(["run", "--resume", "TASK-404"]).code(5);
    s.write("flow.yaml", "id: x\nstages:\n  - id: a\n");
    s.run(["execute-pipeline", "--template", "flow.yaml"]).code(78).says(&["flow.yaml"]);
    s.run(["execute-pipeline", "--template", "missing.json"]).code(5).says(&["missing.json"]);
    s.write(".pipeline/workflows/broken.json", "{ \"id\": \"broken\", \"stages\": [ { \"id\": \"a\" } ] }");
    s.run(["run", "broken"]).code(78).says(&["broken.json:1:"]);
    assert_eq!(s.status()["tasks"], json!({}));
    let (code, message, _) = s.run(["run", "nope", "--json"]).code(5).error();
    assert!(code == "not_found" && message.contains("nope"), "{code} {message}");
    s.run(["mode", "shadow", "--yes"]).ok();
    s.run(["run", "need", "--param", "v=1"]).code(1).says(&["shadow", "pipeline mode production --yes"]);
    s.run(["run", "need", "--param", "v=1", "--dry-run"]).ok().says(&["shadow"]);
    assert_eq!(s.status()["tasks"], json!({}));
}

#[test]
fn a_decision_that_is_not_in_the_list_asks_a_person() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "pick",
        json!({ "stages": [{ "id": "a", "run": "echo DECISION: perhaps", "decisions": ["yes", "no"] },
                           { "id": "b", "run": "true" }],
                "connections": [{ "from": "a", "to": "b", "condition": "yes" }, { "from": "a", "to": null, "condition": "no" }] }),
    );
    let output = s.run(["run", "pick", "--json"]).code(3);
    assert_eq!(ended(&output)["command"], "pipeline task approve TASK-001 --decision yes|no");
    s.run(["task", "approve", "TASK-001", "--decision", "yes"]).ok();
    s.run(["run", "--resume", "TASK-001"]).ok();
}

#[test]
fn a_workflow_that_is_changed_meanwhile_keeps_its_version() {
    let s = Sandbox::ready();
    let hang = hang_once(&s, "a");
    commands(&s, "flow", &[("a", &hang), ("b", "echo old > b.txt")]);
    let pid = s.start("run", ["run", "flow"]);
    s.wait_at("a");
    commands(&s, "flow", &[("a", "true"), ("b", "echo new > b.txt"), ("c", "exit 1")]);
    s.release("a");
    assert_eq!(s.exit_of(pid), 0);
    assert_eq!(on_branch(&s, "TASK-001", "b.txt"), "old");
}

#[test]
fn a_giant_output_does_no_harm() {
    let s = Sandbox::ready();
    commands(&s, "loud", &[("a", "head -c 30000000 /dev/zero | tr '\\0' 'x'; echo; echo the end")]);
    let output = s.run(["run", "loud", "--json"]).ok();
    let log = ended(&output)["log"].as_str().unwrap().to_owned();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.len() < 3_000_000 && text.contains("| the end") && text.contains("the rest is in"), "{}", text.len());
    assert!(s.read(".pipeline/state/state.json").len() < 100_000);
}

#[test]
fn reports_for_continuous_integration() {
    let mut s = Sandbox::ready_with("", "retries = 0");
    let summary = s.path("summary.md");
    s.set_env("GITHUB_STEP_SUMMARY", &summary.to_string_lossy());
    commands(
        &s,
        "ci",
        &[
            ("good", "printf 'fine <&> \\033[31mred\\033[0m\\n::error::forged\\n'"),
            ("bad", "echo 'broke \"it\"'; exit 4"),
        ],
    );
    let output = s.run(["run", "ci", "--junit", "report.xml", "--github"]).code(1);
    let report = s.read("report.xml");
    assert_eq!(figures::read(&Figure::Junit(String::new()), &report), Ok(2.0), "{report}");
    assert!(report.contains("name=\"bad\"") && report.contains("broke &quot;it&quot;"), "{report}");
    assert!(!report.contains('\u{1b}'));
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("::group::good passed")), "{lines:?}");
    assert!(lines.contains(&"| ::error::forged"), "what a command prints is no annotation: {lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("::error title=bad::exited with code 4")), "{lines:?}");
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("| bad | 1 | 0 |") && summary.contains("TASK-001 blocked"), "{summary}");
}

#[test]
fn a_secret_is_nowhere_but_with_its_stage() {
    let mut s = Sandbox::ready();
    let (filed, exported) = ("canary-7f3a91-from-file", "canary-55e0bd-from-env");
    s.set_env("EXPORTED_KEY", exported);
    s.write(".pipeline/secrets.env", &format!("FILE_TOKEN={filed}\n"));
    let chmod =
        |mode| fs::set_permissions(s.repo().join(".pipeline/secrets.env"), fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o600);
    let told = s.path("told");
    let print = "echo \"out $FILE_TOKEN\"; echo \"err $EXPORTED_KEY\" >&2; printf %.12s \"$FILE_TOKEN\"; printf '%s\\n' \"${FILE_TOKEN#????????????}\"";
    let outcome = "printf '{\"status\":\"ok\",\"summary\":\"used %s\"}' \"$FILE_TOKEN\" > \"$PIPELINE_OUTCOME_FILE\"";
    workflow(
        &s,
        "secret",
        json!({ "stages": [
            { "id": "with", "run": format!("{print}; printf %s \"$FILE_TOKEN $EXPORTED_KEY\" > {}; {outcome}", told.display()),
              "secrets": ["FILE_TOKEN", "EXPORTED_KEY"] },
            { "id": "without", "run": "test -z \"$FILE_TOKEN$EXPORTED_KEY\"" },
        ] }),
    );
    let output = s.run(["--debug", "run", "secret", "--json"]).ok();
    assert_eq!(fs::read_to_string(&told).unwrap(), format!("{filed} {exported}"));
    for text in [&output.stdout, &output.stderr, &s.run(["logs", "--task", "TASK-001"]).ok().stdout] {
        assert!(!text.contains("canary-"), "{text}");
    }
    let log = fs::read_to_string(ended(&output)["log"].as_str().unwrap()).unwrap();
    assert!(log.contains("out ***") && log.contains("err ***"), "{log}");
    fn search(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                search(&path, found);
            } else if kind.is_file() && !path.ends_with("secrets.env") && !path.ends_with("outcome.json") {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                if ["canary-7f3a91", "canary-55e0bd"].iter().any(|canary| text.contains(canary)) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let mut found = Vec::new();
    search(&s.repo().join(".pipeline"), &mut found);
    assert_eq!(found, [""; 0]);
    assert!(s.git(&["check-ignore", ".pipeline/secrets.env"]).contains("secrets.env"));
    chmod(0o644);
    s.run(["run", "secret"]).code(1).says(&["can be read by others", "chmod 600"]);
    commands(&s, "plain", &[("a", "true")]);
    s.run(["run", "plain"]).ok();
    fs::remove_file(s.repo().join(".pipeline/secrets.env")).unwrap();
    s.run(["run", "secret"]).code(1).says(&["needs the secret FILE_TOKEN"]);
}

#[test]
fn outputs_artifacts_and_figures_are_handed_on() {
    let s = Sandbox::ready_with("", "retries = 0");
    let stages = |minimum: u32| {
        json!({ "stages": [
            { "id": "big", "run": "test -e \"$PIPELINE_INPUTS\"/outputs.jsonl -a ! -s \"$PIPELINE_INPUTS\"/outputs.jsonl || exit 1; head -c 100000 /dev/zero | tr '\\0' 'x'; echo; echo tail" },
            { "id": "small", "run": "echo from small" },
            { "id": "build", "inputs": ["small"],
              "run": "mkdir -p dist; cp \"$PIPELINE_INPUTS\"/small.txt dist/got.txt; ls \"$PIPELINE_INPUTS\" > dist/list.txt; ln -sf /etc/passwd dist/link" ,
              "artifacts": ["dist/*"] },
            { "id": "all", "run": "test $(wc -c < \"$PIPELINE_INPUTS\"/big.txt) -le 65536 && tail -n1 \"$PIPELINE_INPUTS\"/big.txt | grep -q tail && grep -q 'stdout.log.*\"stage\":\"big\"' \"$PIPELINE_INPUTS\"/outputs.jsonl && test $(wc -l < \"$PIPELINE_INPUTS\"/outputs.jsonl) -eq 3 && test -e \"$PIPELINE_INPUTS\"/build.txt -a ! -s \"$PIPELINE_INPUTS\"/build.txt && ls \"$PIPELINE_INPUTS\" | wc -l" },
            { "id": "test", "run": "printf 'SF:a\\nLF:10\\nLH:9\\nend_of_record\\n' > lcov.info; echo 'failures: 0'",
              "thresholds": [{ "name": "coverage", "from": { "lcov": "lcov.info" }, "min": minimum }, { "name": "failures", "max": 0 }] },
        ] })
    };
    workflow(&s, "good", stages(80));
    s.run(["run", "good"]).ok();
    let shown = s.show("TASK-001").to_string();
    assert!(shown.contains("coverage is 90 (at least 80)") && shown.contains("2 artifacts kept"), "{shown}");
    assert_eq!(on_branch(&s, "TASK-001", "dist/got.txt"), "from small");
    assert_eq!(on_branch(&s, "TASK-001", "dist/list.txt"), "outputs.jsonl\nsmall.txt");
    let runs = fs::read_dir(s.repo().join(".pipeline/runs")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = runs.filter(|run| run.join("artifacts.json").exists()).collect();
    assert_eq!(kept.len(), 1);
    let list: Value = serde_json::from_slice(&fs::read(kept[0].join("artifacts.json")).unwrap()).unwrap();
    assert_eq!(list["artifacts"][0]["path"], "dist/got.txt");
    assert_eq!(list["artifacts"].as_array().unwrap().len(), 2, "a link is not followed: {list}");
    let sum = s.shell(&format!("sha256sum < {}", kept[0].join("artifacts/dist/got.txt").display())).ok().stdout;
    assert!(sum.starts_with(list["artifacts"][0]["sha256"].as_str().unwrap()));
    workflow(&s, "bad", stages(95));
    s.run(["run", "bad"]).code(1).says(&["coverage is 90, and has to be at least 95"]);
}

#[test]
fn what_a_cancelled_stage_left_is_put_away() {
    let s = Sandbox::ready();
    let hang = hang_once(&s, "up");
    workflow(
        &s,
        "service",
        json!({ "stages": [{ "id": "up", "run": format!("echo work > half.txt; {hang}"), "on_cancel": "test -e half.txt && echo down > down.txt" }] }),
    );
    s.run(["run", "service", "--detach"]).ok().says(&["TASK-001", "pipeline run --resume TASK-001"]);
    s.tick();
    s.wait_at("up");
    s.run(["task", "cancel", "TASK-001"]).ok();
    s.run(["run", "--resume", "TASK-001"]).code(1).says(&["on-cancel", "TASK-001 cancelled"]);
    assert_eq!(s.status_of("TASK-001.on-cancel"), "completed");
    assert_eq!(on_branch(&s, "TASK-001", "down.txt"), "down");
}

#[test]
fn a_block_on_stdin_is_a_command_and_in_an_agents_words_a_proposal() {
    let s = Sandbox::ready();
    commands(&s, "setup", &[("a", "echo {{ task.body }} > said.txt")]);
    let block = |directory: &str| {
        let object = json!({ "pipelineName": "setup", "userPrompt": "set it up", "workingDirectory": directory });
        format!("[PIPELINE-EXECUTE]\n{object}\n[/PIPELINE-EXECUTE]")
    };
    let here = s.repo().display().to_string();
    s.run_with_input(["run", "-"], &format!("Please:\n{}\nThank you.", block(&here))).ok();
    assert_eq!(on_branch(&s, "TASK-001", "said.txt"), "set it up");
    s.run_with_input(["run", "-"], &format!("{0}{0}", block(&here))).code(2).says(&["several"]);
    s.run_with_input(["run", "-"], &block("/")).code(2).says(&["not in this repository"]);
    s.run_with_input(["run", "-"], &block(&format!("{here}/nope"))).code(2).says(&["does not exist"]);
    s.run_with_input(["run", "-"], "nothing").code(2).says(&["PIPELINE-EXECUTE"]);
    let more = block(&here).replace("{", "{ \"params\": { \"x\": 1 }, ");
    let said = s.run_with_input(["run", "-"], &more.replace("setup", "gone")).code(5);
    said.says(&["nothing reads `params` of the block", "--param NAME=VALUE"]);
    s.run_with_input(["run", "-"], &block(&here).replace("setup", "gone")).code(5);
    workflow(&s, "ask", json!({ "stages": [{ "id": "arch", "agent": "architect" }] }));
    let words = block(&here).replace('\n', " ");
    s.plan("arch", &format!("printf '%s\\n' '{words}'; work; marker COMPLETED"));
    s.run(["run", "ask"]).ok();
    let waits = |s: &Sandbox| s.status()["attention"].as_array().unwrap().clone();
    assert_eq!(s.status_of("TASK-002.proposal"), "awaiting_approval", "nothing was started by it");
    assert_eq!(waits(&s)[0]["kind"], "proposal");
    assert_eq!(waits(&s)[0]["command"], "pipeline task approve TASK-002.proposal");
    s.tick();
    assert_eq!(s.status_of("TASK-002.proposal"), "awaiting_approval");
    let shown = s.run(["task", "show", "TASK-002"]).ok();
    assert!(
        shown.stdout.contains("proposes TASK-002.proposal awaiting_approval, workflow setup: set it up"),
        "{shown:?}"
    );
    s.run(["task", "approve", "TASK-002.proposal"]).ok();
    s.tick_to("TASK-002.proposal", "completed");
    assert_eq!(on_branch(&s, "TASK-002.proposal", "said.txt"), "set it up");
    s.run(["run", "ask"]).ok();
    s.run(["task", "reject", "TASK-003.proposal", "--message", "not now"]).ok();
    assert_eq!(s.status_of("TASK-003.proposal"), "cancelled");
    assert!(waits(&s).is_empty(), "{:?}", waits(&s));
}

#[test]
fn a_file_that_is_no_workflow_of_the_project_can_be_run() {
    let s = Sandbox::ready();
    s.write(
        "templates/own.json",
        &json!({ "id": "own", "stages": [{ "id": "a", "run": "echo {{ task.title }} > t.txt" }] }).to_string(),
    );
    s.run(["execute-pipeline", "--template", "templates/own.json", "--title", "mine"]).ok();
    assert_eq!(on_branch(&s, "TASK-001", "t.txt"), "mine");
    s.run(["run", "own"]).code(5);
    commands(&s, "named", &[("a", "true")]);
    s.run(["execute-workflow", "--workflow", "named"]).ok();
    s.run(["workflow", "run", "named"]).ok();
    let detached = s.run(["run", "named", "--detach", "--json"]).ok().json();
    assert_eq!(detached["task"], "TASK-004");
    s.tick_to("TASK-004", "completed");
}

#[test]
fn runs_go_on_beside_each_other_and_in_sequential_mode() {
    let s = Sandbox::ready();
    let write = "echo \"$PIPELINE_TASK_ID\" > \"$PIPELINE_TASK_ID\"";
    workflow(
        &s,
        "flow",
        json!({ "stages": [
            { "id": "a", "run": "true" }, { "id": "b", "run": write }, { "id": "c", "run": "true", "merge": true },
        ] }),
    );
    let runs = ["one", "two", "three"].map(|name| s.start(name, ["run", "flow"]));
    assert_eq!(runs.map(|pid| s.exit_of(pid)), [0, 0, 0]);
    s.run(["mode", "sequential"]).ok();
    s.run(["run", "flow"]).ok().says(&["TASK-004 completed"]);
    assert!(s.git(&["ls-tree", "--name-only", "main"]).contains("TASK-002\nTASK-003\nTASK-004"));
}

#[test]
fn a_run_beside_a_monitor_only_follows() {
    let s = Sandbox::ready();
    commands(&s, "flow", &[("a", "true"), ("b", "true")]);
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.wait_for(&s.repo().join(".pipeline/state/monitor.lock"));
    let output = s.run(["run", "flow", "--json"]).ok();
    assert_eq!(done(&output), ["a passed success", "b passed success"]);
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}
