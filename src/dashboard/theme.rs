//! Every colour and every sign of the dashboard. Unless a theme is asked for, the sixteen colours of the person's own palette
//! are used; the background is always left alone, and no colour says anything that a sign or a word does not say too.

use pipeline_lib::diff::Side;
use pipeline_lib::mode::Rollout;
use pipeline_lib::terminal::Colour;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::Tone;
use ratatui::style::{Color, Modifier, Style};

use super::highlight::Class;

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None, or the person wants none.
    Mono,
    /// The person's own sixteen.
    #[default]
    Sixteen,
    /// The palette of 256.
    Palette,
    /// Any.
    True,
}

/// What the colours are made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ground {
    /// Whatever the person's own palette is made for.
    #[default]
    Own,
    /// A dark background.
    Dark,
    /// A light background.
    Light,
}

/// What the terminal can show, and what it should show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Theme {
    /// How many colours there are.
    pub depth: Depth,
    /// What they are made for.
    pub ground: Ground,
    /// Only ASCII may be used for signs and lines.
    pub ascii: bool,
}

/// The parts that colours play, in the order of the tables below.
#[derive(Debug, Clone, Copy)]
enum Hue {
    Accent,
    Ready,
    Checking,
    Attention,
    Bad,
    Good,
}

/// The person's own palette, by part.
const OWN: [Color; 6] = [Color::Cyan, Color::Blue, Color::Magenta, Color::Yellow, Color::Red, Color::Green];
/// For a dark background: a contrast of at least 7 to 1 with black.
const DARK: [(u8, u8, u8); 6] =
    [(104, 200, 216), (134, 172, 255), (204, 154, 246), (240, 190, 90), (255, 128, 128), (134, 208, 128)];
/// For a light background: a contrast of at least 4.5 to 1 with white.
const LIGHT: [(u8, u8, u8); 6] =
    [(0, 110, 128), (32, 84, 190), (132, 52, 168), (146, 88, 0), (190, 24, 36), (24, 116, 44)];

