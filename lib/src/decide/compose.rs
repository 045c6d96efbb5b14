//! Stages that are more than one run of an agent: commands and the question whether they are needed, tasks that do parts
//! of a stage, the workflow that a failure starts, and the limits on how long a task may go on.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::parts::{Parts, Plan, as_a_part, own, value_words, workflow_of_one};
use super::stages::{because, moved};
use super::{Rules, after};
use crate::event::{MergeOutcome, NewTask};
use crate::fact::{Fact, Move};
use crate::ids::{CommitId, Role, StageId, TaskId};
use crate::mode::Orchestration;
use crate::pipeline::clock;
use crate::run::Work;
use crate::task::{Claimed, Parent, ParentWhy, Step, Task, TaskState};
use crate::text;
use crate::workflow::{CONFLICT, Doing, FAILED, SUCCESS, Stage, Workflow, params, render};

/// Tasks that do parts of tasks that do parts, so many times over, are refused: a workflow that contains itself.
pub(super) const NESTING_MAX: usize = 16;

/// What the start of a stage is.
pub(super) enum Start {
    /// Something has to be recorded first.
    Facts(Vec<Fact>),
    /// A run of this work.
    Run(Work),
}

impl Rules<'_> {
    /// What an agent or a place for commands is to do at a stage.
    pub(super) fn before_start(&self, task: &Task, stage: &Stage) -> Start {
        if let Some(facts) = self.stops_before(task, stage) {
            return Start::Facts(facts);
        }
        let command = match (&stage.probe, &stage.doing) {
            (Some(probe), _) if !task.probed => {
                self.rendered(task, stage, probe).map(|command| Work::Probe { command })
            }
            (_, Doing::Command(template)) => {
                self.rendered(task, stage, template).map(|command| Work::Command { command })
            }
            (_, Doing::Hub(_)) if task.question().is_some() => Ok(Work::Agent),
            // Nobody is asked: what was decided is on record.
            (_, Doing::Agent) if task.record_for(&stage.id).is_some() => Ok(Work::Command { command: ":".to_owned() }),
            (_, Doing::Hub(hub)) => self.rendered(task, stage, &hub.script()).map(|command| Work::Command { command }),
            (_, Doing::Agent | Doing::Workflow { .. } | Doing::Parallel(_)) => Ok(Work::Agent),
        };
        match command {
            Ok(work) => Start::Run(work),
            Err(why) => Start::Facts(self.block(task, task.state.stage(), &why)),
        }
    }

    /// A person wanted to be asked before this stage, or the task has used up its time.
    fn stops_before(&self, task: &Task, stage: &Stage) -> Option<Vec<Fact>> {
        let workflow = self.p.workflow_of(task)?;
        let place = u32::try_from(workflow.depth(&stage.id) + 1).ok();
        if task.stops.as_ref().is_some_and(|stops| stops.before.is_some() && stops.before == place) {
            let why = format!("a person wanted to be asked before stage {}", stage.id);
            let to = TaskState::Paused { stage: stage.id.clone() };
            return Some(vec![moved(&task.id, to, because(&why))]);
        }
        self.out_of_time(task).map(|why| self.block(task, task.state.stage(), &why))
    }

    fn out_of_time(&self, task: &Task) -> Option<String> {
        self.out_of_time_at(task, self.now.at)
    }

    /// Whether a task would have used up its time at this moment.
    pub(super) fn out_of_time_at(&self, task: &Task, at: Timestamp) -> Option<String> {
        let limit = self.p.workflow_of(task)?.timeout?;
        (at >= clock::ends_at(task, limit, self.now.at)?)
            .then(|| format!("it has taken longer than the {limit:#} that workflow `{}` allows", task.workflow))
    }

    /// Why a task may enter no further stage.
    pub(super) fn beyond_budget(&self, task: &Task) -> Option<String> {
        let workflow = self.p.workflow_of(task)?;
        let steps: u32 = task.visits.values().sum();
        if let Some(limit) = workflow.max_steps.filter(|limit| steps >= *limit) {
            return Some(format!("it entered {steps} stages, and workflow `{}` allows {limit}", workflow.id));
        }
        self.out_of_time(task)
    }

    /// How long a run at this stage may take: no longer than the task as a whole.
    pub(super) fn time_left(&self, task: &Task, stage: &Stage) -> SignedDuration {
        let own = stage.timeout.unwrap_or(self.p.core.settings.scheduler.stage_timeout);
        let Some(limit) = self.p.workflow_of(task).and_then(|workflow| workflow.timeout) else { return own };
        let ends = clock::ends_at(task, limit, self.now.at).unwrap_or_else(|| after(self.now.at, limit));
        let left = ends.duration_since(self.now.at);
        own.min(left).max(SignedDuration::from_secs(1))
    }

    fn rendered(&self, task: &Task, stage: &Stage, template: &str) -> Result<String, String> {
        // A task that has come a long way has much to name, which most commands do not.
        let vars = if template.contains('{') { self.p.variables(task, stage) } else { Value::Null };
        render::shell(template, &vars)
            .map_err(|error| format!("the command of stage {} cannot be written: {error}", stage.id))
    }

    /// Starts the tasks that do the parts of a stage.
    pub(super) fn open_parts(&self) -> Vec<Fact> {
        if self.p.core.pending_mode.is_some() {
            return Vec::new();
        }
        for key in self.p.queue.ready_for_parts(false) {
            let Some(task) = self.p.tasks.at(key.slot) else { continue };
            let sequential = self.p.core.mode.orchestration == Orchestration::Sequential;
            if sequential && !self.serves_current(task) {
                continue;
            }
            let Some(stage) = self.p.stage_of(task).filter(|_| self.p.category_wait(task).is_none()) else { continue };
            if let Some(hold) = self.hold(task) {
                return vec![Fact::TaskHeld { task: task.id.clone(), hold }];
            }
            if let Some(facts) = self.stops_before(task, stage) {
                return facts;
            }
            return match self.parts(task, stage) {
                Ok(parts) => self.opened(task, stage, parts),
                Err(why) => self.block(task, task.state.stage(), &why),
            };
        }
        Vec::new()
    }

    /// Whether a task is the one of sequential mode or does a part of it.
    pub(super) fn serves_current(&self, task: &Task) -> bool {
        let Some(current) = &self.p.core.current_task else { return false };
        let parent = |task: &&Task| self.p.task(task.parent.as_ref()?.task.as_str());
        std::iter::successors(Some(task), parent).take(NESTING_MAX).any(|task| task.id == *current)
    }

    pub(super) fn opened(&self, task: &Task, stage: &Stage, parts: Parts) -> Vec<Fact> {
        let mut facts: Vec<Fact> = parts.new.into_iter().map(|part| Fact::TaskAdded { task: Box::new(part) }).collect();
        let to = TaskState::Waiting { stage: stage.id.clone(), on: parts.on };
        facts.push(moved(&task.id, to, Move { began: true, ..Move::default() }));
        facts
    }

    /// The tasks that do a stage.
    fn parts(&self, task: &Task, stage: &Stage) -> Result<Parts, String> {
        let parent = |task: &&Task| self.p.task(task.parent.as_ref()?.task.as_str());
        if std::iter::successors(Some(task), parent).take(NESTING_MAX).count() == NESTING_MAX {
            return Err(format!("workflows are nested more than {NESTING_MAX} deep here; one may contain itself"));
        }
        let mut plan = Plan::of(self, task, stage);
        let combinations = stage.combinations();
        match &stage.doing {
            Doing::Parallel(stages) => return self.parts_of(task, stage, stages),
            Doing::Workflow { workflow, params: given } => {
                let sub = self.p.led(task, workflow);
                let sub = sub.ok_or_else(|| format!("there is no workflow `{workflow}`"))?;
                let shared = combinations.len() == 1;
                for values in combinations {
                    let mut given = self.given(task, stage, given, &values)?;
                    given.extend(values.iter().filter(|(name, _)| sub.params.contains_key(name.as_str())).map(own));
                    let given = params::check(&sub.params, &given)
                        .map_err(|problems| format!("workflow `{workflow}`: {}", problems.join("; ")))?;
                    let branch = shared.then(|| task.branch_task().clone());
                    plan.add(&value_words(&values), as_a_part(sub), given, branch);
                }
            }
            Doing::Agent | Doing::Command(_) | Doing::Hub(_) => {
                let workflow = self.p.workflow_of(task).ok_or("its workflow is not there")?;
                let alone = Arc::new(workflow_of_one(workflow, stage));
                for values in combinations {
                    let mut given = task.params.clone();
                    given.extend(values.iter().map(own));
                    plan.add(&value_words(&values), alone.clone(), given, None);
                }
            }
        }
        Ok(plan.done())
    }

    /// Tasks that each do one of these stages.
    pub(super) fn parts_of(&self, task: &Task, stage: &Stage, stages: &[StageId]) -> Result<Parts, String> {
        let mut plan = Plan::of(self, task, stage);
        let workflow = self.p.workflow_of(task).ok_or("its workflow is not there")?;
        for id in stages {
            let part = workflow.stage(id).ok_or_else(|| format!("there is no stage {id}"))?;
            plan.add(id.as_str(), Arc::new(workflow_of_one(workflow, part)), task.params.clone(), None);
        }
        Ok(plan.done())
    }

    /// What a sub-workflow is given: texts are templates over what the task was given.
    fn given(
        &self,
        task: &Task,
        stage: &Stage,
        given: &BTreeMap<String, Value>,
        values: &BTreeMap<&String, &Value>,
    ) -> Result<BTreeMap<String, Value>, String> {
        let mut vars = self.p.variables(task, stage);
        if let Some(object) = vars.as_object_mut() {
            let matrix: Map<String, Value> = values.iter().map(own).collect();
            // As in a command: by their names, which hide no word that is always there.
            let named: Vec<(String, Value)> =
                matrix.clone().into_iter().filter(|(name, _)| !render::ROOTS.contains(&name.as_str())).collect();
            object.extend(named);
            object.insert("matrix".to_owned(), Value::Object(matrix));
        }
        let render = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::String(template) => Value::String(
                    render::text(template, &vars).map_err(|error| format!("parameter `{name}`: {error}"))?,
                ),
                other => other.clone(),
            };
            Ok((name.clone(), value))
        };
        given.iter().map(render).collect()
    }

    /// Goes on with a task once all that did parts of its stage are over.
    pub(super) fn join_parts(&self) -> Vec<Fact> {
        for slot in self.p.queue.waiting_for_parts() {
            let Some(task) = self.p.tasks.at(slot) else { continue };
            let TaskState::Waiting { stage, on } = &task.state else { continue };
            let over = |id: &TaskId| self.p.task(id.as_str()).is_none_or(|part| self.is_over_for(task, part));
            if !on.iter().all(over) {
                continue;
            }
            let Some(stage) = self.p.workflow_of(task).and_then(|workflow| workflow.stage(stage)) else { continue };
            return self.joined(task, stage, on);
        }
        Vec::new()
    }

    fn joined(&self, task: &Task, stage: &Stage, on: &[TaskId]) -> Vec<Fact> {
        if matches!(stage.doing, Doing::Hub(_)) && stage.matrix.is_empty() {
            return self.back_to_hub(task, stage, on);
        }
        let parts: Vec<Part<'_>> = on.iter().map(|id| self.part(id)).collect();
        let mut said = String::new();
        for part in &parts {
            let words = part.output.map_or("", |output| output.summary.as_str());
            let _written = writeln!(said, "{}: {} {}", part.id, part.decision, text::one_line(words, 200));
        }
        let said = said.trim_end().to_owned();
        if let Some(failed) = parts.iter().find(|part| part.decision == FAILED) {
            let mut facts = self.left_behind(task, stage, on);
            facts.extend(self.attempt_failed(task, stage, &format!("{} {}", failed.id, failed.how), &said, None));
            return facts;
        }
        let Some(last) = parts.iter().rev().find_map(|part| part.output) else {
            return self.block(task, Some(&stage.id), "the tasks that did its parts left nothing behind");
        };
        let default = stage.default_decision().unwrap_or(SUCCESS);
        let known = stage.choices();
        let other =
            parts.iter().map(|part| part.decision.as_str()).find(|word| *word != default && known.contains(word));
        let claim = Claimed {
            decision: Some(other.unwrap_or(default).to_owned()),
            commit: last.commit.clone(),
            agent: last.agent.clone(),
            run: last.run.clone(),
            summary: said,
            approved: false,
            approved_by: None,
            by: None,
        };
        let own_branch = |id: &TaskId| self.p.task(id.as_str()).is_none_or(|part| part.branch() != task.branch());
        let heads: Vec<CommitId> = parts
            .iter()
            .filter(|part| own_branch(part.id))
            .filter_map(|part| Some(part.output?.commit.clone()))
            .collect();
        if heads.is_empty() {
            return self.accept(task, stage, claim);
        }
        let to = TaskState::Verifying { stage: stage.id.clone(), claim, step: Step::Join { heads } };
        vec![moved(&task.id, to, Move::default())]
    }

    fn part<'t>(&'t self, id: &'t TaskId) -> Part<'t> {
        let Some(part) = self.p.task(id.as_str()) else {
            let status = self.p.core.archived.get(id).map_or("unknown", |archived| archived.status.as_str());
            let decision = if status == "completed" { SUCCESS } else { FAILED };
            return Part { id, decision: decision.to_owned(), how: format!("is {status}"), output: None };
        };
        let output = part.outputs.last();
        let decision = match (&part.state, output) {
            (TaskState::Completed, Some(output)) => output.decision.clone(),
            (TaskState::Completed, None) => SUCCESS.to_owned(),
            _ => FAILED.to_owned(),
        };
        Part { id, decision, how: format!("is {}", part.state.word()), output }
    }

    /// The branches of the parts have been brought together on the task's own, or not.
    pub(super) fn parts_joined(&self, id: &TaskId, outcome: &MergeOutcome) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage(id) else { return Vec::new() };
        let TaskState::Verifying { claim, step: Step::Join { .. }, .. } = &task.state else { return Vec::new() };
        match outcome {
            MergeOutcome::AlreadyMerged { onto: commit } | MergeOutcome::Commit { commit, .. } => {
                self.accept(task, stage, Claimed { commit: commit.clone(), ..claim.clone() })
            }
            MergeOutcome::Conflict { files } => {
                let list = files.iter().map(|file| format!("- {file}")).collect::<Vec<_>>().join("\n");
                let feedback = format!("What the parts of stage {} changed does not fit together:\n{list}", stage.id);
                self.finish(task, stage, claim, CONFLICT, Some(feedback))
            }
        }
    }

    /// What a workflow says is done when a task on it fails.
    pub(super) fn after_failure(&self, task: &Task, stage: &Stage, why: &str) -> Vec<Fact> {
        let Some(id) = self.p.workflow_of(task).and_then(|workflow| workflow.on_failure.as_ref()) else {
            return Vec::new();
        };
        // What mends a failure must not be mended by itself.
        if task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Failure) {
            return Vec::new();
        }
        if self.part_started(task, id) {
            return Vec::new();
        }
        match self.failure_task(task, stage, id, why) {
            Ok(new) => vec![Fact::TaskAdded { task: Box::new(new) }],
            Err(problem) => vec![Fact::Notice {
                role: Role::new(super::stages::NOTIFIED_ROLE).expect("a literal role is well formed"),
                task: task.id.clone(),
                text: format!("workflow `{id}` was to be started because {} failed: {problem}", task.id),
            }],
        }
    }

    fn failure_task(&self, task: &Task, stage: &Stage, id: &crate::ids::WorkflowId, why: &str) -> Result<Task, String> {
        let (workflow, given) = self.p.follows_failure(task, id, Some(&stage.id), why)?;
        let name = self.name_of_part(task, "on-failure", &HashSet::new());
        let new = NewTask {
            title: format!("{} after {} failed at {}", workflow_words(workflow), task.id, stage.id),
            body: format!("{}\n\n{why}\n", task.title),
            priority: task.priority,
            workflow: Some(id.clone()),
            params: given,
            ..NewTask::titled("")
        };
        let mut new = self.new_task(&name, &new, self.p.core.next_order);
        (new.pinned, new.along) = (Some(workflow.clone()), task.along.clone());
        new.parent = Some(Box::new(Parent {
            task: task.id.clone(),
            stage: stage.id.clone(),
            why: ParentWhy::Failure,
            branch: None,
        }));
        Ok(new)
    }

    /// A name that nothing has yet, made of the task's and a word.
    pub(super) fn name_of_part(&self, task: &Task, word: &str, taken: &HashSet<TaskId>) -> TaskId {
        let free = |id: &TaskId| !taken.contains(id) && self.unused(id).is_ok();
        let base = format!("{}.{word}", task.id);
        let numbered = (2..).map(|n: u32| format!("{base}-{n}"));
        let longest = crate::ids::NAME_BYTES_MAX - 12;
        let named = std::iter::once(base.clone()).chain(numbered).take_while(|text| text.len() <= longest);
        named.filter_map(|text| TaskId::new(&text).ok()).find(free).unwrap_or_else(|| {
            let from = self.p.core.next_number;
            let numbers =
                (from..).map(|n| TaskId::new(&format!("TASK-{n:03}")).expect("a number makes a well-formed id"));
            numbers.into_iter().find(free).expect("there is always a number that is free")
        })
    }
}

/// One of the tasks that did a stage, as its parent sees it.
struct Part<'t> {
    id: &'t TaskId,
    decision: String,
    how: String,
    output: Option<&'t crate::task::StageOutput>,
}

fn workflow_words(workflow: &Workflow) -> &str {
    if workflow.name.is_empty() { workflow.id.as_str() } else { &workflow.name }
}
