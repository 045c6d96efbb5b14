//! What a screen shows of an agent's state, by rules that stand in dated data files, one for each agent program.
//!
//! Text about prompts is not a prompt: agents write about permissions and spinners all day. So a rule looks only where the
//! program itself draws: at what stands between the last thing it wrote and its input line, or at the menu that has taken
//! the place of the input line. What matches no rule says nothing.

use std::sync::LazyLock;

use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use super::{Dialog, Doing};
use crate::agents::preset::Preset;
use crate::agents::reset;
use crate::agents::stream::{Failure, classify};

/// How many lines above the input line belong to the program's own drawing.
const STATUS_LINES: usize = 6;
/// How many lines a dialog may take.
const DIALOG_LINES: usize = 24;

/// What a screen shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the agent does, as far as a rule knows; none where none applies.
    pub doing: Option<Doing>,
    /// Whether the input line is there, so that something could be typed.
    pub composer: bool,
    /// The line that was decided by, made safe; empty where none was.
    pub line: String,
    /// The question of a dialog and its choices, made safe, for whoever answers it.
    pub choices: Vec<Choice>,
    /// Whether the number of a choice may only move the dialog's cursor to it, so that Enter is wanted as well.
    pub wants_enter: bool,
    /// Whether the choices are buttons in one line, of which the one that permits is chosen: Enter takes it, Escape refuses.
    pub buttons: bool,
    /// Since when the screen has not changed.
    pub unchanged_since: Timestamp,
}

/// One choice of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is typed for it.
    pub key: String,
    /// What it says.
    pub text: String,
    /// Whether it refuses.
    pub refuses: bool,
    /// Whether the dialog's cursor stands on it.
    pub chosen: bool,
}

/// The rules for one program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// When they were last compared with the real program, and with which version of it; or that they were not.
    pub dated: String,
    /// What an input line begins with, once the lines of its box are taken off.
    #[serde(default)]
    composer: Vec<String>,
    /// What the line below the input line contains, for a program whose input line has no sign of its own.
    #[serde(default)]
    footer: Vec<String>,
    /// The program writes one line below the other: only the last line can be its input line, and it works while it is not.
    #[serde(default)]
    line_by_line: bool,
    /// How many lines above the input line belong to the program's own drawing, where it is not the usual number.
    #[serde(default)]
    status_lines: Option<usize>,
    /// What a line that says that the agent works contains.
    #[serde(default)]
    working: Vec<String>,
    /// The same of one that says that it waits to ask its service again, and why.
    #[serde(default)]
    retrying: Vec<String>,
    /// What the program asks, and what kind of question that is.
    dialogs: Vec<DialogRule>,
    /// What a line that says that a limit is reached begins with, behind its sign.
    #[serde(default)]
    limit: Vec<String>,
    /// The same of a login that is lost.
    #[serde(default)]
    login: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialogRule {
    kind: Kind,
    /// Any of these stands in the dialog.
    any: Vec<String>,
    /// The dialog is one line with its answers in brackets instead of a menu.
    #[serde(default)]
    line: bool,
    /// The number of a choice may only move the cursor to it.
    #[serde(default)]
    wants_enter: bool,
    /// The answers are buttons, and the one that permits is chosen.
    #[serde(default)]
    buttons: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Permission,
    Question,
    Trust,
    Bypass,
    Login,
    Limit,
}

impl Kind {
    fn doing(self) -> Doing {
        match self {
            Self::Permission => Doing::Permission,
            Self::Question => Doing::Question,
            Self::Trust => Doing::Dialog(Dialog::Trust),
            Self::Bypass => Doing::Dialog(Dialog::Bypass),
            Self::Login => Doing::Dialog(Dialog::Login),
            Self::Limit => Doing::Dialog(Dialog::Limit),
        }
    }
}

static CLAUDE: LazyLock<Option<Rules>> = LazyLock::new(|| parse(include_str!("screens/claude.json")));
static CODEX: LazyLock<Option<Rules>> = LazyLock::new(|| parse(include_str!("screens/codex.json")));
static AIDER: LazyLock<Option<Rules>> = LazyLock::new(|| parse(include_str!("screens/aider.json")));
static GEMINI: LazyLock<Option<Rules>> = LazyLock::new(|| parse(include_str!("screens/gemini.json")));
static OPENCODE: LazyLock<Option<Rules>> = LazyLock::new(|| parse(include_str!("screens/opencode.json")));

