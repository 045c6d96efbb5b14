//! A pipeline with a clock, and hands to do what the world outside would do. After every step the journal so far is
//! checked to say the same thing to whoever reads it: live, replayed, or loaded from a checkpoint.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::agents::preset::Preset;
use crate::agents::stream::Failure;
use crate::claim::Decision;
use crate::decide::{Now, decide};
use crate::event::{AdvanceOutcome, Busy, Collected, Event, MergeOutcome, NewTask, Refusal, Request, Seen};
use crate::fact::{Effect, EffectKey, Fact, TaskEdit};
use crate::ids::{AgentName, CommitId, Group, Role, RunId, StageId, TaskId, WorkflowId};
use crate::mode::{Mode, Orchestration, Rollout};
use crate::pipeline::Pipeline;
use crate::run::{Claim, ClaimSource, ClaimStatus, Ended, Evidence, Run, StopReason, Usage, Work};
use crate::settings::{AgentSettings, Sandbox, Settings};
use crate::task::{Step, Task, TaskState};
use crate::view::board::Board;
use crate::workflow::{Choice, Connection, Stage, Workflow, tdd};

/// Ticks after which a world that has not settled never will.
const TICKS_MAX: usize = 5_000;

pub(crate) fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub(crate) fn stage_id(id: &str) -> StageId {
    StageId::new(id).unwrap()
}

/// The time that worlds begin at.
pub(crate) fn begin() -> Timestamp {
    "2026-07-24T10:00:00Z".parse().unwrap()
}

/// The four agents of the default workflow, and a gate.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings { verify: Some("cargo test".to_owned()), ..Settings::default() };
    for role in ["architect", "test", "implementation", "supervisor"] {
        settings.agents.push(worker(role, role));
    }
    settings
}

pub(crate) fn worker(name: &str, role: &str) -> AgentSettings {
    let (name, role) = (agent(name), Role::new(role).unwrap());
    AgentSettings { name, role, preset: Preset::Custom, interactive: false, sandbox: Sandbox::Off, variant: None }
}

/// A workflow of one stage `do` without a gate, done by role `worker`.
pub(crate) fn solo() -> Workflow {
    workflow("solo", vec![plain_stage("do", "worker")], &[])
}

pub(crate) fn plain_stage(id: &str, role: &str) -> Stage {
    Stage { name: id.to_owned(), ..Stage::new(stage_id(id), Role::new(role).unwrap()) }
}

pub(crate) fn workflow(id: &str, stages: Vec<Stage>, connections: &[(&str, Option<&str>, Option<&str>)]) -> Workflow {
    let connection = |(from, to, condition): &(&str, Option<&str>, Option<&str>)| Connection {
        from: stage_id(from),
        to: to.map(stage_id),
        condition: condition.map(str::to_owned),
    };
    let connections = connections.iter().map(connection).collect();
    Workflow::new(WorkflowId::new(id).unwrap(), stages[0].id.clone(), stages, connections)
}

pub(crate) fn choices(words: &[&str]) -> Vec<Choice> {
    words.iter().map(|w| Choice { choice: (*w).to_owned(), ..Choice::default() }).collect()
}

impl NewTask {
    pub(crate) fn named(id: &str) -> Self {
        Self { id: Some(task(id)), ..Self::titled(id) }
    }

    pub(crate) fn after(mut self, ids: &[&str]) -> Self {
        self.depends_on = ids.iter().map(|id| task(id)).collect();
        self
    }

    pub(crate) fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    pub(crate) fn on(mut self, workflow: &str) -> Self {
        self.workflow = Some(WorkflowId::new(workflow).unwrap());
        self
    }

    pub(crate) fn paths(mut self, paths: &[&str]) -> Self {
        self.paths = paths.iter().map(|p| (*p).to_owned()).collect();
        self
    }

    pub(crate) fn group(mut self, group: &str) -> Self {
        self.group = Some(Group::new(group).unwrap());
        self
    }
}

/// A claim of this status, as the task file's marker makes it.
pub(crate) fn claim(status: ClaimStatus) -> Claim {
    Claim { status, decision: None, summary: None, source: ClaimSource::Marker, at: begin() }
}

/// What a run left that claims nothing.
pub(crate) fn left_nothing() -> Collected {
    Collected {
        commit: CommitId::from("c0".to_owned()),
        claim: None,
        decision: Decision::None,
        failure: None,
        summary: String::new(),
        output: "the output".to_owned(),
        usage: Usage::default(),
        unmet: None,
        trespass: None,
        suspicion: None,
        proposal: None,
    }
}

/// What a run left that claims this.
pub(crate) fn left(status: ClaimStatus) -> Collected {
    Collected { claim: Some(claim(status)), ..left_nothing() }
}

