//! A journal damaged in every way a small one can be: cut at every byte, flipped at every bit, checkpoints lost, written by
//! other versions. Whatever happens, what is shown is a part of what was, and what is lost is said.

use std::fs;

use crate::format::{self, FORMAT, HEADER_LEN, Version};
use crate::testing::{Counters, Room, add, copy_dir};
use crate::{ErrorKind, Events, Machine, Notice, Options, StateError, Store};

/// A store with a few batches in one segment and little room behind them, and the machines after each of them.
fn small() -> (Room, Vec<Counters>) {
    let room = Room::with(Options { room_bytes: 40, ..Options::default() });
    let mut store = room.open();
    let mut stages = vec![store.machine().clone()];
    for steps in [&[1][..], &[2, 3], &[4], &[5, 6, 7]] {
        add(&mut store, "a", steps).unwrap();
        stages.push(store.machine().clone());
    }
    (room, stages)
}

/// Several segments with batches in each.
fn long() -> (Room, Counters) {
    let mut room = Room::new();
    room.options.rotate_bytes = 300;
    let mut store = room.open();
    while !room.segment(4).exists() {
        add(&mut store, "a", &[1, 2]).unwrap();
    }
    room.options.rotate_bytes = 1 << 20;
    let mut store = room.open();
    add(&mut store, "a", &[3]).unwrap();
    add(&mut store, "a", &[4, 5]).unwrap();
    let machine = store.machine().clone();
    (room, machine)
}

fn flip(path: &std::path::Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Through a locked use, so that what is torn is cut; then a commit must work, or have a reason.
fn use_it(room: &Room) -> (Counters, Result<(), StateError>, Vec<Notice>) {
    let mut store = room.open();
    let seen = store.machine().clone();
    let outcome = add(&mut store, "b", &[1]);
    let notices = store.take_notices();
    if outcome.is_ok() {
        let after = store.machine();
        assert_eq!(after.history.len(), seen.history.len() + 1);
        assert_eq!(room.open().machine(), after);
    }
    (seen, outcome, notices)
}

#[test]
fn cut_at_every_byte_it_opens_to_a_prefix_of_whole_batches() {
    let (room, stages) = small();
    let path = room.segment(1);
    let whole = fs::read(&path).unwrap();
    let checkpoint = format::decode_frame_header(&whole[HEADER_LEN..]).unwrap();
    let start = HEADER_LEN + checkpoint.size();
    assert!(is_room(&whole) && whole.len() > written(&whole));
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        if len < start {
            // A segment gets its name only when its checkpoint is durable, so this is damage and no crash.
            assert_eq!(room.try_open().unwrap_err().kind(), ErrorKind::Corrupt, "at {len}");
            continue;
        }
        let (seen, outcome, notices) = use_it(&room);
        assert!(stages.contains(&seen), "at {len}: {seen:?}");
        outcome.unwrap();
        let cut = notices.iter().any(|notice| matches!(notice, Notice::TornTail { .. }));
        let boundary = frame_ends(&whole).contains(&len) || len > written(&whole);
        assert_eq!(cut, !boundary, "at {len}");
    }
}

/// Where the last frame ends.
fn written(bytes: &[u8]) -> usize {
    *frame_ends(bytes).last().unwrap()
}

/// Whether nothing but room follows the frames.
fn is_room(bytes: &[u8]) -> bool {
    bytes[written(bytes)..].iter().all(|&byte| byte == 0)
}

fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = HEADER_LEN;
    let mut ends = Vec::new();
    while let Some((frame, _)) = format::decode_frame(&bytes[at..]) {
        at += frame.size();
        ends.push(at);
    }
    ends
}

