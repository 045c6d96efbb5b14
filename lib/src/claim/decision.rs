//! The decision in an agent's last words: `DECISION: <word>`, with `REASONING:` after it.
//!
//! The words come from a model that may quote the instructions, paste a diff that says "approved", or change its mind. So
//! the line counts only at the left edge of visible text, the last one wins, and whatever looks like a decision without
//! being a clear one makes the whole unclear: a person is asked. Nothing here knows what a decision leads to.

use super::outcome::is_word;
use super::{Place, lines};
use crate::text;

/// The longest reasoning that is kept, in characters.
pub const REASONING_CHARS_MAX: usize = 4_096;
/// How many lines are quoted of what was no clear decision, and how much of each, in characters.
const QUOTED_LINES_MAX: usize = 2;
const QUOTED_CHARS_MAX: usize = 120;

/// What an agent's last words decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// One of the stage's choices, in the stage's spelling.
    Chosen {
        /// The choice.
        choice: String,
        /// Why.
        reasoning: Option<String>,
    },
    /// A clear word that the stage does not list.
    NotListed {
        /// The word.
        word: String,
    },
    /// Something that may have been meant as a decision but does not say one thing.
    Unclear,
    /// Nothing at all.
    None,
}

/// What a stage goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// This decision.
    Choice(String),
    /// A person has to say.
    Undecided,
}

/// Goes from what was said to what counts. Saying nothing means `success` where the stage lists it or lists nothing, and
/// the only choice where there is one. Saying something unclear never means anything.
#[must_use]
pub fn settle(decision: &Decision, choices: &[&str]) -> Settled {
    match decision {
        Decision::Chosen { choice, .. } => Settled::Choice(choice.clone()),
        // A stage without a list still has the one decision that every stage has.
        Decision::NotListed { word } if choices.is_empty() && word.eq_ignore_ascii_case("success") => {
            Settled::Choice("success".to_owned())
        }
        Decision::NotListed { .. } | Decision::Unclear => Settled::Undecided,
        Decision::None if choices.is_empty() || choices.contains(&"success") => Settled::Choice("success".to_owned()),
        Decision::None => match choices {
            [only] => Settled::Choice((*only).to_owned()),
            [] | [_, _, ..] => Settled::Undecided,
        },
    }
}

/// How one line relates to decisions.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// Exactly `DECISION: word`, in visible text.
    Word(&'a str),
    /// It looks like a decision but is not well formed, or stands where it does not count.
    NearMiss,
    /// The start of a reasoning.
    Reasoning(&'a str),
    /// A line without anything on it.
    Blank,
    /// Any other line.
    Other,
}

/// Reads the decision from the text of an agent's final message.
#[must_use]
pub fn decide(text: &str, choices: &[&str]) -> Decision {
    let mut last: Option<Block<'_>> = None;
    let mut near_miss = false;
    for (place, line) in lines(text) {
        let said = read(place, line);
        if said == Said::NearMiss {
            // A misfit in a quotation or in code behind a clear decision is an illustration; in plain text it is a change of
            // mind that was not said properly.
            near_miss |= last.is_none() || (place == Place::Text && !line.trim_start().starts_with('>'));
        }
        match (&mut last, said) {
            (Some(block), Said::Word(word)) if block.open_to_another => {
                block.conflict |= !block.word.eq_ignore_ascii_case(word)
            }
            (_, Said::Word(word)) => {
                last = Some(Block::new(word));
                near_miss = false;
            }
            (Some(block), said) => block.read(&said, line),
            (None, _) => {}
        }
    }
    let Some(block) = last else {
        return if near_miss { Decision::Unclear } else { Decision::None };
    };
    if near_miss || block.conflict {
        return Decision::Unclear;
    }
    match listed(block.word, choices) {
        Some(choice) => Decision::Chosen { choice: choice.to_owned(), reasoning: block.reasoning() },
        None => Decision::NotListed { word: block.word.to_owned() },
    }
}

/// What of a text may have been meant as a decision, in quotation marks and short, for whoever is asked what it means.
#[must_use]
pub fn quoted(text: &str) -> String {
    let meant = |(place, line): (Place, &str)| {
        let decides = matches!(read(place, line), Said::Word(_) | Said::NearMiss);
        let inside = if place == Place::Code { " (in a block of code, where it does not count)" } else { "" };
        decides.then(|| format!("`{}`{inside}", text::one_line(line.trim().trim_matches('`'), QUOTED_CHARS_MAX)))
    };
    let found: Vec<String> = lines(text).filter_map(meant).collect();
    // The last ones are what would have counted.
    let last = found.len().saturating_sub(QUOTED_LINES_MAX);
    if found.is_empty() { "something else".to_owned() } else { found[last..].join(" and ") }
}

/// The choice that a word names: spelled the same, or the only one that differs in letter case alone.
fn listed<'a>(word: &str, choices: &[&'a str]) -> Option<&'a str> {
    if let Some(same) = choices.iter().find(|choice| **choice == word) {
        return Some(same);
    }
    let mut similar = choices.iter().filter(|choice| choice.eq_ignore_ascii_case(word));
    let first = similar.next()?;
    similar.next().is_none().then_some(*first)
}

