//! What goes on printing: `status --watch`, `events -f`, `logs -f`. Each prints what is new when it is new, and ends when its
//! reader goes or its subject ends.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Sandbox, word};

fn out(s: &Sandbox, name: &str) -> PathBuf {
    s.path(&format!("{name}.out"))
}

fn documents(text: &str) -> Vec<Value> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Ctrl-C ends it, as it ends any other reader.
#[track_caller]
fn interrupt(s: &Sandbox, pid: u32) {
    s.signal(pid, Signal::INT);
    let code = s.exit_of(pid);
    assert!(code == 130 || code == -Signal::INT.as_raw(), "{code}");
}

/// One document a line whenever something changed, whoever changed it, and none while nothing does.
#[test]
fn a_watched_status_is_printed_when_it_changes() {
    let s = Sandbox::ready();
    s.run(["status", "--watch", "--check"]).code(2);
    let watching = s.start("watch", ["status", "--watch", "--json"]);
    s.wait_for_text(&out(&s, "watch"), "a first document", |text| text.contains('\n'));
    s.add("T-1", &[]);
    s.wait_for_text(&out(&s, "watch"), "T-1 is there", |text| text.contains("\"T-1\""));
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.run(["wait", "T-1", "--timeout", "80"]).ok();
    let last = |text: &str| documents(text).last().cloned().unwrap_or_default();
    let text = s.wait_for_text(&out(&s, "watch"), "T-1 is completed", |text| word(&last(text), "T-1") == "completed");
    let documents = documents(&text);
    let seqs: Vec<u64> = documents.iter().map(|document| document["journal_seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "a document only where something changed: {seqs:?}");
    assert!(documents.len() > 3, "it was printed while it went on: {seqs:?}");
    for document in &documents {
        assert_eq!(document["schema_version"], 1);
        assert!(document["attention"].is_array() && document["metrics"].is_object(), "{document}");
    }
    interrupt(&s, watching);
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}

/// A monitor prints what it writes from memory, and what others write in between from the journal: all of it once, in order.
#[test]
fn a_monitor_prints_what_others_write_between_its_own() {
    let s = Sandbox::ready();
    let stages: Vec<Value> = (0..40).map(|n| json!({ "id": format!("s{n}"), "run": "true", "merge": false })).collect();
    s.write(".pipeline/workflows/long.json", &json!({ "id": "long", "stages": stages }).to_string());
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    // What was there before it began is not printed.
    s.run(["task", "add", "First", "--id", "FIRST", "--workflow", "long"]).ok();
    s.wait_for_text(&out(&s, "monitor"), "it follows", |text| text.contains("FIRST completed"));
    for n in 0..5 {
        s.run(["task", "add", &format!("Task {n}"), "--id", &format!("L-{n}"), "--workflow", "long"]).ok();
    }
    s.run(["wait", "--timeout", "80"]).ok();
    let is_over = |text: &str| text.matches(" completed\n").count() == 6;
    let text = s.wait_for_text(&out(&s, "monitor"), "all of it is printed", is_over);
    for n in 0..5 {
        let of = |words: &str| text.lines().filter(|line| line.contains(&format!("L-{n} {words}"))).count();
        assert_eq!((of("added: Task"), of("is ready for s39"), of("completed")), (1, 1, 1), "{text}");
        let done: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(&format!("  L-{n} "))?.1.strip_suffix(" done: success"))
            .collect();
        assert_eq!(done, (0..40).map(|stage| format!("s{stage}")).collect::<Vec<_>>());
    }
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
}

/// A reader that has seen enough ends what it read, even where nothing more happens.
#[test]
fn whoever_follows_ends_with_its_reader() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.tick_past("T-1", "arch");
    s.run(["agent", "stop", "--all"]).ok();
    // The supervisor has logged nothing, so that only a look at the reader tells.
    for (command, reader) in [
        ("status --watch", "head -n 1"),
        ("status --watch --json", "head -n 1"),
        ("events -f", "head -n 1"),
        ("logs -f", "true"),
    ] {
        s.shell(&format!("(\"$P\" {command}; echo $? > ../code) | {reader} > /dev/null")).ok();
        assert_eq!(std::fs::read_to_string(s.path("code")).unwrap().trim(), "0", "{command}");
    }
}

/// The journal as it grows, without a gap, from where the reader wishes.
#[test]
fn events_are_followed_without_a_gap() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let before = s.state()["journal_seq"].as_u64().unwrap();
    let all = s.start("all", ["events", "-f", "--since", &before.to_string()]);
    let merges = s.start("merges", ["events", "-f", "--type", "task_merged", "--task", "T-2"]);
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.add("T-2", &[]);
    s.run(["wait", "T-1", "T-2", "--timeout", "80"]).ok();
    let merged = s.wait_for_text(&out(&s, "merges"), "T-2 is merged", |text| text.contains('\n'));
    let merged = documents(&merged);
    assert_eq!((merged.len(), &merged[0]["task"], &merged[0]["type"]), (1, &"T-2".into(), &"task_merged".into()));
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
    let end = s.state()["journal_seq"].as_u64().unwrap();
    let last = |text: &str| documents(text).last().and_then(|event| event["seq"].as_u64());
    let text = s.wait_for_text(&out(&s, "all"), "the last event", |text| last(text) == Some(end));
    let seqs: Vec<u64> = documents(&text).iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (before + 1..=end).collect::<Vec<_>>());
    interrupt(&s, all);
    interrupt(&s, merges);
}

