//! The dashboard: one picture of a pipeline in a terminal, and keys that ask for verbs.
//!
//! A message changes the model (`update.rs`), a frame is drawn from the model alone (`view`), and only the loop
//! (`drive.rs`) and `terminal.rs` touch the world. The dashboard decides nothing, opens no file and owns no agent: it
//! shows what comes through [`Live`] and sends back what a person could have typed. Ending it ends nothing else.

mod answer;
mod attached;
mod drive;
mod hand_over;
mod highlight;
mod keymap;
mod keys;
mod message;
mod model;
mod notice;
mod overlay;
mod pace;
mod pages;
mod palette;
mod place;
mod questions;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod typed;
mod update;
mod view;
mod welcome;

use std::io;

use pipeline_commands::live::Live;

pub use attached::{Attachment, Left, attached, room};
pub use keymap::{BadKeys, Keymap};
pub use notice::{Channel, Notify};
pub use theme::{Depth, Ground, Theme};
pub use welcome::{Begin, Found, welcome};

use drive::Signals;
use terminal::Terminal;

/// How the dashboard behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Clicks and the wheel are used; the terminal's own selection of text then needs Shift.
    pub mouse: bool,
    /// What the terminal can show.
    pub theme: Theme,
    /// Which key does what.
    pub keys: Keymap,
    /// How the person is told that something waits.
    pub notify: Notify,
    /// Stops the whole process group as Ctrl-Z does at a shell (`SIGTSTP` to the group). The process that owns the
    /// signals gives it; without it Ctrl-Z does nothing.
    pub suspend: Option<fn() -> io::Result<()>>,
}

impl Default for Options {
    /// With the mouse, and with what the environment says of the terminal.
    fn default() -> Self {
        Self {
            mouse: true,
            theme: Theme::from_env(),
            keys: Keymap::default(),
            notify: Notify::default(),
            suspend: None,
        }
    }
}

/// Shows the pipeline until the user quits, a signal asks for the end, or the other side of `live` has ended.
///
/// # Errors
/// When the terminal cannot be used, or the supervisor behind `live` has ended.
pub async fn run(live: Live, options: Options) -> io::Result<()> {
    let signals = Signals::listen()?;
    let mut terminal = Terminal::enter(options.mouse)?;
    let result = drive::drive(&mut terminal, live, options, signals).await;
    // Given back before an error is printed.
    drop(terminal);
    result
}
