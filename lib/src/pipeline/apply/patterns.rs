//! What failures have in common, over all tasks and runs: the same error at the same stage of a workflow is one pattern.
//! A success at the stage ends what was in a row there, and nothing else.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{StageId, WorkflowId};
use crate::pipeline::Pipeline;
use crate::run::{Run, RunSummary, Verdict, Work};
use crate::workflow::hub::{fingerprint, last_words};

/// Patterns beyond this number push out the one that was seen longest ago.
const PATTERNS_MAX: usize = 200;
/// The longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 200;

/// A failure that was seen, and maybe seen again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// On which workflow.
    pub workflow: WorkflowId,
    /// At which stage.
    pub stage: StageId,
    /// The error, as it was last.
    pub error: String,
    /// How often, without a success at the stage between.
    pub in_a_row: u32,
    /// How often in all.
    pub times: u32,
    /// How often a success followed.
    pub overcome: u32,
    /// When it was seen first.
    pub first_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
}

/// By what a failure is recognised again.
#[must_use]
pub(crate) fn key(workflow: &WorkflowId, stage: &StageId, error: &str) -> String {
    format!("{workflow} {}", fingerprint(stage, error))
}

impl Pipeline {
    /// Notes how a run of a stage ended.
    pub(super) fn learn(&mut self, at: Timestamp, run: &Run, summary: &RunSummary) {
        let task = run.task.as_ref().and_then(|id| self.task(id.as_str()));
        let Some(workflow) = task.map(|task| task.workflow.clone()).filter(|_| run.work.can_claim()) else { return };
        // What an agent answered at a hub is no attempt at anything.
        if run.work == Work::Agent && task.is_some_and(|task| task.question().is_some()) {
            return;
        }
        let stage = &summary.stage;
        match summary.verdict {
            Verdict::Void => {}
            Verdict::Passed => {
                let of_stage = self.core.patterns.values_mut().filter(|p| p.workflow == workflow && p.stage == *stage);
                for pattern in of_stage.filter(|pattern| pattern.in_a_row > 0) {
                    pattern.in_a_row = 0;
                    pattern.overcome += 1;
                }
            }
            Verdict::Failed => {
                let error = summary.summary.clone().unwrap_or_else(|| summary.how.to_string());
                let shown = last_words(&error);
                let pattern = self.core.patterns.entry(key(&workflow, stage, &error)).or_insert_with(|| Pattern {
                    workflow,
                    stage: stage.clone(),
                    error: String::new(),
                    in_a_row: 0,
                    times: 0,
                    overcome: 0,
                    first_at: at,
                    last_at: at,
                });
                pattern.error = crate::text::one_line(shown, ERROR_CHARS_MAX);
                pattern.in_a_row += 1;
                pattern.times += 1;
                pattern.last_at = at;
                self.forget_the_oldest();
            }
        }
    }

    fn forget_the_oldest(&mut self) {
        if self.core.patterns.len() <= PATTERNS_MAX {
            return;
        }
        let oldest = self.core.patterns.iter().min_by_key(|(key, pattern)| (pattern.last_at, (*key).clone()));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.core.patterns.remove(&key);
        }
    }

    /// How often in a row a failure has been seen, before now.
    #[must_use]
    pub(crate) fn seen_in_a_row(&self, workflow: &WorkflowId, stage: &StageId, error: &str) -> u32 {
        self.core.patterns.get(&key(workflow, stage, error)).map_or(0, |pattern| pattern.in_a_row)
    }
}
