//! What is said of a text that is no JSON: what stands there, and what to write instead. The parser's own words are kept
//! where they are plain.

use std::sync::Arc;

use super::super::problem::{LocatedProblem, Place, SourceText};

/// What is wrong with a text.
pub(super) fn problem(source: &Arc<SourceText>, error: &serde_json::Error, what: &str) -> LocatedProblem {
    let at = source.offset(error.line(), error.column());
    let place = Place::File(Arc::clone(source), at..at + 1);
    let start = source.text.trim_start();
    if start.is_empty() {
        return LocatedProblem::new(&place, "this file is empty", Some(format!("{what} are JSON objects: {{ … }}.")));
    }
    if looks_like_yaml(start) {
        let at = source.text.len() - start.len();
        let place = Place::File(Arc::clone(source), at..at + 1);
        let hint = format!("{what} are JSON; convert this file, or begin with {{.");
        return LocatedProblem::new(&place, "this is YAML, which is not read", Some(hint));
    }
    // The library's text ends with the position, which is shown anyway.
    let text = error.to_string();
    let said = text.split(" at line ").next().unwrap_or_default();
    let there = source.text.get(at..).unwrap_or_default();
    if let Some((mark, message, hint)) = foreign(there) {
        let place = Place::File(Arc::clone(source), at..at + mark.len());
        return LocatedProblem::new(&place, message, Some(hint.to_owned()));
    }
    if error.is_eof() {
        let hint = match missing_end(&source.text) {
            Some(end) => format!("Add what is missing at its end, and then `{end}`."),
            None => "Close the text with a quotation mark.".to_owned(),
        };
        return LocatedProblem::new(&place, "the file ends too early", Some(hint));
    }
    let (message, hint) = match said {
        "trailing comma" => (said, "Remove the comma before the closing bracket."),
        "trailing characters" => (said, "Remove what stands behind the end."),
        "recursion limit exceeded" => ("lists and objects are nested too deeply", "Make it less than 128 deep."),
        "key must be a string" => ("a name has to stand in double quotes", "Write { \"id\": … }."),
        "expected `:`" => (said, "Write \"name\": value."),
        "invalid escape" => (said, "Write \\\\ for a backslash."),
        _ if said.starts_with("expected `,`") => (said, "Add a comma before this, or close the bracket."),
        _ if said.starts_with("control character") => {
            ("a text goes over the end of its line", "Write \\n for a line break, or close the text before it.")
        }
        _ => (said, "Texts stand in double quotes; else there are numbers, true, false, null, [ … ] and { … }."),
    };
    LocatedProblem::new(&place, message, Some(hint.to_owned()))
}

/// What people write that JSON does not have: the mark, what is said of it, and what to do.
fn foreign(there: &str) -> Option<(&'static str, &'static str, &'static str)> {
    const NO_COMMENTS: &str = "JSON has no comments";
    const DO: &str = "Remove them; what is to be said can stand in a \"description\".";
    let all = [
        ("//", NO_COMMENTS, DO),
        ("/*", NO_COMMENTS, DO),
        ("#", NO_COMMENTS, DO),
        ("...", "`...` is no JSON", "Write what it stands for, or remove it and the comma before it."),
        ("…", "`…` is no JSON", "Write what it stands for, or remove it and the comma before it."),
        ("'", "JSON has no single quotes", "Write \" instead."),
    ];
    all.into_iter().find(|(mark, _, _)| there.starts_with(mark))
}

/// The brackets that are open at the end, closed; `None` where a text is.
fn missing_end(text: &str) -> Option<String> {
    let mut open = Vec::new();
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ if inside => {}
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' => drop(open.pop()),
            _ => {}
        }
    }
    (!inside).then(|| open.into_iter().rev().collect())
}

/// Whether a text that is not JSON begins like YAML: a document mark, a comment, or a key without quotes.
fn looks_like_yaml(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let key = first.split_once(':').map(|(key, rest)| (key.trim_start_matches("- "), rest));
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_- ".contains(c));
    first.starts_with("---")
        || first.starts_with("%YAML")
        || first.starts_with("# ")
        || key.is_some_and(|(key, rest)| is_key(key) && (rest.is_empty() || rest.starts_with(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let source = SourceText::new("x.json".to_owned(), text.to_owned());
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        let problem = problem(&source, &error, "Workflows");
        format!("{}: {}", problem.message, problem.suggestion.unwrap_or_default())
    }

    #[test]
    fn every_slip_is_named_and_comes_with_what_to_do() {
        for (text, expected) in [
            ("{ \"id\": \"a\", // the name\n \"x\": 1 }", "JSON has no comments: Remove them"),
            ("{ \"id\": 1 /* one */ }", "JSON has no comments: Remove them"),
            ("{ \"stages\": [ ... ] }", "`...` is no JSON: Write what it stands for"),
            ("{ \"id\": \"a\", … }", "`…` is no JSON: Write what it stands for"),
            ("{ 'id': 1 }", "JSON has no single quotes: Write \""),
            ("{ id: 1 }", "a name has to stand in double quotes: Write { \"id\""),
            ("{ \"a\": [ { \"b\": 1,", "the file ends too early: Add what is missing at its end, and then `}]}`."),
            ("{ \"a\": \"b", "the file ends too early: Close the text"),
            ("{ \"a\": 1 \"b\": 2 }", "expected `,` or `}`: Add a comma"),
            ("{ \"a\": \"b\nc\" }", "a text goes over the end of its line: Write \\n"),
            ("{ \"a\": \"\\d\" }", "invalid escape: Write \\\\"),
            ("{} {}", "trailing characters: Remove"),
            ("{ \"a\": True }", "expected value: Texts stand in double quotes"),
        ] {
            assert!(said(text).starts_with(expected), "{text}: {}", said(text));
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(said(&deep).starts_with("lists and objects are nested too deeply"), "{}", said(&deep));
    }
}