/// Of a write into room that was there a power cut keeps any of the blocks that it went to.
#[test]
fn any_blocks_of_the_last_write_may_be_lost() {
    const BLOCK: usize = 512;
    let room = Room::new();
    let mut store = room.open();
    add(&mut store, "a", &[1]).unwrap();
    let mut stages = vec![store.machine().clone()];
    let path = room.segment(1);
    let before = fs::read(&path).unwrap();
    add(&mut store, "a", &[2; 50]).unwrap();
    stages.push(store.machine().clone());
    let after = fs::read(&path).unwrap();
    assert_eq!(before.len(), after.len(), "there was room");
    let touched: Vec<usize> = (0..after.len())
        .step_by(BLOCK)
        .filter(|&at| before[at..].iter().take(BLOCK).ne(after[at..].iter().take(BLOCK)))
        .collect();
    assert!((4..12).contains(&touched.len()), "{touched:?}");
    for kept in 0..1_u32 << touched.len() {
        let mut bytes = before.clone();
        for (_, &at) in touched.iter().enumerate().filter(|(bit, _)| kept >> bit & 1 == 1) {
            let end = (at + BLOCK).min(after.len());
            bytes[at..end].copy_from_slice(&after[at..end]);
        }
        let is_whole = kept.count_ones() as usize == touched.len();
        fs::write(&path, &bytes).unwrap();
        let told = Events::open(&room.dir(), 0).filter_map(Result::ok).count();
        assert_eq!(told, if is_whole { 51 } else { 1 }, "kept {kept:b}");
        let (seen, outcome, notices) = use_it(&room);
        assert_eq!(&seen, &stages[usize::from(is_whole)], "kept {kept:b}");
        outcome.unwrap();
        let cut = notices.iter().any(|notice| matches!(notice, Notice::TornTail { .. }));
        assert_eq!(cut, kept != 0 && !is_whole, "kept {kept:b}: {notices:?}");
    }
}

/// A block in the middle that reads as zeros is no end.
#[test]
fn zeros_before_records_are_damage() {
    let (room, _) = small();
    let path = room.segment(1);
    let whole = fs::read(&path).unwrap();
    let ends = frame_ends(&whole);
    let mut bytes = whole.clone();
    bytes[ends[0]..ends[1]].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (seen, outcome, notices) = use_it(&room);
    assert_eq!(seen, Counters::default());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(matches!(notices[..], [Notice::Damaged { .. }]), "{notices:?}");
    assert!(Events::open(&room.dir(), 0).any(|record| record.is_err()), "it is told");
    assert_eq!(fs::read(&path).unwrap(), bytes, "a damaged journal is not touched");
}

#[test]
fn every_bit_flipped_is_detected_or_costs_the_last_batch_aloud() {
    let (room, stages) = small();
    let path = room.segment(1);
    let whole = fs::read(&path).unwrap();
    let ends = frame_ends(&whole);
    let (first, last) = (ends[0], ends[ends.len() - 2]);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        if bit / 8 < first {
            assert_eq!(room.try_open().unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "a damaged journal is not touched");
            continue;
        }
        let (seen, outcome, notices) = use_it(&room);
        if bit / 8 >= last {
            let kept = if bit / 8 >= written(&whole) { stages.len() - 1 } else { stages.len() - 2 };
            assert_eq!(&seen, &stages[kept], "bit {bit}");
            outcome.unwrap();
            assert!(matches!(notices[..], [Notice::TornTail { .. }]), "bit {bit}: {notices:?}");
        } else {
            assert!(stages.contains(&seen), "bit {bit}: {seen:?}");
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
            assert!(notices.iter().any(|n| matches!(n, Notice::Damaged { .. })), "bit {bit}: {notices:?}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "a damaged journal is not touched");
        }
    }
}

#[test]
fn every_bit_flipped_is_repaired_to_a_prefix_with_a_copy() {
    let (room, stages) = small();
    let path = room.segment(1);
    let whole = fs::read(&path).unwrap();
    let total = stages.last().unwrap().history.len() as u64;
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let repaired = Store::<Counters>::repair(&room.dir(), Options::default()).unwrap();
        assert!(stages.contains(room.open().machine()), "bit {bit}");
        if let [segment] = &repaired.segments[..] {
            assert_eq!(fs::read(&segment.copy).unwrap(), bytes, "bit {bit}");
            assert!(repaired.seq + segment.records_set_aside <= total);
        }
        use_it(&room).1.unwrap();
    }
    let copies = room.names().into_iter().filter(|name| name.contains(".corrupt-")).count();
    assert_eq!(copies, 5, "old copies make room");
}

