//! The supervisor's own log: what became true, in words, a line each. What others write is not in it.
//!
//! The words are found once. Whoever prints them as well takes them from here.

use jiff::Timestamp;
use pipeline_lib::fact::Fact;
use pipeline_lib::pipeline::Pipeline;

use crate::logging;
use crate::verbs::events::Known;

/// What is said in the supervisor's own log: everything that became true, a line each.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The last fact that was said.
    seq: u64,
    /// What was known of live runs after it.
    pub(super) known: Known,
    /// What the present tick said, where somebody wants to print it.
    pub(super) lines: Option<Vec<Line>>,
}

/// What is said of one fact.
#[derive(Debug)]
pub struct Line {
    /// The number of the fact.
    pub seq: u64,
    /// When it was said.
    pub at: Timestamp,
    /// Empty for what only the machinery cares about.
    pub words: String,
}

impl Said {
    /// Takes in what others have written.
    pub(super) fn keep_up(&mut self, pipeline: &Pipeline) {
        if self.seq != pipeline.core.seq {
            self.known = Known::of(pipeline);
        }
    }

    /// Says what this process has just written, up to the fact of this number.
    pub(super) fn say(&mut self, facts: &[Fact], seq: u64) {
        logging::together(|| {
            for (seq, fact) in (seq + 1 - facts.len() as u64..).zip(facts) {
                let words = self.known.sentence_of(fact);
                if !words.is_empty() {
                    tracing::info!("{words}");
                }
                if let Some(lines) = &mut self.lines {
                    lines.push(Line { seq, at: Timestamp::now(), words });
                }
            }
        });
        self.seq = seq;
    }
}
