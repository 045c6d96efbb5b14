//! The same infrastructure set up by a hub that looks first, and by a fixed script: from nothing, with a part that runs
//! already, with a port that is taken, and with data that is damaged again and again. Processes and ports are real; what
//! both did is counted, asserted and printed as a table.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::time::Instant;

use crate::shipped::{free_port, start_command, stop_command, way};
use crate::support::Sandbox;

/// What a hub may have to make, and what a script does in its place.
const MADE_BY_HUB: [&str; 5] =
    ["handle_dependencies", "handle_configs", "handle_daemon", "handle_pool", "handle_miner"];
const MADE_BY_SCRIPT: [&str; 6] =
    ["install_dependencies", "generate_configs", "start_daemon", "fund_wallet", "start_pool", "configure_miner"];

/// A machine on which an infrastructure is set up.
struct Site {
    s: Sandbox,
    daemon: u16,
    pool: u16,
}

/// What setting it up took.
#[derive(Debug)]
struct Took {
    way: Vec<String>,
    run: usize,
    skipped: usize,
    repeated: usize,
    /// How often the daemon was started.
    starts: usize,
    seconds: f64,
}

impl Site {
    fn new() -> Self {
        let site = Self { s: Sandbox::ready(), daemon: free_port(), pool: free_port() };
        for name in ["daemon", "pool", "intruder"] {
            fs::create_dir_all(site.s.path(name)).expect("a folder");
            fs::write(site.s.path(name).join("version"), name).expect("what it answers");
        }
        site
    }

    fn file(&self, name: &str) -> String {
        self.s.path(name).display().to_string()
    }

    /// What starts a service in its folder.
    fn start(&self, name: &str, port: u16) -> String {
        let started = start_command(port, &self.s.path(&format!("{name}.pid")), &self.s.path(&format!("{name}.log")));
        format!("cd '{}' || exit 1\necho x >> '{}'\n{started}", self.file(name), self.file(&format!("{name}.starts")))
    }

    fn answers(&self, name: &str, port: u16) -> String {
        format!("curl -fsS --noproxy '*' --max-time 2 http://127.0.0.1:{port}/ 2> /dev/null | grep -q {name}")
    }

    /// Starting it again ends the one that runs; damaged data keeps it from starting.
    fn start_daemon(&self) -> String {
        let damaged = self.file("damaged");
        format!(
            "if [ -e '{damaged}' ]; then echo 'corrupted block database detected'; exit 1; fi\n{}\n{}",
            stop_command(&self.s.path("daemon.pid")),
            self.start("daemon", self.daemon)
        )
    }

    /// Everything there is to say about this infrastructure.
    fn params(&self, hub: bool) -> Vec<String> {
        let pool = self.pool;
        let in_use = format!(
            "if curl -s --noproxy '*' --max-time 2 http://127.0.0.1:{pool}/; then echo; echo 'port {pool} is in use'; exit 1; fi"
        );
        let (deps, configs, miner) = (self.file("deps"), self.file("configs"), self.file("miner"));
        let mut params = vec![
            format!("dependencies_probe=test -e '{deps}'"),
            format!("dependencies_command=touch '{deps}'"),
            format!("configs_probe=test -e '{configs}'"),
            format!("configs_command=touch '{configs}'"),
            format!("daemon_probe={}", self.answers("daemon", self.daemon)),
            format!("daemon_command={}", self.start_daemon()),
            format!("pool_probe={}", self.answers("pool", pool)),
            format!("pool_command={in_use}\n{}", self.start("pool", pool)),
            format!("miner_probe=test -e '{miner}'"),
            format!("miner_command=touch '{miner}'"),
            format!("recovery_command={}", stop_command(&self.s.path("intruder.pid"))),
            format!("reset_command=rm -f '{}'", self.file("damaged")),
            format!("validation_command={} && {}", self.answers("daemon", self.daemon), self.answers("pool", pool)),
            "timeout=10".to_owned(),
        ];
        params.push(if hub { "disk_min_mb=0".to_owned() } else { "wallet_command=true".to_owned() });
        params
    }

    fn set_up(&self, hub: bool, end: &str) -> Took {
        let began = Instant::now();
        let workflow = if hub { "orchestrated-infrastructure-setup" } else { "scripted-infrastructure-setup" };
        let params = self.params(hub);
        let params = params.iter().flat_map(|param| ["--param", param.as_str()]);
        let args: Vec<&str> = ["--workflow", workflow].into_iter().chain(params).collect();
        self.s.add("SETUP", &args);
        self.s.tick_to("SETUP", end);
        let way: Vec<String> =
            way(&self.s, "SETUP").into_iter().filter(|step| !step.starts_with("orchestrate ")).collect();
        let stages: Vec<&str> = way.iter().filter_map(|step| step.split(' ').next()).collect();
        let distinct: BTreeSet<&str> = stages.iter().copied().collect();
        let parts: &[&str] = if hub { &MADE_BY_HUB } else { &MADE_BY_SCRIPT };
        let starts = fs::read_to_string(self.s.path("daemon.starts")).unwrap_or_default().lines().count();
        Took {
            run: stages.len(),
            skipped: parts.iter().filter(|part| !distinct.contains(*part)).count(),
            repeated: stages.len() - distinct.len(),
            starts,
            seconds: began.elapsed().as_secs_f64(),
            way,
        }
    }
}

