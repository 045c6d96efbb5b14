//! The run of a task through its workflow, ready to be drawn: the map, how each stage of it stands, the tasks that did parts
//! of it, which connections were taken, and what was decided by whom and why. How it is drawn is known elsewhere.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

use super::task::Related;
use crate::ids::{RunId, StageId, TaskId};
use crate::pipeline::Pipeline;
use crate::run::RunSummary;
use crate::task::{ParentWhy, StageOutput, Task, TaskState};
use crate::text;
use crate::view::board::tone as tone_of;
use crate::view::screen::Tone;
use crate::workflow::drawing::{Picture, To};
use crate::workflow::{Doing, FAILED, Next, Stage, Workflow};

/// Tasks that did parts of a stage which are named.
const PARTS_MAX: usize = 24;
/// Decisions that are told, the latest of them.
const DECISIONS_MAX: usize = 200;
/// The longest title of a part, in characters.
const TITLE_CHARS_MAX: usize = 100;

/// A task on its map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// The map.
    pub picture: Arc<Picture>,
    /// How often each connection of it was taken.
    pub taken: Vec<u32>,
    /// What was decided, oldest first.
    pub decisions: Vec<Decision>,
    /// There were more before them.
    pub is_cut: bool,
}

/// A stage on the way of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMark {
    /// The stage.
    pub id: StageId,
    /// The role that does it.
    pub role: String,
    /// What kind of state it is in.
    pub tone: Tone,
    /// The same in words.
    pub word: &'static str,
    /// The task is there, or ended there.
    pub here: bool,
    /// How often it was entered.
    pub visits: u32,
    /// How often it may be entered.
    pub visits_max: u32,
    /// The first of the tasks that did parts of it, or do.
    pub parts: Vec<Related>,
    /// How many there are.
    pub parts_total: usize,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// At which stage.
    pub stage: StageId,
    /// The word.
    pub word: String,
    /// Who gave it, in words.
    pub who: String,
    /// In which run.
    pub run: RunId,
    /// Who agreed to it, in words, where a person was asked.
    pub agreed: Option<String>,
    /// Why, in the words of whoever decided.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// Where it led, where that is known.
    pub to: Option<String>,
}

/// The stages of a task's workflow, in the order of the file, and the way it took through them.
pub(in crate::view) fn of(pipeline: &Pipeline, task: &Task) -> (Vec<StageMark>, Flow) {
    let Some(workflow) = pipeline.workflow_of(task) else { return (Vec::new(), Flow::default()) };
    let run = Run { pipeline, task, workflow, parts: parts(pipeline, task, workflow) };
    let picture = Picture::of(workflow);
    let stages = (0..workflow.stages.len()).map(|at| run.mark(at)).collect();
    let outputs = run.outputs();
    let mut taken = vec![0; picture.edges.len()];
    let mut ways: Vec<Option<To>> = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.iter().enumerate() {
        let next = outputs.get(at + 1).map(|next| &next.stage).or_else(|| run.here());
        let way = run.way(&picture, output, next);
        if let Some(edge) = way {
            taken[edge] += 1;
        }
        ways.push(way.map(|edge| picture.edges[edge].to));
    }
    for part in &run.parts {
        let edge = run.started(part).and_then(|(from, to)| {
            picture.edges.iter().position(|edge| edge.starts && (edge.from, edge.to) == (from, To::Stage(to)))
        });
        if let Some(edge) = edge {
            taken[edge] += 1;
        }
    }
    let first = outputs.len().saturating_sub(DECISIONS_MAX);
    let decided = outputs.iter().zip(ways).skip(first);
    let decisions = decided.map(|(output, way)| run.decision(&picture, output, way)).collect();
    (stages, Flow { picture: Arc::new(picture), taken, decisions, is_cut: first > 0 })
}

