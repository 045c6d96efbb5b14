//! The block with which a text asks for a workflow: `[PIPELINE-EXECUTE] { … } [/PIPELINE-EXECUTE]`. It is only read here.
//! Whether it is a command or a proposal depends on who wrote it, and whether the directory is a good one is the caller's
//! to say.

use serde_json::{Map, Value};

/// What stands before the JSON object.
pub const OPEN: &str = "[PIPELINE-EXECUTE]";
/// What stands behind it.
pub const CLOSE: &str = "[/PIPELINE-EXECUTE]";

const WORKFLOW: &str = "pipelineName";
const PROMPT: &str = "userPrompt";
const DIRECTORY: &str = "workingDirectory";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute {
    /// The name of the workflow, as it was written.
    pub workflow: String,
    /// What is asked for in words; empty where nothing was said.
    pub prompt: String,
    /// Where it should work, where that was said.
    pub directory: Option<String>,
}

/// Why a text asks for nothing that could be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// More than one block.
    #[error("there are several {OPEN} blocks; one at a time can be started")]
    Several,
    /// A block without an end.
    #[error("the {OPEN} block has no {CLOSE} behind it")]
    Unclosed,
    /// What stands in it is no object.
    #[error("the {OPEN} block holds no JSON object: {0}")]
    NotJson(String),
    /// A field is missing or is no text.
    #[error("`{0}` of the {OPEN} block has to be a text{1}")]
    Field(&'static str, &'static str),
}

/// Reads the block of a text, whatever stands around it; `None` where there is none. One that is quoted as code within a line
/// is only talked about.
///
/// # Errors
/// When there are several, or the one there is cannot be read.
pub fn parse(text: &str) -> Result<Option<Execute>, ExecuteError> {
    let Some(object) = object(text)? else { return Ok(None) };
    let field = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(_) => Err(ExecuteError::Field(name, "")),
    };
    let workflow = field(WORKFLOW)?.ok_or(ExecuteError::Field(WORKFLOW, ", and is missing"))?;
    let prompt = field(PROMPT)?.unwrap_or_default();
    Ok(Some(Execute { workflow, prompt, directory: field(DIRECTORY)? }))
}

/// The names of fields in the block of a text that nothing reads.
#[must_use]
pub fn unread(text: &str) -> Vec<String> {
    let object = object(text).ok().flatten().unwrap_or_default();
    object.into_iter().map(|(name, _)| name).filter(|name| ![WORKFLOW, PROMPT, DIRECTORY].contains(&&**name)).collect()
}

fn object(text: &str) -> Result<Option<Map<String, Value>>, ExecuteError> {
    let mut begins = text.match_indices(OPEN).map(|(at, _)| at).filter(|at| !is_quoted(text, *at));
    let Some(at) = begins.next() else { return Ok(None) };
    let several = begins.next().is_some();
    let (inside, _) = text[at + OPEN.len()..].split_once(CLOSE).ok_or(ExecuteError::Unclosed)?;
    if several {
        return Err(ExecuteError::Several);
    }
    let value: Value =
        serde_json::from_str(without_fence(inside)).map_err(|error| ExecuteError::NotJson(error.to_string()))?;
    match value {
        Value::Object(object) => Ok(Some(object)),
        _ => Err(ExecuteError::NotJson("it is something else".to_owned())),
    }
}

/// Whether a place in a text is within a line's code in Markdown: as many backticks before it as behind it.
fn is_quoted(text: &str, at: usize) -> bool {
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let mut open = 0;
    for ticks in runs_of_ticks(&text[begin..at]) {
        open = if open == 0 {
            ticks
        } else if open == ticks {
            0
        } else {
            open
        };
    }
    open > 0 && runs_of_ticks(&text[at..end]).any(|ticks| ticks == open)
}

fn runs_of_ticks(line: &str) -> impl Iterator<Item = usize> + '_ {
    line.split(|c| c != '`').map(str::len).filter(|ticks| *ticks > 0)
}

/// The object without the marks that make it a block of code in Markdown.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(fenced) = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")) else { return text };
    // What names the language is the rest of the first line.
    fenced.split_once('\n').map_or(fenced, |(_, object)| object).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(inside: &str) -> String {
        format!("{OPEN}\n{inside}\n{CLOSE}")
    }

    #[test]
    fn the_block_is_found_whatever_stands_around_it() {
        let object =
            r#"{ "pipelineName": "setup", "userPrompt": "Set it up, [please]", "workingDirectory": "/srv/x" }"#;
        let wanted = Execute {
            workflow: "setup".to_owned(),
            prompt: "Set it up, [please]".to_owned(),
            directory: Some("/srv/x".to_owned()),
        };
        for text in [
            block(object),
            format!("I would run this:\n\n{}\n\nand then go on.", block(object)),
            block(&format!("```json\n{object}\n```")),
            format!("{OPEN}{object}{CLOSE}"),
        ] {
            assert_eq!(parse(&text), Ok(Some(wanted.clone())), "{text}");
        }
        let least = parse(&block(r#"{ "pipelineName": " tdd ", "more": 1 }"#)).unwrap().unwrap();
        assert_eq!(unread(&block(r#"{ "pipelineName": "tdd", "params": {} }"#)), ["params"]);
        assert_eq!(unread(&block(object)), [""; 0]);
        assert_eq!(least, Execute { workflow: "tdd".to_owned(), prompt: String::new(), directory: None });
    }

    #[test]
    fn without_a_block_nothing_is_asked_for() {
        for text in ["", "PIPELINE-EXECUTE", CLOSE, "[pipeline-execute] {} [/pipeline-execute]"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_block_that_is_quoted_within_a_line_asks_for_nothing() {
        let one = format!(r#"{OPEN} {{"pipelineName":"a"}} {CLOSE}"#);
        for text in [
            format!("example: `{one}`"),
            format!("Use `x`, then ``{one}`` as in ``y``."),
            format!("é `{OPEN}` opens it, and `{CLOSE}` closes it"),
        ] {
            assert_eq!(parse(&text), Ok(None), "{text}");
        }
        for text in [
            format!("`x` {one} `y`"),
            format!("a stray ` and {one}"),
            format!("`{OPEN}` is written like this:\n{one}"),
            format!("```\n{one}\n```"),
            format!("`a ``{one}"),
        ] {
            assert_eq!(parse(&text).map(|asked| asked.map(|asked| asked.workflow)), Ok(Some("a".to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let one = block(r#"{ "pipelineName": "a" }"#);
        for (text, words) in [
            (format!("{one}\n{one}"), "several"),
            (format!("{OPEN} {one}"), "several"),
            (format!("{OPEN} {{}}"), "no [/PIPELINE-EXECUTE]"),
            (block("run tdd"), "no JSON object"),
            (block("[1]"), "something else"),
            (block(r#"{ "userPrompt": "x" }"#), "`pipelineName`"),
            (block(r#"{ "pipelineName": "" }"#), "missing"),
            (block(r#"{ "pipelineName": 7 }"#), "has to be a text"),
            (block(r#"{ "pipelineName": "a", "workingDirectory": ["/"] }"#), "`workingDirectory`"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(before in "\\PC{0,30}", inside in "\\PC{0,30}", after in "\\PC{0,30}") {
            drop(parse(&format!("{before}{OPEN}{inside}{CLOSE}{after}")));
            drop(parse(&inside));
        }
    }
}