/// From a number, a moment or a length of time.
#[test]
fn events_since() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    s.add("T-2", &[]);
    let all = s.run(["events"]).ok().json_lines();
    let last = all.last().unwrap();
    let since = |since: &str| s.run(["events", "--since", since]).ok().json_lines();
    assert_eq!(since("0"), all);
    assert_eq!(since("1h"), all);
    assert_eq!(since(&(all.len() - 1).to_string()), std::slice::from_ref(last));
    assert_eq!(since(last["at"].as_str().unwrap()), std::slice::from_ref(last));
    assert!(since("9999999").is_empty() && since("2999-01-01T00:00:00Z").is_empty());
    s.run(["events", "--since", "yesterday"]).code(2).says(&["1h"]);
}

/// What a run prints is shown while it prints it, each stream as it is, and the reading ends with the run.
#[test]
fn the_log_of_a_run_is_followed_to_its_end() {
    let s = Sandbox::ready();
    s.plan(
        "arch",
        r"echo 'before the pause'; printf '\033[31mred\033[0m\n' >&2; hang; echo 'after the pause'; printf unended; work; marker COMPLETED",
    );
    s.add("T-1", &[]);
    s.run(["logs", "--task", "NOPE", "-f"]).code(5);
    s.run(["logs", "--agent", "nobody"]).code(5);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    let plain = s.start("plain", ["logs", "-f", "--agent", "architect"]);
    let json = s.start("json", ["logs", "-f", "--task", "T-1", "--json"]);
    s.wait_for_text(&out(&s, "plain"), "both streams", |text| {
        text.contains("before the pause") && text.contains("red")
    });
    s.release("T-1.arch.1");
    assert_eq!((s.exit_of(plain), s.exit_of(json)), (0, 0), "it ends with the run, and nobody ticked");
    let read = |name: &str| std::fs::read_to_string(out(&s, name)).unwrap();
    let plain = read("plain");
    assert!(plain.contains("after the pause\n") && plain.contains("unended") && !plain.contains('\u{1b}'), "{plain:?}");
    let lines = documents(&read("json"));
    let text = |stream: &str| {
        let lines = lines.iter().filter(|line| line["stream"] == stream);
        lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text("stdout"), ["before the pause", "after the pause", "unended"]);
    assert_eq!(text("stderr"), ["red"]);
    assert!(lines.iter().all(|line| line["task"] == "T-1" && line["agent"] == "architect" && line["run"].is_string()));
    // Afterwards it is still there, as much of it as is asked for.
    assert_eq!(s.run(["logs", "--task", "T-1", "-n", "1"]).ok().stdout, "red\n");
    assert!(s.run(["logs", "--agent", "architect", "--raw"]).ok().stdout.contains("\u{1b}[31mred"));
    assert_eq!(s.run(["agent", "logs", "architect"]).ok().stdout.lines().count(), 4);
}

/// The supervisor's own log by level, and followed across what is written to it later.
#[test]
fn the_supervisors_log_is_followed() {
    let s = Sandbox::ready();
    s.run(["logs"]).ok().says(&["nothing yet"]);
    for id in ["OWN", "MORE"] {
        s.commit(&format!("{id}.md"), "a file of the repository\n");
    }
    s.add("OWN", &[]);
    s.tick_to("OWN", "blocked");
    let warnings = s.run(["logs", "--level", "warn"]).ok().stdout;
    assert!(warnings.contains("WARN") && warnings.contains("OWN.md"), "{warnings}");
    let told = s.run(["logs"]).ok().stdout;
    assert!(told.contains("INFO") && told.contains("OWN is blocked"), "what was done is in it: {told}");
    let errors = s.run(["logs", "--level", "error"]).ok().says(&["nothing of this level"]);
    assert_eq!(errors.stdout, "");
    let following = s.start("log", ["logs", "-f", "--level", "warn", "--json"]);
    s.wait_for_text(&out(&s, "log"), "what was there", |text| text.contains("OWN.md"));
    s.add("MORE", &[]);
    s.tick_to("MORE", "blocked");
    let text = s.wait_for_text(&out(&s, "log"), "what came later", |text| text.contains("MORE.md"));
    for line in documents(&text) {
        assert_eq!((&line["source"], &line["level"]), (&"supervisor".into(), &"warn".into()), "{line}");
    }
    interrupt(&s, following);
}

/// What another monitor began is told by whoever takes over as if it had begun it itself, a gate as a gate.
#[test]
fn a_monitor_tells_of_what_it_took_over() {
    let s = Sandbox::ready();
    s.plan("arch", "hang; work; marker COMPLETED");
    s.add("T-1", &[]);
    s.tick_to("T-1", "arch_wip");
    s.wait_at("T-1.arch.1");
    s.tick();
    let monitor = s.start("monitor", ["monitor", "--headless"]);
    s.wait_for_text(&s.path("monitor.err"), "it ticks", |_| s.shell("test -s .pipeline/state/monitor.lock").code == 0);
    s.release("T-1.arch.1");
    let text = s.wait_for_text(&out(&s, "monitor"), "T-1 is completed", |text| text.contains("T-1 completed"));
    assert!(text.contains("T-1 arch by architect exited with code 0"), "{text}");
    assert!(text.contains("T-1 impl gate passed"), "{text}");
    let checked = text.lines().filter(|line| line.ends_with("T-1 super is being checked")).count();
    let ended = text.lines().filter(|line| line.contains("T-1 impl by implementation exited")).count();
    assert_eq!((checked, ended), (1, 1), "each is said once: {text}");
    s.signal(monitor, Signal::TERM);
    assert_eq!(s.exit_of(monitor), 0);
    // What the work printed is shown before what a gate printed, and silence is said.
    assert!(s.run(["logs", "--task", "T-1"]).ok().stderr.contains("of super by supervisor) printed nothing; others: "));
    s.run(["monitor", "--listen", "127.0.0.1:0", "--once"]).code(2).says(&["it comes with `serve`"]);
}
