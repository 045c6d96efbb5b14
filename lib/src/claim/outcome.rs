//! The outcome file: what `pipeline done`, a hook, or an agent that prefers JSON says about its run.
//!
//! One strict JSON object. A file that is cut short, too large or uses other words is an error with its reason, never a
//! guess. Whether the run it names is the live one is for the caller to compare.

use serde::{Deserialize, Serialize};

use super::ClaimStatus;
use crate::ids::{NameError, RunId};
use crate::text;

/// The largest outcome file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024;
/// The longest summary that is kept, in characters.
pub const SUMMARY_CHARS_MAX: usize = 4_000;
/// The longest decision word, in bytes.
pub const DECISION_BYTES_MAX: usize = 64;

/// What the file states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run that it says it is about. Without one, only its time and place tell.
    pub run: Option<RunId>,
    /// How the run ended.
    pub status: ClaimStatus,
    /// The decision of the stage, if one was stated. Not compared with the stage's list here.
    pub decision: Option<String>,
    /// What was done, made safe to show.
    pub summary: Option<String>,
}

/// Why an outcome file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// It is larger than anything it could need to say.
    #[error("the outcome file has {bytes} bytes, the limit is {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not one JSON object with the known fields of the known types.
    #[error("the outcome file is not a valid JSON object")]
    Json(#[from] serde_json::Error),
    /// The status is none of the words.
    #[error("`{word}` is not a status of the outcome file; use ok, failed, blocked or needs-review")]
    Status {
        /// The word, made safe.
        word: String,
    },
    /// The run is not an id.
    #[error("the outcome file names an impossible run")]
    Run(#[from] NameError),
    /// The decision is not a single word.
    #[error("`{word}` is not a decision; a decision is one word of ASCII letters, digits, `-` and `_`")]
    Decision {
        /// The word, made safe.
        word: String,
    },
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
}

impl Outcome {
    /// Reads the bytes of an outcome file.
    ///
    /// # Errors
    /// When the bytes are not exactly one complete outcome.
    pub fn parse(bytes: &[u8]) -> Result<Self, OutcomeError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(OutcomeError::TooLarge { bytes: bytes.len() });
        }
        let file: File = serde_json::from_slice(bytes)?;
        let status = ClaimStatus::from_outcome_word(&file.status)
            .ok_or_else(|| OutcomeError::Status { word: text::one_line(&file.status, 60) })?;
        let run = file.run.filter(|run| !run.is_empty()).map(|run| RunId::new(&run)).transpose()?;
        let decision = file.decision.filter(|word| !word.is_empty());
        if let Some(word) = &decision
            && !is_word(word)
        {
            return Err(OutcomeError::Decision { word: text::one_line(word, 60) });
        }
        let summary = file.summary.as_deref().map(shown);
        Ok(Self { run, status, decision, summary: summary.filter(|summary| !summary.is_empty()) })
    }

    /// The file's content, as `pipeline done` writes it.
    #[must_use]
    pub fn render(&self) -> String {
        let file = File {
            run: self.run.as_ref().map(|run| run.as_str().to_owned()),
            status: self.status.outcome_word().to_owned(),
            decision: self.decision.clone(),
            summary: self.summary.as_deref().map(shown),
        };
        // Strings alone cannot fail to be written; an empty object would be refused by whoever reads it.
        serde_json::to_string(&file).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// A summary as it is kept. What cannot be shown may have hidden white space at its ends.
fn shown(summary: &str) -> String {
    text::safe(summary.trim(), SUMMARY_CHARS_MAX).trim().to_owned()
}

/// Whether a text can be a decision: one short word without anything that a shell, a terminal or Markdown would notice.
#[must_use]
pub fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= DECISION_BYTES_MAX
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_shape_is_read() {
        let outcome = Outcome::parse(
            br#"{"run":"r-1","status":"ok","decision":"success","summary":"did\u001b[31m it\n","extra":[1]}"#,
        )
        .unwrap();
        assert_eq!(outcome.run.as_ref().map(RunId::as_str), Some("r-1"));
        assert_eq!(outcome.status, ClaimStatus::Completed);
        assert_eq!(outcome.decision.as_deref(), Some("success"));
        assert_eq!(outcome.summary.as_deref(), Some("did it"));
        let hidden = Outcome::parse(br#"{"status":"ok","summary":"\u202e did it \u202e"}"#).unwrap();
        assert_eq!(hidden.summary.as_deref(), Some("did it"));
        let least = Outcome::parse(b" {\"status\":\"needs-review\"} \n").unwrap();
        assert_eq!(least, Outcome { run: None, status: ClaimStatus::NeedsReview, decision: None, summary: None });
    }

    #[test]
    fn anything_else_is_an_error_on_one_line() {
        let big = format!("{{\"status\":\"ok\",\"summary\":\"{}\"}}", "x".repeat(FILE_BYTES_MAX));
        for text in [
            "",
            "{",
            "null",
            "[]",
            "\"ok\"",
            "{}",
            r#"{"status":"OK"}"#,
            r#"{"status":"done"}"#,
            r#"{"status":1}"#,
            r#"{"status":"ok"} x"#,
            r#"{"status":"ok"}{"status":"ok"}"#,
            r#"{"status":"ok","status":"failed"}"#,
            r#"{"status":"ok","run":"../x"}"#,
            r#"{"status":"ok","decision":"two words"}"#,
            r#"{"status":"ok","decision":"a\nb"}"#,
            r#"{"status":"ok","summary":3}"#,
            "{\"status\":\"o\\u001bk\"}",
            &big,
        ] {
            let error = Outcome::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(['\n', '\u{1b}']), "{error}");
        }
        assert!(Outcome::parse(b"{\"status\":\"ok\",\"summary\":\"\xff\"}").is_err());
    }

    #[test]
    fn half_a_file_is_never_an_outcome() {
        let whole = r#"{"run":"r-1","status":"ok","decision":"success","summary":"é"}"#;
        for end in 0..whole.len() {
            assert!(Outcome::parse(&whole.as_bytes()[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(summary in ".{0,50}", decision in proptest::option::of("[a-z_-]{1,20}"), n in 0usize..4) {
            let outcome = Outcome {
                run: Some(RunId::new("r-7").unwrap()), status: ClaimStatus::ALL[n], decision, summary: Some(summary),
            };
            let read = Outcome::parse(outcome.render().as_bytes()).unwrap();
            prop_assert_eq!(&read.decision, &outcome.decision);
            prop_assert_eq!(read.status, outcome.status);
            prop_assert_eq!(Outcome::parse(read.render().as_bytes()).unwrap(), read);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Outcome::parse(&bytes).is_ok();
        }
    }
}
