//! Whether the machine has room for more work: what was measured against what the configuration asks for. Who measures is
//! the caller's business. What runs goes on whatever is short; only nothing new starts.
//!
//! A shortage ends at a better figure than it began at, so that one at the limit does not flap, and only its begin and end
//! are facts: figures that move within it leave no trace.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pipeline::Pipeline;
use crate::settings::RoomSettings;
use crate::text;

/// What was measured; what could not be is unknown, and nothing is held back for it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Machine {
    /// Bytes that can still be written where the least room is.
    pub disk_free: Option<u64>,
    /// How many bytes that file system holds at all.
    pub disk_size: Option<u64>,
    /// Bytes of memory that can be used without swapping.
    pub memory_free: Option<u64>,
    /// The average number of processes that wanted to run in the last minute.
    pub load: Option<f64>,
}

/// So much of the disk has to be free where the configuration does not say, in bytes; of a small file system, this share.
const DISK_USUAL: u64 = 1_000_000_000;
const DISK_SHARE: u64 = 20;

/// What there can be too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Room on the disk.
    Disk,
    /// Free memory.
    Memory,
    /// Processors that have nothing to do.
    Load,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It will soon be short; nothing is held back.
    Low,
    /// Nothing new starts.
    Short,
}

/// Something there is too little of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Of what.
    pub what: Resource,
    /// How bad it is.
    pub level: Level,
    /// What was measured when it began, and what is asked for.
    pub found: String,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Low => write!(f, "{}: soon nothing new will start", self.found),
            Level::Short => write!(f, "nothing new starts: {}", self.found),
        }
    }
}

/// How much of the disk has to be free.
fn disk_limit(room: &RoomSettings, seen: &Machine) -> u64 {
    room.min_free_disk.unwrap_or_else(|| seen.disk_size.map_or(DISK_USUAL, |size| DISK_USUAL.min(size / DISK_SHARE)))
}

/// What the machine is short of, given what it was short of before.
pub(crate) fn shortages(room: &RoomSettings, before: &[Shortage], seen: &Machine, now: Timestamp) -> Vec<Shortage> {
    let was = |what: Resource| before.iter().find(|shortage| shortage.what == what);
    let level = |what: Resource| was(what).map(|shortage| shortage.level);
    let least = |what: Resource, free: Option<u64>, limit: u64| {
        let free = free.filter(|_| limit > 0)?;
        // A fifth more than where it began ends it.
        let edge = |at: u64, held: bool| if held { at.saturating_add(at / 5) } else { at };
        let short = free < edge(limit, level(what) == Some(Level::Short));
        let low = what == Resource::Disk && free < edge(limit.saturating_mul(2), level(what).is_some());
        let found = if short { Level::Short } else { low.then_some(Level::Low)? };
        Some((what, found, free))
    };
    let words = |key: &str, name: &str, free: u64, limit: u64| {
        format!("{} of {name} are free, and `{key}` asks for {}", text::bytes(free), text::bytes(limit))
    };
    let disk_limit = disk_limit(room, seen);
    let disk = least(Resource::Disk, seen.disk_free, disk_limit)
        .map(|(what, level, free)| (what, level, words("min_free_disk", "disk", free, disk_limit)));
    let memory = least(Resource::Memory, seen.memory_free, room.min_free_memory)
        .map(|(what, level, free)| (what, level, words("min_free_memory", "memory", free, room.min_free_memory)));
    let load = seen.load.filter(|_| room.max_load > 0.0).and_then(|load| {
        let edge = if level(Resource::Load).is_some() { room.max_load * 0.8 } else { room.max_load };
        let words = || format!("the load is {load:.1}, and `max_load` allows {}", room.max_load);
        (load > edge).then(|| (Resource::Load, Level::Short, words()))
    });
    let shortage = |(what, level, found)| match was(what).filter(|was| was.level == level) {
        Some(same) => same.clone(),
        None => Shortage { what, level, found, since: now },
    };
    [disk, memory, load].into_iter().flatten().map(shortage).collect()
}