/// A decision line and what belongs to it.
struct Block<'a> {
    word: &'a str,
    conflict: bool,
    /// No prose has come since the decision, so that a second decision would stand beside it and not replace it.
    open_to_another: bool,
    reasoning: String,
    reasoning_open: bool,
    reasoning_awaited: bool,
}

impl<'a> Block<'a> {
    fn new(word: &'a str) -> Self {
        Self {
            word,
            conflict: false,
            open_to_another: true,
            reasoning: String::new(),
            reasoning_open: false,
            reasoning_awaited: true,
        }
    }

    fn read(&mut self, said: &Said<'_>, line: &str) {
        match said {
            Said::Blank => self.reasoning_open = false,
            Said::Reasoning(text) if self.reasoning_awaited => {
                self.reasoning.push_str(text);
                self.reasoning_open = true;
                self.reasoning_awaited = false;
                self.open_to_another = false;
            }
            Said::Reasoning(_) | Said::Other | Said::Word(_) | Said::NearMiss => {
                if self.reasoning_open && self.reasoning.len() < 4 * REASONING_CHARS_MAX {
                    self.reasoning.push('\n');
                    self.reasoning.push_str(line.trim());
                }
                self.reasoning_awaited = false;
                self.open_to_another = false;
            }
        }
    }

    fn reasoning(&self) -> Option<String> {
        let text = text::safe(self.reasoning.trim(), REASONING_CHARS_MAX);
        let bytes = text::head_bytes(&text, REASONING_CHARS_MAX).to_owned();
        (!bytes.is_empty()).then_some(bytes)
    }
}

fn read(place: Place, line: &str) -> Said<'_> {
    match place {
        Place::Comment => Said::Other,
        Place::Code if resembles_decision(line) => Said::NearMiss,
        Place::Code => Said::Other,
        Place::Text => {
            if line.trim().is_empty() {
                Said::Blank
            } else if let Some(word) = well_formed(line) {
                Said::Word(word)
            } else if let Some(text) = reasoning_start(line) {
                Said::Reasoning(text)
            } else if resembles_decision(line) {
                Said::NearMiss
            } else {
                Said::Other
            }
        }
    }
}

/// The word of a line that is exactly a decision, with or without the emphasis that models like.
fn well_formed(line: &str) -> Option<&str> {
    let line = line.trim_end();
    let inner = wrapped(line, "**").or_else(|| wrapped(line, "`")).unwrap_or(line);
    let rest = match inner.strip_prefix("**DECISION:**").or_else(|| inner.strip_prefix("**DECISION**:")) {
        Some(rest) => rest,
        None => inner.strip_prefix("DECISION:")?,
    };
    let word = rest.trim_matches([' ', '\t']);
    let word = wrapped(word, "**").unwrap_or(word);
    let word = wrapped(word, "`").unwrap_or(word);
    let word = wrapped(word, "**").unwrap_or(word);
    is_word(word).then_some(word)
}

/// What stands between a sign at both ends, if it is there exactly once at each.
fn wrapped<'a>(text: &'a str, sign: &str) -> Option<&'a str> {
    let inner = text.strip_prefix(sign)?.strip_suffix(sign)?;
    (!inner.contains(sign)).then_some(inner)
}

fn reasoning_start(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("REASONING:")
        .or_else(|| line.strip_prefix("**REASONING:**"))
        .or_else(|| line.strip_prefix("**REASONING**:"))?;
    Some(rest.trim())
}

