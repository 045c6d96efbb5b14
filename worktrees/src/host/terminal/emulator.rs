//! The terminal of a run, as the program sees it: takes in what the program prints, answers what it asks, and says what
//! is to be seen, now or further up. It is there whether or not anybody looks.
//!
//! Nothing that a program prints can end it: what makes the emulator fail starts a new one. It reads and writes nothing.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use alacritty_terminal::event::{Event, EventListener, WindowSize};
use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::Processor;
use pipeline_lib::terminal::keys::InputModes;
use pipeline_lib::terminal::{Frame, Size};

use super::filter::{Filter, Piece};
use super::guard::Guard;
use super::keyboard::Keyboard;
use super::{palette, render};

/// Lines that are kept above the present screen.
const HISTORY_LINES: usize = 10_000;
/// Answers that a program has not taken; beyond this it gets none.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Taken in at a time: between two of these the caller can do something else.
pub(super) const SLICE_BYTES: usize = 1024;
/// A program that makes the emulator fail more often than this is not shown any more.
const FAILURES_MAX: usize = 16;
/// What is seen where the emulator failed.
const FAILED: &str = "\x1b[7m[pipeline: this terminal could not show what was printed, and begins anew]\x1b[m\r\n";
/// What is seen where it failed too often.
const GIVEN_UP: &str =
    "\x1b[7m[pipeline: this terminal is not shown any more; what is printed is in the log]\x1b[m\r\n";
/// What a cell is said to measure, in pixels.
const CELL_PIXELS: (u16, u16) = (10, 20);
/// The name that programs are told.
const NAME: &str = concat!("\x1bP>|pipeline ", env!("CARGO_PKG_VERSION"), "\x1b\\");

/// What the emulator has to say to the program and about it, in order.
#[derive(Debug, Clone, Default)]
struct Events(Rc<RefCell<Vec<Event>>>);

impl EventListener for Events {
    fn send_event(&self, event: Event) {
        match event {
            Event::PtyWrite(_)
            | Event::ColorRequest(..)
            | Event::TextAreaSizeRequest(_)
            | Event::Title(_)
            | Event::ResetTitle => self.0.borrow_mut().push(event),
            // Bells are not passed on; the rest is for windows.
            Event::Bell
            | Event::MouseCursorDirty
            | Event::ClipboardStore(..)
            | Event::ClipboardLoad(..)
            | Event::CursorBlinkingChange
            | Event::Wakeup
            | Event::Exit
            | Event::ChildExit(_) => {}
        }
    }
}

/// The size as the emulator asks for it.
struct Grid(Size);

impl Dimensions for Grid {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows)
    }

    fn columns(&self) -> usize {
        usize::from(self.0.columns)
    }
}

/// The terminal.
pub(super) struct Emulator {
    term: Term<Events>,
    processor: Processor,
    filter: Filter,
    keyboard: Keyboard,
    events: Events,
    answers: Vec<u8>,
    title: String,
    size: Size,
    failures: usize,
    /// Changes whenever what is to be seen may have changed.
    version: u64,
    /// Lines that have left the present screen upwards since the beginning.
    scrolled: u64,
    /// Those of them that were forgotten on the program's request.
    forgotten: u64,
    count: Count,
}

/// How the lines that leave the present screen are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// There is none above it yet: those that are there next have just left.
    First,
    /// By how far the emulator's own place above it moves.
    Moved,
    /// Not until the next look: a change of size moved them.
    Lost,
}

/// A line above the present screen by which somebody keeps their place while more is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor(u64);

