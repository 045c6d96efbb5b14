//! What happened to a task and to those that do parts of it, read from the journal: one entry for each piece of work that
//! was done, and one line for each thing a person wants to see. Prints nothing.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use pipeline_lib::fact::{Fact, Move};
use pipeline_lib::ids::{RunId, StageId, TaskId, WorkflowId};
use pipeline_lib::metrics::seconds_between;
use pipeline_lib::run::{ClaimStatus, Ended, Run, RunSummary, StopReason, Verdict, Work};
use pipeline_lib::task::{ParentWhy, StageOutput, TaskState};
use pipeline_lib::text::{headline, last_error, one_line};
use pipeline_lib::workflow::{CONFLICT, FAILED};
use pipeline_state::Record;
use serde_json::Value;

/// The longest reason in a line, in characters.
const WHY_CHARS_MAX: usize = 300;

/// What came of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Passed,
    Failed,
    /// There was nothing left to do.
    Skipped,
    /// It was taken back and counts for nothing.
    Void,
}

impl Came {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Void => "taken_back",
        }
    }
}

/// A piece of work that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The stage, with what says which part of it this is.
    pub(super) label: String,
    pub(super) task: TaskId,
    pub(super) stage: StageId,
    /// None where tasks of their own did it.
    pub(super) run: Option<RunId>,
    /// `agent`, `command`, `probe`, `gate` or `parts`.
    pub(super) work: String,
    pub(super) attempt: u32,
    pub(super) came: Came,
    pub(super) decision: Option<String>,
    pub(super) seconds: f64,
    pub(super) why: String,
    pub(super) at: Timestamp,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A run begins; its command, where it is one.
    Began { command: Option<String> },
    /// A piece of work is over.
    Ended(Box<Entry>),
    /// Tasks of their own begin to do a stage.
    Parts,
    /// Something else a person should know.
    Note,
    /// It goes on only with a person.
    Stopped,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) label: String,
    pub(super) task: TaskId,
    pub(super) run: Option<RunId>,
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Debug)]
struct Live {
    task: TaskId,
    stage: StageId,
    work: Work,
    started: bool,
}

/// A run that is over, before it is known what follows from it.
#[derive(Debug)]
struct Closed {
    entry: Entry,
    /// Its exit code says in the stage's own words that it failed: why is what it said last.
    by_exit: bool,
}

/// A task of the family, as far as it matters for what its stages are called.
#[derive(Debug)]
struct Member {
    workflow: WorkflowId,
    /// It does one stage of the task it serves, and nothing else.
    of_one: bool,
}

/// What is known so far.
#[derive(Debug)]
pub(super) struct Story {
    root: TaskId,
    family: BTreeMap<TaskId, Option<Member>>,
    live: HashMap<RunId, Live>,
    /// A run that was closed, until it is known what was decided.
    closed: Option<Closed>,
    /// Since when stages are done by tasks of their own.
    parts: BTreeMap<TaskId, (StageId, Timestamp)>,
    /// Why a task was blocked that was told of last: whoever else is told that is told the same.
    blocked: String,
    /// What was told of the decisions of runs.
    told: HashMap<RunId, String>,
    pub(super) entries: Vec<Entry>,
    pub(super) began: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

impl Story {
    pub(super) fn of(root: TaskId) -> Self {
        Self {
            family: BTreeMap::from([(root.clone(), None)]),
            root,
            live: HashMap::new(),
            closed: None,
            parts: BTreeMap::new(),
            blocked: String::new(),
            told: HashMap::new(),
            entries: Vec::new(),
            began: None,
            last: None,
        }
    }

