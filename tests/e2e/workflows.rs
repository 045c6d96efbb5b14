//! Workflow files through the verbs: begun, checked, shown and drawn.

use pipeline_lib::workflow::render;
use serde_json::json;

use crate::support::{Sandbox, texts};

/// What `new` writes is valid, can be shown and drawn, and is never overwritten.
#[test]
fn a_new_workflow_is_valid() {
    let s = Sandbox::ready();
    for template in ["agents", "commands", "hub", "parallel", "tdd"] {
        let name = format!("my-{template}");
        s.run(["workflow", "new", &name, "--from", template]).ok().says(&[&format!("workflows/{name}.json")]);
        s.run(["workflow", "new", &name]).code(1).says(&["already"]);
        s.run(["workflow", "show", &name]).ok().says(&[&name]);
        s.run(["workflow", "graph", &name]).ok().says(&["●"]);
        s.run(["workflow", "graph", &name, "--format", "mermaid"]).ok().says(&["flowchart TD"]);
        s.run(["workflow", "graph", &name, "--format", "svg"]).ok().says(&["<svg ", "</svg>"]);
    }
    let report = s.run(["workflow", "validate", "--json"]).ok().json();
    assert_eq!((&report["valid"], &report["problems"]), (&json!(true), &json!([])));
    for name in ["my-agents", "my-commands", "my-hub", "my-parallel", "my-tdd", "tdd"] {
        assert!(texts(&report["workflows"]).contains(&name), "{name}");
    }
    // What is shown as JSON is a file again.
    for name in ["my-hub", "my-commands"] {
        let shown = s.run(["workflow", "show", name, "--json"]).ok().json();
        s.write("copy.json", &shown.to_string());
        s.run(["workflow", "validate", "copy.json"]).ok().says(&["0 errors, 0 warnings"]);
    }
    s.run(["workflow", "new", "a b"]).code(2);
    s.run(["workflow", "new", "x", "--from", "nothing"]).code(5).says(&["agents, commands, hub, parallel"]);
    let printed = s.run(["workflow", "new", "only-printed", "--print"]).ok().json();
    assert_eq!(printed["id"], "only-printed");
    assert!(!s.path(".pipeline/workflows/only-printed.json").exists());
}

/// Every mistake of a file has its line and a suggestion, and nothing can be put on the workflow.
#[test]
fn mistakes_are_found_at_their_place() {
    let s = Sandbox::ready();
    let text = [
        "{ \"id\": \"odd\", \"schedule\": \"sometimes\",",
        "  \"stages\": [",
        "    { \"id\": \"a\", \"run\": \"make {{ params.targt }}\" },",
        "    { \"id\": \"b\", \"workflow\": \"tdx\" },",
        "    { \"id\": \"c\", \"matrix\": {}, \"agent\": \"architect\" } ],",
        "  \"params\": { \"target\": \"all\" } }",
    ];
    s.write(".pipeline/workflows/odd.json", &text.join("\n"));
    s.run(["workflow", "validate"]).code(78).says(&[
        "odd.json:1:28",
        "every 5 minutes",
        "odd.json:3:31",
        "Did you mean `target`?",
        "odd.json:4:30",
        "odd.json:5:28",
        "4 errors",
    ]);
    s.run(["task", "add", "x", "--workflow", "odd"]).code(78).says(&["odd.json:"]);
    s.run(["workflow", "graph", "odd"]).code(78).says(&["workflow validate"]);
    let text = [
        r#"{ "id": "odd", "stages": ["#,
        r#"  { "id": "build", "run": "make" },"#,
        r#"  { "id": "test", "run": "make test", "inputs": ["build", "biuld"] }] }"#,
    ];
    s.write(".pipeline/workflows/odd.json", &text.join("\n"));
    let said = ["odd.json:3:59", "no stage `biuld`", "Did you mean `build`?", "1 error"];
    s.run(["workflow", "validate"]).code(78).says(&said);
    s.run(["run", "odd"]).code(78).says(&["odd.json:3:59"]);
    // What others may have meant by it is kept and passed over, but not in silence.
    let text = r#"{ "id": "odd", "stages": [{ "id": "a", "run": "true", "place": "repository", "aproval": true }] }"#;
    s.write(".pipeline/workflows/odd.json", text);
    let said = ["odd.json:1:78", "a stage has no `aproval`", "Did you mean `approval`?"];
    s.run(["workflow", "validate"]).ok().says(&said).says(&["0 errors, 1 warning"]);
    s.run(["run", "odd", "--dry-run"]).says(&said);
    // Whatever the file is called.
    s.write(".pipeline/workflows/odd.json", &text.replace("odd", "even"));
    s.run(["run", "even", "--dry-run"]).says(&["odd.json:1:79", "a stage has no `aproval`"]);
    // Other workflows that it names are looked for as well.
    let text = r#"{ "id": "odd", "stages": [{ "id": "b", "workflow": "tdx" }] }"#;
    s.write(".pipeline/workflows/odd.json", text);
    s.run(["workflow", "validate"]).code(78).says(&["odd.json:1:52", "no workflow `tdx`", "Did you mean `tdd`?"]);
    s.write("other.yaml", "id: x\nstages: []\n");
    s.run(["workflow", "validate", "other.yaml"]).code(78).says(&["YAML"]);
}

