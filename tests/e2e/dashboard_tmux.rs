//! The dashboard inside tmux, as people who live in it have it: drawn, coloured, typed into, named, heard, left and come
//! back to. Each test has servers of its own. Agents whose sessions are tmux's are in `multiplexer.rs`.

use std::process::{Command, Output};
use std::time::Instant;

use super::multiplexer::has_tmux;
use super::screen::Screen;
use super::support::{DEADLINE, Sandbox, program};

/// Says in colour that it is here, and keeps the line that is typed.
const ASK: &str = "printf '\\033[1;32mwhat now?\\033[m '\n: > \"$box/at/$key.$n\"\nread -r line\necho \"$line\" > told.txt\n\
                   commit told\nmarker COMPLETED\nhang\n";

/// A pipeline whose architect works in a terminal, with a task.
fn with_a_session() -> Sandbox {
    let sandbox = Sandbox::new();
    let session = "preset = \"custom\"\nmode = \"interactive\"\n";
    let config = sandbox.config("", "").replacen("preset = \"custom\"\n", session, 1);
    sandbox.init("production", &config);
    sandbox.plan("arch", ASK);
    sandbox.add("T-1", &[]);
    sandbox
}

/// A sandbox whose tmux servers have their sockets in it, unless tmux is missing.
fn beside_tmux(sandbox: impl FnOnce() -> Sandbox) -> Option<Sandbox> {
    has_tmux().then(|| {
        let mut sandbox = sandbox();
        let sockets = sandbox.path("tmp").to_string_lossy().into_owned();
        sandbox.set_env("TMUX_TMPDIR", &sockets);
        sandbox
    })
}

/// A tmux server with the dashboard in it, which ends with this.
struct Tmux<'a> {
    sandbox: &'a Sandbox,
    colours: bool,
}

impl<'a> Tmux<'a> {
    /// The name of the socket; nobody else has one in the sandbox.
    const SOCKET: &'static str = "pipeline-dashboard";

    /// Starts the dashboard in a window of this size, which nobody is attached to.
    #[track_caller]
    fn open(sandbox: &'a Sandbox, (columns, rows): (u16, u16), term: &str, colours: bool) -> Self {
        let this = Self { sandbox, colours };
        let (columns, rows, program) = (columns.to_string(), rows.to_string(), program());
        let program = program.to_string_lossy();
        let term = ["set", "-g", "default-terminal", term, ";"];
        let settings = ["set", "-g", "status", "off", ";", "set", "-g", "monitor-bell", "on", ";"];
        let session = ["new-session", "-d", "-s", "main", "-x", &columns, "-y", &rows, &program];
        this.tell(&[&["start-server", ";"], &term[..], &settings, &session].concat());
        this
    }

    /// A command line of tmux for this server.
    fn words<'w>(words: &[&'w str]) -> Vec<&'w str> {
        [&["tmux", "-L", Self::SOCKET, "-f", "/dev/null"][..], words].concat()
    }

    fn run(&self, words: &[&str]) -> Output {
        let words = Self::words(words);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.sandbox.repo()).env_clear().envs(self.sandbox.environment());
        if self.colours {
            command.env_remove("NO_COLOR");
        }
        command.env("TERM", "xterm-256color").output().expect("tmux runs")
    }

    /// Gives tmux commands and says what they answer.
    #[track_caller]
    fn tell(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn press(&self, keys: &[&str]) {
        self.tell(&[&["send-keys", "-t", "main"][..], keys].concat());
    }

    /// What the window shows.
    fn text(&self) -> String {
        self.tell(&["capture-pane", "-p", "-t", "main"])
    }

    /// The same with its colours.
    fn coloured(&self) -> String {
        self.tell(&["capture-pane", "-e", "-p", "-t", "main"])
    }

    /// What tmux knows of the window.
    fn fact(&self, name: &str) -> String {
        self.tell(&["display-message", "-p", "-t", "main", &format!("#{{{name}}}")]).trim_end().to_owned()
    }

    /// Waits until something holds.
    #[track_caller]
    fn wait(&self, what: &str, wished: impl Fn() -> bool) {
        let began = Instant::now();
        while !wished() {
            assert!(began.elapsed() < DEADLINE, "never: {what}\n{}", self.text());
            std::thread::yield_now();
        }
    }

    #[track_caller]
    fn shows(&self, words: &[&str]) {
        self.wait(&format!("{words:?}"), || {
            let text = self.text();
            words.iter().all(|word| text.contains(word))
        });
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        // It has ended already where the dashboard has.
        drop(self.run(&["kill-server"]));
    }
}

/// The numbers of all that is said of how cells look.
fn styles(coloured: &str) -> Vec<u32> {
    let sequences = coloured.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
    sequences.flat_map(|(numbers, _)| numbers.split(';')).filter_map(|number| number.parse().ok()).collect()
}

fn is_colour(style: u32) -> bool {
    matches!(style, 30..=38 | 40..=48 | 90..=97 | 100..=107)
}

