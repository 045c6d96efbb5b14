//! The terminal: entered and left in one place, and drawn to in one write per frame. Nothing else in the dashboard
//! talks to it, and nothing here knows what is drawn.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue, style, terminal};
use pipeline_lib::terminal::CursorShape;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Whether the terminal is ours at the moment. The panic hook belongs to the whole process and cannot be handed the
/// guard, so this fact stands outside of it.
static ENTERED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();
/// Whether the cursor has another shape than the person's own.
static SHAPED: AtomicBool = AtomicBool::new(false);

/// Puts the window's title aside (XTWINOPS 22, xterm); terminals without it do nothing.
const SAVE_TITLE: &[u8] = b"\x1b[22;2t";
/// Brings it back (XTWINOPS 23).
const RESTORE_TITLE: &[u8] = b"\x1b[23;2t";

/// Asks for buttons, for movement while one is held, and for coordinates of any size (1000, 1002, 1006). Movement without a
/// button, which nobody here uses, would be a message for every cell that the mouse comes over.
const ENABLE_MOUSE: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
/// Takes that back.
const DISABLE_MOUSE: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";

/// A cursor that is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caret {
    /// The column.
    pub(super) x: u16,
    /// The row.
    pub(super) y: u16,
    /// What it looks like.
    pub(super) shape: CursorShape,
}

/// The terminal while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Terminal {
    mouse: bool,
    title: String,
    /// Where the cursor is to be seen; not where it is none.
    caret: Option<Caret>,
    /// Where it was left.
    left: Option<Caret>,
    shown: Buffer,
    next: Buffer,
    /// Every cell has to be written, because what the terminal shows is not known.
    unknown: bool,
}

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn enter(mouse: bool) -> io::Result<Self> {
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                previous(info);
            }));
        });
        // Made first, so that whatever fails below is undone.
        let this = Self {
            mouse,
            title: String::new(),
            caret: None,
            left: None,
            shown: Buffer::empty(Rect::ZERO),
            next: Buffer::empty(Rect::ZERO),
            unknown: true,
        };
        this.take_over()?;
        Ok(this)
    }

    fn take_over(&self) -> io::Result<()> {
        ENTERED.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        let mut out = io::stdout().lock();
        out.write_all(SAVE_TITLE)?;
        queue!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        // Where the terminal knows how, it tells Enter with shift from Enter; one that does not ignores this.
        queue!(out, PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES))?;
        if self.mouse {
            out.write_all(ENABLE_MOUSE)?;
        }
        out.flush()
    }

    /// Takes the terminal over once more, after others have used it.
    pub(super) fn enter_again(&mut self) -> io::Result<()> {
        // The shell may have set the modes anew; only what is off can be switched on.
        restore();
        self.unknown = true;
        self.left = None;
        self.title.clear();
        self.take_over()
    }

    /// Gives the terminal back until `enter_again`.
    pub(super) fn leave(&mut self) {
        restore();
    }

    /// Whether the terminal is still ours; a panic in another thread takes it away.
    pub(super) fn is_ours(&self) -> bool {
        ENTERED.load(Ordering::SeqCst)
    }

    /// Columns and rows.
    pub(super) fn size() -> io::Result<(u16, u16)> {
        terminal::size()
    }

    /// Makes the next frame write every cell.
    pub(super) fn forget(&mut self) {
        self.unknown = true;
    }

    /// Writes what a notice is made of.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Names the terminal's window, if it has another name.
    pub(super) fn title(&mut self, title: &str) -> io::Result<()> {
        if self.title == title {
            return Ok(());
        }
        title.clone_into(&mut self.title);
        execute!(io::stdout().lock(), terminal::SetTitle(title))
    }

    /// Shows the cursor there from the next frame on, or nowhere. Input methods open their windows beside it.
    pub(super) fn set_caret(&mut self, caret: Option<Caret>) {
        self.caret = caret;
    }

    /// Puts a text into the clipboard of the person's terminal, where it allows that (OSC 52). Only on the person's own
    /// request; what agents ask for in this way never comes this far.
    pub(super) fn copy(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        execute!(out, crossterm::clipboard::CopyToClipboard::to_clipboard_from(text))
    }

    /// Draws a frame: only the cells that differ from what is shown, in one write. A frame without a difference writes
    /// nothing.
    pub(super) fn draw<T>(&mut self, size: (u16, u16), render: impl FnOnce(Rect, &mut Buffer) -> T) -> io::Result<T> {
        let area = Rect::new(0, 0, size.0, size.1);
        let all = self.unknown || self.shown.area != area;
        self.next.resize(area);
        self.next.reset();
        if all {
            self.shown.resize(area);
            self.shown.reset();
        }
        let drawn = render(area, &mut self.next);
        let mut bytes = frame(&self.shown, &self.next, all)?;
        if !bytes.is_empty() || self.caret != self.left {
            // Drawing moves the cursor, so it is out of sight meanwhile.
            let mut around = Vec::new();
            if self.left.is_some() {
                queue!(around, cursor::Hide)?;
            }
            around.append(&mut bytes);
            if let Some(caret) = self.caret {
                place(&mut around, caret)?;
            }
            bytes = around;
        }
        std::mem::swap(&mut self.shown, &mut self.next);
        // Until the whole frame is out, what the terminal shows is not known.
        self.unknown = true;
        if !bytes.is_empty() {
            let mut out = io::stdout().lock();
            out.write_all(&bytes)?;
            out.flush()?;
        }
        self.left = self.caret;
        self.unknown = false;
        Ok(drawn)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// The bytes that turn what is shown into the next frame, as one synchronized update. The end of the update is in the
/// same write as its beginning, so that no error between them can leave a terminal waiting.
pub(super) fn frame(shown: &Buffer, next: &Buffer, all: bool) -> io::Result<Vec<u8>> {
    let changes = shown.diff(next);
    if changes.is_empty() && !all {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(changes.len() * 4 + 64);
    queue!(bytes, BeginSynchronizedUpdate)?;
    if all {
        queue!(bytes, style::ResetColor, style::SetAttribute(style::Attribute::Reset), Clear(ClearType::All))?;
    }
    CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
    queue!(bytes, EndSynchronizedUpdate)?;
    Ok(bytes)
}

/// Shows the cursor at a place.
fn place(bytes: &mut Vec<u8>, caret: Caret) -> io::Result<()> {
    let shape = match caret.shape {
        CursorShape::Block => cursor::SetCursorStyle::SteadyBlock,
        CursorShape::Underline => cursor::SetCursorStyle::SteadyUnderScore,
        CursorShape::Beam => cursor::SetCursorStyle::SteadyBar,
    };
    SHAPED.store(true, Ordering::SeqCst);
    queue!(bytes, shape, cursor::MoveTo(caret.x, caret.y), cursor::Show)
}

/// Gives the terminal back as it was. Does nothing where it is not ours, so that every way out may call it. Errors have
/// nowhere to go: where the terminal is gone, there is nothing to give back.
fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    drop(execute!(
        out,
        EndSynchronizedUpdate,
        PopKeyboardEnhancementFlags,
        DisableBracketedPaste,
        style::ResetColor,
        style::SetAttribute(style::Attribute::Reset),
        LeaveAlternateScreen,
        cursor::Show
    ));
    drop(out.write_all(DISABLE_MOUSE));
    if SHAPED.swap(false, Ordering::SeqCst) {
        drop(queue!(out, cursor::SetCursorStyle::DefaultUserShape));
    }
    drop(out.write_all(RESTORE_TITLE).and_then(|()| out.flush()));
    drop(terminal::disable_raw_mode());
}
