//! The screen before there is a pipeline: what was found here, what to mend and how, and the two ways to begin. Starts
//! nothing itself.

use std::io;

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::StreamExt as _;
use jiff::Timestamp;
use pipeline_lib::view::screen::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::drive::Signals;
use super::terminal::Terminal;
use super::theme::Theme;
use super::view::paint::{Painter, wrap};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where there is no pipeline yet, in a sentence.
    pub place: String,
    /// Whether one can be created here.
    pub repository: bool,
    /// What `doctor` says, line by line.
    pub doctor: Vec<String>,
}

/// How a person wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With a pipeline of their own.
    Init,
    /// With the demonstration.
    Demo,
    /// Not now.
    Leave,
}

/// Shows what was found until the person has chosen.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn welcome(found: &Found, theme: Theme) -> io::Result<Begin> {
    let mut signals = Signals::listen()?;
    let mut terminal = Terminal::enter(false)?;
    let mut events = EventStream::new();
    loop {
        terminal.draw(Terminal::size()?, |area, buffer| render(found, theme, area, buffer))?;
        let event = tokio::select! {
            event = events.next() => event,
            () = signals.end() => None,
        };
        let Some(event) = event.transpose()? else { return Ok(Begin::Leave) };
        if let Some(begin) = choice(&event, found.repository) {
            return Ok(begin);
        }
    }
}

/// What an event chooses.
fn choice(event: &Event, repository: bool) -> Option<Begin> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Begin::Leave),
        KeyCode::Char('i') if repository => Some(Begin::Init),
        KeyCode::Char('d') => Some(Begin::Demo),
        KeyCode::Char('q') | KeyCode::Esc => Some(Begin::Leave),
        _ => None,
    }
}

/// Draws the screen.
fn render(found: &Found, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut painter = Painter::new(buffer, theme, Timestamp::UNIX_EPOCH);
    let width = area.width.min(92);
    let x = area.x + (area.width - width) / 2;
    let rows = 11 + u16::try_from(found.doctor.len()).unwrap_or(u16::MAX - 11);
    let mut y = area.y + area.height.saturating_sub(rows) / 3;
    let mut line = |painter: &mut Painter<'_>, parts: &[(&str, Style)]| {
        painter.parts(x + 1, y, width.saturating_sub(2), parts);
        y += 1;
    };
    let (text, dim, strong, accent) = (theme.text(), theme.dim(), theme.strong(), theme.accent());
    line(&mut painter, &[("pipeline", accent), ("   a supervisor for teams of coding agents", dim)]);
    line(&mut painter, &[]);
    line(&mut painter, &[(&found.place, strong)]);
    line(&mut painter, &[]);
    if found.repository {
        line(
            &mut painter,
            &[(" i ", accent), ("init   create one here; it begins in shadow mode and starts nothing", text)],
        );
    }
    line(
        &mut painter,
        &[(" d ", accent), ("demo   watch one at work in a scratch repository; no model is needed", text)],
    );
    line(&mut painter, &[(" q ", accent), ("leave", text)]);
    line(&mut painter, &[]);
    let top = y;
    painter.rule(Rect { x, y: top, width, height: 1 }, "Doctor", "", "", false);
    y = top + 1;
    for words in &found.doctor {
        let tone = match words.split_whitespace().next() {
            Some("ok") => Some(Tone::Good),
            Some("warning") => Some(Tone::Attention),
            Some("problem") => Some(Tone::Bad),
            _ => None,
        };
        let (sign, style) = tone.map_or((" ", theme.text()), |tone| (theme.sign(tone), theme.tone(tone)));
        for (at, part) in wrap(words, width.saturating_sub(5)).iter().enumerate() {
            painter.text(x + 1, y, 1, if at == 0 { sign } else { " " }, style);
            painter.text(
                x + 3,
                y,
                width.saturating_sub(4),
                part,
                if tone == Some(Tone::Good) { theme.dim() } else { theme.text() },
            );
            y += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    fn found(repository: bool) -> Found {
        let doctor = [
            "ok       git          2.47.3",
            "problem  pipeline     there is no pipeline in this repository yet",
            "                      → pipeline init",
            "warning  config       there is no agent",
        ];
        let place = "There is no pipeline in shop yet.".to_owned();
        Found { place, repository, doctor: doctor.map(str::to_owned).to_vec() }
    }

    fn shown(found: &Found, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        render(found, Theme::default(), area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_says_what_to_mend_and_how_to_begin() {
        insta::assert_snapshot!(shown(&found(true), 80, 24));
        assert!(!shown(&found(false), 80, 24).contains("init  "), "there is nothing to create one in");
        for (width, height) in [(40, 12), (10, 3), (1, 1), (0, 0)] {
            shown(&found(true), width, height);
        }
    }

    #[test]
    fn one_key_begins() {
        let key = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        assert_eq!(choice(&key('i'), true), Some(Begin::Init));
        assert_eq!(choice(&key('i'), false), None);
        assert_eq!(choice(&key('d'), false), Some(Begin::Demo));
        assert_eq!(choice(&key('q'), true), Some(Begin::Leave));
        assert_eq!(choice(&key('x'), true), None);
        assert_eq!(choice(&Event::Resize(1, 1), true), None);
    }
}
