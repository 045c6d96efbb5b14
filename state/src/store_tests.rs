//! The store as callers use it: commits, refusals, several handles and processes, failing disks.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::testing::{Counters, Fact, Room, add, added, now};
use crate::{ErrorKind, Faults, Notice, Options, Record, StateError, Store, read_snapshot, snapshot_edit};

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1, 2]).unwrap();
    add(&mut store, "b", &[3]).unwrap();
    let again = room.open();
    assert_eq!(again.machine(), store.machine());
    assert_eq!((again.seq(), again.machine().values["a"]), (3, 3));
}

#[test]
fn files_are_private_whatever_the_umask() {
    let room = Room::new();
    let mut store = room.open();
    store.lock().unwrap().write_snapshot(&1).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(room.dir()), 0o700);
    for name in room.names() {
        assert_eq!(mode(room.dir().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn an_absent_store_says_so_and_a_present_one_is_not_begun_again() {
    let temp = tempfile::tempdir().unwrap();
    let absent = Store::<Counters>::open(&temp.path().join("state"), Options::default());
    assert_eq!(absent.unwrap_err().kind(), ErrorKind::NotInitialised);
    let room = Room::new();
    let again = Store::<Counters>::init(&room.dir(), Options::default());
    assert!(matches!(again, Err(StateError::AlreadyInitialised { .. })));
}

#[test]
fn a_refused_decision_leaves_nothing() {
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1]).unwrap();
    let before = fs::read(room.segment(1)).unwrap();
    let refused: Result<(), StateError> = store.transact("test", |tx| {
        tx.record(now(), added("a", 10));
        assert_eq!(tx.machine().values["a"], 11, "a decision sees what it recorded");
        Err(StateError::refused(std::path::Path::new("x"), "no"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!((store.machine().values["a"], store.seq()), (1, 1));
    assert_eq!(fs::read(room.segment(1)).unwrap(), before);
    add(&mut store, "a", &[1]).unwrap();
    assert_eq!(room.open().machine().values["a"], 2);
}

#[test]
fn a_panicking_decision_leaves_nothing() {
    let room = Room::new();
    let mut store = room.open();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.transact("test", |tx| -> Result<(), StateError> {
            tx.record(now(), added("a", 10));
            panic!("on purpose")
        })
    }));
    assert!(outcome.is_err());
    add(&mut store, "a", &[1]).unwrap();
    assert_eq!(store.machine().values["a"], 1);
    assert_eq!(store.machine(), room.open().machine());
}

#[test]
fn a_fact_that_cannot_be_read_back_is_never_written() {
    let room = Room::new();
    let mut store = room.open();
    let answer = store.lock().unwrap().append("test", now(), [Fact::Measured { value: f64::NAN }]);
    assert!(matches!(answer, Err(StateError::Unstorable { .. })), "{answer:?}");
    assert_eq!(room.open().seq(), 0);
    add(&mut store, "a", &[1]).unwrap();
}

#[test]
fn another_handle_reads_only_what_is_new() {
    let room = Room::new();
    let (mut writer, mut reader) = (room.open(), room.open());
    assert!(!reader.changed().unwrap());
    add(&mut writer, "a", &[1, 2]).unwrap();
    assert!(reader.changed().unwrap());
    reader.refresh().unwrap();
    assert_eq!((reader.reloads, reader.seq()), (0, 2));
    assert!(!reader.changed().unwrap());
    assert_eq!(reader.machine(), writer.machine());
    // What it catches up with under the lock is read in the same way.
    add(&mut writer, "a", &[3]).unwrap();
    add(&mut reader, "b", &[4]).unwrap();
    writer.refresh().unwrap();
    assert_eq!((reader.reloads, writer.reloads, reader.seq()), (0, 0, 4));
    assert_eq!(reader.machine(), writer.machine());
}

#[test]
fn another_handle_follows_rotations_without_reading_checkpoints() {
    let mut room = Room::new();
    room.options.rotate_bytes = 300;
    let (mut writer, mut reader) = (room.open(), room.open());
    for round in 0..50 {
        add(&mut writer, "a", &[round, 1]).unwrap();
        if round % 7 == 0 {
            reader.refresh().unwrap();
            assert_eq!(reader.reloads, 0, "round {round}");
            assert_eq!(reader.machine(), writer.machine());
        }
    }
    assert!(room.segment(3).exists());
    add(&mut reader, "b", &[1]).unwrap();
    reader.refresh().unwrap();
    writer.refresh().unwrap();
    assert_eq!((reader.reloads, writer.reloads), (0, 0));
    assert_eq!(reader.machine(), writer.machine());
    assert_eq!(room.open().machine(), writer.machine());
}

#[test]
fn rotation_keeps_the_work_proportional_and_history_bounded() {
    let mut room = Room::new();
    room.options.rotate_bytes = 200;
    room.options.keep_bytes = 6_000;
    let mut store = room.open();
    for round in 0..200 {
        add(&mut store, "a", &[round]).unwrap();
    }
    let numbers: Vec<String> = room.names().into_iter().filter(|n| n.starts_with("journal.")).collect();
    assert!(numbers.len() >= 2 && !numbers.contains(&"journal.000001".to_owned()), "{numbers:?}");
    assert_eq!(room.open().machine(), store.machine());
    // A reader that slept through everything starts over.
    assert_eq!(store.machine().history.len(), 200);
}

#[test]
fn a_rotation_that_fails_costs_no_commit() {
    let mut room = Room::new();
    room.options.rotate_bytes = 300;
    let mut store = room.open();
    fs::create_dir(room.dir().join("journal.tmp")).unwrap();
    for round in 0..20 {
        add(&mut store, "a", &[round]).unwrap();
    }
    let failures = store.take_notices();
    assert!(failures.iter().all(|notice| matches!(notice, Notice::RotationFailed { .. })), "{failures:?}");
    assert!((2..10).contains(&failures.len()), "tried again, but not each time: {}", failures.len());
    fs::remove_dir(room.dir().join("journal.tmp")).unwrap();
    for round in 0..20 {
        add(&mut store, "a", &[round]).unwrap();
    }
    assert!(room.segment(2).exists());
    assert_eq!(room.open().machine(), store.machine());
}

#[test]
fn a_reader_whose_place_was_pruned_starts_over() {
    let mut room = Room::new();
    room.options.rotate_bytes = 100;
    room.options.keep_bytes = 0;
    let (mut writer, mut reader) = (room.open(), room.open());
    for round in 0..30 {
        add(&mut writer, "a", &[round]).unwrap();
    }
    assert!(!room.segment(1).exists());
    reader.refresh().unwrap();
    assert_eq!(reader.reloads, 1);
    assert_eq!(reader.machine(), writer.machine());
}

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers() {
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1]).unwrap();
    for written in [0, 1, 20, 40, 60] {
        store.set_faults(Faults { fail_write_after: Some(written), ..Faults::default() });
        let error = add(&mut store, "a", &[100]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CannotWrite, "{error}");
        assert_eq!((store.machine().values["a"], store.seq()), (1, 1));
        assert_eq!(room.open().machine(), store.machine());
    }
    store.set_faults(Faults::default());
    add(&mut store, "a", &[1]).unwrap();
    assert_eq!(room.open().machine().values["a"], 2);
}

