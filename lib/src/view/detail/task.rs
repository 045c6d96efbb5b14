//! All about one task: where it stands and why, what was done, what was checked, and what changed. What is known of it is
//! derived here from the pipeline; what has to be read elsewhere (events, output, the comparison with base) is added by
//! whoever gathers it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

use crate::agents::stream::Format;
use crate::diff::Diff;
use crate::ids::{AgentName, CommitId, RunId, TaskId};
use crate::pipeline::Pipeline;
use crate::run::{Evidence, Run, RunSummary, Usage, Verdict, Work};
use crate::task::{Merged, StageOutput, Task};
use crate::terminal::Line;
use crate::text;
use crate::view::board::{role_now, tone as tone_of};
use crate::view::detail::flow::{self, Flow, StageMark};
use crate::view::latest;
use crate::view::screen::{EventLine, Tone};
use crate::view::{Explanation, explain_task, task_doc};

/// How much of a body is carried, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How many of the tasks that wait for this one are named.
const DEPENDENTS_MAX: usize = 50;

/// Which task somebody looks at, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLook {
    /// The task.
    pub task: TaskId,
    /// The part of it that is in sight.
    pub part: Part,
    /// The run whose output is wanted; none for the latest.
    pub run: Option<RunId>,
}

/// A part of all there is to see of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// Where it stands and why.
    #[default]
    About,
    /// Its way through its workflow.
    Flow,
    /// What it changes.
    Diff,
    /// What agents did.
    Runs,
    /// What gates found.
    Checks,
    /// What happened.
    History,
    /// What a run printed.
    Logs,
}

impl Part {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::About, Self::Flow, Self::Diff, Self::Runs, Self::Checks, Self::History, Self::Logs];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::About => "about",
            Self::Flow => "flow",
            Self::Diff => "diff",
            Self::Runs => "runs",
            Self::Checks => "checks",
            Self::History => "history",
            Self::Logs => "logs",
        }
    }

    /// The one `steps` further, around the end.
    #[must_use]
    pub fn turned(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|part| *part == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    /// Its name.
    pub id: TaskId,
    /// One line for people.
    pub title: String,
    /// Its public status.
    pub status: String,
    /// What kind of state that is.
    pub tone: Tone,
    /// Since when.
    pub since: Timestamp,
    /// Who has it.
    pub agent: Option<AgentName>,
    /// The role of the stage it is at, or would start at; none once it has ended.
    pub role: Option<String>,
    /// Which attempt at its stage, from 1; 0 before the first.
    pub attempt: u32,
    /// Why it is where it is, and what would change that.
    pub why: Explanation,
    /// The stages of its workflow, in the order of the file.
    pub stages: Vec<StageMark>,
    /// The way it took through them.
    pub flow: Flow,
    /// What it waits for, or waited for.
    pub after: Vec<Related>,
    /// The first of what waits for it.
    pub before: Vec<Related>,
    /// How many wait for it.
    pub before_total: usize,
    /// From 1, the most urgent.
    pub priority: u8,
    /// Its map.
    pub workflow: String,
    /// Its group.
    pub group: Option<String>,
    /// Globs of the files it will touch.
    pub paths: Vec<String>,
    /// The branch that carries its work.
    pub branch: String,
    /// The branch that its work is merged into.
    pub base: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its first run was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its runs used, as far as they are remembered.
    pub usage: Usage,
    /// What is asked for.
    pub body: String,
    /// What the next attempt is told.
    pub feedback: Option<String>,
    /// What the stages so far produced.
    pub outputs: Vec<StageOutput>,
    /// Its runs, oldest first, live ones last.
    pub runs: Vec<RunLine>,
    /// How it was merged.
    pub merged: Option<Merged>,
    /// What happened to it; none while that is being read, or nobody looks.
    pub history: Option<History>,
    /// What a run printed; none while nobody looks, or there is no run.
    pub output: Option<Output>,
    /// What it changes.
    pub changes: Changes,
}

