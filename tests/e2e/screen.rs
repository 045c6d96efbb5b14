//! A person at a terminal: the program in a PTY, and the emulator that shows what it draws. Keys are pressed by their names in
//! the key table; waiting is for what the screen shows, with a deadline that prints the screen.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Config, TermMode};
use alacritty_terminal::vte::ansi::{Color, Processor};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::support::{DEADLINE, Sandbox, process, program};

/// What the emulator wants to tell the program: answers to its questions.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    answers: Vec<u8>,
    title: String,
    bells: usize,
    clipboard: Vec<String>,
}

impl EventListener for Told {
    fn send_event(&self, event: Event) {
        let mut heard = self.0.lock().expect("not poisoned");
        match event {
            Event::PtyWrite(text) => heard.answers.extend(text.into_bytes()),
            Event::Title(title) => heard.title = title,
            Event::Bell => heard.bells += 1,
            Event::ClipboardStore(_, text) => heard.clipboard.push(text),
            _ => {}
        }
    }
}

/// The size of a terminal, for the emulator.
#[derive(Debug, Clone, Copy)]
struct Cells(u16, u16);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        usize::from(self.1)
    }
    fn screen_lines(&self) -> usize {
        usize::from(self.1)
    }
    fn columns(&self) -> usize {
        usize::from(self.0)
    }
}

/// A terminal with a program in it, which is killed when this is dropped.
pub(crate) struct Screen {
    pty: Pty,
    child: Child,
    term: Term<Told>,
    parser: Processor,
    told: Told,
    /// Everything that the program wrote.
    raw: Vec<u8>,
    closed: bool,
    status: Option<ExitStatus>,
}

impl Screen {
    /// Starts `pipeline` in a terminal of this many columns and rows.
    pub(crate) fn open(sandbox: &Sandbox, args: &[&str], size: (u16, u16)) -> Self {
        let program = program().to_string_lossy().into_owned();
        let mut argv = vec![program.as_str()];
        argv.extend(args);
        Self::run(sandbox, &argv, size)
    }

    /// Starts a command in a terminal.
    pub(crate) fn run(sandbox: &Sandbox, argv: &[&str], (columns, rows): (u16, u16)) -> Self {
        let (pty, pts) = open().expect("a pty");
        pty.resize(Size::new(rows, columns)).expect("its size");
        let command = Command::new(argv[0]).args(&argv[1..]).current_dir(sandbox.repo()).env_clear();
        let command = command.envs(sandbox.environment()).env("TERM", "xterm-256color");
        let child = command.spawn(pts).expect("the program starts");
        let told = Told::default();
        let term = Term::new(Config::default(), &Cells(columns, rows), told.clone());
        Self { pty, child, term, parser: Processor::new(), told, raw: Vec::new(), closed: false, status: None }
    }

    /// The program's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that was written so far, byte by byte.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The window's title.
    pub(crate) fn title(&self) -> String {
        self.told.0.lock().expect("not poisoned").title.clone()
    }

    /// How often it rang.
    pub(crate) fn bells(&self) -> usize {
        self.told.0.lock().expect("not poisoned").bells
    }

    /// What was put into the clipboard.
    pub(crate) fn clipboard(&self) -> Vec<String> {
        self.told.0.lock().expect("not poisoned").clipboard.clone()
    }

    /// Whether the program has taken the terminal over: alternate screen, mouse, paste or kitty's keys in use, or no cursor.
    /// What is asked of kitty's keys belongs to the screen that it is asked on, so asking and taking back are counted.
    pub(crate) fn is_taken(&self) -> bool {
        let used = TermMode::ALT_SCREEN | TermMode::MOUSE_MODE | TermMode::BRACKETED_PASTE;
        let shown = self.term.mode().contains(TermMode::SHOW_CURSOR);
        self.term.mode().intersects(used) || !shown || self.count(b"\x1b[>1u") != self.count(b"\x1b[<1u")
    }

    /// How often a sequence of bytes was written.
    pub(crate) fn count(&self, sequence: &[u8]) -> usize {
        self.raw.windows(sequence.len()).filter(|bytes| *bytes == sequence).count()
    }

    /// The rows as a person reads them.
    pub(crate) fn text(&self) -> String {
        let grid = self.term.grid();
        let row = |line| {
            let cells = (0..grid.columns()).map(|column| &grid[Line(line)][Column(column)]);
            let shown = cells.filter(|cell| !cell.flags.contains(Flags::WIDE_CHAR_SPACER));
            shown.map(|cell| cell.c).collect::<String>().trim_end().to_owned()
        };
        let rows = i32::try_from(grid.screen_lines()).expect("few rows");
        (0..rows).map(row).collect::<Vec<_>>().join("\n")
    }

    /// The rows cell by cell, with how they look.
    pub(crate) fn cells(&self) -> Vec<Vec<Cell>> {
        let grid = self.term.grid();
        let rows = i32::try_from(grid.screen_lines()).expect("few rows");
        (0..rows).map(|line| (0..grid.columns()).map(|x| Cell::of(&grid[Line(line)][Column(x)])).collect()).collect()
    }

