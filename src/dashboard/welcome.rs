//! The screen before there is a pipeline: what was found here, what to mend and how, and the two ways to begin. Starts
//! nothing itself.

use std::io;

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::StreamExt as _;
use jiff::Timestamp;
use pipeline_lib::mode::Rollout;
use pipeline_lib::view::screen::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::drive::Signals;
use super::terminal::Terminal;
use super::theme::Theme;
use super::view::paint::{Painter, wrap};
use super::view::{COLUMNS_MIN, ROWS_MIN};

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
    /// With a pipeline of their own, in this rollout mode.
    Init(Rollout),
    /// With the demonstration.
    Demo,
    /// Not now.
    Leave,
}

/// The ways to start a pipeline, the most careful first.
const STARTS: [(Rollout, &str); 3] = [
    (Rollout::Shadow, "plan and show, start nothing; best at first"),
    (Rollout::Pilot, "work only on the tasks that you list"),
    (Rollout::Production, "work on every task"),
];

/// What a person looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Looking {
    /// The question how it should start is open, and this row is chosen.
    starting: Option<usize>,
    /// The first line of the doctor that is shown.
    top: usize,
}

/// What an event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Look(Looking),
    Suspend,
    Begin(Begin),
}

/// Shows what was found until the person has chosen. `suspend` stops the process as the shell does.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn welcome(found: &Found, theme: Theme, suspend: fn() -> io::Result<()>) -> io::Result<Begin> {
    let mut signals = Signals::listen()?;
    let mut terminal = Terminal::enter(false)?;
    let mut events = EventStream::new();
    let mut looking = Looking::default();
    loop {
        terminal.draw(Terminal::size()?, |area, buffer| render(found, looking, theme, area, buffer))?;
        let event = tokio::select! {
            event = events.next() => event,
            over = signals.next_asks_for_the_end() => {
                if over {
                    return Ok(Begin::Leave);
                }
                terminal.enter_again()?;
                continue;
            }
        };
        let Some(event) = event.transpose()? else { return Ok(Begin::Leave) };
        match after(&event, looking, found) {
            Next::Look(next) => looking = next,
            Next::Begin(begin) => return Ok(begin),
            Next::Suspend => {
                terminal.leave();
                let stopped = suspend();
                terminal.enter_again()?;
                stopped?;
            }
        }
    }
}

/// What an event leads to.
fn after(event: &Event, looking: Looking, found: &Found) -> Next {
    let Event::Key(key) = event else { return Next::Look(looking) };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => Next::Look(looking),
        KeyCode::Char('c') if control => Next::Begin(Begin::Leave),
        KeyCode::Char('z') if control => Next::Suspend,
        _ => match looking.starting {
            Some(row) => starting(key.code, row, looking),
            None => beginning(key.code, looking, found),
        },
    }
}

fn beginning(code: KeyCode, looking: Looking, found: &Found) -> Next {
    let to = |top: usize| Next::Look(Looking { top: top.min(found.doctor.len().saturating_sub(1)), ..looking });
    match code {
        KeyCode::Char('i') if found.repository => Next::Look(Looking { starting: Some(0), ..looking }),
        KeyCode::Char('d') => Next::Begin(Begin::Demo),
        KeyCode::Char('q') | KeyCode::Esc => Next::Begin(Begin::Leave),
        KeyCode::Char('j') | KeyCode::Down => to(looking.top + 1),
        KeyCode::Char('k') | KeyCode::Up => to(looking.top.saturating_sub(1)),
        KeyCode::Char(' ') | KeyCode::PageDown => to(looking.top + 5),
        KeyCode::PageUp => to(looking.top.saturating_sub(5)),
        _ => Next::Look(looking),
    }
}