/// Another task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its name.
    pub id: TaskId,
    /// One line for people; empty where there is no such task.
    pub title: String,
    /// Its public status.
    pub status: String,
    /// What kind of state that is.
    pub tone: Tone,
}

/// A run of the task.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// Its name.
    pub id: RunId,
    /// `agent`, `command`, `probe`, `gate` or `setup`.
    pub work: &'static str,
    /// At which stage; empty where it is not known.
    pub stage: String,
    /// Who did it, or for whom it was done.
    pub agent: AgentName,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it lives.
    pub ended_at: Option<Timestamp>,
    /// How it ended, or how far it is, in words.
    pub how: String,
    /// What came of it; none while it lives.
    pub verdict: Option<Verdict>,
    /// The agent's last words.
    pub summary: Option<String>,
    /// The commit it ended on, or checked.
    pub commit: Option<CommitId>,
    /// The command of a gate.
    pub command: Option<String>,
    /// What a gate saw.
    pub evidence: Option<Evidence>,
    /// What it used.
    pub usage: Usage,
    /// How what it printed is read.
    pub format: Format,
}

/// What happened to a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The events, oldest first.
    pub lines: Arc<Vec<EventLine>>,
    /// There were more before them.
    pub is_cut: bool,
}

/// What a run printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The run.
    pub run: RunId,
    /// The end of it, oldest first.
    pub lines: Arc<Vec<Arc<Line>>>,
    /// There is more before that.
    pub is_cut: bool,
    /// Nothing of it is kept, be it that there was nothing.
    pub is_gone: bool,
}

/// What a task changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Changes {
    /// It is being compared.
    #[default]
    Underway,
    /// It has no branch yet.
    NoBranch,
    /// Its work was merged, and base had everything already.
    NothingMerged,
    /// This.
    Known {
        /// The comparison.
        diff: Arc<Diff>,
        /// Of what was merged, not of the branch.
        merged: bool,
        /// It is being compared again, because the branch or base has moved.
        stale: bool,
    },
    /// It could not be compared; why, for a person.
    Failed(String),
}

impl TaskDetail {
    /// What the pipeline knows of a task, without what has to be read elsewhere.
    #[must_use]
    pub fn of(pipeline: &Pipeline, task: &Task) -> Self {
        let document = task_doc(pipeline, task);
        let (stages, flow) = flow::of(pipeline, task);
        let dependents = pipeline.dependents(&task.id);
        let runs = runs(pipeline, task);
        let usage = runs.iter().fold(Usage::default(), |sum, run| Usage {
            tokens: sum.tokens + run.usage.tokens,
            cost_usd: sum.cost_usd + run.usage.cost_usd,
        });
        Self {
            id: task.id.clone(),
            title: task.title.clone(),
            status: document.status,
            tone: tone_of(pipeline, task),
            since: task.state_since,
            agent: document.assigned_to.cloned(),
            role: role_now(pipeline, task),
            attempt: task.attempt,
            why: explain_task(pipeline, task),
            stages,
            flow,
            after: task.depends_on.iter().map(|id| related(pipeline, id)).collect(),
            before: dependents.iter().take(DEPENDENTS_MAX).map(|task| related(pipeline, &task.id)).collect(),
            before_total: dependents.len(),
            priority: task.priority,
            workflow: task.workflow.to_string(),
            group: task.group.as_ref().map(ToString::to_string),
            paths: task.paths.clone(),
            branch: document.branch,
            base: pipeline.core.settings.base.clone(),
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            usage,
            body: text::head_bytes(&task.body, BODY_BYTES_MAX).to_owned(),
            feedback: task.feedback.clone(),
            outputs: task.outputs.clone(),
            runs,
            merged: task.merged.clone(),
            history: None,
            output: None,
            changes: Changes::default(),
        }
    }

    /// The run whose output is shown: the one that was chosen, else the latest.
    #[must_use]
    pub fn run_shown(&self, chosen: Option<&RunId>) -> Option<&RunLine> {
        let chosen = chosen.and_then(|id| self.runs.iter().find(|run| run.id == *id));
        chosen.or(self.runs.last())
    }

