//! Measures the machine: room on the disk, free memory, load. What the figures mean is decided elsewhere; what cannot be
//! measured is unknown, and holds nothing back.

use pipeline_lib::machine::Machine;

use crate::context::Context;

/// What the machine has left. Only what the configuration asks for is measured.
pub(super) fn measure(context: &Context) -> Machine {
    let wanted = &context.config().scheduler.room;
    let disk = (wanted.min_free_disk != Some(0)).then(|| disk(context)).flatten();
    Machine {
        disk_free: disk.map(|disk| disk.free),
        disk_size: disk.map(|disk| disk.size),
        memory_free: (wanted.min_free_memory > 0).then(memory_free).flatten(),
        load: (wanted.max_load > 0.0).then(load).flatten(),
    }
}

/// The least room there is where worktrees and the state are written.
fn disk(context: &Context) -> Option<pipeline_state::Room> {
    let worktrees = context.config().agents.iter().map(|agent| context.worktree(agent.name.as_str(), None));
    // A worktree that is not there yet will be on the file system of the folder that is.
    let there = worktrees.filter_map(|path| path.ancestors().find(|dir| dir.is_dir()).map(ToOwned::to_owned));
    let mut places: Vec<_> = there.chain([context.state_dir()]).collect();
    places.sort_unstable();
    places.dedup();
    places.iter().filter_map(|dir| pipeline_state::room(dir).ok()).min_by_key(|room| room.free)
}

fn memory_free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn memory_and_load_are_read() {
        assert!(super::memory_free().is_some_and(|bytes| bytes > 1_000_000));
        assert!(super::load().is_some_and(|load| load >= 0.0));
    }
}