/// The tasks that serve stages of this one, in the order of creation. Looked for only where the workflow has any.
fn parts<'a>(pipeline: &'a Pipeline, task: &Task, workflow: &Workflow) -> Vec<&'a Task> {
    let has_parts = |stage: &Stage| stage.has_parts() || matches!(stage.doing, Doing::Hub(_));
    if task.started_at.is_none() || !workflow.stages.iter().any(has_parts) {
        return Vec::new();
    }
    let serves = |other: &&Task| {
        other.parent.as_ref().is_some_and(|parent| parent.task == task.id && parent.why == ParentWhy::Part)
    };
    let mut parts: Vec<&Task> = pipeline.tasks.iter().filter(serves).collect();
    parts.sort_unstable_by_key(|part| part.order);
    parts
}

/// A task on its workflow.
struct Run<'a> {
    pipeline: &'a Pipeline,
    task: &'a Task,
    workflow: &'a Workflow,
    parts: Vec<&'a Task>,
}

impl Run<'_> {
    /// The stage it is at, or ended at.
    fn here(&self) -> Option<&StageId> {
        self.task.state.stage().or(self.task.left_at.as_ref())
    }

    /// Whether it waits for parts of which none is under way.
    fn waits_for_others(&self) -> bool {
        let TaskState::Waiting { on, .. } = &self.task.state else { return false };
        let moves = |id: &TaskId| self.pipeline.task(id.as_str()).is_none_or(|part| part.started_at.is_some());
        !on.iter().any(moves)
    }

    fn is_completed(&self) -> bool {
        matches!(self.task.state, TaskState::Completed | TaskState::RolledBack)
    }

    /// What its own stages decided; what a part was given by the task it serves is not among them.
    fn outputs(&self) -> Vec<&StageOutput> {
        let inherits = self.task.parent.is_some();
        let own = |output: &&StageOutput| !inherits || output.at > self.task.created_at;
        self.task.outputs.iter().filter(own).filter(|output| self.workflow.stage(&output.stage).is_some()).collect()
    }

    /// The stage that a part does, beside the one that waits for it, as places in the workflow.
    fn started(&self, part: &Task) -> Option<(usize, usize)> {
        let place = |id: &StageId| self.workflow.stages.iter().position(|stage| stage.id == *id);
        let from = place(&part.parent.as_ref()?.stage)?;
        let to = place(&part.pinned.as_ref().filter(|map| map.id == self.workflow.id)?.start)?;
        (from != to).then_some((from, to))
    }

    fn mark(&self, at: usize) -> StageMark {
        let stage = &self.workflow.stages[at];
        let (tone, word, here) = self.stands(at);
        let of_stage = || self.parts.iter().filter(|part| part.parent.as_ref().is_some_and(|of| of.stage == stage.id));
        StageMark {
            id: stage.id.clone(),
            role: stage.role.to_string(),
            tone,
            word,
            here,
            visits: self.task.visits.get(&stage.id).copied().unwrap_or(0),
            visits_max: self.workflow.visits_max(stage, self.pipeline.core.settings.scheduler.max_visits),
            parts: of_stage().take(PARTS_MAX).map(|part| self.related(part)).collect(),
            parts_total: of_stage().count(),
        }
    }

    fn related(&self, part: &Task) -> Related {
        Related {
            id: part.id.clone(),
            title: text::one_line(&part.title, TITLE_CHARS_MAX),
            status: part.state.word(),
            tone: tone_of(self.pipeline, part),
        }
    }

    /// How a stage stands, the same in words, and whether the task is there.
    fn stands(&self, at: usize) -> (Tone, &'static str, bool) {
        let (task, stage) = (self.task, &self.workflow.stages[at]);
        let here = self.here();
        if !self.is_completed() && here == Some(&stage.id) {
            let word = if self.waits_for_others() { "parts wait" } else { word(&task.state) };
            return (tone_of(self.pipeline, task), word, true);
        }
        let visited = task.visits.contains_key(&stage.id);
        let doer = self.parts.iter().rev().find(|part| self.started(part).is_some_and(|(_, to)| to == at));
        if let Some(part) = doer.filter(|_| !visited) {
            return (tone_of(self.pipeline, part), word(&part.state), false);
        }
        let here = here.map(|here| self.workflow.depth(here));
        // What a later stage produced before the task was sent back does not count any more; what serves a hub stands
        // beside it and not behind it.
        let behind = self.is_completed() || here.is_none_or(|here| at < here);
        let counts = behind || self.workflow.hub_of(&stage.id).is_some();
        let last = self.outputs().into_iter().rfind(|output| output.stage == stage.id);
        let (tone, word) = match last.filter(|_| counts) {
            Some(output) if self.has_failed(stage, &output.decision) => (Tone::Bad, "failed"),
            Some(output) if self.work_of(&output.run).is_some_and(|run| run.work == "probe") => (Tone::Good, "skipped"),
            Some(_) => (Tone::Good, "done"),
            None if last.is_some() => (Tone::Waiting, "done earlier"),
            None if task.state.is_final() => (Tone::Gone, if visited { "left" } else { "not reached" }),
            None if behind && here.is_some() => (Tone::Gone, if visited { "left" } else { "passed by" }),
            None => (Tone::Waiting, "to come"),
        };
        (tone, word, false)
    }

    /// Whether a decision says that the work of a stage is not done. Where a hub asked for it, all but one say so.
    fn has_failed(&self, stage: &Stage, decision: &str) -> bool {
        let first = || stage.decisions.first().map(|choice| choice.choice.as_str());
        let is_served = self.workflow.hub_of(&stage.id).is_some();
        decision == FAILED || is_served && stage.default_decision().or_else(first) != Some(decision)
    }

    fn work_of(&self, run: &RunId) -> Option<&RunSummary> {
        self.task.runs.iter().find(|known| known.id == *run)
    }

    /// The connection that a decision took, as a place among those of the picture.
    fn way(&self, picture: &Picture, output: &StageOutput, next: Option<&StageId>) -> Option<usize> {
        let from = self.workflow.depth(&output.stage);
        let find = |starts: bool, to: To| {
            picture.edges.iter().position(|edge| edge.starts == starts && (edge.from, edge.to) == (from, to))
        };
        let is_hub = matches!(self.workflow.stages[from].doing, Doing::Hub(_));
        let delegated = next.filter(|_| is_hub).and_then(|next| find(true, To::Stage(self.workflow.depth(next))));
        delegated.or_else(|| match self.workflow.next(&output.stage, &output.decision) {
            Next::Stage(to) => find(false, To::Stage(self.workflow.depth(&to.id))),
            Next::End => find(false, To::End),
            Next::Nowhere => None,
        })
    }

    fn decision(&self, picture: &Picture, output: &StageOutput, way: Option<To>) -> Decision {
        let has_parts = self.workflow.stage(&output.stage).is_some_and(Stage::has_parts);
        let who = match (&output.by, self.work_of(&output.run).map(|run| &*run.work)) {
            (None, Some("agent" | "command" | "gate") | None) if has_parts => "its parts".to_owned(),
            (None, Some("command")) => "its command".to_owned(),
            (None, Some("probe")) => "its probe".to_owned(),
            _ => output.who(),
        };
        let to = |to: To| match to {
            To::Stage(at) => picture.stages[at].id.to_string(),
            To::End => "end".to_owned(),
        };
        // What ends the workflow need not be drawn as a connection.
        let ends = || matches!(self.workflow.next(&output.stage, &output.decision), Next::End).then_some(To::End);
        let way = way.or_else(ends);
        Decision {
            stage: output.stage.clone(),
            word: output.decision.clone(),
            who,
            run: output.run.clone(),
            agreed: output.approver().map(str::to_owned),
            why: output.summary.trim().to_owned(),
            at: output.at,
            to: way.map(to),
        }
    }
}

/// How the stage stands at which a task in this state is.
fn word(state: &TaskState) -> &'static str {
    match state {
        TaskState::Unassigned => "not started",
        TaskState::Ready { .. } => "ready",
        TaskState::Working { .. } => "live",
        TaskState::Waiting { .. } => "live, in parts",
        TaskState::Verifying { .. } => "being checked",
        TaskState::AwaitingApproval { .. } | TaskState::Paused { .. } => "waits for you",
        TaskState::Blocked { .. } => "blocked",
        TaskState::Failed => "failed",
        TaskState::Completed => "done",
        TaskState::Cancelled => "cancelled",
        TaskState::RolledBack => "rolled back",
    }
}