/// Templates of other tools load as they are.
#[test]
fn templates_of_other_tools_load_as_they_are() {
    let s = Sandbox::ready();
    let template = json!({
        "id": "intelligent-setup", "name": "Intelligent Setup", "version": "3.0.0", "category": "infrastructure",
        "stages": [
            { "id": "orchestrate", "name": "Orchestrator", "type": "hub", "agent": "supervisor", "phase": "all",
              "decisions": ["delegate_daemon_setup", "infrastructure_complete", "escalate"] },
            { "id": "handle_daemon", "agent": "implementation", "inputs": ["orchestrate"], "outputs": ["daemon"],
              "decisions": [{ "choice": "daemon_ready", "description": "running" }, { "choice": "daemon_failure" }] },
        ],
        "flow": { "type": "conditional", "connections": [
            { "from": "orchestrate", "to": "handle_daemon", "condition": "delegate_daemon_setup", "description": "d" },
            { "from": "handle_daemon", "to": "orchestrate", "condition": "daemon_ready" },
            { "from": "handle_daemon", "to": "orchestrate", "condition": "daemon_failure" },
            { "from": "orchestrate", "to": null, "condition": "infrastructure_complete" },
            { "from": "orchestrate", "to": null, "condition": "escalate" } ] },
        "metadata": { "author": "somebody" }
    });
    s.write("template.json", &template.to_string());
    s.run(["workflow", "validate", "template.json"]).ok().says(&["intelligent-setup", "0 errors, 0 warnings"]);
    s.write(".pipeline/workflows/setup.json", &template.to_string());
    s.run(["workflow", "graph", "intelligent-setup"]).ok().says(&["delegate_daemon_setup", "end"]);
    s.run(["workflow", "show", "intelligent-setup"]).ok().says(&["metadata", "phase"]);
}

/// A shell hears every value of a template exactly as it is, wherever it stands.
#[test]
fn a_shell_hears_every_value_as_it_is() {
    let s = Sandbox::new();
    let values = [
        "",
        "plain",
        "two words",
        "'",
        "\"",
        "`id`",
        "$(id)",
        "$HOME",
        "${x}",
        "\\",
        "\\\\",
        "a'b\"c",
        "*",
        "~",
        "#",
        "-n",
        "; id",
        "a\nb",
        "\n",
        "&& id",
        "\\'",
        "'\\''",
        "if",
        "a=b",
        "{a,b}",
        "!",
        "2",
    ];
    let template =
        "show {{ v }} \"{{ v }}\" '{{ v }}' a{{ v }}b \"$(printf %s {{ v }}; echo .)\" \"x$one{{ v }}\" $one{{ v }}";
    let mut script = "one=1\nshow() { for a; do printf '%s\\037' \"$a\"; done; }\n".to_owned();
    let mut expected = Vec::new();
    for value in values {
        script.push_str(&render::shell(template, &json!({ "v": value })).unwrap());
        script.push('\n');
        script.push_str(&render::shell("cat <<END\n{{ v }}.\nEND\nprintf '\\037'\n", &json!({ "v": value })).unwrap());
        let same = || value.to_owned();
        expected.extend([
            same(),
            same(),
            same(),
            format!("a{value}b"),
            format!("{value}."),
            format!("x1{value}"),
            format!("1{value}"),
        ]);
        expected.push(format!("{value}.\n"));
    }
    let heard = s.shell(&script).ok().stdout;
    let heard: Vec<&str> = heard.split_terminator('\u{1f}').collect();
    assert_eq!(heard, expected);
}