/// What a run left that is done with this decision.
pub(crate) fn left_deciding(word: &str) -> Collected {
    let mut left = left(ClaimStatus::Completed);
    left.claim.as_mut().unwrap().decision = Some(word.to_owned());
    left
}

pub(crate) fn left_limited(until: Option<Timestamp>) -> Collected {
    Collected { failure: Some(Failure::RateLimited { until, text: "limit reached".to_owned() }), ..left_nothing() }
}

pub(crate) const OK: Ended = Ended::Exited { code: 0 };
pub(crate) const BAD: Ended = Ended::Exited { code: 1 };

/// What a run leaves whose program could not reach its service.
pub(crate) fn left_unreachable() -> Collected {
    Collected { failure: Some(Failure::Unreachable { text: "no route".to_owned() }), ..left_nothing() }
}

pub(crate) fn stopped(reason: StopReason) -> Ended {
    Ended::Stopped { reason }
}

pub(crate) fn interrupted() -> Ended {
    Ended::Interrupted { why: "its host died".to_owned() }
}

/// The pipeline, the clock, and everything that was journalled.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) p: Pipeline,
    pub(crate) at: Timestamp,
    pub(crate) journal: Vec<(Timestamp, Fact)>,
    entropy: u64,
    configured: u32,
    commits: u32,
    /// How many steps pass between two checkpoints.
    pub(crate) checkpoint_every: u32,
    steps: u32,
    /// Goes through a checkpoint at every such step.
    mirror: Pipeline,
    /// Follows what changes.
    board: Board,
}

impl World {
    /// The four agents of `tdd`, parallel, production.
    pub(crate) fn new() -> Self {
        Self::with(settings(), vec![])
    }

    /// Parallel and production.
    pub(crate) fn with(settings: Settings, workflows: Vec<Workflow>) -> Self {
        let mut world = Self {
            p: Pipeline::default(),
            at: begin(),
            journal: Vec::new(),
            entropy: 7,
            configured: 0,
            commits: 0,
            checkpoint_every: 1,
            steps: 0,
            mirror: Pipeline::default(),
            board: Board::default(),
        };
        world.configure(settings, workflows);
        world.mode(Orchestration::Parallel, Rollout::Production);
        world
    }

    /// As many workers as asked for, all of one role, on workflow `solo`.
    pub(crate) fn workers(count: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.scheduler.max_parallel = 0;
        settings.agents = (1..=count).map(|n| worker(&format!("w{n}"), "worker")).collect();
        change(&mut settings);
        Self::with(settings, vec![solo()])
    }