fn parse(text: &str) -> Option<Rules> {
    serde_json::from_str(text).ok()
}

/// The rules for a program, where there are any.
#[must_use]
pub fn rules(preset: Preset) -> Option<&'static Rules> {
    match preset {
        Preset::Claude => CLAUDE.as_ref(),
        Preset::Codex => CODEX.as_ref(),
        Preset::Aider => AIDER.as_ref(),
        Preset::Gemini => GEMINI.as_ref(),
        Preset::Opencode => OPENCODE.as_ref(),
        Preset::Goose | Preset::Demo | Preset::Custom | Preset::Command => None,
    }
}

/// Reads a screen, top line first. Without rules nothing but the time of its last change is said.
#[must_use]
pub fn read(rules: Option<&Rules>, lines: &[String], unchanged_since: Timestamp, now: &Zoned) -> Reading {
    let nothing = Reading {
        doing: None,
        composer: false,
        line: String::new(),
        choices: Vec::new(),
        wants_enter: false,
        buttons: false,
        unchanged_since,
    };
    let Some(rules) = rules else { return nothing };
    let drawn: Vec<&String> = lines.iter().filter(|line| !inside(line).is_empty()).collect();
    let lines: Vec<&str> = drawn.iter().map(|line| inside(line)).collect();
    let composer = lines.iter().rposition(|line| is_composer(rules, line));
    // A menu below the input line, or without one, has taken its place.
    let bottom = &lines[composer.map_or(0, |at| at + 1)..];
    let bottom = &bottom[bottom.len().saturating_sub(DIALOG_LINES)..];
    let reading = |doing, line: &str| Reading {
        doing: Some(doing),
        composer: composer.is_some(),
        line: crate::text::one_line(line, 120),
        ..nothing.clone()
    };
    if let Some((rule, line)) = dialog(rules, bottom) {
        let doing = rule.map_or(Doing::Dialog(Dialog::Unknown), |rule| rule.kind.doing());
        let wants_enter = rule.is_some_and(|rule| rule.wants_enter);
        let buttons = rule.is_some_and(|rule| rule.buttons);
        return Reading { composer: false, choices: choices(bottom), wants_enter, buttons, ..reading(doing, line) };
    }
    let own = rules.status_lines.unwrap_or(STATUS_LINES);
    let last = &lines[lines.len().saturating_sub(own)..];
    if let Some(line) = last.iter().rev().find(|line| contains_signed(&rules.retrying, line)) {
        return reading(retrying(line, now), line);
    }
    if let (true, Some(line)) = (rules.line_by_line, bottom.last()) {
        return Reading { composer: false, ..reading(Doing::Working, line) };
    }
    let end = composer.map_or(lines.len(), |at| if rules.footer.is_empty() { at } else { at + 1 });
    let from = end.saturating_sub(own);
    let status = &lines[from..end];
    if let Some(line) = status.iter().rev().find(|line| contains_signed(&rules.working, line)) {
        return reading(Doing::Working, line);
    }
    // Where only a line below the input line is known, what the agent writes stands near it, but not behind a bar.
    let is_own = |at: usize| rules.footer.is_empty() || drawn[from + at].trim_start().starts_with('┃');
    let found = |known: &[String]| {
        let begins = |line: &str| known.iter().any(|begin| behind_sign(line).starts_with(begin.as_str()));
        status.iter().enumerate().rev().find(|(at, line)| begins(line) && is_own(*at)).map(|(_, line)| *line)
    };
    if let Some(line) = found(&rules.limit) {
        // When it ends may stand in another line of the same message.
        let until = reset::from_message(line, now).or_else(|| reset::from_message(&status.join(" "), now));
        return reading(Doing::RateLimited { until }, line);
    }
    if let Some(line) = found(&rules.login) {
        return reading(Doing::AuthFailed, line);
    }
    if composer.is_some() {
        return reading(Doing::TurnEnded, "");
    }
    nothing
}

