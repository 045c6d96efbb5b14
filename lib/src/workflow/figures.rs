//! Figures that a stage is measured by: read from what its command printed, or from a report that it left. Text goes in
//! and a number comes out; where the text is from is the caller's business.

use super::{Figure, Threshold};
use crate::text;

/// Reads a figure from the text it is in.
///
/// # Errors
/// Why there is none, as a fragment that follows the figure's name.
pub fn read(figure: &Figure, text: &str) -> Result<f64, String> {
    match figure {
        Figure::Output(label) => printed(label, text),
        Figure::Lcov(path) => lcov(text).map_err(|wrong| of_file(path, wrong)),
        Figure::Cobertura(path) => cobertura(text).map_err(|wrong| of_file(path, wrong)),
        Figure::Junit(path) => junit(text).map_err(|wrong| of_file(path, wrong)),
    }
}

fn of_file(path: &str, wrong: &str) -> String {
    let path = text::one_line(path, 80);
    format!("is unknown: {} {wrong}", if path.is_empty() { "the file" } else { &path })
}

/// What is said of a figure that is good enough.
///
/// # Errors
/// What is said of one that is not, or that could not be read.
pub fn judge(threshold: &Threshold, found: Result<f64, String>) -> Result<String, String> {
    let name = text::one_line(&threshold.name, 60);
    let value = found.map_err(|why| format!("{name} {why}"))?;
    let wanted = match (threshold.min, threshold.max) {
        (Some(min), Some(max)) => format!("at least {min} and at most {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => return Ok(format!("{name} is {}", short(value))),
    };
    let good = threshold.min.is_none_or(|min| value >= min) && threshold.max.is_none_or(|max| value <= max);
    if good {
        Ok(format!("{name} is {} ({wanted})", short(value)))
    } else {
        Err(format!("{name} is {}, and has to be {wanted}", short(value)))
    }
}

/// At most four digits behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// On the last line that has the label with a number behind it: the first percentage, else the first number.
fn printed(label: &str, printed: &str) -> Result<f64, String> {
    let wanted = label.to_lowercase();
    let shown = text::safe(printed, usize::MAX).to_lowercase();
    let of_line = |line: &str| {
        let (_, behind) = line.split_once(wanted.as_str())?;
        let numbers = numbers(behind);
        numbers.iter().find(|(_, percent)| *percent).or_else(|| numbers.first()).map(|(value, _)| *value)
    };
    shown.lines().rev().find_map(of_line).ok_or_else(|| {
        format!("is unknown: nothing that was printed has a number behind `{}`", text::one_line(label, 60))
    })
}

/// The numbers of a line, and whether each is a percentage. Digits in a word, such as `v2`, are none.
fn numbers(line: &str) -> Vec<(f64, bool)> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let signed = c == '-' && rest[1..].starts_with(|d: char| d.is_ascii_digit());
        if (c.is_ascii_digit() || signed) && !before.is_alphanumeric() && before != '_' && before != '.' {
            let digits = rest[1..].find(|d: char| !d.is_ascii_digit() && d != '.').map_or(rest.len(), |at| at + 1);
            let number = rest[..digits].trim_end_matches('.');
            let behind = &rest[number.len()..];
            if let Ok(value) = number.parse::<f64>()
                && !behind.starts_with(|d: char| d.is_alphabetic() || d == '_')
            {
                found.push((value, behind.trim_start().starts_with('%')));
            }
            before = '0';
            rest = &rest[digits..];
            continue;
        }
        before = c;
        rest = &rest[c.len_utf8()..];
    }
    found
}

/// Lines that were reached, in percent, of all files together.
fn lcov(report: &str) -> Result<f64, &'static str> {
    let sum = |key: &str| -> Option<f64> {
        let values: Vec<f64> =
            report.lines().filter_map(|line| line.trim().strip_prefix(key)?.parse::<f64>().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    };
    let (reached, all) = match (sum("LH:"), sum("LF:")) {
        (Some(reached), Some(all)) => (reached, all),
        _ => {
            let hits: Vec<&str> =
                report.lines().filter_map(|line| line.trim().strip_prefix("DA:")?.split(',').nth(1)).collect();
            let reached = hits.iter().filter(|hits| hits.trim() != "0").count();
            (reached as f64, hits.len() as f64)
        }
    };
    if all > 0.0 { Ok(reached / all * 100.0) } else { Err("is no LCOV report that names lines") }
}

