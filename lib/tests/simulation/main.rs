//! Deterministic simulation: the real rules in a world made of chance. Two supervisors and the commands of people share a
//! journal on a disk that fails and forgets; hosts and agents die, hang and lie; the clock jumps; what is seen arrives
//! late, twice or never. Each schedule is drawn from a seed, and what must hold is checked after every step.
//!
//! `PIPELINE_LONG=1` runs a million schedules, `PIPELINE_SEED=N` one and tells what happens in it. This is about the rules
//! and the protocol; that files and processes behave as they do here is what the other tests are about.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the room is pure; what tests it is not")]

mod broken;
mod checks;
mod dice;
mod disk;
mod outside;
mod people;
mod perform;
mod process;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use broken::Broken;
use pipeline_lib::workflow::Workflow;
use world::World;

/// Schedules of the short form.
const SHORT: u64 = 10_000;
/// Schedules of the long form.
const LONG: u64 = 1_000_000;
/// Schedules among which each mistake has to be found.
const TO_FIND: u64 = 3_000;

#[expect(clippy::print_stderr, reason = "the harness keeps it and shows it beside a failure")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What became of a schedule.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    records: usize,
    agents: usize,
    tasks: usize,
}

fn schedule(
    seed: u64,
    broken: Option<Broken>,
    told: bool,
    maps: &[Arc<Workflow>],
) -> Result<Figures, (String, Vec<String>)> {
    let mut world = World::new(seed, broken, told, maps.to_vec());
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("a panic: {}", text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()))
    });
    match outcome {
        Ok(()) => {
            let records = world.disk.records().len();
            Ok(Figures { records, agents: world.began, tasks: world.tasks().len() })
        }
        Err(what) => Err((what, world.told().to_vec())),
    }
}

/// Every seed of a range on as many threads as there are processors, until one fails.
fn schedules(seeds: std::ops::Range<u64>, broken: Option<Broken>) -> Result<Figures, u64> {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let stop = AtomicBool::new(false);
    let sums: [AtomicUsize; 3] = Default::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let maps = world::maps();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match schedule(seed, broken, false, &maps) {
                        Ok(figures) => {
                            let each = [figures.records, figures.agents, figures.tasks];
                            for (sum, one) in sums.iter().zip(each) {
                                sum.fetch_add(one, Ordering::Relaxed);
                            }
                        }
                        Err(_) => {
                            failed.fetch_min(seed, Ordering::Relaxed);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        u64::MAX => {
            let [records, agents, tasks] = sums.map(AtomicUsize::into_inner);
            Ok(Figures { records, agents, tasks })
        }
        seed => Err(seed),
    }
}

/// Runs one seed again and tells what happened in it.
fn explain(seed: u64) -> String {
    let Err((what, told)) = schedule(seed, None, true, &world::maps()) else {
        return format!("seed {seed} holds");
    };
    let from = told.len().saturating_sub(60);
    format!(
        "{}\nseed {seed}: {what}\nPIPELINE_SEED={seed} cargo test -p pipeline-lib --test simulation one_seed -- --nocapture",
        told[from..].join("\n")
    )
}

#[test]
fn whatever_happens_nothing_is_lost_and_nothing_runs_twice() {
    let long = std::env::var_os("PIPELINE_LONG").is_some_and(|value| value != "0");
    let asked = std::env::var("PIPELINE_SCHEDULES").ok().and_then(|count| count.parse().ok());
    let count = asked.unwrap_or(if long { LONG } else { SHORT });
    let begun = Instant::now();
    match schedules(0..count, None) {
        Ok(figures) => say(&format!(
            "{count} schedules in {:.1?}: {} records, {} agents began, {} tasks",
            begun.elapsed(),
            figures.records,
            figures.agents,
            figures.tasks
        )),
        Err(seed) => panic!("{}", explain(seed)),
    }
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("PIPELINE_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let maps = world::maps();
    match schedule(seed, None, true, &maps) {
        Ok(figures) => say(&format!("seed {seed} holds: {figures:?}")),
        Err((what, told)) => panic!("{}\nseed {seed}: {what}", told.join("\n")),
    }
}

#[test]
fn a_schedule_is_the_same_each_time() {
    let maps = world::maps();
    for seed in [1, 4, 99] {
        let told = || {
            let mut world = World::new(seed, None, true, maps.clone());
            world.run().map(|()| world.told().to_vec())
        };
        assert_eq!(told(), told(), "seed {seed}");
    }
}

#[test]
fn every_mistake_is_found() {
    let maps = world::maps();
    for broken in broken::ALL {
        let seed = schedules(0..TO_FIND, Some(broken));
        let Err(seed) = seed else { panic!("{broken:?} passes {TO_FIND} schedules") };
        let what = schedule(seed, Some(broken), false, &maps).expect_err("it failed before").0;
        assert!(!what.starts_with("a panic"), "{broken:?}: {what}");
        say(&format!("{broken:?} is found by seed {seed}: {what:.140}"));
    }
}