fn starting(code: KeyCode, row: usize, looking: Looking) -> Next {
    let choose = |row: usize| Next::Look(Looking { starting: Some(row.min(STARTS.len() - 1)), ..looking });
    match code {
        KeyCode::Enter => STARTS.get(row).map_or(Next::Look(looking), |(start, _)| Next::Begin(Begin::Init(*start))),
        KeyCode::Char(c @ '1'..='3') => choose(c as usize - '1' as usize),
        KeyCode::Char('j') | KeyCode::Down => choose(row + 1),
        KeyCode::Char('k') | KeyCode::Up => choose(row.saturating_sub(1)),
        KeyCode::Char('q') | KeyCode::Esc => Next::Look(Looking { starting: None, ..looking }),
        _ => Next::Look(looking),
    }
}

/// Draws the screen.
fn render(found: &Found, looking: Looking, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut painter = Painter::new(buffer, theme, Timestamp::UNIX_EPOCH);
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let lines = [
            format!("pipeline needs {COLUMNS_MIN} x {ROWS_MIN}"),
            format!("this is {} x {}", area.width, area.height),
            "q leaves".to_owned(),
        ];
        for (y, line) in (area.y..area.bottom()).zip(&lines) {
            painter.text(area.x, y, area.width, line, if y == area.y { theme.strong() } else { theme.dim() });
        }
        return;
    }
    let width = area.width.min(92);
    let x = area.x + (area.width - width) / 2;
    let doctor = doctor_lines(found, theme, width.saturating_sub(5));
    let head = head_lines(found, looking, theme);
    // Where rows are few none is left empty.
    let roomy = usize::from(area.height) >= head.len() + 5 + doctor.len().min(4);
    let rows = to_rows(head.len() + 4 + doctor.len());
    let mut y = area.y + if roomy { area.height.saturating_sub(rows) / 3 } else { 0 };
    for parts in head.iter().filter(|parts| roomy || !parts.is_empty()) {
        let parts: Vec<(&str, Style)> = parts.iter().map(|(text, style)| (text.as_str(), *style)).collect();
        painter.parts(x + 1, y, width.saturating_sub(2), &parts);
        y += 1;
    }
    let y = y + u16::from(roomy);
    // The last line is for what scrolls.
    let room = usize::from(area.bottom().saturating_sub(y + 1));
    let top = looking.top.min(doctor.len().saturating_sub(room));
    let end = if doctor.len() > room {
        format!("j k  {}-{} of {}", top + 1, (top + room).min(doctor.len()), doctor.len())
    } else {
        String::new()
    };
    painter.rule(Rect { x, y, width, height: 1 }, "Doctor", "", &end, false);
    for (y, (sign, tone, line)) in (y + 1..area.bottom()).zip(doctor.iter().skip(top)) {
        painter.text(x + 1, y, 1, sign, tone.map_or(theme.text(), |tone| theme.tone(tone)));
        let style = if *tone == Some(Tone::Good) { theme.dim() } else { theme.text() };
        painter.text(x + 3, y, width.saturating_sub(4), line, style);
    }
}

