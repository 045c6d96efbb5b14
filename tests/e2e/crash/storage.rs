//! A journal that was torn or changed, and a disk that is full while agents work.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::rig::{Rig, long, say};

fn finished() -> (Rig, [String; 1], Vec<u8>) {
    let rig = Rig::new();
    let tasks = [rig.add("one")];
    rig.finish(&tasks);
    let mut journal = fs::read(rig.state("journal.000001")).expect("the journal");
    // What follows the last record is room for more.
    let written = journal.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
    journal.truncate(written);
    (rig, tasks, journal)
}

/// Where each record of a journal begins.
fn records(journal: &[u8]) -> Vec<usize> {
    let magic: &[u8] = b"\xf5R\xff\n";
    let found = journal.windows(magic.len()).enumerate().filter(|(_, window)| *window == magic);
    found.map(|(at, _)| at).collect()
}

#[test]
fn a_torn_journal_is_repaired_by_the_next_command_which_says_so() {
    let (rig, _, journal) = finished();
    let last = *records(&journal).last().expect("records");
    let all: Vec<usize> = (last + 1..journal.len()).collect();
    let cuts: Vec<usize> = if long() { all } else { all.into_iter().step_by(journal.len().div_ceil(6)).collect() };
    let cuts = cuts.into_iter().chain([last + 1, last + 20, journal.len() - 1]);
    for cut in cuts {
        fs::write(rig.state("journal.000001"), &journal[..cut]).expect("the journal");
        let read = rig.run(&["status", "--json"]);
        assert_eq!(read.code, Some(0), "cut at {cut}: {}", read.err);
        let added = rig.run(&["task", "add", "after the cut", "--workflow", "short"]);
        assert_eq!(added.code, Some(0), "cut at {cut}: {}", added.err);
        assert!(added.err.contains("unfinished"), "cut at {cut}: nothing is said: {:?}", added.err);
        let again = rig.run(&["task", "add", "once more", "--workflow", "short"]);
        assert_eq!((again.code, again.err.contains("unfinished")), (Some(0), false), "{}", again.err);
        rig.check_snapshot();
    }
}

#[test]
fn a_flipped_byte_in_the_middle_stops_writers_until_a_repair() {
    let (rig, tasks, mut journal) = finished();
    let starts = records(&journal);
    let middle = starts[starts.len() / 2] + 40;
    journal[middle] ^= 0x20;
    fs::write(rig.state("journal.000001"), &journal).expect("the journal");
    for verb in [&["task", "add", "two"][..], &["monitor", "--once"]] {
        let refused = rig.run(verb);
        assert_eq!(refused.code, Some(65), "{verb:?}: {}{}", refused.out, refused.err);
        assert!(refused.err.contains("doctor --repair"), "{}", refused.err);
    }
    assert_eq!(fs::read(rig.state("journal.000001")).expect("the journal"), journal, "nothing was changed");
    assert_eq!(rig.run(&["monitor", "--headless"]).code, Some(65), "a loop does not go on over it");
    if !rig.run(&["doctor", "--help"]).out.contains("--repair") {
        say("doctor --repair is not there yet");
        return;
    }
    let mended = rig.run(&["doctor", "--repair"]);
    let copies = fs::read_dir(rig.state("")).expect("the state").flatten();
    let copies: Vec<PathBuf> =
        copies.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("corrupt")).collect();
    let [copy] = &copies[..] else { panic!("{copies:?}\n{}{}", mended.out, mended.err) };
    assert_eq!(fs::read(copy).expect("the copy"), journal, "the copy is what was there");
    assert!(rig.json(&["status", "--json"])["tasks"].as_object().expect("tasks").contains_key(&tasks[0]));
    let next = rig.add("after the repair");
    rig.tick_until("the next task", |rig| rig.status_of(&next) == "completed");
}

/// A mount namespace with a small file system of its own, or nothing where that is not allowed.
pub(super) struct SmallDisk {
    keeper: Child,
}

impl SmallDisk {
    /// The process whose namespace it is in.
    pub(super) fn pid(&self) -> String {
        self.keeper.id().to_string()
    }

    pub(super) fn at(dir: &std::path::Path, megabytes: u32) -> Option<Self> {
        let script =
            format!("mount -t tmpfs -o size={megabytes}m,mode=755 small '{}' && echo ready && exec cat", dir.display());
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut keeper = command.spawn().ok()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take()?).read_line(&mut line).ok()?;
        if line != "ready\n" {
            keeper.kill().ok();
            keeper.wait().ok();
            return None;
        }
        Some(Self { keeper })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The file system is gone with the last process in its namespace.
        self.keeper.kill().ok();
        self.keeper.wait().ok();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_space() {
    let dir = tempfile::Builder::new().prefix("crash-").tempdir().expect("a scratch directory");
    let Some(disk) = SmallDisk::at(dir.path(), 24) else {
        assert!(!long(), "the long form needs a mount namespace");
        say("no mount namespace here: no disk is filled");
        return;
    };
    let pid = disk.keeper.id().to_string();
    let prefix = ["nsenter", "--mount", "--target", &pid].map(str::to_owned).to_vec();
    let rig = Rig::at(dir, &["planner", "maker"], prefix, PathBuf::from(format!("/proc/{pid}/root")));
    let mut tasks = vec![rig.add("one")];
    rig.tell("hang", &tasks[0]);
    rig.tick_until("the agent at its work", |rig| rig.file("reached").exists());
    let agent = rig.starts()[1].pid;
    let fill = || {
        let mut filler = fs::File::options().create(true).append(true).open(rig.file("filler")).expect("a file");
        let mut block = vec![1_u8; 1 << 16];
        while !block.is_empty() {
            if filler.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
    };
    fill();
    // The journal has room for some more.
    let body = "words ".repeat(2_000);
    let refused = (0..40).find_map(|number| {
        let title = format!("while full {number}");
        let done = rig.run(&["task", "add", &title, "--workflow", "short", "--body", &body]);
        match done.code {
            Some(0) => {
                tasks.push(done.out.trim().to_owned());
                fill();
                None
            }
            _ => Some(done),
        }
    });
    let refused = refused.expect("a full disk refuses sooner or later");
    assert_eq!(refused.code, Some(73), "{}{}", refused.out, refused.err);
    let ticked = rig.run(&["monitor", "--once"]);
    assert!(matches!(ticked.code, Some(0 | 73)), "{:?} {}{}", ticked.code, ticked.out, ticked.err);
    let read = rig.json(&["status", "--json"]);
    let listed = read["tasks"].as_object().expect("tasks");
    assert_eq!(listed.len(), tasks.len(), "what was acknowledged is there and what was refused is not: {listed:?}");
    assert!(fs::read_link(format!("/proc/{agent}/cwd")).is_ok(), "the agent works on");
    rig.check_snapshot();
    fs::remove_file(rig.file("filler")).expect("the filler");
    fs::write(rig.file("gate"), "go\n").expect("the agent reads");
    rig.finish(&tasks);
    // Failed effects are to be expected here, and are tried again; everything else holds as ever.
    rig.check_all_but_effects(&tasks, &BTreeMap::new());
    drop(rig);
}