    /// Takes the next record. The end of a run is told with the record behind it, which says what was decided.
    pub(super) fn take(&mut self, record: Record<Value>) -> Vec<Line> {
        let at = record.at;
        // What a newer program wrote is nothing we could tell.
        let Ok(fact) = serde_json::from_value::<Fact>(record.fact) else { return Vec::new() };
        let mut lines = Vec::new();
        if let Fact::StageDone { task, output } = &fact
            && self.family.contains_key(task)
        {
            self.last = Some(at);
            lines.extend(self.done(at, task, output));
            return lines;
        }
        // What is checked or asked about first was decided all the same.
        if let Fact::TaskMoved {
            to: TaskState::Verifying { claim, .. } | TaskState::AwaitingApproval { claim, .. },
            ..
        } = &fact
            && let Some(Closed { entry, .. }) =
                self.closed.as_mut().filter(|closed| closed.entry.run.as_ref() == Some(&claim.run))
        {
            entry.decision.clone_from(&claim.decision);
            self.told.extend(claim.decision.clone().map(|decision| (claim.run.clone(), decision)));
        }
        let about_agent = matches!(fact, Fact::Notice { .. } | Fact::PresetPaused { .. } | Fact::AgentBroken { .. });
        if !about_agent {
            lines.extend(self.flush());
        }
        let before = lines.len();
        lines.extend(self.other(at, &fact));
        if lines.len() > before {
            self.last = Some(at);
        }
        lines
    }

    /// Tells what is held back: nothing more is known for now.
    pub(super) fn flush(&mut self) -> Option<Line> {
        let Closed { entry, .. } = self.closed.take()?;
        (entry.work != "probe").then(|| self.ended(entry))
    }

    fn other(&mut self, at: Timestamp, fact: &Fact) -> Option<Line> {
        match fact {
            Fact::TaskAdded { task } => {
                if task.id == self.root {
                    self.began = Some(at);
                    let member = Member { workflow: task.workflow.clone(), of_one: false };
                    self.family.insert(task.id.clone(), Some(member));
                }
                let parent = task.parent.as_ref().filter(|parent| self.family.contains_key(&parent.task));
                if let Some(parent) = parent.filter(|parent| parent.why == ParentWhy::Proposal) {
                    let text =
                        format!("{}; a person decides about {}", task.reason.clone().unwrap_or_default(), task.id);
                    let label = self.label(&parent.task, &parent.stage);
                    let of = parent.task.clone();
                    return Some(Line {
                        at,
                        label,
                        task: of,
                        run: None,
                        kind: Kind::Note,
                        text: one_line(&text, WHY_CHARS_MAX),
                    });
                }
                if let Some(parent) = parent {
                    let served = self.family.get(&parent.task).and_then(Option::as_ref);
                    // What does a stage by itself goes by the workflow of the task it serves.
                    let of_one = parent.why != ParentWhy::Failure
                        && served.is_none_or(|served| served.workflow == task.workflow);
                    let member = Member { workflow: task.workflow.clone(), of_one };
                    self.family.insert(task.id.clone(), Some(member));
                }
                None
            }
            Fact::RunClaimed { run } => self.claimed(run),
            Fact::RunStarted { run, started_at, .. } => self.started(run, *started_at),
            Fact::RunClosed { run, summary } => {
                self.closed(at, run, summary.as_deref());
                None
            }
            Fact::TaskMoved { task, to, with } if self.family.contains_key(task) => {
                if let (TaskState::Blocked { .. }, Some(reason)) = (to, &with.reason) {
                    self.blocked.clone_from(reason);
                }
                self.moved(at, task, to, with)
            }
            Fact::Demoted { mode, why } => {
                let text = format!("the rollout went back to {}: {why}", mode.rollout.word());
                let task = self.root.clone();
                Some(Line {
                    at,
                    label: "rollout".to_owned(),
                    task,
                    run: None,
                    kind: Kind::Note,
                    text: one_line(&text, WHY_CHARS_MAX),
                })
            }
            Fact::Notice { task, text, .. } if self.family.contains_key(task) => self.noticed(at, task, text),
            _ => None,
        }
    }

    /// What a role is told of a task is for whoever watches it, too; unless that was just told as the task's own end.
    fn noticed(&self, at: Timestamp, task: &TaskId, text: &str) -> Option<Line> {
        if !self.blocked.is_empty() && text.contains(&self.blocked) {
            return None;
        }
        let (task, text) = (task.clone(), one_line(text, WHY_CHARS_MAX));
        Some(Line { at, label: task.to_string(), task, run: None, kind: Kind::Note, text })
    }

    fn claimed(&mut self, run: &Run) -> Option<Line> {
        let (Some(task), Some(stage)) = (&run.task, &run.stage) else { return None };
        if self.family.contains_key(task) {
            let live = Live { task: task.clone(), stage: stage.clone(), work: run.work.clone(), started: false };
            self.live.insert(run.id.clone(), live);
        }
        None
    }