fn to_rows(rows: usize) -> u16 {
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// What the program is, what is missing, and what the keys do.
fn head_lines(found: &Found, looking: Looking, theme: Theme) -> Vec<Vec<(String, Style)>> {
    let (text, dim, strong, accent) = (theme.text(), theme.dim(), theme.strong(), theme.accent());
    let own = |text: &str, style| (text.to_owned(), style);
    let mut lines = vec![
        vec![own("pipeline", accent), own("   a supervisor for teams of coding agents", dim)],
        Vec::new(),
        vec![own(&found.place, strong)],
        Vec::new(),
    ];
    match looking.starting {
        None => {
            if found.repository {
                lines.push(vec![own(" i ", accent), own("init   create one here; it asks how to start", text)]);
            }
            let demo = "demo   watch one at work in a scratch repository; no model is needed";
            lines.push(vec![own(" d ", accent), own(demo, text)]);
            lines.push(vec![own(" q ", accent), own("leave", text)]);
        }
        Some(chosen) => {
            lines.push(vec![own("How should it start?", text), own("   enter creates it, esc goes back", dim)]);
            for (at, (start, about)) in STARTS.iter().enumerate() {
                let is = at == chosen;
                let sign = if is { theme.pick("›", ">") } else { " " };
                let word = format!("{:<11}", start.word());
                let style = if is { strong } else { text };
                let number = format!("{sign}{} ", at + 1);
                lines.push(vec![own(&number, accent), own(&word, style), own(about, dim)]);
            }
        }
    }
    lines
}

/// What the doctor says, broken into lines, with a sign before the first of each.
fn doctor_lines(found: &Found, theme: Theme, width: u16) -> Vec<(&'static str, Option<Tone>, String)> {
    let mut lines = Vec::new();
    for words in &found.doctor {
        let tone = match words.split_whitespace().next() {
            Some("ok") => Some(Tone::Good),
            Some("warning") => Some(Tone::Attention),
            Some("problem") => Some(Tone::Bad),
            _ => None,
        };
        for (at, part) in wrap(words, width).into_iter().enumerate() {
            let sign = tone.filter(|_| at == 0).map_or(" ", |tone| theme.sign(tone));
            lines.push((sign, tone, part));
        }
    }
    lines
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
            "warning  tmux         it is not installed, and some agents may ask for it",
        ];
        let place = "There is no pipeline in shop yet.".to_owned();
        Found { place, repository, doctor: doctor.map(str::to_owned).to_vec() }
    }

    fn shown(found: &Found, looking: Looking, (width, height): (u16, u16)) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        render(found, looking, Theme::default(), area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect::<Vec<_>>().join("\n")
    }

    fn key(code: KeyCode) -> Event {
        Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn it_says_what_to_mend_and_how_to_begin() {
        let looking = Looking::default();
        insta::assert_snapshot!(shown(&found(true), looking, (80, 24)));
        assert!(!shown(&found(false), looking, (80, 24)).contains("init  "), "there is nothing to create one in");
        for size in [(40, 12), (10, 3), (1, 1), (0, 0)] {
            shown(&found(true), looking, size);
        }
        assert!(
            shown(&found(true), looking, (30, 10)).starts_with("pipeline needs 40 x 12\nthis is 30 x 10\nq leaves")
        );
    }

    #[test]
    fn on_a_small_screen_all_that_the_doctor_says_can_be_reached() {
        let first = shown(&found(true), Looking::default(), (40, 12));
        assert!(first.contains(" i init") && first.contains(" q leave") && first.contains("1-6 of 7"), "{first}");
        let last = shown(&found(true), Looking { top: 9, ..Looking::default() }, (40, 12));
        assert!(last.contains("2-7 of 7") && last.contains("for it"), "{last}");
    }

    #[test]
    fn one_key_begins_and_the_question_is_asked_here() {
        let there = found(true);
        let after = |code, looking| after(&key(code), looking, &there);
        let plain = Looking::default();
        let asking = |row| Looking { starting: Some(row), ..plain };
        assert_eq!(after(KeyCode::Char('i'), plain), Next::Look(asking(0)));
        assert_eq!(after(KeyCode::Enter, asking(0)), Next::Begin(Begin::Init(Rollout::Shadow)));
        assert_eq!(after(KeyCode::Char('3'), asking(0)), Next::Look(asking(2)));
        assert_eq!(after(KeyCode::Enter, asking(2)), Next::Begin(Begin::Init(Rollout::Production)));
        assert_eq!(after(KeyCode::Esc, asking(1)), Next::Look(plain));
        assert_eq!(after(KeyCode::Char('d'), plain), Next::Begin(Begin::Demo));
        assert_eq!(after(KeyCode::Char('q'), plain), Next::Begin(Begin::Leave));
        assert_eq!(after(KeyCode::Char('x'), plain), Next::Look(plain));
        assert_eq!(super::after(&key(KeyCode::Char('i')), plain, &found(false)), Next::Look(plain));
        let stop = Event::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL));
        assert_eq!(super::after(&stop, plain, &there), Next::Suspend);
        insta::assert_snapshot!("how_to_start", shown(&there, asking(1), (80, 24)));
        let small = shown(&there, asking(1), (40, 12));
        assert!(small.contains("3 production"), "{small}");
    }
}
