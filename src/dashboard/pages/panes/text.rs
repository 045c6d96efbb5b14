//! The text of what is selected or searched for in a pane, on its way to the clipboard.

use std::sync::Arc;

use pipeline_commands::live::PaneRequest;
use pipeline_lib::ids::AgentName;
use pipeline_lib::terminal::{Frame, Line, columns_of};
use pipeline_lib::view::screen::Tone;

use super::frame;
use crate::dashboard::message::Intent;
use crate::dashboard::model::Model;
use crate::dashboard::update::toast;

/// The longest text that is copied, in bytes: more is not taken by many terminals.
const COPY_BYTES_MAX: usize = 100_000;
/// How many lines may be printed between the question for a text and the answer.
const GROWTH_LINES_MAX: usize = 2_000;

/// What is to be copied once its text has come. Lines are named from the end, which goes on while the question is under way,
/// so more is asked for, and those that were in sight tell which of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct Copying {
    agent: AgentName,
    /// How many lines.
    count: usize,
    /// Which of them was the first in sight.
    from: usize,
    /// Those that were in sight.
    seen: Vec<String>,
}

/// The number of a row's line, from the oldest one that is kept. It stays while more is printed, until the oldest lines are
/// forgotten.
pub(super) fn line_at(frame: &Frame, row: usize) -> usize {
    frame.history.saturating_add(row).saturating_sub(frame.offset)
}

/// Copies lines by their numbers, both included: at once where all are in sight, else when their text has come.
pub(super) fn copy(model: &mut Model, agent: &AgentName, one: usize, other: usize) -> Vec<Intent> {
    let Some(frame) = frame(model, agent) else { return Vec::new() };
    let rows = frame.lines.len();
    let (first, last) = (one.min(other), one.max(other).min(frame.history.saturating_add(rows).saturating_sub(1)));
    let top = line_at(&frame, 0);
    let count = (last + 1).saturating_sub(first);
    let shown = first.max(top)..(last + 1).min(top.saturating_add(rows));
    let seen: Vec<String> = shown.clone().filter_map(|line| Some(text_of(frame.lines.get(line - top)?))).collect();
    if seen.len() == count {
        return put(model, &seen);
    }
    let above = |line: usize| frame.history.saturating_add(rows).saturating_sub(line + 1);
    let ask = PaneRequest::Text { from: above(first).saturating_add(GROWTH_LINES_MAX), to: above(last) };
    model.panes.copying = Some(Copying { agent: agent.clone(), count, from: shown.start - first, seen });
    vec![Intent::Pane(agent.clone(), ask)]
}

/// The text that was asked for has come.
pub(super) fn arrived(model: &mut Model, agent: &AgentName, lines: &[String]) -> Vec<Intent> {
    let Some(copying) = model.panes.copying.take_if(|copying| copying.agent == *agent) else { return Vec::new() };
    let Some(found) = copying.find(lines) else {
        toast(model, "what was selected has moved on; select it again".to_owned(), Tone::Attention);
        return Vec::new();
    };
    put(model, found)
}

impl Copying {
    /// The lines that are meant: those nearest to the end that agree with what was seen.
    fn find<'a>(&self, lines: &'a [String]) -> Option<&'a [String]> {
        let starts = 0..=lines.len().checked_sub(self.count)?;
        let agrees = |start: &usize| {
            let seen = lines.iter().skip(start + self.from);
            self.seen.iter().zip(seen).all(|(one, other)| one.trim_end() == other.trim_end())
        };
        // What has not grown since is at the end.
        let start = starts.rev().find(agrees)?;
        lines.get(start..start + self.count)
    }
}

/// Hands lines to the clipboard, and says so.
fn put(model: &mut Model, lines: &[String]) -> Vec<Intent> {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    copied(model, lines.join("\n"), lines.len())
}

