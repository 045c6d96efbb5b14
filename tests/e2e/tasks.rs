//! The queue: adding, ordering, holding back, and everything a person may say about a task.

use serde_json::{Value, json};

use crate::support::{Sandbox, texts, word};

fn seq(s: &Sandbox) -> Value {
    s.state()["journal_seq"].clone()
}

/// Everything is checked before anything changes.
#[test]
fn a_wrong_request_changes_nothing() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.add("T-2", &["--after", "T-1"]);
    let before = seq(&s);
    for (args, code, words) in [
        (&["task", "add", "x", "--id", "T-1"][..], 1, &["T-1"][..]),
        (&["task", "add", "x", "--after", "NOPE"], 1, &["NOPE"]),
        (&["task", "edit", "T-1", "--after", "T-2"], 1, &["T-1", "T-2"]),
        (&["task", "edit", "T-1", "--after", "T-1"], 1, &["T-1"]),
        (&["task", "edit", "T-1"], 2, &[]),
        (&["task", "add", ""], 1, &["title"]),
        (&["task", "add", "two\nlines"], 1, &["line break"]),
        (&["task", "add", "x", "--priority", "0"], 1, &["1 (most urgent) to 9"]),
        (&["task", "add", "x", "--priority", "10"], 1, &["9"]),
        (&["task", "add", "x", "--id", "../../etc"], 2, &["../../etc"]),
        (&["task", "add", "x", "--id", "a b"], 2, &["a b"]),
        (&["task", "add", "x", "--paths", "/etc/**"], 1, &["/etc/**"]),
        (&["task", "add", "x", "--workflow", "nope"], 5, &["nope", "tdd"]),
        (&["task", "show", "NOPE"], 5, &["task list"]),
        (&["task", "edit", "NOPE", "--title", "x"], 5, &["NOPE"]),
        (&["task", "assign", "T-1", "nobody"], 5, &["nobody"]),
        (&["task", "cancel", "NOPE"], 5, &["NOPE"]),
        (&["task", "approve", "T-1"], 1, &["T-1"]),
        (&["task", "reject", "T-1"], 1, &["T-1"]),
        (&["task", "unblock", "T-1"], 1, &["T-1"]),
        (&["task", "retry", "T-1"], 1, &["T-1"]),
        (&["task", "rollback", "T-1"], 1, &["T-1"]),
        (&["explain", "NOPE"], 5, &["NOPE"]),
        (&["task", "frobnicate"], 2, &[]),
    ] {
        s.run(args).code(code).says(words);
        let document = s.run(args.iter().chain(&["--json"])).code(code);
        let (word, message, _) = document.error();
        assert!(!word.is_empty() && !message.is_empty(), "{document:?}");
        assert_eq!(seq(&s), before, "{args:?}");
    }
}

/// Ids are numbered, printed, and never given twice.
#[test]
fn ids_are_printed_and_unique() {
    let s = Sandbox::ready();
    assert_eq!(s.run(["task", "add", "one"]).ok().stdout, "TASK-001\n");
    s.add("TASK-002", &[]);
    assert_eq!(s.run(["task", "add", "three"]).ok().stdout, "TASK-003\n");
    let document = s.run(["task", "add", "four", "--json"]).ok().json();
    assert_eq!((&document["id"], &document["task"]["title"]), (&"TASK-004".into(), &"four".into()));
    let task = s.task("TASK-001");
    for (key, expected) in [
        ("id", json!("TASK-001")),
        ("title", json!("one")),
        ("status", json!("unassigned")),
        ("assigned_to", Value::Null),
        ("workflow", json!("tdd")),
        ("priority", json!(3)),
        ("depends_on", json!([])),
        ("paths", json!([])),
        ("group", Value::Null),
        ("branch", json!("pipeline/TASK-001")),
        ("attempt", json!(0)),
        ("reason", Value::Null),
    ] {
        assert_eq!(task[key], expected, "{key}");
    }
    let body = s.run_with_input(["task", "add", "five", "--body", "-"], "from\nstdin\n").ok();
    assert_eq!(s.show(body.stdout.trim())["body"], "from\nstdin\n");
}

