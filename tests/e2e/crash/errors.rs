//! System calls that fail, disks that turn read-only, holders of locks that hang, and a system without watches: what was
//! acknowledged is there, what was refused is not, and the message and the exit code name the fault.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::moments::{CALLS, Moment, moments, strace_is_there};
use super::rig::{Rig, long, say};
use super::storage::SmallDisk;

/// What a disk or a system answers, and the words of it.
const ERRORS: [(&str, &str); 6] = [
    ("ENOSPC", "No space left on device"),
    ("EIO", "Input/output error"),
    ("EROFS", "Read-only file system"),
    ("EDQUOT", "Disk quota exceeded"),
    ("EACCES", "Permission denied"),
    ("EMFILE", "Too many open files"),
];

fn tasks(rig: &Rig) -> usize {
    rig.json(&["status", "--json"])["tasks"].as_object().expect("tasks").len()
}

#[test]
fn a_call_that_fails_is_told_and_what_was_acknowledged_is_there() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    rig.add("one");
    let recording = rig.file_inside("recording").display().to_string();
    let trace = format!("trace={CALLS}");
    let add = ["task", "add", "another", "--workflow", "short"];
    let done = rig.pipeline(&["strace", "-qq", "-o", &recording, "-e", &trace], &add).output().expect("strace starts");
    assert!(done.status.success());
    let all = moments(Path::new(&recording));
    let kinds: Vec<(&Moment, (&str, &str))> =
        all.iter().flat_map(|moment| ERRORS.map(|error| (moment, error))).collect();
    // Neighbours differ in the error, so that a stride that is no multiple of six goes through all of them.
    let step = if long() { 1 } else { (kinds.len() / 24).max(1) | 1 };
    let (mut tried, mut refused) = (0, 0);
    for (moment, (error, words)) in kinds.iter().step_by(step) {
        let before = tasks(&rig);
        let inject = format!("inject={}:error={error}:when={}", moment.call, moment.nth);
        let wrapper = ["strace", "-qq", "-o", &recording, "-e", &trace, "-e", &inject];
        let output = rig.pipeline(&wrapper, &add).output().expect("strace starts");
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
        let added = tasks(&rig) - before;
        let fault = format!("{error} at {} {}: {code:?}, {added} added: {said}", moment.call, moment.nth);
        say(&fault);
        let printing = said.contains("standard output");
        assert!(matches!(code, Some(0 | 1 | 73)), "{fault}");
        assert_eq!(added, usize::from(code == Some(0) || printing), "{fault}");
        assert!(code == Some(0) || said.contains(words), "{fault}");
        assert!(!said.contains("Nothing was changed") || added == 0, "{fault}");
        // A disk in the way is told from a wrong question.
        let disk = ["pwrite64", "fdatasync", "ftruncate"].contains(&moment.call.as_str());
        assert!(code == Some(0) || !disk || code == Some(73), "{fault}");
        rig.check_snapshot();
        tried += 1;
        refused += usize::from(code != Some(0));
    }
    say(&format!("errors: {tried} of {} tried, {refused} refused", kinds.len()));
    assert!(refused > 0);
    // Another process may write at once.
    rig.add("after all of them");
}

#[test]
fn a_holder_of_the_lock_that_hangs_is_named_and_never_pushed_aside() {
    if !strace_is_there() {
        return;
    }
    let rig = Rig::new();
    let wrapper =
        ["strace", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIGSTOP:when=1"];
    let mut holder = rig.pipeline(&wrapper, &["task", "add", "held", "--workflow", "short"]);
    let mut holder = holder.stdout(Stdio::null()).spawn().expect("strace starts");
    let stopped = || {
        let text = fs::read_to_string(rig.state("state.lock")).unwrap_or_default();
        let pid: i32 = text.split(' ').next()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
        matches!(state, 'T' | 't').then_some(pid)
    };
    rig.wait_until("a holder that is stopped", |_| stopped().is_some());
    let pid = stopped().expect("it is stopped");
    let refused = rig.run(&["task", "add", "another", "--workflow", "short"]);
    assert_eq!(refused.code, Some(75), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains(&pid.to_string()) && refused.err.contains("task add"), "{}", refused.err);
    assert_eq!(rig.run(&["status"]).code, Some(0), "who only reads needs no lock");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::CONT).expect("the holder is there");
    holder.wait().expect("the holder's end");
    rig.add("after it");
    assert_eq!(tasks(&rig), 2, "the one that was held came to its end");
}

#[test]
fn a_disk_that_turns_read_only_is_named_and_work_goes_on_afterwards() {
    let dir = tempfile::Builder::new().prefix("crash-").tempdir().expect("a scratch directory");
    let place = dir.path().to_owned();
    let Some(disk) = SmallDisk::at(dir.path(), 32) else {
        assert!(!long(), "the long form needs a mount namespace");
        say("no mount namespace here: no disk turns read-only");
        return;
    };
    let pid = disk.pid();
    let prefix = ["nsenter", "--mount", "--target", &pid].map(str::to_owned).to_vec();
    let rig = Rig::at(dir, &["planner", "maker"], prefix, PathBuf::from(format!("/proc/{pid}/root")));
    let task = rig.add("one");
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &pid, "mount", "-o", &options]).arg(&place);
        assert!(command.status().expect("nsenter").success(), "{how}");
    };
    remount("ro");
    let refused = rig.run(&["task", "add", "two", "--workflow", "short"]);
    assert_eq!(refused.code, Some(73), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("Read-only file system"), "{}", refused.err);
    let read = rig.run(&["status"]);
    assert!(read.code == Some(0) && read.out.contains(&task), "{:?} {}{}", read.code, read.out, read.err);
    let ticked = rig.run(&["monitor", "--once"]);
    assert!(
        ticked.code == Some(73) && ticked.err.contains("Read-only"),
        "{:?} {}{}",
        ticked.code,
        ticked.out,
        ticked.err
    );
    remount("rw");
    rig.finish(std::slice::from_ref(&task));
    rig.check_all_but_effects(&[task], &std::collections::BTreeMap::new());
}

#[test]
fn without_watches_a_monitor_polls_and_says_so() {
    let rig = Rig::new();
    let limit = "echo 1 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"];
    if !rig.command(&wrapper, Path::new("/bin/true"), &[]).status().is_ok_and(|status| status.success()) {
        assert!(!long(), "the long form needs a user namespace");
        say("no user namespace here: watches are not taken away");
        return;
    }
    let mut command = rig.pipeline(&wrapper, &["monitor", "--headless"]);
    let mut monitor = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the monitor starts");
    let mut lines = BufReader::new(monitor.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("polling"));
    assert!(said.is_some(), "nothing is said of polling");
    let task = rig.add("one");
    rig.wait_until("the end of the task", |rig| rig.in_snapshot(&task) == "completed");
    rig.kill_monitor();
    monitor.wait().expect("the monitor's end");
    rig.check(&[task], &std::collections::BTreeMap::new());
}