#[test]
fn a_repair_counts_what_it_sets_aside() {
    let (room, stages) = small();
    let path = room.segment(1);
    let whole = fs::read(&path).unwrap();
    let ends = frame_ends(&whole);
    flip(&path, ends[1] + 40);
    assert_eq!(room.open().machine(), &stages[1]);
    let repaired = Store::<Counters>::repair(&room.dir(), Options::default()).unwrap();
    let [segment] = &repaired.segments[..] else { panic!("{repaired:?}") };
    // The damaged batch had two records; the four behind it are whole but no longer follow.
    assert_eq!((repaired.seq, segment.records_set_aside), (1, 4));
    assert_eq!(segment.bytes_set_aside, (written(&whole) - ends[1]) as u64);
    assert_eq!(Store::<Counters>::repair(&room.dir(), Options::default()).unwrap().segments, []);
}

#[test]
fn a_lost_checkpoint_falls_back_and_is_repaired_without_loss() {
    let (room, machine) = long();
    for byte in [0, 9, HEADER_LEN + 2, HEADER_LEN + 20, HEADER_LEN + 40] {
        let damaged = Room { temp: tempfile::tempdir().unwrap(), options: room.options.clone() };
        copy_dir(&room.dir(), &damaged.dir());
        flip(&damaged.segment(4), byte);
        let (seen, outcome, notices) = use_it(&damaged);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(matches!(notices[..], [Notice::Damaged { .. }]), "{notices:?}");
        assert_eq!(seen.history[..], machine.history[..seen.history.len()]);
        assert_eq!(seen.history.len(), machine.history.len() - 3, "all of the segment before");
        let repaired = Store::<Counters>::repair(&damaged.dir(), Options::default()).unwrap();
        assert_eq!(repaired.segments.len(), 1);
        assert_eq!(repaired.segments[0].records_set_aside, 0, "byte {byte}");
        assert_eq!(damaged.open().machine(), &machine);
        let events = Events::open(&damaged.dir(), 0).map(|record| record.unwrap().seq);
        assert_eq!(events.collect::<Vec<_>>(), (1..=machine.history.len() as u64).collect::<Vec<_>>());
        use_it(&damaged).1.unwrap();
    }
}