/// By priority, then what more depends on, then age; a dependency has to be completed first.
#[test]
fn the_order_of_tasks() {
    let s = Sandbox::ready();
    s.plan("default", "echo $key >> \"$box/order\"; marker COMPLETED");
    s.add("OLD", &[]);
    s.add("LATER", &["--priority", "9"]);
    s.add("BASE", &[]);
    s.add("TOP", &["--after", "BASE"]);
    s.add("URGENT", &["--priority", "1"]);
    s.add("LAST", &["--after", "TOP", "LATER"]);
    let status = s.status();
    assert_eq!(texts(&status["queues"]["unassigned"]), ["URGENT", "BASE", "OLD", "LATER"]);
    assert_eq!(texts(&status["queues"]["blocked"]), ["TOP", "LAST"]);
    assert_eq!(status["tasks"]["LAST"]["reason"], "waits for LATER, TOP");
    s.tick_until("all are done", |status| status["metrics"]["tasks_completed"] == 6);
    let order = std::fs::read_to_string(s.path("order")).unwrap();
    let order: Vec<&str> = order.lines().collect();
    let at = |key: &str| order.iter().position(|line| *line == key).unwrap();
    assert!(
        at("URGENT.arch") < at("BASE.arch") && at("BASE.arch") < at("OLD.arch") && at("OLD.arch") < at("LATER.arch")
    );
    assert!(
        at("BASE.super") < at("TOP.arch") && at("TOP.super") < at("LAST.arch") && at("LATER.super") < at("LAST.arch")
    );
}

/// Tasks whose paths overlap do not run at the same time.
#[test]
fn overlapping_paths_hold_a_task_back() {
    let s = Sandbox::new();
    s.init(
        "production",
        &(s.config("", "") + &s.agent_block("second", "architect") + &s.agent_block("third", "architect")),
    );
    s.plan("arch", "hang; work; marker COMPLETED");
    s.add("A", &["--paths", "src/**"]);
    s.add("B", &["--paths", "docs/*.md", "src/lib.rs"]);
    s.add("C", &["--paths", "docs/guide.txt"]);
    s.tick_until("A and C work", |status| word(status, "A") == "arch_wip" && word(status, "C") == "arch_wip");
    s.wait_at("A.arch.1");
    s.tick();
    let held = s.task("B");
    assert_eq!(held["status"], "unassigned");
    assert!(held["reason"].as_str().unwrap().contains("waits for A"), "{held}");
    s.run(["explain", "B"]).ok().says(&["A"]);
    s.release("A.arch.1");
    s.tick_to("B", "arch_wip");
    assert_eq!(s.status_of("A"), "completed");
}