    fn started(&mut self, run: &RunId, at: Timestamp) -> Option<Line> {
        self.live.get_mut(run)?.started = true;
        let live = self.live.get(run)?;
        let command = match &live.work {
            Work::Command { command } => Some(command.clone()),
            Work::Agent => None,
            // What only asks or checks is told when it is over.
            Work::Probe { .. } | Work::Gate { .. } | Work::Setup { .. } => return None,
        };
        Some(Line {
            at,
            label: self.label(&live.task, &live.stage),
            task: live.task.clone(),
            run: Some(run.clone()),
            kind: Kind::Began { command },
            text: "begins".to_owned(),
        })
    }

    fn closed(&mut self, at: Timestamp, run: &RunId, summary: Option<&RunSummary>) {
        let (Some(live), Some(summary)) = (self.live.remove(run), summary) else { return };
        let came = match summary.verdict {
            Verdict::Passed => Came::Passed,
            Verdict::Failed => Came::Failed,
            Verdict::Void => Came::Void,
        };
        // What could not even be started did nothing, and why is told of its task.
        let given_up = Ended::Stopped { reason: StopReason::Cancelled };
        if came == Came::Void && !live.started && summary.how == given_up {
            return;
        }
        let declared = summary.claimed == Some(ClaimStatus::Completed) && summary.how != (Ended::Exited { code: 0 });
        let by_exit = came == Came::Failed && declared && matches!(live.work, Work::Command { .. });
        let why = match came {
            Came::Passed | Came::Skipped => summary.summary.clone().unwrap_or_default(),
            Came::Failed if by_exit => {
                summary.summary.as_deref().map_or_else(|| summary.how.to_string(), |said| last_error(said).to_owned())
            }
            // What ended well by itself failed by what was measured, which is then the summary.
            Came::Failed if summary.how == (Ended::Exited { code: 0 }) => {
                summary.summary.clone().unwrap_or_else(|| summary.how.to_string())
            }
            Came::Failed | Came::Void => summary.how.to_string(),
        };
        let entry = Entry {
            label: self.label(&live.task, &live.stage),
            task: live.task.clone(),
            stage: live.stage,
            run: Some(run.clone()),
            work: summary.work.to_string(),
            attempt: summary.attempt,
            came,
            decision: None,
            seconds: seconds_between(summary.started_at, summary.ended_at),
            why: one_line(why.trim(), WHY_CHARS_MAX),
            at,
        };
        self.closed = Some(Closed { entry, by_exit });
    }

    fn done(&mut self, at: Timestamp, task: &TaskId, output: &StageOutput) -> Vec<Line> {
        let waited = self.parts.remove(task).filter(|(stage, _)| *stage == output.stage);
        let mut lines = Vec::new();
        match self.closed.take() {
            Some(Closed { mut entry, by_exit }) if entry.run.as_ref() == Some(&output.run) && entry.task == *task => {
                if entry.work == "probe" {
                    entry.came = Came::Skipped;
                    entry.why = one_line(&output.summary, WHY_CHARS_MAX);
                }
                // An agent that did its work and says that the stage failed.
                if entry.came == Came::Passed && output.decision == FAILED {
                    entry.came = Came::Failed;
                }
                if entry.came == Came::Failed && !by_exit && !output.summary.is_empty() {
                    entry.why = one_line(headline(&output.summary), WHY_CHARS_MAX);
                }
                entry.decision = Some(output.decision.clone());
                self.told.insert(output.run.clone(), output.decision.clone());
                let mut line = self.ended(entry);
                if output.by.is_some() {
                    line.text.push_str(&format!(" · by {}", one_line(&output.who(), WHY_CHARS_MAX)));
                }
                lines.push(line);
                return lines;
            }
            Some(Closed { entry, .. }) if entry.work != "probe" => lines.push(self.ended(entry)),
            Some(_) | None => {}
        }
        let label = self.label(task, &output.stage);
        if let Some((stage, since)) = waited {
            let entry = Entry {
                label,
                task: task.clone(),
                stage,
                run: None,
                work: "parts".to_owned(),
                attempt: 1,
                came: if [FAILED, CONFLICT].contains(&output.decision.as_str()) { Came::Failed } else { Came::Passed },
                decision: Some(output.decision.clone()),
                seconds: seconds_between(since, at),
                why: one_line(output.summary.trim(), WHY_CHARS_MAX),
                at,
            };
            lines.push(self.ended(entry));
        } else if self.told.insert(output.run.clone(), output.decision.clone()).as_ref() != Some(&output.decision) {
            // A person decided, or a failure did: the run itself was told before.
            if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.run.as_ref() == Some(&output.run)) {
                entry.decision = Some(output.decision.clone());
            }
            let text = format!("goes on with {}", output.decision);
            lines.push(Line { at, label, task: task.clone(), run: Some(output.run.clone()), kind: Kind::Note, text });
        }
        lines
    }

