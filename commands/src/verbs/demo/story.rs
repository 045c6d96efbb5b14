//! What the journal tells of a demonstration: one line for each thing worth telling, and a tally of what really
//! happened. Reads facts only; what was meant to happen is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use pipeline_lib::fact::{Fact, Move};
use pipeline_lib::ids::{AgentName, RunId, StageId, TaskId};
use pipeline_lib::run::{Ended, RunSummary, Verdict};
use pipeline_lib::task::{StageOutput, TaskState};
use pipeline_lib::workflow::CONFLICT;
use pipeline_state::{Events, Record};
use serde::Serialize;
use serde_json::Value;

use crate::error::Result;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Stage,
    GateFailed,
    Died,
    Failed,
    Conflict,
    Waiting,
    Approved,
    Merged,
    Blocked,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) kind: Kind,
    pub(super) task: String,
    pub(super) stage: String,
    pub(super) agent: String,
    pub(super) text: String,
}

/// What happened to which tasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    /// A claim that its gate refuted, and that held at a later attempt.
    pub(super) gate_failures: BTreeSet<TaskId>,
    /// A merge that did not apply, and was made after all.
    pub(super) conflicts: BTreeSet<TaskId>,
    /// A person, or the demonstration for one, agreed.
    pub(super) approvals: BTreeSet<TaskId>,
    /// An agent died, and a later attempt did the stage.
    pub(super) retries: BTreeSet<TaskId>,
    pub(super) merged: BTreeSet<TaskId>,
    pub(super) completed: BTreeSet<TaskId>,
    /// Runs of agents that were started.
    pub(super) runs: usize,
    /// Gates that came to a verdict.
    pub(super) gates: usize,
}

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    events: Events,
    pub(super) tally: Tally,
    runs: BTreeMap<RunId, TaskId>,
    waiting: BTreeMap<TaskId, StageId>,
    refuted: BTreeSet<(TaskId, StageId)>,
    died: BTreeSet<(TaskId, StageId)>,
    conflicting: BTreeSet<TaskId>,
}

impl Story {
    /// The story that the journal in this directory tells, from its beginning.
    pub(super) fn open(state_dir: &Path) -> Self {
        Self {
            events: Events::open(state_dir, 0),
            tally: Tally::default(),
            runs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            refuted: BTreeSet::new(),
            died: BTreeSet::new(),
            conflicting: BTreeSet::new(),
        }
    }

