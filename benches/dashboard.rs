//! What the dashboard costs and how soon it answers, as the program of the release in a real terminal, next to tmux with the
//! same agents in the same run where tmux is installed: `cargo bench --bench dashboard`; `-- --quick` is a short form.
//!
//! Absolute figures move from machine to machine and from hour to hour; the ratios are what to look at. Nothing here is
//! asserted: each figure stands beside its aim.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "dashboard/agent.rs"]
mod agent;
#[path = "dashboard/rig.rs"]
mod rig;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rig::{PROGRAM, Repo, Screen, cpu, memory};

/// Agents that are looked at together.
const AGENTS: usize = 8;
/// The end of a frame.
const FRAME_END: &[u8] = b"\x1b[?2026l";
/// The socket of the tmux that is measured.
const TMUX_SOCKET: &str = "bench";

/// How much is measured.
struct Sizes {
    seconds: u64,
    keys: usize,
    tasks: usize,
    flood: usize,
    rounds: usize,
}

const FULL: Sizes = Sizes { seconds: 20, keys: 200, tasks: 100_000, flood: 200_000_000, rounds: 5 };
const QUICK: Sizes = Sizes { seconds: 5, keys: 60, tasks: 10_000, flood: 20_000_000, rounds: 3 };

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == agent::AGENT) {
        return agent::main(&words[at + 1..]);
    }
    let sizes = if words.iter().any(|word| word == "--quick") { QUICK } else { FULL };
    let chosen = |name: &str| {
        let mut names = words.iter().skip(1).filter(|word| !word.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|word| word == name)
    };
    let tmux = has_tmux();
    if !tmux {
        println!("tmux is not installed: there is no peer to measure");
    }
    println!("{:<52} {:>12} {:>12} {:>8}  aim", "", "ours", "beside it", "ratio");
    for (name, measure) in [
        ("start", start as fn(&Sizes, bool)),
        ("idle", idle),
        ("keys", keys),
        ("tasks", tasks),
        ("busy", busy),
        ("flood", flood),
    ] {
        if chosen(name) {
            measure(&sizes, tmux);
        }
    }
}