/// The line rate of a Cobertura report, in percent.
fn cobertura(report: &str) -> Result<f64, &'static str> {
    let none = || "is no Cobertura report";
    let tags = tags(report).ok_or_else(none)?;
    let root = tags.iter().find(|tag| tag.name == "coverage" && !tag.closes).ok_or_else(none)?;
    let number = |name: &str| root.attribute(name)?.trim().parse::<f64>().ok();
    match (number("line-rate"), number("lines-covered"), number("lines-valid")) {
        (Some(rate), _, _) => Ok(rate * 100.0),
        (None, Some(covered), Some(valid)) if valid > 0.0 => Ok(covered / valid * 100.0),
        (None, _, _) => Err("is a Cobertura report without a line rate"),
    }
}

/// Tests that failed or could not be run.
fn junit(report: &str) -> Result<f64, &'static str> {
    let none = || "is no JUnit report";
    let tags = tags(report).ok_or_else(none)?;
    if !tags.iter().any(|tag| tag.name == "testsuite" || tag.name == "testsuites") {
        return Err(none());
    }
    let named = tags.iter().filter(|tag| !tag.closes && (tag.name == "failure" || tag.name == "error")).count() as f64;
    // Some writers only count.
    let count = |tag: &Tag<'_>| {
        let number = |name: &str| tag.attribute(name).and_then(|text| text.trim().parse::<f64>().ok());
        number("failures").unwrap_or(0.0) + number("errors").unwrap_or(0.0)
    };
    let total = |name: &str| tags.iter().filter(|tag| !tag.closes && tag.name == name).map(count).fold(0.0, f64::max);
    Ok(named.max(total("testsuites")).max(total("testsuite")))
}

/// A tag of an XML document.
struct Tag<'t> {
    name: &'t str,
    attributes: &'t str,
    closes: bool,
    /// It has nothing inside and needs no end.
    alone: bool,
}

impl<'t> Tag<'t> {
    fn attribute(&self, wanted: &str) -> Option<&'t str> {
        let mut rest = self.attributes;
        while let Some((name, behind)) = rest.split_once('=') {
            let behind = behind.trim_start();
            let quote = behind.chars().next().filter(|c| *c == '"' || *c == '\'')?;
            let (value, more) = behind[1..].split_once(quote)?;
            if name.trim() == wanted {
                return Some(value);
            }
            rest = more;
        }
        None
    }
}

/// The tags of a document that is whole: what opens first is closed. `None` of anything else.
fn tags(document: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags: Vec<Tag<'_>> = Vec::new();
    let mut rest = document;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"), ("<!", ">")];
        if let Some((open, close)) = skipped.iter().find(|(open, _)| rest.starts_with(open)) {
            rest = &rest[open.len()..];
            rest = &rest[rest.find(close)? + close.len()..];
            continue;
        }
        let end = end_of_tag(rest)?;
        let alone = rest[1..end].ends_with('/');
        let inside = rest[1..end].trim_end_matches('/');
        let (closes, inside) = inside.strip_prefix('/').map_or((false, inside), |inside| (true, inside));
        let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
        tags.push(Tag { name, attributes, closes, alone });
        rest = &rest[end + 1..];
    }
    let first = tags.first()?;
    let whole =
        (tags.len() == 1 && first.alone) || tags.last().is_some_and(|last| last.closes && last.name == first.name);
    whole.then_some(tags)
}