/// Hands a text to the clipboard, and says so.
pub(super) fn copied(model: &mut Model, text: String, lines: usize) -> Vec<Intent> {
    let words = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
    if text.trim().is_empty() {
        toast(model, "there is nothing in it to copy".to_owned(), Tone::Attention);
        return Vec::new();
    }
    if text.len() > COPY_BYTES_MAX {
        toast(model, format!("{words} are more than a clipboard takes from a terminal"), Tone::Attention);
        return Vec::new();
    }
    toast(model, format!("copied {words}"), Tone::Good);
    vec![Intent::Copy(text)]
}

/// The text of a line, without the blanks at its end.
fn text_of(line: &Arc<Line>) -> String {
    line.text().trim_end().to_owned()
}

/// The text between two columns of a line, the second one not included.
pub(super) fn part_of(line: &Line, from: u16, to: u16) -> String {
    let mut column = 0;
    let mut part = String::new();
    for c in line.spans.iter().flat_map(|span| span.text.chars()) {
        let wide = columns_of(c);
        // What combines belongs to the character before it.
        let at = if wide == 0 { column.max(1) - 1 } else { column };
        if at >= usize::from(from) && at < usize::from(to) {
            part.push(c);
        }
        column += wide;
    }
    part
}

/// Where a text stands in a line, without regard to case: the first column of each place, and the one behind it.
pub(in crate::dashboard) fn matches(line: &Line, needle: &str) -> Vec<(u16, u16)> {
    let needle = needle.to_lowercase();
    if needle.is_empty() {
        return Vec::new();
    }
    // The line in lower case, and the columns of each of its bytes.
    let (mut text, mut places, mut column) = (String::new(), Vec::new(), 0_usize);
    for c in line.spans.iter().flat_map(|span| span.text.chars()) {
        let wide = columns_of(c);
        for lower in c.to_lowercase() {
            text.push(lower);
            places.extend(std::iter::repeat_n((column, column + wide), lower.len_utf8()));
        }
        column += wide;
    }
    let short = |column: usize| u16::try_from(column).unwrap_or(u16::MAX);
    let place = |(at, found): (usize, &str)| {
        let ((from, _), (_, to)) = (places.get(at)?, places.get(at + found.len() - 1)?);
        Some((short(*from), short(*to)))
    };
    text.match_indices(&needle).filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_the_columns_it_takes() {
        let line = Line::plain("漢字 Fail, e\u{301} fail");
        assert_eq!(matches(&line, "fail"), [(5, 9), (13, 17)]);
        assert_eq!(matches(&line, "字"), [(2, 4)]);
        assert_eq!(matches(&line, ""), []);
        assert_eq!(matches(&Line::plain("İi"), "i"), [(0, 1), (1, 2)], "a letter that is two in lower case");
    }

    #[test]
    fn a_part_of_a_line_has_whole_characters() {
        let line = Line::plain("a漢e\u{301}b");
        assert_eq!(part_of(&line, 0, 9), "a漢e\u{301}b");
        assert_eq!(part_of(&line, 1, 4), "漢e\u{301}");
        assert_eq!(part_of(&line, 4, 5), "b");
        assert_eq!(part_of(&line, 9, 20), "");
    }

    #[test]
    fn lines_are_found_though_more_was_printed_since() {
        let text = |range: std::ops::Range<usize>| range.map(|n| format!("line {n}")).collect::<Vec<_>>();
        let agent = AgentName::new("impl").expect("a name");
        // Lines 10 to 19 are meant, of which the last three were in sight.
        let copying = Copying { agent, count: 10, from: 7, seen: text(17..20) };
        assert_eq!(copying.find(&text(0..20)), Some(&text(10..20)[..]), "nothing was printed");
        assert_eq!(copying.find(&text(0..55)), Some(&text(10..20)[..]));
        assert_eq!(copying.find(&text(30..90)), None, "too much was printed");
        assert_eq!(copying.find(&text(15..20)), None, "the oldest are forgotten");
    }
}