impl Pipeline {
    /// What keeps anything new from starting, if the machine has no room for it.
    #[must_use]
    pub fn short_of(&self) -> Option<&Shortage> {
        self.core.shortages.iter().find(|shortage| shortage.level == Level::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;
    use crate::event::Event;
    use crate::fact::Fact;

    const GB: u64 = 1_000_000_000;

    fn disk(free: u64) -> Event {
        Event::Machine(Machine { disk_free: Some(free), ..Machine::default() })
    }

    fn levels(w: &World) -> Vec<(Resource, Level)> {
        w.p.core.shortages.iter().map(|shortage| (shortage.what, shortage.level)).collect()
    }

    #[test]
    fn a_person_hears_of_a_disk_that_fills_before_anything_is_held_back() {
        let mut w = World::workers(2, |_| {});
        w.add_all(&["A", "B"]);
        assert!(w.see(disk(3 * GB)).is_empty(), "there is room");
        w.see(disk(2 * GB - 1));
        assert_eq!(levels(&w), [(Resource::Disk, Level::Low)]);
        let attention = crate::view::attention(&w.p);
        assert_eq!(attention.iter().map(|one| one.kind).collect::<Vec<_>>(), ["disk_low"]);
        w.tick();
        assert_eq!(w.status("A"), "do_wip", "what is low is not short");
    }

    #[test]
    fn nothing_new_starts_while_short_and_what_runs_goes_on() {
        let mut w = World::workers(1, |_| {});
        w.add_all(&["A", "B"]);
        w.tick();
        w.see(disk(GB - 1));
        w.do_stage("A");
        assert_eq!((w.status("A"), w.status("B")), ("completed".to_owned(), "unassigned".to_owned()));
        let why = crate::view::explain_task(&w.p, w.task("B"));
        assert!(why.rule.contains("of disk are free, and `min_free_disk` asks for 1.0 GB"), "{}", why.rule);
        assert!(crate::view::waiting_reason(&w.p, w.task("B")).unwrap().starts_with("nothing new starts"));
        w.see(disk(GB + 1));
        w.tick();
        assert_eq!(w.status("B"), "unassigned", "at the limit it does not flap");
        w.see(disk(GB + GB / 4));
        w.tick();
        assert_eq!(w.status("B"), "do_wip");
        assert_eq!(levels(&w), [(Resource::Disk, Level::Low)], "a person still has to look");
        w.see(disk(5 * GB));
        assert_eq!(levels(&w), []);
    }

    #[test]
    fn only_begin_and_end_of_a_shortage_are_facts() {
        let mut w = World::workers(1, |_| {});
        assert!(matches!(w.see(disk(GB / 2))[..], [Fact::MachineShort { .. }]));
        for free in [GB / 3, 0, GB - 1, GB + 1] {
            assert!(w.see(disk(free)).is_empty(), "{free}");
        }
        assert!(w.see(Event::Machine(Machine::default())).len() == 1, "what cannot be measured holds nothing back");
    }

    #[test]
    fn a_small_file_system_has_to_have_a_twentieth_left() {
        let of = |free: u64, size: u64| {
            Event::Machine(Machine { disk_free: Some(free), disk_size: Some(size), ..Machine::default() })
        };
        let mut w = World::workers(1, |_| {});
        assert!(w.see(of(GB / 10, GB)).is_empty());
        w.see(of(GB / 20 - 1, GB));
        assert_eq!(levels(&w), [(Resource::Disk, Level::Short)]);
        w.see(of(GB, 1_000 * GB));
        assert_eq!(
            levels(&w),
            [(Resource::Disk, Level::Short)],
            "of a large one a gigabyte, and a fifth more to end it"
        );
        w.reconfigure(|settings| settings.scheduler.room.min_free_disk = Some(0));
        w.see(of(0, GB));
        assert_eq!(levels(&w), []);
    }

    #[test]
    fn memory_and_load_count_where_they_are_configured() {
        let busy = Machine { memory_free: Some(1), load: Some(99.0), ..Machine::default() };
        let mut w = World::workers(1, |_| {});
        w.see(Event::Machine(busy));
        assert_eq!(levels(&w), []);
        w.reconfigure(|settings| {
            settings.scheduler.room.min_free_memory = GB;
            settings.scheduler.room.max_load = 8.0;
        });
        w.see(Event::Machine(busy));
        assert_eq!(levels(&w), [(Resource::Memory, Level::Short), (Resource::Load, Level::Short)]);
        assert!(crate::view::attention(&w.p).is_empty(), "that passes by itself");
        w.see(Event::Machine(Machine { memory_free: Some(2 * GB), load: Some(7.0), ..Machine::default() }));
        assert_eq!(levels(&w), [(Resource::Load, Level::Short)]);
        w.see(Event::Machine(Machine { memory_free: Some(2 * GB), load: Some(6.0), ..Machine::default() }));
        assert_eq!(levels(&w), []);
    }

    #[test]
    fn only_so_many_agents_of_a_role_work_at_once() {
        let mut w = World::workers(3, |settings| {
            settings.scheduler.role_caps = [(crate::ids::Role::new("worker").unwrap(), 2)].into();
        });
        w.add_all(&["A", "B", "C"]);
        w.tick();
        assert_eq!((w.status("B"), w.status("C")), ("do_wip".to_owned(), "unassigned".to_owned()));
        let why = crate::view::explain_task(&w.p, w.task("C"));
        assert_eq!(why.rule, "2 agents of role worker at work, and `role_caps` allows 2");
        w.do_stage("A");
        assert_eq!(w.status("C"), "do_wip");
    }
}
