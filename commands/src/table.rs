//! Aligned columns and relative times for people. Knows no data and no colours.

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use pipeline_lib::metrics::seconds_between;

/// Lays rows out in columns, two spaces apart; the last column keeps its length.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| visible_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if column + 1 < row.len() {
                    line.push_str(&" ".repeat(widths[column].saturating_sub(visible_width(cell)) + 2));
                }
            }
            line.trim_end().to_owned()
        })
        .collect()
}

/// The columns a text takes on a terminal, colour sequences left out.
fn visible_width(text: &str) -> usize {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.width()
}

/// How long ago something was, in its largest unit: `8s`, `3m`, `2h`, `5d`.
#[must_use]
pub fn age(since: Timestamp, now: Timestamp) -> String {
    short_seconds(seconds_between(since, now))
}

/// A length of time in its largest unit.
#[must_use]
pub fn short_seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text cut to a number of columns, with an ellipsis where something is missing.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + c.to_string().width() + 1 > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_what_is_seen() {
        let rows =
            [vec!["\u{1b}[32mab\u{1b}[0m".to_owned(), "x".to_owned()], vec!["漢字漢".to_owned(), "y".to_owned()]];
        assert_eq!(columns(&rows), ["\u{1b}[32mab\u{1b}[0m      x", "漢字漢  y"]);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(
            (cut("abcdef", 4).as_str(), cut("abc", 3).as_str(), cut("漢字漢", 4).as_str()),
            ("abc…", "abc", "漢…")
        );
    }
}
