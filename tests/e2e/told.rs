//! What a run tells of itself while it goes on and at its end, where something went wrong on the way. How it goes is tested
//! elsewhere.

use pipeline_lib::workflow::{Figure, figures};
use serde_json::{Value, json};

use crate::support::{Output, Sandbox};

/// Writes a workflow of the project.
fn workflow(s: &Sandbox, id: &str, mut document: Value) {
    document["id"] = id.into();
    s.write(&format!(".pipeline/workflows/{id}.json"), &document.to_string());
}

/// The document with which a run ends.
#[track_caller]
fn ended(output: &Output) -> Value {
    output.json_lines().last().cloned().unwrap_or_else(|| panic!("it said nothing: {output:?}"))
}

#[test]
fn an_exit_code_that_says_failed_is_a_failure_everywhere() {
    let s = Sandbox::ready();
    let decisions = json!([{ "choice": "success", "exit": 0 }, { "choice": "failed", "exit": 7 }]);
    workflow(
        &s,
        "look",
        json!({ "stages": [{ "id": "a", "run": "echo looking; echo no luck; exit 7", "decisions": decisions }],
                "connections": [{ "from": "a", "to": null, "condition": "success" }, { "from": "a", "to": null, "condition": "failed" }] }),
    );
    let output = s.run(["run", "look", "--junit", "report.xml", "--github"]).code(1);
    let why = "stage a failed and its workflow ends there: no luck";
    output.says(&[
        "· failed · no luck",
        &format!("TASK-001 failed: {why}"),
        "::group::a failed",
        "::error title=a::no luck",
        &format!("::error title=TASK-001::failed: {why}"),
    ]);
    let report = s.read("report.xml");
    assert!(report.contains("<failure message=\"no luck\">"), "{report}");
    s.run(["explain", "TASK-001"]).ok().says(&[why, "exited with code 7, failed"]);
}

#[test]
fn what_is_counted_is_what_ran() {
    let s = Sandbox::ready();
    workflow(&s, "inner", json!({ "stages": [{ "id": "test", "run": "true" }] }));
    workflow(&s, "outer", json!({ "stages": [{ "id": "test", "workflow": "inner" }] }));
    workflow(&s, "words", json!({ "stages": [{ "id": "s", "run": "true", "matrix": { "a": ["日本", ""] } }] }));
    for (id, count) in [("outer", 1), ("words", 2)] {
        let end = ended(&s.run(["run", id, "--json", "--junit", "report.xml"]).ok());
        assert_eq!((&end["stages_run"], &end["stages_repeated"]), (&json!(count), &json!(0)), "{end}");
        assert_eq!(s.read("report.xml").matches("<testcase ").count(), count, "{id}");
        assert_eq!(figures::read(&Figure::Junit(String::new()), &s.read("report.xml")), Ok(0.0));
    }
    workflow(&s, "gated", json!({ "stages": [{ "id": "c", "run": "true", "retries": 0, "verify": "false" }] }));
    let end = ended(&s.run(["run", "gated", "--json"]).code(1));
    assert_eq!((&end["stages_failed"], &end["stages"][0]["last"]), (&json!(1), &json!("failed")), "{end}");
}

#[test]
fn a_rollback_that_did_not_happen_is_told() {
    let s = Sandbox::ready();
    workflow(
        &s,
        "need",
        json!({ "params": { "must": { "required": true } }, "stages": [{ "id": "x", "run": "true" }] }),
    );
    workflow(&s, "of", json!({ "stages": [{ "id": "a", "run": "false", "retries": 0 }], "on_failure": "need" }));
    let cannot = "its `on_failure`, workflow need, cannot be started: parameter `must` is missing";
    let output = s.run(["run", "of"]).code(1).says(&["workflow `need` was to be started", cannot]);
    assert_eq!(output.stderr.matches("blocked: ").count(), 2, "once as it happens and once at the end: {output:?}");
    s.run(["explain", "TASK-001"]).ok().says(&[cannot]);
    let attention = s.status()["attention"].clone();
    assert!(attention.as_array().unwrap().iter().any(|one| one["kind"] == "not_followed"), "{attention}");
    s.run(["run", "need"]).code(1).says(&["parameter `must` is missing", "Add `--param must=VALUE`."]);
}

#[test]
fn what_could_not_begin_was_not_taken_back_by_anybody() {
    let s = Sandbox::ready();
    workflow(&s, "secret", json!({ "stages": [{ "id": "a", "run": "true", "secrets": ["TOKEN_A"] }] }));
    let output = s.run(["run", "secret"]).code(1).says(&["needs the secret TOKEN_A"]);
    assert!(!output.stderr.contains("taken back"), "{output:?}");
}

#[test]
fn a_proposal_that_comes_to_nothing_is_told_and_a_quoted_one_is_none() {
    let s = Sandbox::ready();
    workflow(&s, "ask", json!({ "stages": [{ "id": "arch", "agent": "architect" }] }));
    let block = r#"[PIPELINE-EXECUTE] {"pipelineName": "gone"} [/PIPELINE-EXECUTE]"#;
    s.plan("arch", &format!("printf '%s\\n' '{block}'; work; marker COMPLETED"));
    s.run(["run", "ask"]).ok().says(&["proposes workflow gone, and there is no such workflow"]);
    let shown = s.show("TASK-001").to_string();
    assert!(shown.contains("(nothing comes of it: there is no such workflow)"), "{shown}");
    assert!(!shown.contains("a person decides"), "{shown}");
    s.plan("arch", &format!("printf '%s\\n' 'example: `{block}`'; work; marker COMPLETED"));
    let output = s.run(["run", "ask"]).ok();
    assert!(!output.stderr.contains("proposes"), "{output:?}");
}

#[test]
fn a_chain_that_went_on_without_a_part_says_so_at_its_end() {
    let s = Sandbox::ready();
    workflow(&s, "good", json!({ "stages": [{ "id": "do", "run": "true" }] }));
    workflow(&s, "bad", json!({ "stages": [{ "id": "do", "run": "exit 3", "retries": 0 }] }));
    let chains = json!([{ "name": "both", "pipelines": ["bad", "good"], "stop_on_failure": false }]);
    let registry = json!({ "orchestration_rules": { "pipeline_chaining": { "enabled": true, "chains": chains } } });
    s.write(".pipeline/registry.json", &registry.to_string());
    let without = "it went on without TASK-001.bad (bad), which is failed: command-1 exited with code 3, 1 attempt";
    s.run(["run", "both"]).ok().says(&[&format!("TASK-001 completed: {without}")]);
    s.run(["explain", "TASK-001"]).ok().says(&[without]);
    let end = ended(&s.run(["run", "both", "--json"]).ok());
    assert_eq!((&end["result"], &end["without"]), (&json!("completed"), &json!(["TASK-002.bad"])), "{end}");
}
