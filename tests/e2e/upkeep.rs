//! What a long life asks for: logs that are rotated, tasks that are archived, a state that is newer or beyond reading.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Sandbox, texts, word};

fn log_files(s: &Sandbox) -> BTreeSet<String> {
    let entries = std::fs::read_dir(s.repo().join(".pipeline/logs")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// One file a day, at most as many as are wished; the one in use is never among those that go.
#[test]
fn old_logs_go() {
    let s = Sandbox::new();
    let config = |keep: u32| s.config("", "") + &format!("\n[logs]\nkeep = {keep}\nlevel = \"debug\"\n");
    s.init("production", &config(3));
    s.commit("OWN.md", "a file of the repository\n");
    for day in 1..=9 {
        s.write(&format!(".pipeline/logs/pipeline.log.2020-01-0{day}"), "old\n");
    }
    s.write(".pipeline/logs/notes.txt", "mine\n");
    s.add("OWN", &[]);
    s.tick_to("OWN", "blocked");
    for keep in [3, 2, 1] {
        s.write(".pipeline/config.toml", &config(keep));
        s.tick();
        s.tick();
        let files = log_files(&s);
        assert!(files.contains("notes.txt"), "{files:?}");
        let logs: Vec<&String> = files.iter().filter(|name| name.starts_with("pipeline.log.")).collect();
        assert!(!logs.is_empty() && logs.len() <= keep as usize, "at most {keep}: {files:?}");
        let newest = s.read(&format!(".pipeline/logs/{}", logs.last().unwrap()));
        assert!(newest.contains("OWN.md"), "with {keep} the log of today stays: {newest}");
    }
    s.run(["config", "validate"]).ok();
    s.write(".pipeline/config.toml", &config(0));
    s.run(["config", "validate"]).code(78).says(&["keep"]);
}

/// Finished tasks beyond the limit leave the live state, are still answered for, and satisfy those behind them.
#[test]
fn finished_tasks_are_archived() {
    let s = Sandbox::ready_with("", "keep_finished = 2");
    s.write(
        ".pipeline/workflows/short.json",
        r#"{"id":"short","name":"s","stages":[{"id":"do","name":"d","agent":"architect","description":"d"}]}"#,
    );
    for n in 1..=5 {
        s.add(&format!("T-{n}"), &["--workflow", "short"]);
    }
    let live = |status: &Value| status["tasks"].as_object().unwrap().len();
    let status = s.tick_until("all are done", |status| status["metrics"]["tasks_completed"] == 5 && live(status) == 2);
    assert_eq!(texts(&status["queues"]["completed"]), ["T-4", "T-5"]);
    assert_eq!(s.state()["tasks"].as_object().unwrap().len(), 2);
    let shown = s.show("T-1");
    assert_eq!((&shown["status"], &shown["archived"]), (&"completed".into(), &true.into()), "{shown}");
    assert_eq!(shown["title"], "the task T-1");
    s.run(["task", "show", "T-1"]).ok().says(&["completed", "pipeline events --task T-1"]);
    s.run(["explain", "T-1"]).ok().says(&["finished"]);
    s.run(["wait", "T-1", "--timeout", "0"]).ok();
    let told = s.run(["logs", "--task", "T-1"]).code(5).says(&["T-1", "archived", "pipeline events --task T-1"]);
    assert!(!told.stderr.contains("there is no task"), "{told:?}");
    let runs = s.run(["events", "--task", "T-1", "--type", "run_closed"]).ok().json_lines();
    let run = runs[0]["run"].as_str().unwrap();
    s.run(["logs", "--run", run]).ok();
    s.run(["task", "add", "again", "--id", "t-1"]).code(1).says(&["T-1"]);
    for verb in ["retry", "rollback", "cancel"] {
        s.run(["task", verb, "T-1"]).code(1).says(&["T-1", "archived", "pipeline events --task T-1"]);
    }
    s.run(["task", "list", "--all"]).ok().says(&["3 more are archived"]);
    s.add("AFTER", &["--after", "T-1", "--workflow", "short"]);
    s.tick_to("AFTER", "completed");
    assert_eq!(s.status()["metrics"]["tasks_completed"], 6, "what is archived still counts");
}

fn journal(s: &Sandbox) -> PathBuf {
    s.repo().join(".pipeline/state/journal.000001")
}

/// CRC-32 (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A state that a newer program wrote is read by everything that reads, and written by nothing.
#[test]
fn a_newer_format_is_read_and_never_written() {
    let s = Sandbox::ready();
    s.add("T-1", &[]);
    let mut bytes = std::fs::read(journal(&s)).unwrap();
    assert_eq!(crc32(&bytes[..12]).to_le_bytes(), bytes[12..16], "the header is as it is thought to be");
    bytes[8] += 1;
    let sum = crc32(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&sum);
    std::fs::write(journal(&s), &bytes).unwrap();
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(s.repo().join(".pipeline/state"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_none_or(|ending| ending != "lock"))
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = files();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["task", "list"],
        &["task", "show", "T-1"],
        &["events"],
        &["explain", "T-1"],
        &["agent", "list"],
        &["wait", "--for", "completed", "--timeout", "0"],
    ] {
        let output = s.run(args);
        assert!(output.stdout.contains("T-1") || output.code == 124 || args[0] == "agent", "{output:?}");
        assert!([0, 124].contains(&output.code), "{output:?}");
    }
    s.run(["status"]).ok().says(&["format 2", "can be read, not written"]);
    for args in [
        &["task", "add", "x"][..],
        &["task", "cancel", "T-1"],
        &["mode", "shadow"],
        &["agent", "stop", "--all"],
        &["monitor", "--once"],
        &["monitor", "--headless"],
        &["pilot", "add", "T-1"],
        &["doctor", "--repair"],
    ] {
        let output = s.run(args.iter().chain(&["--json"]));
        assert_eq!(output.code, 78, "{output:?}");
        assert!(args[0] == "doctor" || output.error().0 == "newer_format", "{output:?}");
    }
    s.run(["doctor"]).code(78).says(&["newer program"]);
    assert!(files() == before, "nothing was written");
    assert_eq!(s.calls("T-1.arch"), 0);
}

/// Where not even a beginning can be read, nobody is shown an empty picture; the repair brings everything back.
#[test]
fn a_state_beyond_reading_is_no_empty_one() {
    let s = Sandbox::ready();
    (1..=3).for_each(|n| s.add(&format!("T-{n}"), &[]));
    let good = std::fs::read(journal(&s)).unwrap();
    let mut bad = good.clone();
    // In the checkpoint, which every segment begins with.
    bad[60] ^= 0x10;
    std::fs::write(journal(&s), &bad).unwrap();
    for args in [
        &["status"][..],
        &["status", "--watch"],
        &["task", "list"],
        &["task", "add", "x"],
        &["wait"],
        &["monitor", "--once"],
        &["monitor", "--headless"],
    ] {
        s.run(args).code(65).says(&["journal.000001", "doctor --repair"]);
        assert_eq!(s.run(args.iter().chain(&["--json"])).code(65).error().0, "corrupt", "{args:?}");
    }
    s.run(["doctor"]).code(65).says(&["journal.000001", "damaged at byte 16", "doctor --repair"]);
    assert_eq!(std::fs::read(journal(&s)).unwrap(), bad, "nothing was written");
    s.run(["doctor", "--repair"]).ok();
    s.run(["doctor"]).ok().says(&["a copy set aside", "Once you are sure"]);
    assert_eq!(s.status()["tasks"].as_object().unwrap().len(), 3, "every record behind it could be proved");
    s.add("T-4", &[]);
}

/// A monitor that runs while another version takes the program's place hands on what can be called, to commands as to the
/// agents of the demonstration.
#[test]
fn a_program_is_replaced_while_it_runs() {
    let s = Sandbox::new();
    let agent = "[[agents]]\nname = \"architect\"\nrole = \"architect\"\npreset = \"demo\"\n";
    s.init("production", &format!("[project]\nbase = \"main\"\n{agent}"));
    let stages = serde_json::json!([
        { "id": "call", "run": ": \"$PIPELINE_SHIPPED\"; \"$PIPELINE_PROGRAM\" --version", "retries": 0 },
        { "id": "make", "agent": "architect", "verify": false },
    ]);
    s.write(".pipeline/workflows/w.json", &serde_json::json!({ "id": "w", "stages": stages }).to_string());
    s.shell("cp \"$P\" ../p && { ../p monitor --headless > ../monitor.out 2>&1 & }").ok();
    for task in ["T-1", "T-2"] {
        s.add(task, &["--workflow", "w"]);
        s.look_until("its agent's word", |status| word(status, task) == "blocked");
        s.run(["explain", task]).says(&["command-1): exited with code 0", "demo agents do no real work"]);
        s.shell("cp \"$P\" ../q && mv ../q ../p").ok();
    }
}