impl Theme {
    /// What the environment asks for: `NO_COLOR`, `COLORTERM`, `TERM`, and a locale that is not UTF-8.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(set: impl Fn(&str) -> Option<String>) -> Self {
        let term = set("TERM").unwrap_or_default();
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let many = set("COLORTERM").is_some_and(|value| value == "truecolor" || value == "24bit");
        let depth = if set("NO_COLOR").is_some() || term == "dumb" {
            Depth::Mono
        } else if many || term.ends_with("-direct") {
            Depth::True
        } else if term.contains("256color") {
            Depth::Palette
        } else {
            Depth::Sixteen
        };
        let ascii = term == "dumb" || !(locale.contains("utf-8") || locale.contains("utf8"));
        Self { depth, ground: Ground::Own, ascii }
    }

    fn hue(self, hue: Hue) -> Style {
        let at = hue as usize;
        let (r, g, b) = match self.ground {
            _ if self.depth == Depth::Mono => return Style::new(),
            Ground::Own => return Style::new().fg(OWN[at]),
            _ if self.depth == Depth::Sixteen => return Style::new().fg(OWN[at]),
            Ground::Dark => DARK[at],
            Ground::Light => LIGHT[at],
        };
        self.colour(Colour::Rgb(r, g, b)).map_or_else(Style::new, |colour| Style::new().fg(colour))
    }

    /// The nearest that the terminal can show of a colour that somebody asked for; none for its default.
    pub(super) fn colour(self, colour: Colour) -> Option<Color> {
        match (colour, self.depth) {
            (Colour::Default, _) | (_, Depth::Mono) => None,
            (Colour::Rgb(r, g, b), Depth::True) => Some(Color::Rgb(r, g, b)),
            (Colour::Rgb(r, g, b), Depth::Palette) => Some(Color::Indexed(nearest(r, g, b))),
            (Colour::Rgb(r, g, b), Depth::Sixteen) => Some(Color::Indexed(basic(r, g, b))),
            (Colour::Indexed(index), Depth::Sixteen) if index > 15 => {
                let (r, g, b) = rgb(index);
                Some(Color::Indexed(basic(r, g, b)))
            }
            (Colour::Indexed(index), _) => Some(Color::Indexed(index)),
        }
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
        self.hue(Hue::Accent).add_modifier(Modifier::BOLD)
    }

    /// The line beside a panel's title.
    pub(super) fn rule(self, focused: bool) -> Style {
        if focused { self.hue(Hue::Accent) } else { self.dim() }
    }

    /// Laid over a selected row. It takes the colours away and reverses, which makes one calm bar on every palette and
    /// shows without colours too.
    pub(super) fn selected(self) -> Style {
        Style::new().fg(Color::Reset).add_modifier(Modifier::REVERSED).remove_modifier(Modifier::DIM | Modifier::BOLD)
    }

    /// What the keys do, where that is not what they usually do.
    pub(super) fn mode(self) -> Style {
        self.accent().add_modifier(Modifier::REVERSED)
    }

    /// Laid over text that was searched for.
    pub(super) fn found(self) -> Style {
        self.tone(Tone::Attention).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// The style of a tone.
    pub(super) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Waiting | Tone::Gone => self.dim(),
            Tone::Ready => self.hue(Hue::Ready),
            Tone::Active => self.hue(Hue::Accent),
            Tone::Checking => self.hue(Hue::Checking),
            Tone::Attention => self.hue(Hue::Attention).add_modifier(Modifier::BOLD),
            Tone::Bad => self.hue(Hue::Bad).add_modifier(Modifier::BOLD),
            Tone::Good => self.hue(Hue::Good),
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
            Rollout::Shadow => (self.pick("○", "."), self.hue(Hue::Ready).add_modifier(Modifier::BOLD)),
            Rollout::Pilot => (self.pick("◐", "o"), self.hue(Hue::Attention).add_modifier(Modifier::BOLD)),
            Rollout::Production => (self.pick("●", "*"), self.hue(Hue::Good).add_modifier(Modifier::BOLD)),
        }
    }

    /// The style of the sign of an added or removed line, and of a removed line itself.
    pub(super) fn side(self, side: Side) -> Style {
        match side {
            Side::Both => self.dim(),
            Side::Old => self.hue(Hue::Bad),
            Side::New => self.hue(Hue::Good),
        }
    }

    /// The style of a part of a line of code. Red and green are left to what was removed and added.
    pub(super) fn code(self, class: Class) -> Style {
        match class {
            Class::Plain => self.text(),
            Class::Keyword => self.hue(Hue::Checking),
            Class::Text => self.hue(Hue::Attention),
            Class::Value => self.hue(Hue::Accent),
            Class::Name => self.hue(Hue::Ready),
            Class::Comment => self.dim(),
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

/// The levels of the cube in the palette of 256.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The colour of a place in the palette of 256 beyond the sixteen: a cube of 216, then 24 greys.
fn rgb(index: u8) -> (u8, u8, u8) {
    if index >= 232 {
        let grey = 8 + (index - 232) * 10;
        return (grey, grey, grey);
    }
    let at = usize::from(index.saturating_sub(16));
    (LEVELS[at / 36], LEVELS[at / 6 % 6], LEVELS[at % 6])
}

/// The place in the palette of 256 that is nearest to a colour.
fn nearest(r: u8, g: u8, b: u8) -> u8 {
    (16..=255).min_by_key(|index| distance(rgb(*index), (r, g, b))).unwrap_or(7)
}

/// The one of the sixteen that says most of a colour: which parts of it are strong, and whether it is bright.
fn basic(r: u8, g: u8, b: u8) -> u8 {
    let most = r.max(g).max(b);
    let least = r.min(g).min(b);
    if most - least < 32 {
        return match most {
            0..64 => 0,
            64..144 => 8,
            144..216 => 7,
            _ => 15,
        };
    }
    let strong = |part: u8| u8::from(u16::from(part) * 2 > u16::from(most) + u16::from(least));
    let index = strong(r) | strong(g) << 1 | strong(b) << 2;
    if most > 192 { index + 8 } else { index }
}

fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let part = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    part(a.0, b.0) + part(a.1, b.1) + part(a.2, b.2)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Theme {
        Theme::read(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_says_how_many_colours_there_are() {
        for (set, depth) in [
            (&[("TERM", "xterm")][..], Depth::Sixteen),
            (&[("TERM", "xterm-256color")], Depth::Palette),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Depth::True),
            (&[("TERM", "xterm-direct")], Depth::True),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("NO_COLOR", "1")], Depth::Mono),
            (&[("TERM", "dumb")], Depth::Mono),
        ] {
            assert_eq!(read(set).depth, depth, "{set:?}");
        }
        assert!(read(&[("LANG", "C")]).ascii && !read(&[("LANG", "de_DE.UTF-8")]).ascii);
    }

    #[test]
    fn colours_become_the_nearest_there_is() {
        let shown = |depth, colour| Theme { depth, ..Theme::default() }.colour(colour);
        let red = Colour::Rgb(255, 10, 10);
        assert_eq!(shown(Depth::True, red), Some(Color::Rgb(255, 10, 10)));
        assert_eq!(shown(Depth::Palette, red), Some(Color::Indexed(196)));
        assert_eq!(shown(Depth::Sixteen, red), Some(Color::Indexed(9)));
        assert_eq!(shown(Depth::Sixteen, Colour::Indexed(22)), Some(Color::Indexed(2)));
        assert_eq!(shown(Depth::Sixteen, Colour::Indexed(3)), Some(Color::Indexed(3)));
        assert_eq!(shown(Depth::Mono, red), None);
        assert_eq!(shown(Depth::True, Colour::Default), None);
    }

    /// The contrast of two colours by WCAG 2.2.
    fn contrast(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let light = |(r, g, b)| 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) + 0.05;
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn every_colour_can_be_read_on_its_ground() {
        for colour in DARK {
            assert!(contrast(colour, (0, 0, 0)) >= 7.0 && contrast(colour, (40, 44, 52)) >= 4.5, "{colour:?}");
        }
        for colour in LIGHT {
            assert!(contrast(colour, (255, 255, 255)) >= 4.5, "{colour:?}");
        }
    }
}
