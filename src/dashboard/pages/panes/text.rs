//! The text of what is selected or searched for in a pane, on its way to the clipboard.

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
/// The number of a row's line, from the first one that was ever printed. It stays whatever is printed behind it.
pub(super) fn line_at(frame: &Frame, row: usize) -> u64 {
    frame.scrolled.saturating_add(row as u64).saturating_sub(frame.offset as u64)
}

/// Copies lines by their numbers, both included: at once where all are in sight, else when their text has come.
pub(super) fn copy(model: &mut Model, agent: &AgentName, first: u64, last: u64) -> Vec<Intent> {
    let Some(frame) = frame(model, agent) else { return Vec::new() };
    let rows = 0..frame.lines.len();
    let is_meant = |row: &usize| (first..=last).contains(&line_at(&frame, *row));
    let seen: Vec<String> = rows.filter(is_meant).filter_map(|row| Some(frame.lines.get(row)?.text())).collect();
    if seen.len() as u64 == (last - first).saturating_add(1) {
        return put(model, &seen);
    }
    let end = frame.scrolled.saturating_add(frame.lines.len() as u64);
    let above = |line: u64| usize::try_from(end.saturating_sub(line.saturating_add(1))).unwrap_or(usize::MAX);
    let ask = PaneRequest::Text { from: above(first), to: above(last), at: Some(frame.scrolled) };
    model.panes.copying = Some(agent.clone());
    vec![Intent::Pane(agent.clone(), ask)]
}

/// The text that was asked for has come.
pub(super) fn arrived(model: &mut Model, agent: &AgentName, lines: &[String]) -> Vec<Intent> {
    match model.panes.copying.take_if(|copying| copying == agent) {
        Some(_) => put(model, lines),
        None => Vec::new(),
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
}