/// Where the tag at the start of a text ends; an angle bracket in quotes is part of a value.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quoted = None;
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            (None, '"' | '\'') => quoted = Some(c),
            (Some(quote), c) if c == quote => quoted = None,
            (None, '>') => return Some(at),
            (_, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn is<E: std::fmt::Debug>(found: Result<f64, E>, wanted: f64) {
        let found = found.unwrap();
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn a_number_is_found_behind_its_label() {
        for (label, output, wanted) in [
            ("coverage", "coverage: 85.3% of 200 lines\n", 85.3),
            ("TOTAL", "src/a.py   10   2  80%\nTOTAL   100   20   81%\n", 81.0),
            ("coverage", "coverage: 10%\nmore\n\x1b[32mCoverage\x1b[0m = 90 %\n", 90.0),
            ("failures", "3 passed, failures: 0.", 0.0),
            ("change", "change -2.5", -2.5),
            ("lib", "lib v2 took 7 s", 7.0),
            ("coverage", "coverage: 60%\ncoverage is good\n", 60.0),
        ] {
            is(printed(label, output), wanted);
        }
        for output in ["", "coverage", "coverage: n/a", "90 coverage", "coverage: v2"] {
            assert!(printed("coverage", output).is_err(), "{output}");
        }
    }

    #[test]
    fn an_lcov_file_is_summed_up() {
        is(lcov("SF:a\nDA:1,1\nLF:10\nLH:9\nend_of_record\nSF:b\nLF:30\nLH:15\nend_of_record\n"), 60.0);
        is(lcov("SF:a\nDA:1,1\nDA:2,0\nDA:3,4\nDA:4,2\n"), 75.0);
        let empty = read(&Figure::Lcov("out/lcov.info".to_owned()), "").unwrap_err();
        assert_eq!(empty, "is unknown: out/lcov.info is no LCOV report that names lines");
        assert!(lcov("LF:0\nLH:0\n").is_err());
    }

    #[test]
    fn a_cobertura_report_says_its_rate() {
        is(
            cobertura(
                "<?xml version=\"1.0\"?><!DOCTYPE coverage>\n<coverage branch-rate='0.1' line-rate='0.875'></coverage>",
            ),
            87.5,
        );
        is(cobertura("<coverage lines-covered=\"3\" lines-valid=\"4\"/>"), 75.0);
        for text in ["", "<html></html>", "<coverage line-rate=\"0.9\">", "<coverage></coverage>", "line-rate=\"1\""] {
            assert!(cobertura(text).is_err(), "{text}");
        }
    }

    #[test]
    fn failed_tests_are_counted() {
        let suite = "<testsuites><testsuite name=\"a>b\" tests='3'><testcase name='x'><failure message='<bad>'/>\
                     </testcase><testcase><error><![CDATA[<failure>]]></error></testcase><!-- <failure/> -->\
                     <testcase/></testsuite></testsuites>";
        is(junit(suite), 2.0);
        is(junit("<testsuite tests=\"4\" failures=\"1\" errors=\"2\"></testsuite>"), 3.0);
        is(junit("<testsuites failures=\"0\"><testsuite failures=\"0\"/></testsuites>"), 0.0);
        for text in ["", "all is well", "<testsuites><testsuite>", "<html></html>"] {
            assert!(junit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_figure_is_held_against_its_bounds() {
        let bounds =
            |min, max| Threshold { name: "coverage".to_owned(), from: Figure::Output(String::new()), min, max };
        assert_eq!(judge(&bounds(Some(80.0), None), Ok(80.0)).unwrap(), "coverage is 80 (at least 80)");
        assert_eq!(
            judge(&bounds(Some(80.0), None), Ok(79.999)).unwrap_err(),
            "coverage is 79.999, and has to be at least 80"
        );
        assert_eq!(judge(&bounds(None, Some(0.0)), Ok(2.0)).unwrap_err(), "coverage is 2, and has to be at most 0");
        assert!(judge(&bounds(Some(1.0), Some(2.0)), Ok(f64::NAN)).is_err(), "what is no number is not enough");
        assert_eq!(judge(&bounds(None, None), Err("is unknown".to_owned())).unwrap_err(), "coverage is unknown");
    }

    proptest! {
        #[test]
        fn no_report_is_too_odd(text in "[<>/a-z\"'= !\\-\\[\\]CDAT?%0-9.é]{0,60}") {
            for figure in [
                Figure::Output("a".to_owned()), Figure::Lcov(String::new()), Figure::Cobertura(String::new()),
                Figure::Junit(String::new()),
            ] {
                drop(read(&figure, &text));
            }
        }
    }
}