fn has_tmux() -> bool {
    std::process::Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

fn row(name: &str, ours: &str, beside: &str, ratio: Option<f64>, aim: &str, is_met: bool) {
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
    let word = if is_met { "met" } else { "MISSED" };
    println!("{name:<52} {ours:>12} {beside:>12} {ratio:>8}  {aim}: {word}");
}

fn note(name: &str, ours: &str, beside: &str) {
    println!("{name:<52} {ours:>12} {beside:>12}");
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn at(mut samples: Vec<Duration>, share: f64) -> Duration {
    samples.sort();
    samples[((samples.len() - 1) as f64 * share).round() as usize]
}

/// The share of one processor in percent that some processes have during a time.
fn share(screen: &mut Screen, pids: &[&[u32]], time: Duration) -> Vec<f64> {
    let now = || -> Vec<Duration> { pids.iter().map(|pids| pids.iter().map(|pid| cpu(*pid)).sum()).collect() };
    let (before, began) = (now(), Instant::now());
    screen.rest(time);
    let elapsed = began.elapsed().as_secs_f64();
    now().iter().zip(before).map(|(after, before)| (*after - before).as_secs_f64() / elapsed * 100.0).collect()
}

/// A dashboard on its page of panes, with all agents in sight.
fn panes(repo: &Repo, seen: &str) -> Screen {
    let mut screen = repo.open(PROGRAM, &[]);
    screen.wait_text("w8");
    screen.press("p");
    screen.wait("all agents print", |screen| screen.text().matches(seen).count() >= AGENTS);
    screen.rest(Duration::from_secs(3));
    screen
}

/// A tmux with a pane for each agent, and somebody who looks.
struct Tmux<'a> {
    repo: &'a Repo,
    screen: Screen,
    server: u32,
}

impl<'a> Tmux<'a> {
    fn open(repo: &'a Repo, panes: usize, words: &[&str]) -> Self {
        let config = repo.path("tmux.conf");
        fs::write(&config, "set -g history-limit 10000\nset -g status off\n").expect("it can be written");
        let config = config.to_string_lossy().into_owned();
        let own = std::env::current_exe().expect("this program is a file").to_string_lossy().into_owned();
        let agent = [&[own.as_str(), agent::AGENT], words].concat();
        let tmux = |words: &[&str]| repo.run("tmux", &[&["-L", TMUX_SOCKET, "-f", &config], words].concat());
        let (columns, rows) = (rig::SIZE.0.to_string(), rig::SIZE.1.to_string());
        tmux(&[&["new-session", "-d", "-x", &columns, "-y", &rows], agent.as_slice()].concat());
        for _ in 1..panes {
            tmux(&[&["split-window"], agent.as_slice()].concat());
            tmux(&["select-layout", "tiled"]);
        }
        let server = String::from_utf8(tmux(&["display-message", "-p", "#{pid}"])).expect("a number");
        let screen = repo.open("tmux", &["-L", TMUX_SOCKET, "attach"]);
        Self { repo, screen, server: server.trim().parse().expect("a number") }
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.repo.run("tmux", &["-L", TMUX_SOCKET, "kill-server"]);
    }
}

/// From the start of the program to the end of its first frame, and to the first that shows the tasks.
fn start(_: &Sizes, tmux: bool) {
    let repo = Repo::with_tasks(1_000);
    let (mut first, mut full, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..9 {
        let mut screen = repo.open(PROGRAM, &[]);
        first.push(screen.wait_bytes(FRAME_END) - screen.began);
        full.push(screen.wait_text("Task number") - screen.began);
        drop(screen);
        if tmux {
            let mut screen =
                repo.open("tmux", &["-L", TMUX_SOCKET, "-f", "/dev/null", "new-session", "printf ready; cat"]);
            beside.push(screen.wait_text("ready") - screen.began);
            repo.run("tmux", &["-L", TMUX_SOCKET, "kill-server"]);
        }
    }
    let (first, full) = (at(first, 0.5), at(full, 0.5));
    let beside = if beside.is_empty() { None } else { Some(at(beside, 0.5)) };
    let ratio = beside.map(|beside| first.as_secs_f64() / beside.as_secs_f64());
    let beside = beside.map(|beside| format!("tmux {}", millis(beside))).unwrap_or_default();
    row("start to first frame, 1,000 tasks", &millis(first), &beside, ratio, "50 ms", first.as_millis() <= 50);
    row("start to first frame with the tasks", &millis(full), "", None, "50 ms", full.as_millis() <= 50);
}

/// Eight panes in which nothing happens.
fn idle(sizes: &Sizes, _: bool) {
    let repo = Repo::with_agents(AGENTS, &["quiet", "10100"]);
    let mut screen = panes(&repo, "quiet now");
    let hosts = repo.hosts();
    let before = screen.bytes;
    let own = screen.pid();
    let shares = share(&mut screen, &[&[own], &hosts], Duration::from_secs(sizes.seconds));
    let bytes = screen.bytes - before;
    row("eight quiet panes: bytes drawn", &bytes.to_string(), "", None, "0", bytes == 0);
    let percent = |share: f64| format!("{share:.2} %");
    row("eight quiet panes: processor, dashboard", &percent(shares[0]), "", None, "0.3 %", shares[0] < 0.3);
    note("  hosts together", &percent(shares[1]), "");
    let own = memory(own);
    row("eight quiet panes: memory, dashboard", &format!("{own} kB"), "", None, "40,000 kB", own <= 40_000);
    let most = hosts.iter().map(|host| memory(*host)).max().unwrap_or(0);
    let name = "  the largest host, 10,000 lines scrolled back";
    row(name, &format!("{most} kB"), "", None, "40,000 kB", most <= 40_000);
}

/// From a key to the frame that shows what came of it, while eight agents print 1,000 lines a second each.
fn keys(sizes: &Sizes, _: bool) {
    let repo = Repo::with_agents(AGENTS, &["rate", "1000"]);
    let mut screen = panes(&repo, "took");
    let mut own = Vec::new();
    for n in 0..sizes.keys {
        let next = n % 2 + 1;
        screen.rest(pause(n));
        let began = Instant::now();
        screen.press(&next.to_string());
        own.push(screen.wait_text(&format!("▌{next}")) - began);
    }
    screen.press("1i");
    screen.wait_text("TYPING");
    let mut echoed = Vec::new();
    for n in 0..sizes.keys {
        let key = char::from(b'a' + u8::try_from(n % 26).unwrap_or(0));
        screen.rest(pause(n));
        let began = Instant::now();
        screen.press(&key.to_string());
        echoed.push(screen.wait_text(&format!("<{key}>")) - began);
    }
    for (name, times) in [("key of the dashboard", own), ("key typed into an agent", echoed)] {
        let (half, most) = (at(times.clone(), 0.5), at(times, 0.95));
        let name = format!("{name} to frame, p95, 8 x 1,000 lines/s");
        row(&name, &millis(most), &format!("p50 {}", millis(half)), None, "16 ms", most.as_millis() < 17);
    }
}

/// A different while before each key, so that they do not fall into step with the frames.
fn pause(n: usize) -> Duration {
    Duration::from_millis(40 + (n * 17 % 41) as u64)
}

/// A frame with many tasks next to one with few.
fn tasks(sizes: &Sizes, _: bool) {
    let (few, many) = (Repo::with_tasks(100), Repo::with_tasks(sizes.tasks));
    let mut screens = [few.open(PROGRAM, &[]), many.open(PROGRAM, &[])];
    for screen in &mut screens {
        screen.wait_text("Task number");
        screen.rest(Duration::from_secs(2));
    }
    let (mut costs, mut times) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 0..sizes.rounds * 2 {
        for (which, screen) in screens.iter_mut().enumerate() {
            let before = cpu(screen.pid());
            for n in 0..sizes.keys / 4 {
                let began = Instant::now();
                let bytes = screen.bytes;
                screen.press(if (n + round) % 2 == 0 { "j" } else { "k" });
                times[which].push(screen.wait("a frame", |screen| screen.bytes > bytes) - began);
                screen.rest(Duration::from_millis(12));
            }
            costs[which].push((cpu(screen.pid()) - before) / u32::try_from(sizes.keys / 4).unwrap_or(1));
        }
    }
    let [few, many] = costs.map(|costs| at(costs, 0.5));
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    let (ours, beside) = (millis(many), format!("100: {}", millis(few)));
    row(
        &format!("processor time of a frame, {} tasks", sizes.tasks),
        &ours,
        &beside,
        Some(ratio),
        "1.2x",
        ratio <= 1.2,
    );
    let [few, many] = times.map(|times| at(times, 0.5));
    note("  key to frame", &millis(many), &format!("100: {}", millis(few)));
    let sizes = screens.map(|screen| format!("{} kB", memory(screen.pid())));
    note("  memory of the dashboard", &sizes[1], &format!("100: {}", sizes[0]));
}

/// Eight agents that print a hundred lines a second each.
fn busy(sizes: &Sizes, tmux: bool) {
    let time = Duration::from_secs(sizes.seconds);
    let words = ["rate", "100"];
    let repo = Repo::with_agents(AGENTS, &words);
    let mut screen = panes(&repo, "took");
    let own = screen.pid();
    let shares = share(&mut screen, &[&[own], &repo.hosts()], time);
    drop(screen);
    drop(repo);
    let all = shares[0] + shares[1];
    let beside = tmux.then(|| {
        let repo = Repo::with_tasks(1);
        let mut tmux = Tmux::open(&repo, AGENTS, &words);
        tmux.screen.rest(Duration::from_secs(3));
        let pids = [tmux.server, tmux.screen.pid()];
        share(&mut tmux.screen, &[&pids], time)[0]
    });
    let percent = |share: f64| format!("{share:.2} %");
    let tmux = beside.map(|beside| format!("tmux {}", percent(beside))).unwrap_or_default();
    row("8 x 100 lines/s: processor, dashboard", &percent(shares[0]), "", None, "2 %", shares[0] <= 2.0);
    row("  with the hosts", &percent(all), &tmux, beside.map(|beside| all / beside), "2 %", all <= 2.0);
}

/// Much output through one pane.
fn flood(sizes: &Sizes, tmux: bool) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let file = place.path().join("took");
    let (bytes, name) = (sizes.flood.to_string(), file.to_string_lossy().into_owned());
    let words = ["flood", &bytes, &name];
    let repo = Repo::with_agents(1, &words);
    let mut screen = repo.open(PROGRAM, &[]);
    screen.wait_text("w1");
    screen.press("pz");
    screen.wait_text("press a key");
    screen.press("i");
    screen.wait_text("TYPING");
    let mut peer = tmux.then(|| Tmux::open(&repo, 1, &words));
    if let Some(peer) = &mut peer {
        peer.screen.wait_text("press a key");
    }
    // The terminals themselves: our host, and what tmux does all of its work in.
    let terminals: Vec<u32> = repo.hosts().into_iter().chain(peer.as_ref().map(|peer| peer.server)).collect();
    let spent = || -> Vec<Duration> { terminals.iter().map(|pid| cpu(*pid)).collect() };
    let before = spent();
    for _ in 0..sizes.rounds {
        ours.push(took(&mut screen, &file));
        if let Some(peer) = &mut peer {
            theirs.push(took(&mut peer.screen, &file));
        }
    }
    let per_round = u32::try_from(sizes.rounds).unwrap_or(1);
    let spent: Vec<String> =
        spent().iter().zip(before).map(|(after, before)| millis((*after - before) / per_round)).collect();
    let rate = |times: Vec<Duration>| sizes.flood as f64 / at(times, 0.5).as_secs_f64() / 1e6;
    let ours = rate(ours);
    let name = format!("{} MB of log output through a pane", sizes.flood / 1_000_000);
    if theirs.is_empty() {
        return note(&name, &format!("{ours:.1} MB/s"), "no tmux");
    }
    let theirs = rate(theirs);
    let beside = format!("{theirs:.1} MB/s");
    row(&name, &format!("{ours:.1} MB/s"), &beside, Some(ours / theirs), "1.4x tmux", ours / theirs >= 1.4);
    note("  processor time of the terminal", &spent[0], &format!("tmux {}", spent[1]));
}

/// How long one flood took.
fn took(screen: &mut Screen, file: &Path) -> Duration {
    screen.press("g");
    screen.drain_until(file);
    let text = fs::read_to_string(file).expect("the figure");
    fs::remove_file(file).expect("it is taken");
    Duration::from_nanos(text.parse().expect("a number"))
}