/// What makes a file longer is dearer to make durable than what is written within it.
#[test]
fn records_are_written_into_room_and_a_finished_segment_keeps_none() {
    let mut room = Room::new();
    (room.options.room_bytes, room.options.rotate_bytes) = (4_000, 10_000);
    let mut store = room.open();
    store.lock().unwrap().rotate().unwrap();
    let mut reader = room.open();
    let mut events = reader.events(0);
    let len = |number| fs::metadata(room.segment(number)).map_or(0, |meta| meta.len());
    let (mut lens, mut added) = (vec![len(2)], 0);
    while !room.segment(3).exists() {
        add(&mut store, "a", &[1, 2, 3]).unwrap();
        added += 3;
        lens.push(len(2));
        reader.refresh().unwrap();
        assert_eq!((reader.reloads, reader.machine()), (0, store.machine()));
        assert_eq!(events.by_ref().map(|record| record.unwrap().seq).last(), Some(added));
    }
    lens.pop();
    assert!(lens.len() > 20, "{lens:?}");
    lens.dedup();
    assert!(lens.len() <= 4 && lens.is_sorted(), "it grows seldom: {lens:?}");
    let sealed = fs::read(room.segment(2)).unwrap();
    assert_eq!(sealed.last(), Some(&b']'), "what is finished needs no room");
    assert_eq!(room.open().machine(), store.machine());
    assert_eq!(store.take_notices(), []);
}