/// Sets the same up by hub and by script, at the same time on two machines, and prints what it took.
fn compare(scenario: &str, before: impl Fn(&Site) + Sync, script_ends: &str) -> [Took; 2] {
    let one = |hub: bool, end: &str| {
        let site = Site::new();
        before(&site);
        site.set_up(hub, end)
    };
    let [hub, script] = std::thread::scope(|scope| {
        let script = scope.spawn(|| one(false, script_ends));
        let hub = one(true, "completed");
        [hub, script.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
    });
    let mut table = format!("{scenario:<44} {:>5} {:>8} {:>9} {:>8}\n", "run", "skipped", "repeated", "seconds");
    for (name, took) in [("script", &script), ("hub", &hub)] {
        let Took { run, skipped, repeated, seconds, .. } = took;
        table.push_str(&format!("  {name:<42} {run:>5} {skipped:>8} {repeated:>9} {seconds:>8.1}\n"));
    }
    drop(std::io::stderr().write_all(table.as_bytes()));
    [hub, script]
}

#[test]
fn from_nothing_both_do_everything() {
    let [hub, script] = compare("fresh setup", |_| {}, "completed");
    assert_eq!((hub.run, hub.skipped, hub.repeated, hub.starts), (6, 0, 0, 1), "{hub:?}");
    assert_eq!((script.run, script.skipped, script.repeated, script.starts), (9, 0, 0, 1), "{script:?}");
}

#[test]
fn what_runs_already_is_left_alone_by_the_hub() {
    let before = |site: &Site| {
        site.s.shell(&format!("touch ../deps ../configs; {}", site.start_daemon())).ok();
        let up = format!("until {}; do sleep 0.1; done", site.answers("daemon", site.daemon));
        site.s.shell(&up).ok();
    };
    let [hub, script] = compare("partial setup, the daemon runs", before, "completed");
    assert_eq!((hub.run, hub.skipped, hub.repeated, hub.starts), (3, 3, 0, 1), "{hub:?}");
    assert_eq!((script.run, script.skipped, script.repeated, script.starts), (8, 1, 0, 2), "{script:?}");
}

#[test]
fn after_a_port_conflict_only_what_failed_is_repeated() {
    let before = |site: &Site| {
        site.s.shell(&format!("touch ../deps ../configs; {}", site.start("intruder", site.pool))).ok();
        site.s.shell(&format!("until {}; do sleep 0.1; done", site.answers("intruder", site.pool))).ok();
    };
    let [hub, script] = compare("port conflict", before, "completed");
    let expected = [
        "handle_daemon daemon_ready",
        "handle_pool pool_failure",
        "handle_recovery recovery_successful",
        "handle_pool pool_ready",
        "handle_miner miner_ready",
        "handle_validation validated",
    ];
    assert_eq!(hub.way, expected);
    assert_eq!((hub.run, hub.skipped, hub.repeated, hub.starts), (6, 2, 1, 1), "{hub:?}");
    assert_eq!((script.run, script.skipped, script.repeated, script.starts), (12, 1, 3, 2), "{script:?}");
}

/// The third time the same way of failing changes the strategy; the script mends in the same way until its visits are
/// used up.
#[test]
fn what_fails_again_and_again_is_reset() {
    let before = |site: &Site| {
        site.s.shell("touch ../deps ../configs ../damaged").ok();
        let config = site.s.read(".pipeline/config.toml").replace("[scheduler]", "[scheduler]\nmax_visits = 5");
        site.s.write(".pipeline/config.toml", &config);
    };
    let [hub, script] = compare("repeated corruption", before, "blocked");
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.extend(["handle_daemon daemon_failure", "handle_recovery recovery_successful"]);
    }
    expected.extend([
        "handle_daemon daemon_ready",
        "handle_pool pool_ready",
        "handle_miner miner_ready",
        "handle_validation validated",
    ]);
    assert_eq!(hub.way, expected);
    assert_eq!((hub.run, hub.skipped, hub.repeated, hub.starts), (10, 2, 5, 1), "{hub:?}");
    assert_eq!(script.starts, 0, "{script:?}");
    assert!(script.way.iter().filter(|step| **step == "start_daemon daemon_failed").count() >= 5, "{script:?}");
}

/// Where not even that helps a person is asked, with everything that is known.
#[test]
fn what_nothing_helps_against_is_a_persons_business() {
    let site = Site::new();
    site.s.shell("touch ../deps ../configs && mkdir ../damaged").ok();
    let took = site.set_up(true, "blocked");
    assert_eq!(took.way.iter().filter(|step| **step == "handle_daemon daemon_failure").count(), 3, "{took:?}");
    assert_eq!(took.way.iter().filter(|step| **step == "handle_recovery recovery_failed").count(), 2, "{took:?}");
    let reason = site.s.show("SETUP")["reason"].as_str().unwrap_or_default().to_owned();
    for part in ["corrupted block database", "3 times", "2 recoveries in a row failed", "Suggested manual actions"] {
        assert!(reason.contains(part), "{part} is not in\n{reason}");
    }
}