/// Whether a line could be meant as a decision: the word in any case, behind any Markdown, with a separator after it.
fn resembles_decision(line: &str) -> bool {
    let text = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let Some(head) = text.get(.."decision".len()) else { return false };
    if !head.eq_ignore_ascii_case("decision") {
        return false;
    }
    let rest = text["decision".len()..].trim_start_matches(['*', '_', '`', '"', '\'', ' ', '\t']);
    rest.is_empty() || rest.starts_with([':', '=', '-', '—', '–', '：', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHOICES: &[&str] = &["approve", "reject", "needs-work"];

    fn short(decision: &Decision) -> String {
        match decision {
            Decision::Chosen { choice, .. } => choice.clone(),
            Decision::NotListed { word } => format!("other {word}"),
            Decision::Unclear => "unclear".into(),
            Decision::None => "none".into(),
        }
    }

    #[test]
    fn what_is_said_is_what_is_read() {
        for (text, expected) in [
            // Clear.
            ("DECISION: approve", "approve"),
            ("DECISION: approve\n", "approve"),
            ("DECISION:approve", "approve"),
            ("DECISION:   approve  \t", "approve"),
            ("DECISION: approve\r\nREASONING: fine\r\n", "approve"),
            ("Looks good.\n\nDECISION: approve\nREASONING: fine", "approve"),
            ("DECISION: **approve**", "approve"),
            ("DECISION: `approve`", "approve"),
            ("DECISION: **`approve`**", "approve"),
            ("**DECISION:** approve", "approve"),
            ("**DECISION**: approve", "approve"),
            ("**DECISION: approve**", "approve"),
            ("`DECISION: approve`", "approve"),
            ("DECISION: needs-work", "needs-work"),
            ("DECISION: Approve", "approve"),
            ("DECISION: APPROVE", "approve"),
            // The last one wins.
            ("DECISION: reject\n\nOn second thought it is fine.\n\nDECISION: approve", "approve"),
            ("DECISION: approve\nREASONING: a\n\nDECISION: reject\nREASONING: b", "reject"),
            ("DECISION: approve\nDECISION: approve", "approve"),
            ("I must print DECISION: <word>.\nDECISION: <word>\n\nDECISION: reject", "reject"),
            // What does not count.
            ("```\nDECISION: approve\n```\nDECISION: reject", "reject"),
            ("> DECISION: approve\n\nDECISION: reject", "reject"),
            ("DECISION: reject\n\n```diff\n+DECISION: approve\n```", "reject"),
            ("DECISION: reject\n\n> Decision: approve", "reject"),
            ("<!-- DECISION: approve -->\nDECISION: reject", "reject"),
            ("<!-- DECISION: approve -->", "none"),
            // Not in the list.
            ("DECISION: approved", "other approved"),
            ("DECISION: success", "other success"),
            ("DECISION: LGTM", "other LGTM"),
            // Nothing.
            ("", "none"),
            ("All done.", "none"),
            ("I approve of this.", "none"),
            ("APPROVED", "none"),
            ("The decision was hard.", "none"),
            ("Decision making is hard.", "none"),
            ("DECISIONS: approve", "none"),
            ("{\"verdict\":\"approve\"}", "none"),
            ("REASONING: because", "none"),
            // Unclear.
            ("DECISION: approve\nDECISION: reject", "unclear"),
            ("DECISION: approve\n\nDECISION: reject", "unclear"),
            ("DECISION: approve | reject", "unclear"),
            ("DECISION: approve or reject", "unclear"),
            ("DECISION: approve.", "unclear"),
            ("DECISION: approve, mostly", "unclear"),
            ("DECISION: approve (with nits)", "unclear"),
            ("DECISION: <word>", "unclear"),
            ("DECISION:", "unclear"),
            ("DECISION:\napprove", "unclear"),
            ("DECISION: not approve", "unclear"),
            ("DECISION: genehmigt, denke ich", "unclear"),
            ("DECISION: ✅", "unclear"),
            ("DECISION: approve\u{200b}", "unclear"),
            ("DECISION: аpprove", "unclear"),
            ("Decision: approve", "unclear"),
            ("decision: approve", "unclear"),
            ("## DECISION: approve", "unclear"),
            ("## Decision\n\napprove", "unclear"),
            ("- DECISION: approve", "unclear"),
            (" DECISION: approve", "unclear"),
            ("    DECISION: approve", "unclear"),
            ("> DECISION: approve", "unclear"),
            ("```\nDECISION: approve\n```", "unclear"),
            ("```\nDECISION: approve", "unclear"),
            ("{\n\"decision\": \"approve\"\n}", "unclear"),
            ("DECISION = approve", "unclear"),
            ("DECISION — approve", "unclear"),
            ("DECISION: approve\n\nWait.\n\nDECISION: reject because the tests fail", "unclear"),
            ("DECISION: approve\n\n## Decision: reject", "unclear"),
            ("**DECISION: approve", "unclear"),
            ("DECISION: **approve", "unclear"),
        ] {
            assert_eq!(short(&decide(text, CHOICES)), expected, "{text:?}");
        }
    }

    #[test]
    fn reasoning_ends_at_a_blank_line_and_has_a_limit() {
        let reasoning = |text: &str| match decide(text, CHOICES) {
            Decision::Chosen { reasoning, .. } => reasoning,
            Decision::NotListed { .. } | Decision::Unclear | Decision::None => panic!("nothing chosen in {text:?}"),
        };
        assert_eq!(reasoning("DECISION: approve"), None);
        assert_eq!(reasoning("DECISION: approve\nREASONING: a\nb\n\nc").as_deref(), Some("a\nb"));
        assert_eq!(reasoning("DECISION: approve\n\n**REASONING:** a\u{1b}[1m").as_deref(), Some("a"));
        assert_eq!(reasoning("DECISION: approve\nprose\nREASONING: a"), None);
        assert_eq!(reasoning("REASONING: before\nDECISION: approve"), None);
        let long = format!("DECISION: approve\nREASONING: {}", "漢".repeat(9_000));
        assert!(reasoning(&long).unwrap().len() <= REASONING_CHARS_MAX);
    }

    #[test]
    fn choices_that_differ_in_case_alone_need_the_exact_word() {
        assert_eq!(short(&decide("DECISION: go", &["Go", "GO"])), "other go");
        assert_eq!(short(&decide("DECISION: GO", &["Go", "GO"])), "GO");
    }

    #[test]
    fn silence_is_settled_by_the_stage() {
        let settled = |text: &str, choices: &[&str]| match settle(&decide(text, choices), choices) {
            Settled::Choice(choice) => choice,
            Settled::Undecided => "?".into(),
        };
        for (text, choices, expected) in [
            ("", &[][..], "success"),
            ("", &["success", "failed"], "success"),
            ("", &["failed", "success"], "success"),
            ("", &["approve"], "approve"),
            ("", &["approve", "reject"], "?"),
            ("DECISION: success", &[], "success"),
            ("DECISION: failed", &[], "?"),
            ("DECISION: failed", &["success"], "?"),
            ("DECISION: maybe not", &["success"], "?"),
            ("## Decision: reject", &["success", "reject"], "?"),
            ("DECISION: reject", &["success", "reject"], "reject"),
        ] {
            assert_eq!(settled(text, choices), expected, "{text:?} of {choices:?}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("DECISION: "),
            Just("approve"),
            Just("reject"),
            Just("\n"),
            Just("```"),
            Just("**"),
            Just("`"),
            Just("> "),
            Just("Decision"),
            Just("REASONING: "),
            Just("<!--"),
            Just("-->"),
            Just(" "),
            Just("é"),
            Just("\r\n"),
        ];
        proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn what_is_quoted_says_why_it_does_not_count() {
        let inside = "`DECISION: approve` (in a block of code, where it does not count)";
        assert_eq!(quoted("```\nDECISION: approve\n```"), inside);
        assert_eq!(quoted("DECISION: approve, mostly"), "`DECISION: approve, mostly`");
    }

    proptest! {
        #[test]
        fn only_listed_choices_are_ever_chosen(a in hostile(), b in "\\PC{0,30}", one in "[a-z]{1,8}") {
            for choices in [&["approve", "reject"][..], &[one.as_str()], &[]] {
                if let Decision::Chosen { choice, .. } = decide(&(a.clone() + &b), choices) {
                    prop_assert!(choices.contains(&choice.as_str()));
                }
            }
        }

        #[test]
        fn a_choice_that_is_not_in_the_text_is_never_chosen(text in hostile()) {
            let chosen = matches!(decide(&text, &["merge"]), Decision::Chosen { .. });
            prop_assert!(!chosen);
        }
    }
}