    fn ended(&mut self, entry: Entry) -> Line {
        let gate = if entry.work == "gate" { "gate " } else { "" };
        let decision = entry.decision.as_deref().map_or_else(String::new, |word| format!(" · {word}"));
        let why = match entry.came {
            Came::Passed | Came::Skipped => String::new(),
            Came::Failed | Came::Void => format!(" · {}", entry.why),
        };
        let text = match entry.came {
            Came::Skipped => "skipped: it holds already".to_owned(),
            came => format!("{gate}{} in {:.1} s{decision}{why}", came.word().replace('_', " "), entry.seconds),
        };
        let line = Line {
            at: entry.at,
            label: entry.label.clone(),
            task: entry.task.clone(),
            run: entry.run.clone(),
            kind: Kind::Ended(Box::new(entry.clone())),
            text,
        };
        self.entries.push(entry);
        line
    }

    fn moved(&mut self, at: Timestamp, task: &TaskId, to: &TaskState, with: &Move) -> Option<Line> {
        // Of a report its first line; the end of the run tells all of it.
        let why = with.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
        let why = one_line(why, WHY_CHARS_MAX);
        let (kind, text) = match to {
            TaskState::Waiting { stage, on } => {
                self.parts.insert(task.clone(), (stage.clone(), at));
                let names: Vec<&str> = on.iter().map(TaskId::as_str).collect();
                (Kind::Parts, format!("is done by {}", one_line(&names.join(", "), WHY_CHARS_MAX)))
            }
            TaskState::Ready { .. } if with.retry => {
                let wait = with.not_before.map_or(0.0, |until| seconds_between(at, until));
                let when = if wait > 0.0 { format!("again in {wait:.0} s") } else { "again".to_owned() };
                (Kind::Note, if why.is_empty() { when } else { format!("{when}: {why}") })
            }
            TaskState::Ready { .. } if with.asked_again => (Kind::Note, why),
            TaskState::Paused { .. } | TaskState::AwaitingApproval { .. } => (Kind::Stopped, format!("waits: {why}")),
            TaskState::Blocked { .. } => (Kind::Stopped, format!("blocked: {why}")),
            TaskState::Failed | TaskState::Cancelled | TaskState::RolledBack => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                (Kind::Stopped, format!("{}{why}", to.word()))
            }
            TaskState::Unassigned
            | TaskState::Ready { .. }
            | TaskState::Working { .. }
            | TaskState::Verifying { .. }
            | TaskState::Completed => return None,
        };
        let label = to.stage().map_or_else(|| task.to_string(), |stage| self.label(task, stage));
        Some(Line { at, label, task: task.clone(), run: None, kind, text })
    }

    /// The stage; of another task of the family with what tells that one from the first.
    fn label(&self, task: &TaskId, stage: &StageId) -> String {
        let suffix = task.as_str().strip_prefix(self.root.as_str()).unwrap_or(task.as_str()).trim_start_matches('.');
        if suffix.is_empty() {
            return stage.to_string();
        }
        let of_one = self.family.get(task).and_then(Option::as_ref).is_none_or(|member| member.of_one);
        match of_one && suffix.split('.').any(|word| is_named_after(word, stage)) {
            true => suffix.to_owned(),
            false => format!("{suffix}.{stage}"),
        }
    }
}

/// Whether a word of a task's name is that of a stage, or that with a number behind it because there are more of them.
fn is_named_after(word: &str, stage: &StageId) -> bool {
    let Some(rest) = word.strip_prefix(stage.as_str()) else { return false };
    let number = rest.strip_prefix('-').unwrap_or_default();
    rest.is_empty() || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