/// All or nothing; forward references are allowed; an existing id is an error.
#[test]
fn an_import_is_all_or_nothing() {
    let s = Sandbox::ready();
    s.add("OLD", &[]);
    let before = seq(&s);
    for (text, code, says) in [
        (r#"[{"title":"a","id":"A"},{"title":"b","id":"OLD"}]"#, 1, "OLD"),
        (r#"[{"title":"a","id":"A"},{"title":"b","depends_on":["NOPE"]}]"#, 1, "NOPE"),
        (r#"[{"title":"a","id":"A","depends_on":["B"]},{"title":"b","id":"B","depends_on":["A"]}]"#, 1, "A"),
        (r#"[{"title":"a","id":"A"},{"title":"b","id":"A"}]"#, 1, "A"),
        (r#"[{"title":"a","id":"A"},{"title":""}]"#, 1, "title"),
        ("[{\"title\":\"a\"},\n {\"tilte\":\"b\"}]", 1, "tasks.json:2"),
        (r#"{"tasks":[{"title":"a"}"#, 1, "tasks.json"),
        ("", 1, "tasks.json"),
    ] {
        s.write("tasks.json", text);
        s.run(["task", "import", "tasks.json"]).code(code).says(&[says]);
        assert_eq!(seq(&s), before, "{text}");
    }
    let missing = s.run(["task", "import", "nothing.json"]);
    assert_ne!(missing.code, 0);
    s.write("tasks.json", r#"{"tasks":[{"title":"late","id":"B","depends_on":["A","OLD"],"extra":1},
        {"title":"early","id":"A","body":"text","priority":1,"paths":["src/**"],"group":"g","workflow":"tdd"},{"title":"numbered"}]}"#);
    s.run(["task", "import", "tasks.json", "--json"]).ok().json();
    let state = s.state();
    assert_eq!(texts(&state["tasks"]["B"]["depends_on"]), ["A", "OLD"]);
    assert_eq!((&state["tasks"]["A"]["priority"], &state["tasks"]["A"]["group"]), (&1.into(), &"g".into()));
    assert_eq!(state["tasks"].as_object().unwrap().len(), 4);
    s.run_with_input(["task", "import", "-"], r#"[{"title":"x","id":"X"}]"#).ok();
    assert_eq!(s.status_of("X"), "unassigned");
    let graph = s.run(["task", "graph", "--json"]).ok().json();
    assert!(graph["edges"].as_array().unwrap().contains(&json!({"from":"A","to":"B"})), "{graph}");
    s.run(["task", "graph"]).ok().says(&["A", "  B"]);
}

/// Approval comes after the gate and before the connection; a rejection reruns the stage and counts.
#[test]
fn approval_and_rejection() {
    let s = Sandbox::new();
    s.write(
        ".pipeline/workflows/asked.json",
        r#"{"id":"asked","name":"a","stages":[
            {"id":"make","name":"m","agent":"implementation","description":"d","verify":true,"approval":true},
            {"id":"land","name":"l","agent":"supervisor","description":"d","approval":true}]}"#,
    );
    s.init("production", &s.config("", ""));
    s.plan("make.1", "work broken.txt; marker COMPLETED");
    s.plan("make.2", "git rm -qf broken.txt; commit ok; marker COMPLETED");
    s.add("T-1", &["--workflow", "asked"]);
    let base = s.git(&["rev-parse", "main"]);
    let status = s.tick_to("T-1", "awaiting_approval");
    assert_eq!(s.calls("T-1.make"), 2, "the gate came before the person");
    assert_eq!(status["attention"][0]["command"], "pipeline task approve T-1");
    s.tick();
    assert_eq!(s.status_of("T-1"), "awaiting_approval");
    s.run(["task", "reject", "T-1", "--message", "name it better"]).ok().says(&["make_ready"]);
    s.tick_to("T-1", "awaiting_approval");
    assert!(s.seen("T-1.make.3", "md").contains("name it better"));
    assert_eq!(
        s.show("T-1")["runs"].as_array().unwrap().iter().rfind(|r| r["work"] == "agent").unwrap()["attempt"],
        3,
        "counted"
    );
    s.run(["task", "approve", "T-1"]).ok().says(&["land_ready"]);
    s.tick_until("the merge waits for a person", |status| {
        word(status, "T-1") == "awaiting_approval" && s.calls("T-1.land") == 1
    });
    assert_eq!(s.git(&["rev-parse", "main"]), base, "not before the person agreed");
    s.run(["task", "approve", "T-1"]).ok();
    s.tick_to("T-1", "completed");
    assert_eq!(s.read("T-1.txt"), "T-1.make 3\nT-1.land 1\n");
    let events = s.run(["events", "--task", "T-1"]).ok().json_lines();
    let person =
        events.iter().find_map(|event| event["data"]["with"]["by"].as_str()).expect("the journal names who agreed");
    for output in s.show("T-1")["outputs"].as_array().unwrap() {
        assert_eq!((&output["approved"], &output["approved_by"]), (&true.into(), &person.into()), "{output}");
    }
    s.run(["task", "show", "T-1"]).ok().says(&[&format!("make success by implementation, {person} agreed, at ")]);
}

/// Blocking, cancelling and handing over work that is under way keeps what was done.
#[test]
fn interfering_with_live_work() {
    let s = Sandbox::new();
    s.init(
        "production",
        &(s.config("", "") + &s.agent_block("second", "architect") + &s.agent_block("third", "architect")),
    );
    s.plan("arch.1", "echo half > half.txt; hang");
    s.plan("arch", "work; marker COMPLETED");
    s.plan("test", "hang");
    ["A", "B", "C"].iter().for_each(|id| s.add(id, &[]));
    s.tick_until("all work", |status| ["A", "B", "C"].iter().all(|id| word(status, id) == "arch_wip"));
    ["A", "B", "C"].iter().for_each(|id| s.wait_at(&format!("{id}.arch.1")));
    s.run(["task", "assign", "A", "second"]).code(1).says(&["task reassign A"]);
    s.run(["task", "edit", "A", "--workflow", "tdd"]).code(1);
    s.run(["task", "cancel", "B", "--reason", "not wanted"]).ok().says(&["B cancelled: not wanted"]);
    s.run(["task", "block", "C", "--reason", "wait for legal"]).ok().says(&["C blocked: wait for legal"]);
    let holder = s.task("A")["assigned_to"].as_str().unwrap().to_owned();
    let other = if holder == "second" { "third" } else { "second" };
    s.run(["task", "reassign", "A", other]).ok();
    s.tick_to("A", "test_wip");
    assert_eq!(s.show("A")["runs"][1]["agent"], other);
    assert_eq!((&s.show("A")["runs"][0]["verdict"], &s.show("A")["runs"][1]["attempt"]), (&"void".into(), &1.into()));
    s.tick_until("all agents are free", |status| {
        ["architect", "second", "third"].iter().all(|name| status["agents"][name]["status"] == "idle")
    });
    for id in ["A", "B", "C"] {
        assert_eq!(s.git(&["show", &format!("pipeline/{id}:half.txt")]), "half", "{id}");
    }
    assert_eq!((s.status_of("B").as_str(), s.status_of("C").as_str()), ("cancelled", "blocked"));
    s.run(["task", "cancel", "B"]).code(1);
    s.run(["task", "unblock", "C"]).ok();
    s.tick_to("C", "test_ready");
    let listed = s.run(["task", "list", "--json", "--status", "cancelled"]).ok().json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
}