#[test]
fn a_failed_sync_stops_this_store_for_good() {
    let room = Room::new();
    let mut store = room.open();
    store.set_faults(Faults { fail_sync_after: Some(1), ..Faults::default() });
    add(&mut store, "a", &[1]).unwrap();
    let mut reader = room.open();
    assert!(matches!(add(&mut store, "a", &[2]), Err(StateError::Poisoned { .. })));
    assert_eq!(store.machine().values["a"], 1);
    store.set_faults(Faults::default());
    assert!(matches!(add(&mut store, "a", &[2]), Err(StateError::Poisoned { .. })));
    assert!(matches!(store.lock().unwrap().write_snapshot(&1), Err(StateError::Poisoned { .. })));
    // Another one reads back what is there, and goes on.
    add(&mut reader, "a", &[4]).unwrap();
    assert_eq!(room.open().machine().values["a"], 5);
}

#[test]
fn a_reader_that_saw_a_write_taken_back_unlearns_it() {
    let room = Room::new();
    let (mut writer, mut reader) = (room.open(), room.open());
    add(&mut writer, "a", &[1]).unwrap();
    let len = writer.tail.as_ref().unwrap().end;
    add(&mut writer, "a", &[2]).unwrap();
    reader.refresh().unwrap();
    // As a failed sync does: the batch goes, and another of the same size takes its place.
    let file = fs::OpenOptions::new().write(true).open(room.segment(1)).unwrap();
    file.set_len(len).unwrap();
    add(&mut room.open(), "a", &[3]).unwrap();
    add(&mut reader, "a", &[0]).unwrap();
    assert_eq!(reader.machine().values["a"], 4);
    assert_eq!(room.open().machine(), reader.machine());
}

#[test]
fn the_snapshot_is_replaced_whole_and_an_edit_is_kept() {
    let room = Room::new();
    let mut store = room.open();
    assert_eq!(read_snapshot::<u32>(&room.dir()).unwrap(), None);
    for number in 1..4_u32 {
        store.lock().unwrap().write_snapshot(&number).unwrap();
        assert_eq!(read_snapshot::<u32>(&room.dir()).unwrap(), Some(number));
        assert_eq!(snapshot_edit(&room.dir()).unwrap(), None);
    }
    assert_eq!(store.take_notices(), []);
    fs::write(room.dir().join("state.json"), "by hand").unwrap();
    assert_eq!(snapshot_edit(&room.dir()).unwrap().unwrap(), b"by hand");
    assert_eq!(read_snapshot::<u32>(&room.dir()).unwrap_err().kind(), ErrorKind::Corrupt);
    store.lock().unwrap().write_snapshot(&9).unwrap();
    let notices = store.take_notices();
    let [Notice::SnapshotEdited { copy }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(fs::read_to_string(copy).unwrap(), "by hand");
    assert_eq!(read_snapshot::<u32>(&room.dir()).unwrap(), Some(9));
    assert!(!room.names().iter().any(|name| name.ends_with(".tmp")));
}

#[test]
fn a_restored_old_snapshot_and_a_touched_one_are_no_surprise() {
    let room = Room::new();
    let mut store = room.open();
    store.lock().unwrap().write_snapshot(&1).unwrap();
    let text = fs::read(room.dir().join("state.json")).unwrap();
    // Same bytes in another file: content decides when the file's identity does not.
    fs::remove_file(room.dir().join("state.json")).unwrap();
    fs::write(room.dir().join("state.json"), text).unwrap();
    store.lock().unwrap().write_snapshot(&2).unwrap();
    assert_eq!(store.take_notices(), []);
    // Of which nothing is known, is kept rather than lost.
    fs::remove_file(room.dir().join("state.json.sum")).unwrap();
    store.lock().unwrap().write_snapshot(&3).unwrap();
    assert!(matches!(store.take_notices()[..], [Notice::SnapshotEdited { .. }]));
}

#[test]
fn a_crash_before_the_snapshot_got_its_name_is_no_edit() {
    let room = Room::new();
    let mut store = room.open();
    store.lock().unwrap().write_snapshot(&1).unwrap();
    let first = fs::read(room.dir().join("state.json")).unwrap();
    store.lock().unwrap().write_snapshot(&2).unwrap();
    // The sums of the second are there, its rename is not.
    fs::write(room.dir().join("state.json"), first).unwrap();
    store.lock().unwrap().write_snapshot(&3).unwrap();
    assert_eq!(store.take_notices(), []);
}

#[test]
fn a_journal_behind_its_snapshot_is_told() {
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1]).unwrap();
    let before = fs::read(room.segment(1)).unwrap();
    add(&mut store, "a", &[2]).unwrap();
    store.lock().unwrap().write_snapshot(&2).unwrap();
    fs::write(room.segment(1), before).unwrap();
    assert_eq!(room.open().take_notices(), [Notice::BehindSnapshot { journal: 1, snapshot: 2 }]);
}

