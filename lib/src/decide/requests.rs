//! What people ask for, and what agents report about their own run. Everything is checked before anything changes.

mod add;

use std::collections::{BTreeSet, HashMap};

use super::Rules;
use super::runs::claimed;
use super::stages::{because, moved};
use crate::event::{Refusal, Request};
use crate::fact::{Fact, Move, TaskEdit};
use crate::ids::{AgentName, RunId, StageId, TaskId};
use crate::run::{Claim, Phase, StopReason};
use crate::task::{Ask, ParentWhy, Step, Task, TaskState};
use crate::workflow::SUCCESS;
use add::{check_paths, check_priority, check_title};

impl Rules<'_> {
    pub(super) fn request(&self, request: &Request) -> Result<Vec<Fact>, Refusal> {
        match request {
            Request::AddTasks(tasks) => self.add_tasks(tasks),
            Request::Edit { task, edit } => self.edit(task, edit),
            Request::Assign { task, agent, interrupt } => self.assign(task, agent.as_ref(), *interrupt),
            Request::Retry { task, message } => self.retry(task, message.as_deref()),
            Request::Block { task, reason } => self.block_by_person(task, reason),
            Request::Unblock { task } => self.unblock(task),
            Request::Cancel { task, reason } => self.cancel(task, reason.as_deref()),
            Request::Approve { by, task, decision } => {
                let mut facts = self.approve(by.as_deref(), task, decision.as_deref())?;
                signed(&mut facts, task, by.as_deref());
                Ok(facts)
            }
            Request::Reject { task, message } => self.reject(task, message.as_deref()),
            Request::RolledBack { tasks } => {
                let each = tasks.iter().map(|(id, commit)| self.rolled_back(id, commit.as_ref().map(|c| c.short())));
                Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
            Request::StopAgent { agent } => self.stop_agent(agent),
            Request::StartAgent { agent } => self.start_agent(agent),
            Request::SetMode { mode, busy, unready } => self.set_mode(*mode, *busy, *unready),
            Request::SetRollout { rollout, unready } => Ok(self.set_rollout(*rollout, *unready)),
            Request::SetPilot { scope } => Ok(if *scope == self.p.core.pilot {
                Vec::new()
            } else {
                vec![Fact::PilotChanged { scope: scope.clone() }]
            }),
            Request::NoteAlerts { notices, working } => {
                let noted = notices.iter().map(|notice| Fact::AlertNoted { notice: Box::new(notice.clone()) });
                let known = |channel: &&String| {
                    self.p.core.alerts.iter().any(|alert| alert.notice.channel.as_ref() == Some(*channel))
                };
                let working = working.iter().filter(known);
                Ok(working.map(|channel| Fact::ChannelWorks { channel: channel.clone() }).chain(noted).collect())
            }
            Request::Done { task, run, claim } => self.done(task.as_ref(), run.as_ref(), claim),
        }
    }

    fn task(&self, id: &TaskId) -> Result<&Task, Refusal> {
        self.p.task(id.as_str()).ok_or_else(|| match self.p.core.archived.contains_key(id) {
            true => Refusal::Archived(id.clone()),
            false => Refusal::NoTask(id.to_string()),
        })
    }

    pub(super) fn illegal(&self, verb: &'static str, task: &Task, hint: &str) -> Refusal {
        let hint = Some(hint.to_owned()).filter(|text| !text.is_empty());
        Refusal::Illegal { verb, task: task.id.clone(), status: task.state.word(), hint }
    }

    fn edit(&self, id: &TaskId, edit: &TaskEdit) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        if task.state.is_final() {
            return Err(self.illegal("edit", task, ""));
        }
        edit.title.as_deref().map_or(Ok(()), check_title)?;
        edit.priority.map_or(Ok(()), check_priority)?;
        edit.paths.as_deref().map_or(Ok(()), check_paths)?;
        if let Some(workflow) = &edit.workflow {
            self.check_workflow(workflow)?;
            if task.started_at.is_some() {
                return Err(Refusal::Invalid(format!("task `{id}` has started on workflow `{}`", task.workflow)));
            }
        }
        if let Some(Some(agent)) = &edit.pinned_agent {
            self.agent(agent)?;
        }
        for dependency in edit.depends_on.iter().flatten() {
            self.check_dependency(id, dependency)?;
            if let Some(cycle) = self.path_between(dependency, id) {
                return Err(Refusal::Cycle(cycle));
            }
        }
        Ok(if edit.is_empty() {
            Vec::new()
        } else {
            vec![Fact::TaskEdited { task: id.clone(), edit: Box::new(edit.clone()) }]
        })
    }

    /// The chain of those that wait, from one task to another, the target first: for what it depends on, and for those that
    /// do parts of its stage.
    fn path_between(&self, from: &TaskId, to: &TaskId) -> Option<Vec<TaskId>> {
        let mut reached_from: HashMap<&TaskId, Option<&TaskId>> = HashMap::from([(from, None)]);
        let mut todo = vec![from];
        while let Some(last) = todo.pop() {
            if last == to {
                let mut path: Vec<TaskId> =
                    std::iter::successors(Some(last), |id| reached_from.get(id).copied().flatten()).cloned().collect();
                path[1..].reverse();
                return Some(path);
            }
            for next in self.p.task(last.as_str()).into_iter().flat_map(|t| t.depends_on.iter().chain(parts(t))) {
                if !reached_from.contains_key(next) {
                    reached_from.insert(next, Some(last));
                    todo.push(next);
                }
            }
        }
        None
    }

    fn assign(&self, id: &TaskId, agent: Option<&AgentName>, interrupt: bool) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        if task.state.is_final() {
            return Err(self.illegal("assign", task, ""));
        }
        if let Some(agent) = agent {
            self.agent(agent)?;
            self.may_start(id)?;
        }
        let mut facts = Vec::new();
        if task.pinned_agent.as_ref() != agent {
            let edit = TaskEdit { pinned_agent: Some(agent.cloned()), ..TaskEdit::default() };
            facts.push(Fact::TaskEdited { task: id.clone(), edit: Box::new(edit) });
        }
        let TaskState::Working { run, .. } = &task.state else { return Ok(facts) };
        let same = agent.is_some() && self.p.core.runs.get(run).map(|r| &r.agent) == agent;
        if same {
            return Ok(facts);
        }
        if !interrupt {
            let hint = format!("Run `pipeline task reassign {id} AGENT` to stop the live run and hand the work over.");
            return Err(self.illegal("assign", task, &hint));
        }
        facts.extend(self.stop_live(task, StopReason::Person));
        Ok(facts)
    }

    fn stop_live(&self, task: &Task, reason: StopReason) -> Option<Fact> {
        let run = self.p.core.runs.get(task.state.run()?)?;
        run.stop.is_none().then(|| Fact::RunStopping { run: run.id.clone(), reason })
    }

    /// Where a task goes on after a person intervened: at its stage, or at the start.
    pub(super) fn ready_at(&self, stage: Option<&StageId>) -> TaskState {
        stage.map_or(TaskState::Unassigned, |stage| TaskState::Ready { stage: stage.clone() })
    }

    fn retry(&self, id: &TaskId, message: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        let stage = match &task.state {
            TaskState::Blocked { stage } => stage.clone(),
            TaskState::Ready { stage } => Some(stage.clone()),
            TaskState::Failed | TaskState::Cancelled => task.left_at.clone(),
            TaskState::AwaitingApproval { .. } => {
                let hint = format!("Run `pipeline task reject {id}` to have the stage done again.");
                return Err(self.illegal("retry", task, &hint));
            }
            TaskState::Paused { .. } => {
                return Err(self.illegal("retry", task, &format!("Run `pipeline task approve {id}` to let it go on.")));
            }
            TaskState::Waiting { .. } => {
                self.may_start(id)?;
                let on_the_way = || self.illegal("retry", task, "It is under way; nothing has to be done.");
                return self.with_its_parts(task, message).ok_or_else(on_the_way);
            }
            TaskState::Working { .. } | TaskState::Verifying { .. } => {
                return Err(self.illegal("retry", task, "It is under way; nothing has to be done."));
            }
            TaskState::Unassigned | TaskState::Completed | TaskState::RolledBack => {
                return Err(self.illegal("retry", task, ""));
            }
        };
        self.may_start(id)?;
        if let Some(mut facts) = self.with_its_parts(task, message) {
            facts.extend(self.with_its_chains(task)?);
            return Ok(facts);
        }
        let with =
            Move { entered: stage.is_some(), feedback: message.map(str::to_owned), retry: true, ..Move::default() };
        let mut facts = vec![moved(id, self.ready_at(stage.as_ref()), with)];
        facts.extend(self.with_its_chains(task)?);
        Ok(facts)
    }

    /// A start that a person asks for is refused where the rollout would not let it happen.
    fn may_start(&self, id: &TaskId) -> Result<(), Refusal> {
        if self.p.may_touch(id) {
            return Ok(());
        }
        Err(Refusal::Withheld { mode: self.p.core.mode.rollout.word(), task: id.clone() })
    }

    fn block_by_person(&self, id: &TaskId, reason: &str) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        if task.state.is_final() || matches!(task.state, TaskState::Blocked { .. }) {
            return Err(self.illegal("block", task, ""));
        }
        let stage = task.started_at.and(task.state.stage()).cloned();
        let mut facts = self.give_up_parts(task, reason);
        facts.extend(self.stop_live(task, StopReason::Cancelled));
        let with = Move { put_aside: true, ..because(reason) };
        facts.push(moved(id, TaskState::Blocked { stage }, with));
        self.put_in_order(&mut facts);
        Ok(facts)
    }

    fn unblock(&self, id: &TaskId) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        match &task.state {
            TaskState::Blocked { stage } => {
                let with = Move { entered: stage.is_some(), ..Move::default() };
                let mut facts = vec![moved(id, self.ready_at(stage.as_ref()), with)];
                facts.extend(self.with_its_chains(task)?);
                Ok(facts)
            }
            _ => Err(self.illegal("unblock", task, "")),
        }
    }

    fn cancel(&self, id: &TaskId, reason: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        if task.state.is_final() {
            return Err(self.illegal("cancel", task, ""));
        }
        let why = reason.unwrap_or("a person gave it up");
        let mut facts = self.give_up_parts(task, why);
        facts.extend(self.stop_live(task, StopReason::Cancelled));
        facts.push(moved(id, TaskState::Cancelled, because(why)));
        facts.extend(self.after_cancel(task));
        // Whoever waited for a part waits for nothing any more either; nobody is given up twice.
        let mut gone: BTreeSet<TaskId> = cancelled(&facts).cloned().collect();
        for id in gone.clone() {
            let skipped = self.skip_dependents(&id, why);
            facts.extend(skipped.into_iter().filter(|fact| cancelled([fact]).all(|task| gone.insert(task.clone()))));
        }
        self.put_in_order(&mut facts);
        Ok(facts)
    }

    /// Nobody waits any more for the tasks that did parts of a stage.
    pub(super) fn give_up_parts(&self, task: &Task, why: &str) -> Vec<Fact> {
        let mut facts = Vec::new();
        for part in parts(task).iter().filter_map(|id| self.p.task(id.as_str())).filter(|part| !part.state.is_final()) {
            facts.extend(self.give_up_parts(part, why));
            facts.extend(self.stop_live(part, StopReason::Cancelled));
            facts.push(moved(&part.id, TaskState::Cancelled, because(&format!("{} was given up: {why}", task.id))));
            facts.extend(self.after_cancel(part));
        }
        facts
    }

    /// Whether somebody may agree to what a task did. What was asked for by nobody anybody may agree to.
    fn may_approve(&self, by: Option<&str>, task: &Task) -> Result<(), Refusal> {
        let parent = |task: &&Task| self.p.task(task.parent.as_ref()?.task.as_str());
        let asked_by = std::iter::successors(Some(task), parent).find_map(|task| task.asked_by.as_deref());
        match asked_by.filter(|_| self.p.core.settings.separate_approver) {
            Some(asked_by) if by.is_none_or(|by| by == asked_by) => {
                Err(Refusal::OwnRequest { task: task.id.clone(), by: asked_by.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn approve(&self, by: Option<&str>, id: &TaskId, decision: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        self.may_approve(by, task)?;
        if let (TaskState::Paused { stage }, None) = (&task.state, decision) {
            let with = Move { agreed: true, ..Move::default() };
            let stage = task.started_at.map(|_| stage);
            return Ok(vec![moved(id, self.ready_at(stage), with)]);
        }
        let (TaskState::AwaitingApproval { claim, ask, .. }, Some(stage)) = (&task.state, self.p.stage_of(task)) else {
            return Err(self.illegal("approve", task, ""));
        };
        let mut claim = claim.clone();
        claim.approved = true;
        claim.approved_by = by.map(str::to_owned);
        if let Some(word) = decision {
            claim.decision = Some(self.checked_decision(&stage.id, &stage.words(), word)?);
        }
        match (ask, &claim.decision) {
            // A person who agrees to something else than "done" must not see it merged.
            (Ask::Approval { .. }, Some(word)) if !self.means_done(task, stage, word) => {
                Ok(self.accept(task, stage, claim))
            }
            (Ask::Approval { merge: Some((commit, onto)) }, _) => {
                let step = Step::Advance { commit: commit.clone(), onto: onto.clone(), dirty: None };
                let to = TaskState::Verifying { stage: stage.id.clone(), claim, step };
                Ok(vec![moved(id, to, Move::default())])
            }
            (Ask::Approval { merge: None }, Some(word)) => Ok(self.finish(task, stage, &claim, word, None)),
            (Ask::Approval { merge: None }, None) => Ok(self.finish(task, stage, &claim, SUCCESS, None)),
            (Ask::Review, None) => {
                claim.decision = stage.default_decision().map(str::to_owned);
                Ok(self.accept(task, stage, claim))
            }
            (Ask::Review | Ask::Decision, Some(_)) => Ok(self.accept(task, stage, claim)),
            (Ask::Decision, None) => {
                let known = stage.words().join("|");
                Err(Refusal::Invalid(format!("task `{id}` needs a decision: add `--decision {known}`")))
            }
        }
    }

    fn checked_decision(&self, stage: &StageId, known: &[&str], word: &str) -> Result<String, Refusal> {
        if known.contains(&word) {
            return Ok(word.to_owned());
        }
        let known = known.iter().map(|k| (*k).to_owned()).collect();
        Err(Refusal::UnknownDecision { stage: stage.clone(), decision: word.to_owned(), known })
    }

    fn reject(&self, id: &TaskId, message: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        let proposed = task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Proposal);
        if let (TaskState::Paused { .. }, true) = (&task.state, proposed && task.started_at.is_none()) {
            let why = format!("a person turned it down: {}", message.unwrap_or("no reason was given"));
            return Ok(vec![moved(id, TaskState::Cancelled, because(&why))]);
        }
        if let TaskState::Paused { stage } = &task.state {
            let why = format!("a person did not agree to stage {stage}: {}", message.unwrap_or("no reason was given"));
            return Ok(self.block(task, Some(stage), &why));
        }
        let TaskState::AwaitingApproval { stage, .. } = &task.state else {
            return Err(self.illegal("reject", task, ""));
        };
        let feedback = format!("A person looked at the result and sent it back.\n{}", message.unwrap_or_default());
        let with = Move {
            reason: Some("sent back by a person".to_owned()),
            feedback: Some(feedback.trim_end().to_owned()),
            retry: true,
            ..Move::default()
        };
        Ok(vec![moved(id, TaskState::Ready { stage: stage.clone() }, with)])
    }

    fn rolled_back(&self, id: &TaskId, commit: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let task = self.task(id)?;
        if task.state != TaskState::Completed {
            return Err(self.illegal("roll back", task, "Only a completed task can be rolled back."));
        }
        let why = match commit {
            Some(commit) => format!("its merge was reverted by {commit}"),
            None => "it had merged nothing".to_owned(),
        };
        Ok(vec![moved(id, TaskState::RolledBack, because(&why))])
    }

    fn agent(&self, name: &AgentName) -> Result<&crate::pipeline::Agent, Refusal> {
        self.p.core.agents.get(name).ok_or_else(|| Refusal::NoAgent(name.to_string()))
    }

    fn stop_agent(&self, name: &AgentName) -> Result<Vec<Fact>, Refusal> {
        let agent = self.agent(name)?;
        let mut facts = Vec::new();
        if !agent.stopped {
            facts.push(Fact::AgentStopped { agent: name.clone() });
        }
        let live = self.p.core.runs.values().filter(|run| run.agent == *name && run.stop.is_none());
        let live = live.filter(|run| matches!(run.phase, Phase::Claimed | Phase::Started { .. }));
        facts.extend(live.map(|run| Fact::RunStopping { run: run.id.clone(), reason: StopReason::Person }));
        Ok(facts)
    }

    fn start_agent(&self, name: &AgentName) -> Result<Vec<Fact>, Refusal> {
        let agent = self.agent(name)?;
        let core = &self.p.core;
        let mut facts = Vec::new();
        if agent.stopped || agent.broken.is_some() {
            facts.push(Fact::AgentEnabled { agent: name.clone() });
        }
        let gate = super::tick::gate_worktree(name);
        for worktree in [name.as_str(), gate.as_str()] {
            if core.worktrees.get(worktree).is_some_and(|w| w.setup.is_none()) {
                facts.push(Fact::WorktreeReset { worktree: worktree.to_owned() });
            }
        }
        if core.paused.contains_key(&agent.preset) || core.outages.contains_key(&agent.preset) {
            facts.push(Fact::PresetResumed { preset: agent.preset });
        }
        Ok(facts)
    }

    fn done(&self, task: Option<&TaskId>, run: Option<&RunId>, claim: &Claim) -> Result<Vec<Fact>, Refusal> {
        let run = match (run, task) {
            (Some(run), _) => run,
            (None, Some(task)) => self.task(task)?.state.run().ok_or_else(|| Refusal::NotAtWork(task.clone()))?,
            (None, None) => return Err(Refusal::Invalid("name the task or the run".to_owned())),
        };
        let run = self.p.core.runs.get(run).ok_or_else(|| Refusal::NoRun(run.to_string()))?;
        let live = run.work.can_claim() && !matches!(run.phase, Phase::Ended { .. }) && run.stop.is_none();
        let owns = task.is_none() || run.task.as_ref() == task;
        let (true, true, Some(id)) = (live, owns, &run.task) else { return Err(Refusal::NoRun(run.id.to_string())) };
        let (of, stage) = self.task_and_stage(id).ok_or_else(|| Refusal::NoTask(id.to_string()))?;
        if let Some(word) = &claim.decision {
            let mut words = of.choices(stage);
            if words.is_empty() {
                words = stage.words();
            }
            self.checked_decision(&stage.id, &words, word)?;
        }
        Ok(vec![claimed(run, claim)])
    }
}

/// Puts a person's name to where a task goes on because they agreed.
fn signed(facts: &mut [Fact], id: &TaskId, person: Option<&str>) {
    for fact in facts {
        if let Fact::TaskMoved { task, with, .. } = fact
            && task == id
        {
            with.by = person.map(str::to_owned);
        }
    }
}

/// The tasks that do parts of the stage at which a task waits.
fn parts(task: &Task) -> &[TaskId] {
    match &task.state {
        TaskState::Waiting { on, .. } => on,
        _ => &[],
    }
}

/// The tasks that these facts give up.
fn cancelled<'f>(facts: impl IntoIterator<Item = &'f Fact>) -> impl Iterator<Item = &'f TaskId> {
    facts.into_iter().filter_map(|fact| match fact {
        Fact::TaskMoved { task, to: TaskState::Cancelled, .. } => Some(task),
        _ => None,
    })
}