    /// The runs of gates, oldest first.
    pub fn checks(&self) -> impl Iterator<Item = &RunLine> {
        self.runs.iter().filter(|run| run.work == "gate")
    }

    /// The gate that passed on exactly the commit that was merged.
    #[must_use]
    pub fn proof(&self) -> Option<&RunLine> {
        let merged = self.merged.as_ref()?.commit.as_ref()?;
        let passed = self.checks().filter(|run| run.verdict == Some(Verdict::Passed));
        passed.filter(|run| run.commit.as_ref() == Some(merged)).last()
    }
}

fn related(pipeline: &Pipeline, id: &TaskId) -> Related {
    let (title, status, tone) = match (pipeline.task(id.as_str()), pipeline.core.archived.get(id)) {
        (Some(task), _) => (task.title.clone(), task.state.word(), tone_of(pipeline, task)),
        (None, Some(archived)) => {
            let tone = if archived.status == "completed" { Tone::Good } else { Tone::Gone };
            (archived.title.clone(), archived.status.clone(), tone)
        }
        (None, None) => (String::new(), "unknown".to_owned(), Tone::Attention),
    };
    Related { id: id.clone(), title, status, tone }
}

fn runs(pipeline: &Pipeline, task: &Task) -> Vec<RunLine> {
    let live = pipeline.core.runs.values().filter(|run| run.task.as_ref() == Some(&task.id));
    let mut live: Vec<RunLine> = live.map(|run| live_run(pipeline, run)).collect();
    live.sort_by_key(|run| run.started_at);
    task.runs.iter().map(|run| settled_run(pipeline, run)).chain(live).collect()
}

fn live_run(pipeline: &Pipeline, run: &Run) -> RunLine {
    let (command, commit) = match &run.work {
        Work::Gate { command, commit } => (Some(command.clone()), Some(commit.clone())),
        Work::Command { command } | Work::Probe { command } => (Some(command.clone()), None),
        Work::Agent | Work::Setup { .. } => (None, None),
    };
    let how = match (&run.stop, &run.claim, run.started_at) {
        (Some(_), _, _) => "is being stopped",
        (None, Some(_), _) => "has claimed an outcome",
        (None, None, Some(_)) => "is live",
        (None, None, None) => "is starting",
    };
    RunLine {
        id: run.id.clone(),
        work: run.work.word(),
        stage: run.stage.as_ref().map(ToString::to_string).unwrap_or_default(),
        agent: run.agent.clone(),
        attempt: run.attempt,
        started_at: run.started_at.unwrap_or(run.claimed_at),
        ended_at: None,
        how: how.to_owned(),
        verdict: None,
        summary: run.claim.as_ref().and_then(|claim| claim.summary.clone()),
        format: if command.is_none() { latest::format(pipeline, &run.agent, run.interactive) } else { Format::Plain },
        commit,
        command,
        evidence: None,
        usage: Usage::default(),
    }
}

fn settled_run(pipeline: &Pipeline, run: &RunSummary) -> RunLine {
    let gate = run.work == "gate";
    let words = ["gate", "command", "probe", "setup"];
    let work = words.into_iter().find(|word| run.work == *word).unwrap_or("agent");
    RunLine {
        id: run.id.clone(),
        work,
        stage: run.stage.to_string(),
        agent: run.agent.clone(),
        attempt: run.attempt,
        started_at: run.started_at,
        ended_at: Some(run.ended_at),
        how: run.how.to_string(),
        verdict: Some(run.verdict),
        summary: run.summary.clone(),
        commit: run.commit.clone(),
        command: gate.then(|| run.evidence.as_ref().map(|seen| seen.command.clone()).unwrap_or_default()),
        evidence: run.evidence.clone(),
        usage: run.usage,
        format: if work == "agent" { latest::format(pipeline, &run.agent, run.interactive) } else { Format::Plain },
    }
}
