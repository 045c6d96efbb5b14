//! Every colour and every sign of the dashboard. The sixteen colours of the user's own palette are used and the
//! background is left alone; no colour says anything that a sign or a word does not say too.

use pipeline_lib::mode::Rollout;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::Tone;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colours may be used.
    pub colour: bool,
    /// Only ASCII may be used for signs and lines.
    pub ascii: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { colour: true, ascii: false }
    }
}

impl Theme {
    /// What the environment asks for: `NO_COLOR`, `TERM=dumb`, and a locale that is not UTF-8.
    #[must_use]
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            colour: set("NO_COLOR").is_none() && !dumb,
            ascii: dumb || !(locale.contains("utf-8") || locale.contains("utf8")),
        }
    }

    fn fg(self, color: Color) -> Style {
        if self.colour { Style::new().fg(color) } else { Style::new() }
    }

    /// Ordinary text.
    pub(super) fn text(self) -> Style {
        Style::new()
    }

    /// What is worth reading second.
    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is worth reading first.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The panel that has the keys, and the keys themselves.
    pub(super) fn accent(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The line beside a panel's title.
    pub(super) fn rule(self, focused: bool) -> Style {
        if focused { self.fg(Color::Cyan) } else { self.dim() }
    }

    /// Laid over a selected row. It takes the colours away and reverses, which makes one calm bar on every palette and
    /// shows without colours too.
    pub(super) fn selected(self) -> Style {
        Style::new().fg(Color::Reset).add_modifier(Modifier::REVERSED).remove_modifier(Modifier::DIM | Modifier::BOLD)
    }

    /// The style of a tone.
    pub(super) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Waiting | Tone::Gone => self.dim(),
            Tone::Ready => self.fg(Color::Blue),
            Tone::Active => self.fg(Color::Cyan),
            Tone::Checking => self.fg(Color::Magenta),
            Tone::Attention => self.fg(Color::Yellow).add_modifier(Modifier::BOLD),
            Tone::Bad => self.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Good => self.fg(Color::Green),
        }
    }

    /// The sign of a tone, one column wide.
    pub(super) fn sign(self, tone: Tone) -> &'static str {
        let (sign, ascii) = match tone {
            Tone::Waiting => ("○", "."),
            Tone::Ready => ("◔", "o"),
            Tone::Active => ("●", "*"),
            Tone::Checking => ("◆", "+"),
            Tone::Attention => ("!", "!"),
            Tone::Bad => ("✗", "x"),
            Tone::Good => ("✓", "v"),
            Tone::Gone => ("–", "-"),
        };
        self.pick(sign, ascii)
    }

    /// The sign and style of a rollout mode.
    pub(super) fn rollout(self, rollout: Rollout) -> (&'static str, Style) {
        match rollout {
            Rollout::Shadow => (self.pick("○", "."), self.fg(Color::Blue).add_modifier(Modifier::BOLD)),
            Rollout::Pilot => (self.pick("◐", "o"), self.fg(Color::Yellow).add_modifier(Modifier::BOLD)),
            Rollout::Production => (self.pick("●", "*"), self.fg(Color::Green).add_modifier(Modifier::BOLD)),
        }
    }

    /// One of two forms, by what the terminal can show.
    pub(super) fn pick(self, sign: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { sign }
    }

    /// What marks text that was cut.
    pub(super) fn ellipsis(self) -> &'static str {
        self.pick("…", "~")
    }

    /// What stands between two facts of one line.
    pub(super) fn dot(self) -> &'static str {
        self.pick(" · ", " - ")
    }
}

/// What kind of state an agent's status is.
pub(super) fn status_tone(status: AgentStatus) -> Tone {
    match status {
        AgentStatus::Idle => Tone::Waiting,
        AgentStatus::Starting => Tone::Ready,
        AgentStatus::Working => Tone::Active,
        AgentStatus::Verifying => Tone::Checking,
        AgentStatus::Waiting | AgentStatus::Stuck | AgentStatus::RateLimited | AgentStatus::Unknown => Tone::Attention,
        AgentStatus::Crashed => Tone::Bad,
        AgentStatus::Stopped => Tone::Gone,
    }
}