    /// What happened since the last time.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) fn go_on(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        while let Some(record) = self.events.next() {
            let Record { at, fact, .. } = record?;
            // What this program does not know it cannot tell.
            let Ok(fact) = serde_json::from_value::<Fact>(fact) else { continue };
            lines.extend(self.hear(at, &fact));
        }
        Ok(lines)
    }

    fn hear(&mut self, at: Timestamp, fact: &Fact) -> Option<Line> {
        match fact {
            Fact::RunClaimed { run } => {
                self.runs.insert(run.id.clone(), run.task.clone()?);
                self.tally.runs += usize::from(run.work.word() == "agent");
                None
            }
            Fact::RunClosed { summary: Some(run), .. } => self.run_closed(at, run),
            Fact::StageDone { task, output } => self.stage_done(at, task, output),
            Fact::TaskMoved { task, to, with } => self.moved(at, task, to, with),
            Fact::TaskMerged { task, merged } => {
                self.tally.merged.insert(task.clone());
                if self.conflicting.remove(task) {
                    self.tally.conflicts.insert(task.clone());
                }
                let commit = merged.commit.as_ref().map_or("nothing new", |commit| commit.short());
                Some(line(
                    at,
                    Kind::Merged,
                    task,
                    "super",
                    None,
                    format!("the gate passed on the merge; merged as {commit}"),
                ))
            }
            _ => None,
        }
    }

    fn run_closed(&mut self, at: Timestamp, run: &RunSummary) -> Option<Line> {
        let task = self.runs.get(&run.id)?.clone();
        let place = (task.clone(), run.stage.clone());
        let gate = run.work == "gate";
        self.tally.gates += usize::from(gate && run.verdict != Verdict::Void);
        if run.verdict != Verdict::Failed {
            return None;
        }
        let (kind, text) = match &run.how {
            _ if gate => {
                self.refuted.insert(place);
                (Kind::GateFailed, "said it was done, but the gate failed: back to impl".to_owned())
            }
            Ended::Exited { code: 0 } | Ended::Stopped { .. } => {
                (Kind::Failed, run.summary.clone().unwrap_or_else(|| "failed".to_owned()))
            }
            how => {
                self.died.insert(place);
                (Kind::Died, format!("died ({}): tried again", how))
            }
        };
        Some(line(at, kind, &task, run.stage.as_str(), Some(&run.agent), text))
    }

    fn stage_done(&mut self, at: Timestamp, task: &TaskId, output: &StageOutput) -> Option<Line> {
        let stage = output.stage.as_str();
        let tell = |kind, text: String| Some(line(at, kind, task, stage, Some(&output.agent), text));
        if output.decision == CONFLICT {
            self.conflicting.insert(task.clone());
            return tell(Kind::Conflict, "conflicts with what was merged meanwhile: back to impl".to_owned());
        }
        let place = (task.clone(), output.stage.clone());
        let (refuted, died) = (self.refuted.remove(&place), self.died.remove(&place));
        if refuted {
            self.tally.gate_failures.insert(task.clone());
        }
        if died {
            self.tally.retries.insert(task.clone());
        }
        if self.waiting.remove(task).is_some() {
            self.tally.approvals.insert(task.clone());
            return tell(Kind::Approved, "approved: goes on".to_owned());
        }
        let words = match (stage, refuted || died) {
            // The merge tells it.
            ("super", _) => return None,
            ("arch", _) => "designed",
            ("test", false) => "tests written, red as yet",
            ("test", true) => "tests written by another attempt",
            ("impl", false) if self.conflicting.contains(task) => "conflict resolved, the gate passed",
            ("impl", false) => "implemented, the gate passed",
            ("impl", true) => "mended, the gate passed",
            _ => "done",
        };
        tell(Kind::Stage, words.to_owned())
    }

    fn moved(&mut self, at: Timestamp, task: &TaskId, to: &TaskState, with: &Move) -> Option<Line> {
        let reason = with.reason.clone().unwrap_or_default();
        let tell = |kind, stage: Option<&StageId>, agent, text| {
            Some(line(at, kind, task, stage.map_or("", StageId::as_str), agent, text))
        };
        match to {
            TaskState::AwaitingApproval { stage, claim, .. } => {
                self.waiting.insert(task.clone(), stage.clone());
                tell(Kind::Waiting, Some(stage), Some(&claim.agent), format!("asks a person: {}", claim.summary))
            }
            TaskState::Paused { stage } => tell(Kind::Waiting, Some(stage), None, "asks a person".to_owned()),
            TaskState::Waiting { .. } => None,
            TaskState::Blocked { stage } => tell(Kind::Blocked, stage.as_ref(), None, format!("blocked: {reason}")),
            TaskState::Failed | TaskState::Cancelled | TaskState::RolledBack => {
                tell(Kind::Blocked, None, None, format!("{}: {reason}", to.word()))
            }
            TaskState::Completed => {
                self.tally.completed.insert(task.clone());
                None
            }
            TaskState::Verifying { claim, stage, .. } => {
                // Agreed to before its gate.
                if claim.approved && self.waiting.remove(task).is_some() {
                    self.tally.approvals.insert(task.clone());
                    return tell(Kind::Approved, Some(stage), Some(&claim.agent), "approved: is checked".to_owned());
                }
                None
            }
            TaskState::Ready { .. } => {
                // Sent back, which is no approval.
                self.waiting.remove(task);
                None
            }
            TaskState::Unassigned | TaskState::Working { .. } => None,
        }
    }
}

fn line(at: Timestamp, kind: Kind, task: &TaskId, stage: &str, agent: Option<&AgentName>, text: String) -> Line {
    let agent = agent.map_or_else(String::new, ToString::to_string);
    Line { at, kind, task: task.to_string(), stage: stage.to_owned(), agent, text }
}

/// A line as an object for programs.
pub(super) fn object(line: &Line) -> Value {
    let mut object = serde_json::to_value(line).unwrap_or_default();
    object["schema_version"] = 1.into();
    object["type"] = "progress".into();
    object
}