    pub(crate) fn configure(&mut self, settings: Settings, workflows: Vec<Workflow>) {
        self.configured += 1;
        let mut all: Vec<Arc<Workflow>> = workflows.into_iter().map(Arc::new).collect();
        all.push(tdd());
        let digest = format!("d{}", self.configured);
        self.see(Event::Configure { settings: Arc::new(settings), workflows: all, digest });
    }

    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = (*self.p.core.settings).clone();
        change(&mut settings);
        let workflows = self.p.core.workflows.values().filter(|w| w.id.as_str() != "tdd").map(|w| (**w).clone());
        self.configure(settings, workflows.collect());
    }

    pub(crate) fn feed(&mut self, event: &Event) -> Result<Vec<Fact>, Refusal> {
        self.entropy = self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let facts = decide(&self.p, event, Now { at: self.at, entropy: self.entropy })?;
        for fact in &facts {
            self.apply(fact);
        }
        if !facts.is_empty() {
            self.check();
        }
        Ok(facts)
    }

    /// Takes back what a command did to the state before it.
    pub(crate) fn undo(&mut self, before: &Pipeline, facts: &[Fact]) -> Result<Vec<Fact>, Refusal> {
        let inverse = crate::decide::undo(before, self.at, facts, &self.p)?;
        inverse.iter().for_each(|fact| self.apply(fact));
        self.check();
        Ok(inverse)
    }

    fn apply(&mut self, fact: &Fact) {
        let text = serde_json::to_string(fact).unwrap();
        let read: Fact = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, *fact, "the journal says something else than was decided");
        self.p.apply(self.at, fact);
        self.mirror.apply(self.at, &read);
        self.journal.push((self.at, fact.clone()));
    }

    /// Live, replayed on top of a checkpoint, and loaded from one: all the same, the derived index included.
    fn check(&mut self) {
        super::invariants::check(&self.p);
        crate::view::board::tests::check(&mut self.board, &self.p);
        self.steps += 1;
        if !self.steps.is_multiple_of(self.checkpoint_every) {
            return;
        }
        same(&self.p, &self.mirror, "replay");
        let bytes = serde_json::to_vec(&self.mirror).unwrap();
        self.mirror = serde_json::from_slice(&bytes).unwrap();
        same(&self.p, &self.mirror, "checkpoint");
    }

    /// From an empty state through all that was journalled.
    pub(crate) fn replayed(&self) -> Pipeline {
        let mut replayed = Pipeline::default();
        for (at, fact) in &self.journal {
            replayed.apply(*at, fact);
        }
        replayed
    }

    pub(crate) fn see(&mut self, event: Event) -> Vec<Fact> {
        self.feed(&event).unwrap()
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Vec<Fact>, Refusal> {
        self.feed(&Event::Ask(request))
    }

    pub(crate) fn asked(&mut self, request: Request) -> Vec<Fact> {
        self.ask(request).unwrap()
    }

    /// Ticks until nothing follows.
    pub(crate) fn tick(&mut self) -> Vec<Fact> {
        let mut all = Vec::new();
        for _ in 0..TICKS_MAX {
            let facts = self.see(Event::Tick);
            if facts.is_empty() {
                return all;
            }
            all.extend(facts);
        }
        panic!("it does not settle: {:#?}", &all[all.len() - 4..]);
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.at = self.at.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn add(&mut self, new: NewTask) {
        self.asked(Request::AddTasks(vec![new]));
    }

    /// Tasks with nothing but a name, on workflow `solo` where that is configured.
    pub(crate) fn add_all(&mut self, ids: &[&str]) {
        let solo = self.p.core.workflows.contains_key("solo");
        for id in ids {
            let new = NewTask::named(id);
            self.add(if solo { new.on("solo") } else { new });
        }
    }

    pub(crate) fn mode(&mut self, orchestration: Orchestration, rollout: Rollout) -> Vec<Fact> {
        self.switch(orchestration, rollout, Busy::Refuse).unwrap()
    }

    pub(crate) fn switch(
        &mut self,
        orchestration: Orchestration,
        rollout: Rollout,
        busy: Busy,
    ) -> Result<Vec<Fact>, Refusal> {
        self.ask(Request::SetMode { mode: Mode { orchestration, rollout }, busy, unready: true })
    }

    pub(crate) fn edit(&mut self, id: &str, edit: TaskEdit) -> Result<Vec<Fact>, Refusal> {
        self.ask(Request::Edit { task: task(id), edit })
    }

    pub(crate) fn task(&self, id: &str) -> &Task {
        self.p.task(id).unwrap_or_else(|| panic!("there is no task {id}"))
    }

    pub(crate) fn status(&self, id: &str) -> String {
        self.task(id).state.word()
    }

    pub(crate) fn reason(&self, id: &str) -> &str {
        self.task(id).reason.as_deref().unwrap_or("")
    }

    /// The live run of a task.
    pub(crate) fn run_of(&self, id: &str) -> RunId {
        let run = self.task(id).state.run().cloned();
        run.unwrap_or_else(|| panic!("{id} has no live run: {:?}", self.task(id).state))
    }

    pub(crate) fn run(&self, id: &RunId) -> &Run {
        &self.p.core.runs[id]
    }

    /// The agent that works for a task now.
    pub(crate) fn agent_of(&self, id: &str) -> String {
        self.run(&self.run_of(id)).agent.to_string()
    }

    pub(crate) fn setup_of(&self, worktree: &str) -> Option<RunId> {
        let mut runs = self.p.core.runs.values();
        runs.find(|r| matches!(&r.work, Work::Setup { worktree: w, .. } if w == worktree)).map(|r| r.id.clone())
    }

    pub(crate) fn seen(&mut self, run: &RunId, seen: Seen) -> Vec<Fact> {
        self.see(Event::Run { run: run.clone(), seen })
    }

    pub(crate) fn start(&mut self, run: &RunId) -> Vec<Fact> {
        let at = self.at;
        self.seen(run, Seen::Started { pid: 4_711, at })
    }

    pub(crate) fn end(&mut self, run: &RunId, how: Ended) -> Vec<Fact> {
        let at = self.at;
        let evidence = match &self.p.core.runs.get(run).map(|r| &r.work) {
            Some(Work::Gate { command, .. }) => Some(Evidence {
                command: command.clone(),
                exit_code: Some(i32::from(how != OK)),
                tree: "tree".to_owned(),
                log_sha256: "0".repeat(64),
            }),
            _ => None,
        };
        self.seen(run, Seen::Ended { how, at, evidence, output: Some("the end of the log".to_owned()) })
    }

    pub(crate) fn collect(&mut self, run: &RunId, mut left: Collected) -> Vec<Fact> {
        self.commits += 1;
        left.commit = CommitId::from(format!("c{}", self.commits));
        self.seen(run, Seen::Collected(left))
    }

    /// A run of an agent from its start to what it left, and what follows.
    pub(crate) fn work(&mut self, id: &str, how: Ended, left: Collected) {
        let run = self.run_of(id);
        self.start(&run);
        self.end(&run, how);
        self.collect(&run, left);
        self.tick();
    }

    /// A run that does its stage's work.
    pub(crate) fn do_stage(&mut self, id: &str) {
        self.work(id, OK, left(ClaimStatus::Completed));
    }

    /// A gate from its start to its end, and what follows.
    pub(crate) fn gate(&mut self, id: &str, how: Ended) {
        let run = self.run_of(id);
        self.start(&run);
        self.end(&run, how);
        self.tick();
    }

    /// What happens to a task until it waits, as a world without trouble does it: work, gates, merges.
    pub(crate) fn finish(&mut self, id: &str) {
        for _ in 0..100 {
            self.tick();
            let Some(state) = self.p.task(id).map(|task| task.state.clone()) else { return };
            match state {
                TaskState::Working { .. } => self.do_stage(id),
                TaskState::Verifying { step: Step::Gate { run: Some(_), .. }, .. } => self.gate(id, OK),
                TaskState::Verifying { step: Step::Merge, .. } => {
                    self.merged(id);
                }
                TaskState::Verifying { step: Step::Advance { dirty: None, .. }, .. } => {
                    self.advanced(id, AdvanceOutcome::Moved);
                }
                _ => return,
            }
        }
        panic!("{id} does not come to an end: {:?}", self.task(id).state);
    }

    /// Until the task is at a stage, ready or being worked at.
    pub(crate) fn reach(&mut self, id: &str, stage: &str) {
        for _ in 0..10 {
            self.tick();
            match self.task(id).state.clone() {
                TaskState::Working { stage: at, .. } | TaskState::Ready { stage: at } if at.as_str() == stage => return,
                TaskState::Verifying { step: Step::Gate { .. }, .. } => self.gate(id, OK),
                TaskState::Working { .. } => self.do_stage(id),
                state => panic!("{id} cannot reach {stage} from {state:?}"),
            }
        }
    }

    pub(crate) fn prepared(&mut self, id: &str, outcome: MergeOutcome) -> Vec<Fact> {
        let TaskState::Verifying { claim, .. } = &self.task(id).state else { panic!("{id} is not to be merged") };
        let head = claim.commit.clone();
        let facts = self.see(Event::MergePrepared { task: task(id), head, outcome });
        self.tick();
        facts
    }

    /// A merge commit is made.
    pub(crate) fn merged(&mut self, id: &str) {
        self.commits += 1;
        let commit = CommitId::from(format!("m{}", self.commits));
        self.prepared(id, MergeOutcome::Commit { commit, onto: CommitId::from("base".to_owned()) });
    }

    pub(crate) fn advanced(&mut self, id: &str, outcome: AdvanceOutcome) -> Vec<Fact> {
        let TaskState::Verifying { step: Step::Advance { commit, .. }, .. } = &self.task(id).state else {
            panic!("{id} does not wait for base to move: {:?}", self.task(id).state)
        };
        let commit = commit.clone();
        let facts = self.see(Event::BaseAdvanced { task: task(id), commit, outcome });
        self.tick();
        facts
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.p.due_effects(self.at).iter().map(|permitted| permitted.effect().clone()).collect()
    }

    pub(crate) fn effect_failed(&mut self, key: EffectKey, permanent: bool) -> Vec<Fact> {
        self.see(Event::EffectFailed { key, message: "no space left".to_owned(), permanent })
    }

    /// The file of sequential mode is read, and everything that follows.
    pub(crate) fn read_current(&mut self, content: Option<&str>) -> Option<String> {
        self.see(Event::CurrentTaskRead { content: content.map(str::to_owned) });
        self.tick();
        self.p.core.current_task.as_ref().map(ToString::to_string)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            same(&self.p, &self.replayed(), "replay from the beginning");
        }
    }
}

fn same(live: &Pipeline, other: &Pipeline, what: &str) {
    if live != other {
        let text = |p: &Pipeline| serde_json::to_string_pretty(p).unwrap();
        let (live, other) = (text(live), text(other));
        let differing = live.lines().zip(other.lines()).find(|(a, b)| a != b);
        panic!("{what} differs: {differing:?}");
    }
    let (a, b) = (live.index_picture(), other.index_picture());
    assert!(a == b, "{what}: the index differs\n{a:#?}\n{b:#?}");
}