/// What a program does that waits to ask its service again: `Rate limit reached … [retrying in 1h 59m attempt #1]`.
fn retrying(line: &str, now: &Zoned) -> Doing {
    // Something may move through its first words.
    let words: String = line.chars().map(|c| if c.is_ascii() { c } else { ' ' }).collect();
    match classify(&words.replace("retrying in", "try again in"), now) {
        Failure::RateLimited { until, .. } => Doing::RateLimited { until },
        Failure::Auth { .. } => Doing::AuthFailed,
        Failure::Unreachable { .. } | Failure::ContextFull { .. } | Failure::Refused { .. } | Failure::Other { .. } => {
            Doing::Working
        }
    }
}

/// A line without the lines of the box around it.
fn inside(line: &str) -> &str {
    line.trim_matches(|c: char| c.is_whitespace() || ('\u{2500}'..='\u{259f}').contains(&c))
}

/// A line without the sign before it, if there is one.
fn behind_sign(line: &str) -> &str {
    line.trim_start_matches(|c: char| !c.is_alphanumeric())
}

fn is_composer(rules: &Rules, line: &str) -> bool {
    let begins = rules.composer.iter().any(|begin| line == begin.trim_end() || line.starts_with(begin.as_str()));
    let footer = rules.footer.iter().any(|words| line.contains(words.as_str()));
    footer || (begins && item(line).is_none())
}

/// Whether a line contains one of these and something moves before it, as no quoted text has: it begins with a sign, and
/// stands where the program draws.
fn contains_signed(known: &[String], line: &str) -> bool {
    let signed = line
        .chars()
        .next()
        .is_some_and(|c| !c.is_alphanumeric() && !matches!(c, '"' | '\'' | '`' | '(' | '>' | '-' | '+' | '|'));
    signed && known.iter().any(|mark| line.contains(mark.as_str()))
}

/// The dialog that has taken the place of the input line. A menu without a known question is a dialog too.
fn dialog<'r, 'a>(rules: &'r Rules, bottom: &[&'a str]) -> Option<(Option<&'r DialogRule>, &'a str)> {
    let last = bottom.last().copied().unwrap_or_default();
    let menu = bottom.iter().filter_map(|line| item(line)).collect::<Vec<_>>();
    let is_menu = menu.iter().any(|item| item.chosen) && menu.len() >= 2;
    for rule in &rules.dialogs {
        if rule.line {
            if rule.any.iter().any(|text| last.contains(text.as_str())) {
                return Some((Some(rule), last));
            }
        } else if is_menu
            && let Some(line) = bottom.iter().find(|line| rule.any.iter().any(|text| line.contains(text.as_str())))
        {
            return Some((Some(rule), line));
        }
    }
    is_menu.then_some((None, last))
}

/// An entry of a menu: `❯ 1. Yes`.
struct Item<'a> {
    chosen: bool,
    number: &'a str,
    text: &'a str,
}

fn item(line: &str) -> Option<Item<'_>> {
    const CURSORS: [char; 5] = ['❯', '›', '●', '>', '▶'];
    let chosen = line.starts_with(CURSORS);
    let rest = line.trim_start_matches(CURSORS).trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let text = rest.strip_prefix(['.', ')'])?.strip_prefix(' ')?;
    (!number.is_empty() && number.len() <= 2).then_some(Item { chosen, number, text })
}

fn choices(bottom: &[&str]) -> Vec<Choice> {
    let refuses = |text: &str| {
        ["No", "Reject", "Deny", "Cancel", "Don't", "Quit", "Back", "Stop"].iter().any(|word| text.starts_with(word))
    };
    // Another list may stand above.
    let first = bottom.iter().rposition(|line| item(line).is_some_and(|item| item.number == "1")).unwrap_or(0);
    bottom[first..]
        .iter()
        .filter_map(|line| item(line))
        .map(|item| Choice {
            key: item.number.to_owned(),
            text: crate::text::one_line(item.text, 80),
            refuses: refuses(item.text),
            chosen: item.chosen,
        })
        .collect()
}