#[test]
fn reset_keeps_the_old_state_and_other_handles_notice() {
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1]).unwrap();
    let backup = Store::<Counters>::reset(&room.dir(), Options::default()).unwrap();
    assert!(backup.join("journal.000001").exists());
    let old = Store::<Counters>::open(&backup, Options::default()).unwrap();
    assert_eq!(old.machine().values["a"], 1);
    store.refresh().unwrap();
    assert_eq!(store.seq(), 0);
    add(&mut store, "b", &[1]).unwrap();
    assert_eq!(room.open().machine(), store.machine());
}

#[test]
fn losing_the_lock_file_stops_the_holder() {
    let room = Room::new();
    let mut store = room.open();
    let mut locked = store.lock().unwrap();
    fs::remove_file(room.dir().join("state.lock")).unwrap();
    let answer = locked.append("test", now(), [added("a", 1)]);
    assert!(matches!(answer, Err(StateError::LockLost { .. })), "{answer:?}");
    drop(locked);
    add(&mut store, "a", &[1]).unwrap();
    assert_eq!(store.seq(), 1);
}

#[test]
fn planted_journals_are_refused() {
    let room = Room::new();
    let elsewhere = room.temp.path().join("elsewhere");
    fs::rename(room.segment(1), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, room.segment(1)).unwrap();
    assert_eq!(room.try_open().unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn events_lines_flatten_the_fact() {
    let record =
        Record { seq: 1, at: now(), actor: "t".to_owned(), fact: serde_json::to_value(added("a", 1)).unwrap() };
    assert_eq!(record.into_event()["kind"], "added");
}

/// What the child processes of these tests do: the tests run this very binary again with the part to play in the
/// environment.
#[test]
fn child_of_other_tests() {
    let Ok(part) = std::env::var("STATE_TEST_PART") else {
        return;
    };
    let dir = std::env::var("STATE_TEST_DIR").unwrap();
    let options = Options { command: "child run".to_owned(), rotate_bytes: 2_000, ..Options::default() };
    let options = Options { lock_timeout: Duration::from_secs(60), ..options };
    let mut store = Store::<Counters>::open(dir.as_ref(), options).unwrap();
    match part.as_str() {
        "increment" => {
            for _ in 0..INCREMENTS {
                store
                    .transact("child", |tx| {
                        let next = tx.machine().values.get("a").copied().unwrap_or_default() + 1;
                        tx.record(now(), Fact::Loaded { ballast: next.to_string() });
                        tx.record(now(), added("a", 1));
                        Ok::<_, StateError>(())
                    })
                    .unwrap();
            }
        }
        "hold" => {
            let _locked = store.lock().unwrap();
            println_to_parent("held");
            // Until the parent closes the pipe, or for ever if it stopped us.
            let _ = std::io::stdin().read(&mut [0]).unwrap();
        }
        "fill" => {
            let mut error = None;
            for _ in 0..10_000 {
                if let Err(found) = add(&mut store, "a", &[1]) {
                    error = Some(found);
                    break;
                }
            }
            let error = error.expect("the file size limit must be met");
            println_to_parent(&format!("{:?} {}", error.kind(), store.seq()));
        }
        other => panic!("no such part: {other}"),
    }
}

const INCREMENTS: i64 = 150;

/// The harness's own lines go the same way, so the parent looks for a mark.
fn println_to_parent(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{line}").unwrap();
    out.flush().unwrap();
}

fn child(room: &Room, part: &str, shell: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(exe)
        .args(["--exact", "store_tests::child_of_other_tests", "--nocapture"])
        .env("STATE_TEST_PART", part)
        .env("STATE_TEST_DIR", room.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(child: &mut Child) -> String {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix('@').map(str::to_owned)).unwrap_or_default();
    // Kept open: the harness in the child still has its own lines to write.
    child.stdout = Some(reader.into_inner());
    line
}

#[test]
fn processes_that_contend_lose_no_update() {
    let room = Room::new();
    let mut reader = room.open();
    let mut events = reader.events(0);
    let children: Vec<Child> = (0..3).map(|_| child(&room, "increment", "")).collect();
    // Meanwhile a reader without the lock sees whole batches, in order, and no damage.
    let mut last = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while reader.seq() < 6 * INCREMENTS as u64 && Instant::now() < deadline {
        reader.refresh().unwrap();
        assert!(reader.seq() >= last, "what was read is not unlearned");
        last = reader.seq();
        let count = reader.machine().values.get("a").copied().unwrap_or_default();
        assert!(count == 0 || reader.machine().ballast == count.to_string(), "half a batch");
        for record in events.by_ref() {
            record.unwrap();
        }
        std::thread::yield_now();
    }
    assert_eq!((last, events.seq()), (6 * INCREMENTS as u64, 6 * INCREMENTS as u64));
    assert_eq!(reader.take_notices(), []);
    for mut child in children {
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = room.open();
    assert_eq!(store.machine().values["a"], 3 * INCREMENTS);
    assert_eq!(store.machine().ballast, (3 * INCREMENTS).to_string());
    assert_eq!(store.seq(), 6 * INCREMENTS as u64);
    assert!(room.segment(2).exists(), "rotation happened under contention");
}

#[test]
fn a_stopped_holder_is_named_and_never_robbed() {
    let mut room = Room::new();
    let mut holder = child(&room, "hold", "");
    assert_eq!(said(&mut holder), "held");
    let pid = rustix::process::Pid::from_child(&holder);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    room.options.lock_timeout = Duration::from_millis(100);
    let mut store = room.open();
    match add(&mut store, "a", &[1]) {
        Err(StateError::LockBusy { pid, command, .. }) => {
            assert_eq!((pid, command.as_str()), (Some(holder.id()), "child run"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.machine().values.len(), 0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    store.options.lock_timeout = Duration::from_secs(20);
    add(&mut store, "a", &[1]).unwrap();
}

#[test]
fn a_real_short_write_is_not_acknowledged() {
    let room = Room::new();
    // Files may grow to a few KiB; the signal is ignored, so that write(2) answers short and then EFBIG.
    let mut filler = child(&room, "fill", "trap '' XFSZ; ulimit -f 4;");
    drop(filler.stdin.take());
    let said = said(&mut filler);
    assert!(filler.wait().unwrap().success());
    let seq: u64 = said.strip_prefix("CannotWrite ").expect(&said).parse().unwrap();
    assert!(seq > 0);
    let mut store = room.open();
    assert_eq!(store.seq(), seq);
    add(&mut store, "a", &[1]).unwrap();
    assert_eq!(store.seq(), seq + 1);
}

/// Another process may have died between its write and its sync.
#[test]
fn what_others_wrote_is_synced_before_anything_is_done_for_it_and_only_once() {
    let room = Room::new();
    let mut writer = room.open();
    add(&mut writer, "a", &[1]).unwrap();
    let no_sync = || Faults { fail_sync_after: Some(0), ..Faults::default() };
    writer.set_faults(no_sync());
    writer.make_durable().unwrap();
    let mut reader = room.open();
    reader.set_faults(no_sync());
    assert!(matches!(reader.make_durable(), Err(StateError::Poisoned { .. })), "it was synced here, and was not");
    let mut reader = room.open();
    reader.make_durable().unwrap();
    reader.set_faults(no_sync());
    reader.make_durable().unwrap();
    writer.set_faults(Faults::default());
    add(&mut writer, "a", &[2]).unwrap();
    reader.refresh().unwrap();
    assert!(reader.make_durable().is_err(), "there is something new");
}
