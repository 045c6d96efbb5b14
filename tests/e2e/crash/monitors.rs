//! Several supervisors at once, and the end of a monitor by signals it can and cannot hear.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::rig::{Rig, kills, say};

fn headless(rig: &Rig) -> Child {
    let mut command = rig.pipeline(&[], &["monitor", "--headless", "--interval", "1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the monitor starts")
}

fn end(child: &mut Child) {
    child.kill().expect("the monitor's end");
    child.wait().expect("the monitor's end");
}

/// Who holds the monitor's lock, if anybody ever did.
fn holder(rig: &Rig) -> Option<u32> {
    fs::read_to_string(rig.state("monitor.lock")).ok()?.split(' ').next()?.parse().ok()
}

#[test]
fn monitors_ticks_and_commands_together_run_nothing_twice_whoever_dies() {
    let kills_wanted = kills(20, 500);
    let rig = Rig::with(&["planner-1", "planner-2", "maker-1", "maker-2", "maker-3"]);
    let mut monitors = [headless(&rig), headless(&rig)];
    let (mut tasks, mut kills) = (Vec::new(), 0);
    let mut once: Vec<Child> = Vec::new();
    for round in 0.. {
        if tasks.len() >= 12 && kills >= kills_wanted {
            break;
        }
        // Tasks arrive as long as there are kills, but no faster than the agents can be watched.
        if tasks.len() < 12 || round % 15 == 0 {
            let id = rig.add(&format!("task {}", tasks.len()));
            assert!(!tasks.contains(&id), "{id} was given twice");
            tasks.push(id);
        }
        if kills < kills_wanted {
            // In turn the one that ticks, the one that stands by, both, and whoever ticks once beside them.
            let (doomed, ticks): (&[usize], usize) = match round % 4 {
                0 => (&[0], 0),
                1 => (&[1], 1),
                2 => (&[0, 1], 0),
                _ => (&[], once.len()),
            };
            once.drain(..ticks.min(once.len())).for_each(|mut tick| end(&mut tick));
            for &index in doomed {
                end(&mut monitors[index]);
                monitors[index] = headless(&rig);
            }
            kills += doomed.len() + ticks;
            if kills / 100 > (kills - doomed.len() - ticks) / 100 {
                say(&format!("monitors: {kills} kills so far, {} tasks", tasks.len()));
            }
        }
        once.retain_mut(|tick| tick.try_wait().expect("a tick").is_none());
        if once.len() < 3 {
            let mut command = rig.pipeline(&[], &["monitor", "--once"]);
            once.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a tick"));
        }
        let status = rig.json(&["status", "--json"]);
        let listed = status["tasks"].as_object().expect("tasks");
        assert!(tasks.iter().all(|task| listed.contains_key(task)), "a task that was acknowledged is gone");
        rig.check_snapshot();
        rig.pause();
    }
    rig.wait_until("the end of all tasks", |rig| tasks.iter().all(|task| rig.in_snapshot(task) == "completed"));
    for monitor in &mut monitors {
        end(monitor);
    }
    for mut tick in once {
        tick.wait().expect("a tick");
    }
    rig.check(&tasks, &BTreeMap::new());
    say(&format!("monitors: {kills} kills, {} tasks", tasks.len()));
}

#[test]
fn a_second_monitor_stands_by_and_takes_over() {
    let rig = Rig::new();
    let mut first = headless(&rig);
    rig.wait_until("the first monitor", |rig| holder(rig) == Some(first.id()));
    let mut command = rig.pipeline(&[], &["monitor", "--headless"]);
    let mut second = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the monitor starts");
    let mut said = BufReader::new(second.stderr.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("standing by") && line.contains(&first.id().to_string()), "{line}");
    end(&mut first);
    line.clear();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("taking over"), "{line}");
    let tasks = [rig.add("one")];
    rig.wait_until("the second monitor's work", |rig| rig.in_snapshot(&tasks[0]) == "completed");
    end(&mut second);
    rig.check(&tasks, &BTreeMap::new());
}

#[test]
fn a_monitor_asked_to_end_leaves_its_agents_to_the_next() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let rig = Rig::new();
        let tasks = [rig.add("one")];
        rig.tell("hang", &tasks[0]);
        let mut monitor = headless(&rig);
        rig.wait_until("the agent at its work", |rig| rig.file("reached").exists());
        let pid = i32::try_from(monitor.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the monitor is there");
        let status = monitor.wait().expect("the monitor's end");
        assert_eq!(status.code(), Some(code), "{signal:?}");
        let agent = rig.starts()[1].pid;
        assert!(fs::read_link(format!("/proc/{agent}/cwd")).is_ok(), "the agent went with its monitor");
        rig.tick();
        assert_eq!(rig.starts().len(), 2, "the run is adopted, not repeated");
        fs::write(rig.file("gate"), "go\n").expect("the agent reads");
        rig.finish(&tasks);
        rig.check(&tasks, &BTreeMap::new());
    }
}