#[test]
fn a_running_process_keeps_what_it_read_when_every_checkpoint_is_lost() {
    let (room, machine) = long();
    let mut running = room.open();
    for number in 1..=4 {
        flip(&room.segment(number), HEADER_LEN + 40);
    }
    assert_eq!(room.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    // Something happens that makes it read everything again.
    fs::rename(room.segment(4), room.segment(5)).unwrap();
    assert_eq!(running.refresh().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(running.machine(), &machine);
    assert_eq!(add(&mut running, "a", &[1]).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn damage_in_old_history_is_told_by_events_and_check_only() {
    let (room, machine) = long();
    flip(&room.segment(2), fs::read(room.segment(2)).unwrap().len() - 5);
    use_it(&room).1.unwrap();
    let mut events = Events::open(&room.dir(), 0);
    let (mut good, mut bad) = (0, 0);
    for record in events.by_ref() {
        match record {
            Ok(_) => good += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                bad += 1;
            }
        }
    }
    assert_eq!((good, bad), (machine.history.len() + 1 - 2, 1));
    let report = Store::<Counters>::check(&room.dir()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.path.ends_with("journal.000002")), "{report:?}");
}

#[test]
fn a_healthy_store_has_no_problems_and_a_sick_one_has() {
    let (room, machine) = long();
    let report = Store::<Counters>::check(&room.dir()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.segments.len(), report.seq), (4, Some(machine.history.len() as u64)));
    assert!(report.free_bytes > 0);
    flip(&room.segment(4), HEADER_LEN + 40);
    std::os::unix::fs::symlink("nowhere", room.dir().join("state.json")).unwrap();
    let report = Store::<Counters>::check(&room.dir()).unwrap();
    let told: Vec<_> = report.problems.iter().filter_map(|problem| problem.path.file_name()?.to_str()).collect();
    assert!(told.contains(&"journal.000004") && told.contains(&"state.json"), "{report:?}");
}

#[test]
fn a_journal_that_vanished_is_not_an_empty_one() {
    let (room, _) = small();
    room.open().lock().unwrap().write_snapshot(&1).unwrap();
    fs::remove_file(room.segment(1)).unwrap();
    assert_eq!(room.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    let again = Store::<Counters>::init(&room.dir(), Options::default());
    assert!(matches!(again, Err(StateError::AlreadyInitialised { .. })));
}

fn set_version(room: &Room, number: u64, version: Version) {
    let mut bytes = fs::read(room.segment(number)).unwrap();
    bytes[..HEADER_LEN].copy_from_slice(&format::encode_header(version));
    fs::write(room.segment(number), bytes).unwrap();
}

#[test]
fn a_newer_format_is_readable_and_never_written() {
    let (room, stages) = small();
    set_version(&room, 1, Version { major: FORMAT.major + 1, minor: 0 });
    let before = fs::read(room.segment(1)).unwrap();
    let (seen, outcome, notices) = use_it(&room);
    assert_eq!(&seen, stages.last().unwrap());
    assert_eq!(notices, [Notice::NewerFormat { found: FORMAT.major + 1, ours: FORMAT.major }]);
    assert!(matches!(outcome, Err(StateError::NewerFormat { .. })), "{outcome:?}");
    assert!(matches!(room.open().lock().unwrap().write_snapshot(&1), Err(StateError::NewerFormat { .. })));
    assert_eq!(fs::read(room.segment(1)).unwrap(), before);
    assert_eq!(Events::open(&room.dir(), 0).count(), 7);
}

#[test]
fn an_older_format_is_followed_by_a_segment_of_ours_and_kept() {
    let (room, stages) = small();
    set_version(&room, 1, Version { major: 0, minor: 3 });
    let before = fs::read(room.segment(1)).unwrap();
    assert_eq!(room.open().machine(), stages.last().unwrap());
    use_it(&room).1.unwrap();
    assert!(room.segment(2).exists());
    assert_eq!(fs::read(room.segment(1)).unwrap(), before[..written(&before)], "without the room in it");
}

/// The same counters as a newer program would have them: with a kind of fact we do not know.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Newer(Counters);

impl Machine for Newer {
    type Fact = serde_json::Value;

    fn apply(&mut self, _record: &crate::Record<serde_json::Value>) {}
}

#[test]
fn facts_of_an_unknown_kind_are_skipped_by_readers_and_stop_writers() {
    let (room, stages) = small();
    let mut newer = Store::<Newer>::open(&room.dir(), Options::default()).unwrap();
    let mut running = room.open();
    let fact = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let facts = [fact(r#"{"kind":"renamed"}"#), fact(r#"{"kind":"added","name":"z","by":1}"#)];
    newer.lock().unwrap().append("newer", crate::testing::now(), facts).unwrap();
    for mut store in [room.open(), {
        running.refresh().unwrap();
        running
    }] {
        assert_eq!(store.machine().values["z"], 1);
        assert_eq!(store.machine().values["a"], stages.last().unwrap().values["a"]);
        assert!(matches!(add(&mut store, "a", &[1]), Err(StateError::UnknownContent { seq: 8, .. })));
        assert!(store.take_notices().contains(&Notice::UnknownFacts { first: 8, count: 1 }));
    }
    assert_eq!(Events::open(&room.dir(), 7).count(), 2);
}