impl Emulator {
    pub(super) fn new(size: Size) -> Self {
        let (size, events) = (size.clamped(), Events::default());
        Self {
            term: new_term(size, &events),
            processor: Processor::new(),
            filter: Filter::default(),
            keyboard: Keyboard::default(),
            events,
            answers: Vec::new(),
            title: String::new(),
            size,
            failures: 0,
            version: 1,
            scrolled: 0,
            forgotten: 0,
            count: Count::First,
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes in what the program printed. Callers give [`SLICE_BYTES`] at a time.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.guarded(|this| {
            let Self { term, processor, filter, keyboard, events, .. } = this;
            let mut guard = Guard { term, keyboard, events };
            filter.feed(bytes, |piece| match piece {
                Piece::Bytes(bytes) => processor.advance(&mut guard, bytes),
                // CAN: it ends what is being collected.
                Piece::Cancel => processor.advance(&mut guard, b"\x18"),
                Piece::NameAsked => events.send_event(Event::PtyWrite(NAME.to_owned())),
            });
            this.settle();
        });
    }

    /// When a synchronized update that the program began has to be shown, finished or not.
    pub(super) fn sync_deadline(&self) -> Option<Instant> {
        self.processor.sync_timeout().sync_timeout()
    }

    /// Shows what there is of a synchronized update.
    pub(super) fn end_sync(&mut self) {
        self.guarded(|this| {
            let Self { term, processor, keyboard, events, .. } = this;
            processor.stop_sync(&mut Guard { term, keyboard, events });
            this.settle();
        });
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.size = size.clamped();
        self.guarded(|this| {
            this.term.resize(Grid(this.size));
            // What the change of width made of the lines above is not counted as printed.
            this.count = Count::Lost;
            this.count_scrolled();
            this.version += 1;
        });
    }

    /// What is to be written to the program.
    pub(super) fn take_answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    pub(super) fn input_modes(&self) -> InputModes {
        let mode = *self.term.mode();
        InputModes { keys: self.keyboard.form(mode.contains(TermMode::ALT_SCREEN)), ..render::input_modes(mode) }
    }

    /// A place so many lines above the present screen; none where that is the present screen.
    pub(super) fn anchor(&self, offset: usize) -> Option<Anchor> {
        let offset = offset.min(self.term.history_size()) as u64;
        (offset > 0).then(|| Anchor(self.scrolled.saturating_sub(offset)))
    }

    /// Lines that have left the present screen upwards since the beginning.
    pub(super) fn scrolled(&self) -> u64 {
        self.scrolled
    }

    /// How many lines above the present screen that place is now. What is no longer kept is where the oldest line is.
    pub(super) fn offset(&self, anchor: Option<Anchor>) -> usize {
        match anchor {
            Some(Anchor(line)) if line >= self.forgotten => {
                let above = self.scrolled.saturating_sub(line);
                usize::try_from(above).unwrap_or(usize::MAX).min(self.term.history_size())
            }
            Some(_) | None => 0,
        }
    }

    /// What is to be seen so many lines above the present screen.
    pub(super) fn frame(&mut self, offset: usize) -> Frame {
        let size = self.size;
        self.guarded(|this| {
            let offset = offset.min(this.term.history_size());
            let above = i32::try_from(offset).unwrap_or(i32::MAX);
            let rows = 0..i32::from(size.rows);
            Frame {
                size,
                lines: rows.map(|row| Arc::new(render::line(&this.term, row - above))).collect(),
                cursor: render::cursor(&this.term, offset),
                offset,
                history: this.term.history_size(),
                scrolled: this.scrolled,
                title: this.title.clone(),
                modes: render::modes(*this.term.mode()),
            }
        })
        .unwrap_or_else(|| Frame::blank(size))
    }

    /// The text of lines, by how many lines they are above the last one of the present screen, oldest first. What is
    /// older than the text may be long is left out.
    pub(super) fn text(&mut self, from: usize, to: usize, bytes_max: usize) -> Vec<String> {
        let place = |above: usize| i32::try_from(above).unwrap_or(i32::MAX);
        self.guarded(|this| {
            let (top, bottom) = (this.term.topmost_line().0, this.term.bottommost_line().0);
            let first = bottom.saturating_sub(place(from.max(to))).max(top);
            let last = bottom.saturating_sub(place(from.min(to)));
            let (mut lines, mut room) = (Vec::new(), bytes_max);
            for line in (first..=last).rev() {
                let text = render::line(&this.term, line).text();
                // A line costs something even when it is empty.
                let Some(left) = room.checked_sub(text.len() + 1) else { break };
                room = left;
                lines.push(text);
            }
            lines.reverse();
            lines
        })
        .unwrap_or_default()
    }

    /// The offset that has the next line with a text in sight: the nearest above the first line that is seen at `offset`,
    /// or below it.
    pub(super) fn search(&mut self, needle: &str, offset: usize, forward: bool) -> Option<usize> {
        let needle = needle.to_lowercase();
        if needle.is_empty() {
            return None;
        }
        self.guarded(|this| {
            let (top, bottom) = (this.term.topmost_line().0, this.term.bottommost_line().0);
            let first = i32::try_from(offset.min(this.term.history_size())).map_or(0, |above| -above);
            let has_text = |line: &i32| render::line(&this.term, *line).text().to_lowercase().contains(needle.as_str());
            let line = if forward { (first + 1..=bottom).find(has_text) } else { (top..first).rev().find(has_text) };
            line.map(|line| usize::try_from(-line).unwrap_or(0))
        })
        .flatten()
    }

    /// Does something with the emulator; begins a new one where that fails.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.failures > FAILURES_MAX {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| act(&mut *self))) {
            Ok(value) => Some(value),
            Err(_) => {
                self.begin_anew();
                None
            }
        }
    }

    /// How often the emulator has failed.
    #[cfg(test)]
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    /// Fails.
    #[cfg(test)]
    pub(super) fn fail(&mut self) {
        self.guarded(|_| panic!("as a test wants it"));
    }

    fn begin_anew(&mut self) {
        self.failures += 1;
        self.events = Events::default();
        self.term = new_term(self.size, &self.events);
        self.processor = Processor::new();
        self.filter = Filter::default();
        self.keyboard = Keyboard::default();
        self.count = Count::First;
        self.forgotten = self.scrolled;
        self.version += 1;
        let note = if self.failures > FAILURES_MAX { GIVEN_UP } else { FAILED };
        let Self { term, processor, keyboard, events, .. } = self;
        processor.advance(&mut Guard { term, keyboard, events }, note.as_bytes());
    }

    /// Takes note of what happened while bytes were taken in.
    fn settle(&mut self) {
        self.version += 1;
        self.count_scrolled();
        let events = std::mem::take(&mut *self.events.0.borrow_mut());
        for event in events {
            match event {
                Event::PtyWrite(text) => self.answer(&text),
                Event::ColorRequest(place, form) => {
                    let colour = self.term.colors()[place].unwrap_or_else(|| palette::colour(place));
                    self.answer(&form(colour));
                }
                Event::TextAreaSizeRequest(form) => {
                    let (cell_width, cell_height) = CELL_PIXELS;
                    let Size { columns, rows } = self.size;
                    self.answer(&form(WindowSize { num_lines: rows, num_cols: columns, cell_width, cell_height }));
                }
                Event::Title(title) => self.title = title,
                Event::ResetTitle => self.title.clear(),
                _ => {}
            }
        }
    }

    fn answer(&mut self, text: &str) {
        if self.answers.len() + text.len() <= ANSWER_BYTES_MAX {
            self.answers.extend_from_slice(text.as_bytes());
        }
    }

    /// Counts the lines that have left the present screen upwards. The emulator keeps the place of somebody who looks
    /// one line above the present screen; how far that has moved is the number, at the limit of the history too.
    fn count_scrolled(&mut self) {
        // The other screen has no lines above it, and those of the first one stay as they are.
        if self.term.mode().contains(TermMode::ALT_SCREEN) {
            return;
        }
        let above = self.term.grid().display_offset();
        let history = self.term.history_size();
        match (self.count, above) {
            (Count::Moved, 0) => {
                // Everything above was forgotten; what is there now came after that.
                self.forgotten = self.scrolled;
                self.scrolled += history as u64;
            }
            (Count::Moved, moved) => self.scrolled += moved as u64 - 1,
            (Count::First, _) => self.scrolled += history as u64,
            (Count::Lost, _) => {}
        }
        let grid = self.term.grid_mut();
        grid.scroll_display(Scroll::Bottom);
        self.count = if history == 0 { Count::First } else { Count::Moved };
        if history > 0 {
            grid.scroll_display(Scroll::Delta(1));
        }
    }
}

fn new_term(size: Size, events: &Events) -> Term<Events> {
    let config =
        Config { scrolling_history: HISTORY_LINES, kitty_keyboard: false, osc52: Osc52::Disabled, ..Config::default() };
    Term::new(config, &Grid(size), events.clone())
}