    /// What is shown in reverse, row by row: without colours that is what is chosen.
    pub(crate) fn chosen(&self) -> String {
        let row =
            |row: Vec<Cell>| row.iter().filter(|cell| cell.style.reversed).map(|cell| cell.text.as_str()).collect();
        let rows: Vec<String> = self.cells().into_iter().map(row).collect();
        rows.iter().map(|row| row.trim()).filter(|row| !row.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Presses keys, written as in the key table: `jj<enter>`.
    pub(crate) fn press(&mut self, script: &str) {
        let mut bytes = Vec::new();
        let mut rest = script;
        while let Some(c) = rest.chars().next() {
            let name = match rest.split_once('>') {
                Some((name, _)) if c == '<' && name.len() > 1 => &rest[..=name.len()],
                _ => &rest[..c.len_utf8()],
            };
            rest = &rest[name.len()..];
            bytes.extend(sequence(name));
        }
        self.send(&bytes);
    }

    /// Sends bytes as a terminal would.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.pty.write_all(bytes).expect("the program's terminal takes keys");
    }

    /// Clicks at a cell, from 1, as SGR mouse reports say it.
    pub(crate) fn click(&mut self, column: u16, row: u16) {
        self.send(format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m").as_bytes());
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.pty.resize(Size::new(rows, columns)).expect("its size");
        self.term.resize(Cells(columns, rows));
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(process(self.pid()), signal).expect("the program lives");
    }

    /// Takes in what the program writes until the screen is as wished; the answer is the screen then.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, wished: impl Fn(&str) -> bool) -> String {
        self.pump(what, |screen| wished(&screen.text()));
        self.text()
    }

    /// Waits until the screen holds each of these.
    #[track_caller]
    pub(crate) fn shows(&mut self, words: &[&str]) -> String {
        self.wait(&format!("{words:?}"), |text| words.iter().all(|word| text.contains(word)))
    }

    /// Takes in what the program writes until something holds.
    #[track_caller]
    pub(crate) fn pump(&mut self, what: &str, wished: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !wished(self) {
            let over = self.closed || began.elapsed() >= DEADLINE;
            assert!(!over, "never: {what}\n{}\n(closed: {})", self.text(), self.closed);
            self.take(Duration::from_millis(200));
        }
    }

    /// Takes in what the program has written, or writes in a moment.
    pub(crate) fn look(&mut self) {
        self.take(Duration::from_millis(50));
    }

    /// Waits for the program's end and takes in the rest.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        while !self.closed {
            assert!(began.elapsed() < DEADLINE, "it does not end\n{}", self.text());
            self.take(Duration::from_millis(200));
        }
        let status = self.child.wait().expect("its end");
        self.status = Some(status);
        status
    }

    /// The exit code of a program that has ended by itself.
    #[track_caller]
    pub(crate) fn code(&mut self) -> i32 {
        let status = self.end();
        status.code().unwrap_or_else(|| panic!("ended by signal {:?}\n{}", status.signal(), self.text()))
    }

    /// Takes in what is there, or the first that comes in time.
    fn take(&mut self, patience: Duration) {
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.pty, PollFlags::IN)];
        if poll(&mut fds, Some(&limit)).unwrap_or(0) == 0 {
            return;
        }
        let mut buffer = [0; 16 * 1024];
        match self.pty.read(&mut buffer) {
            Ok(0) | Err(_) => self.closed = true,
            Ok(read) => {
                self.raw.extend(&buffer[..read]);
                self.parser.advance(&mut self.term, &buffer[..read]);
            }
        }
        let answers = std::mem::take(&mut self.told.0.lock().expect("not poisoned").answers);
        if !answers.is_empty() && !self.closed {
            self.send(&answers);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.status.is_none() {
            // It may have ended by itself; then there is nothing to kill.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// A colour that the program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shade {
    /// A place in the palette of 256.
    Palette(u8),
    /// Red, green, blue.
    Exact(u8, u8, u8),
}

impl Shade {
    fn of(colour: Color) -> Option<Self> {
        match colour {
            Color::Named(named) if (named as usize) < 16 => u8::try_from(named as usize).ok().map(Self::Palette),
            Color::Named(_) => None,
            Color::Indexed(index) => Some(Self::Palette(index)),
            Color::Spec(rgb) => Some(Self::Exact(rgb.r, rgb.g, rgb.b)),
        }
    }
}

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) foreground: Option<Shade>,
    pub(crate) background: Option<Shade>,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) reversed: bool,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its character with what combines with it; nothing in the second half of a wide one.
    pub(crate) text: String,
    pub(crate) style: Look,
}

impl Cell {
    fn of(cell: &alacritty_terminal::term::cell::Cell) -> Self {
        let mut text = String::new();
        if !cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
            text.push(cell.c);
            text.extend(cell.zerowidth().into_iter().flatten());
        }
        let style = Look {
            foreground: Shade::of(cell.fg),
            background: Shade::of(cell.bg),
            bold: cell.flags.contains(Flags::BOLD),
            dim: cell.flags.contains(Flags::DIM),
            reversed: cell.flags.contains(Flags::INVERSE),
        };
        Self { text, style }
    }
}

/// What a terminal sends for a key.
fn sequence(name: &str) -> Vec<u8> {
    let text = match name {
        "<enter>" => "\r",
        "<esc>" => "\x1b",
        "<tab>" => "\t",
        "<s-tab>" => "\x1b[Z",
        "<backspace>" => "\x7f",
        "<up>" => "\x1b[A",
        "<down>" => "\x1b[B",
        "<right>" => "\x1b[C",
        "<left>" => "\x1b[D",
        "<home>" => "\x1b[H",
        "<end>" => "\x1b[F",
        "<delete>" => "\x1b[3~",
        "<pageup>" => "\x1b[5~",
        "<pagedown>" => "\x1b[6~",
        "<space>" => " ",
        "<lt>" => "<",
        control if control.starts_with("<c-") => {
            return vec![control.as_bytes()[3] & 0x1f];
        }
        plain => plain,
    };
    text.as_bytes().to_vec()
}