#[test]
fn board_and_panes_are_drawn_and_an_agent_is_typed_into() {
    for size in [(80, 24), (200, 50)] {
        let Some(sandbox) = beside_tmux(with_a_session) else { return };
        let tmux = Tmux::open(&sandbox, size, "tmux-256color", true);
        tmux.shows(&["Board", "T-1", "working", "Events"]);
        let text = tmux.text();
        assert_eq!(text.lines().count(), usize::from(size.1), "{text}");
        assert!(text.lines().next().is_some_and(|line| line.ends_with("● ticking")), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.ends_with("q quit")), "{text}");
        assert!(styles(&tmux.coloured()).into_iter().any(is_colour), "{:?}", tmux.coloured());
        sandbox.wait_at("T-1.arch.1");
        tmux.press(&["p"]);
        tmux.shows(&["1 ● architect", "what now?", "4 ○ supervisor"]);
        tmux.press(&["i"]);
        tmux.shows(&["TYPING INTO architect"]);
        tmux.press(&["-l", "quit? no"]);
        tmux.shows(&["what now? quit? no"]);
        let coloured = tmux.coloured();
        let line = coloured.lines().find(|line| line.contains("what now?")).expect("what it printed");
        let before = styles(line.split("what now?").next().unwrap_or_default());
        let green = before.windows(3).any(|numbers| numbers == [38, 5, 2]);
        assert!(before.contains(&1) && green, "the agent's own colours: {line:?}");
        tmux.press(&["Enter"]);
        sandbox.tick_past("T-1", "arch");
        assert_eq!(sandbox.git(&["show", "pipeline/T-1:told.txt"]), "quit? no");
        tmux.wait("nobody is typed into", || !tmux.text().contains("TYPING INTO"));
        tmux.press(&["q"]);
        tmux.wait("it ends, and tmux with it", || !tmux.run(&["has-session", "-t", "main"]).status.success());
    }
}

#[test]
fn what_waits_is_in_the_title_and_rings() {
    let Some(sandbox) = beside_tmux(Sandbox::ready) else { return };
    sandbox.plan("T-1.arch.1", "hang; marker BLOCKED which database");
    sandbox.add("T-1", &[]);
    let tmux = Tmux::open(&sandbox, (80, 24), "tmux-256color", true);
    tmux.shows(&["T-1", "working"]);
    tmux.wait("a title", || tmux.fact("pane_title") == "pipeline repo");
    assert_eq!(tmux.fact("window_bell_flag"), "0");
    sandbox.wait_at("T-1.arch.1");
    sandbox.release("T-1.arch.1");
    tmux.wait("the bell", || tmux.fact("window_bell_flag") == "1");
    tmux.wait("the title", || tmux.fact("pane_title") == "! 1 pipeline repo");
    tmux.shows(&["which database"]);
}

#[test]
fn whoever_attaches_again_sees_it_in_the_size_of_the_terminal() {
    let Some(sandbox) = beside_tmux(Sandbox::ready) else { return };
    sandbox.plan("T-1.arch.1", "hang; work; marker COMPLETED");
    sandbox.add("T-1", &[]);
    let tmux = Tmux::open(&sandbox, (80, 24), "screen-256color", true);
    tmux.shows(&["T-1", "working"]);
    // A page without ages, so that time alone changes nothing.
    tmux.press(&["e"]);
    tmux.shows(&["▌Logs"]);
    for size in [(80, 24), (100, 30), (60, 14), (200, 50)] {
        let mut screen = Screen::run(&sandbox, &Tmux::words(&["attach", "-t", "main"]), size);
        let (columns, rows) = (usize::from(size.0), usize::from(size.1));
        screen.wait("it fills the terminal", |text| {
            let lines: Vec<&str> = text.lines().collect();
            let title = lines.iter().any(|line| line.starts_with("▌Logs") && line.chars().count() == columns);
            title && lines.get(rows - 1).is_some_and(|line| line.ends_with("q quit"))
        });
        screen.pump("it shows what tmux has", |screen| screen.text().trim_end() == tmux.text().trim_end());
        screen.press("<c-b>d");
        // How tmux leaves the terminal is its own affair.
        assert_eq!(screen.code(), 0);
    }
    tmux.press(&["o"]);
    tmux.shows(&["Board", "T-1", "working"]);
    sandbox.wait_at("T-1.arch.1");
    sandbox.release("T-1.arch.1");
}

#[test]
fn colours_are_those_of_the_terminal_and_of_the_person() {
    for (term, colours) in [("screen-256color", true), ("tmux-256color", true), ("tmux-256color", false)] {
        let Some(sandbox) = beside_tmux(Sandbox::ready) else { return };
        let tmux = Tmux::open(&sandbox, (80, 24), term, colours);
        tmux.shows(&["Board", "No tasks yet.", "q quit"]);
        let shown = tmux.coloured();
        let styles = styles(&shown);
        assert_eq!(styles.iter().copied().any(is_colour), colours, "{term}: {shown:?}");
        assert!(styles.contains(&1), "without colours too, something stands out: {shown:?}");
        tmux.press(&["?"]);
        tmux.shows(&["Look around", "╭"]);
    }
}
