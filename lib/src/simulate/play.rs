//! One play: events of a world in which runs end when chance says so, until nothing follows any more.

mod merging;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::{SignedDuration, Timestamp};

use self::merging::{Merging, made};
use super::chance::{Chance, Dice, Drawn, Granted};
use crate::claim::Decision;
use crate::decide::{Now, after, decide};
use crate::event::{Collected, Event, MergeOutcome, Request, RevertOutcome, Seen};
use crate::fact::{Effect, Fact};
use crate::ids::{AgentName, CommitId, RunId, StageId, TaskId};
use crate::metrics::{Metrics, seconds_between};
use crate::mode::Orchestration;
use crate::pipeline::Pipeline;
use crate::run::{Claim, ClaimSource, ClaimStatus, Ended, Evidence, Phase, Run, Usage, Work};
use crate::task::{Ask, Task, TaskState};
use crate::workflow::Doing;
use crate::workflow::hub::Hub;

/// Facts at most in one play: rules that chase each other for ever are cut short, and it is said.
const FACTS_MAX: usize = 3_000_000;
/// The longest run that is played, in seconds: a year.
const SECONDS_MAX: f64 = 365.0 * 86_400.0;

/// What happened in a play.
pub(super) struct Played {
    /// As it was in the end.
    pub(super) end: Pipeline,
    /// Runs in the order of their ends.
    pub(super) ran: Vec<Ran>,
    /// Tasks that were completed, and when.
    pub(super) completed: BTreeMap<TaskId, Timestamp>,
    /// How long tasks waited for an agent, by stage, in seconds.
    pub(super) waited: BTreeMap<StageId, Vec<f64>>,
    /// When the last task was completed; the last run's end where none was.
    pub(super) until: Timestamp,
    /// How often each decision ended a stage.
    pub(super) decided: BTreeMap<StageId, BTreeMap<String, u32>>,
    /// Set-ups, gates and merges, in the order of their ends.
    pub(super) around: Vec<Around>,
    /// What was drawn without anything on record.
    pub(super) granted: Granted,
    /// It was cut short.
    pub(super) cut: bool,
}

/// Something that is done beside the work at stages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Around {
    /// `setup`, `gate` or `merge`.
    pub(super) what: &'static str,
    pub(super) seconds: f64,
    /// A merge fails that meets a conflict.
    pub(super) failed: bool,
}

/// A run of a play.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) agent: AgentName,
    pub(super) task: Option<TaskId>,
    pub(super) stage: Option<StageId>,
    pub(super) gate: bool,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) failed: bool,
}

/// What happens later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    /// A run's process ends.
    Ends(RunId),
    /// A person agrees.
    Agrees(TaskId),
    /// A merge of this head is made, or found to be in conflict.
    Merged(TaskId, CommitId, Merging),
}

struct Play<'m> {
    p: Pipeline,
    at: Timestamp,
    began: Timestamp,
    chance: Chance<'m>,
    later: BinaryHeap<Reverse<(Timestamp, u64, Later)>>,
    counted: u64,
    facts: usize,
    drawn: BTreeMap<RunId, Drawn>,
    /// What runs will have decided.
    words: BTreeMap<RunId, String>,
    /// Merges that are being made.
    merging: BTreeSet<TaskId>,
    /// How often base has moved.
    base: u64,
    /// People that were asked and have not answered.
    asked: BTreeSet<TaskId>,
    /// What the file of sequential mode says.
    file: Option<String>,
    /// Since when tasks could be taken.
    ready: BTreeMap<TaskId, Timestamp>,
    live: BTreeMap<RunId, Ran>,
    ran: Vec<Ran>,
    completed: BTreeMap<TaskId, Timestamp>,
    waited: BTreeMap<StageId, Vec<f64>>,
    decided: BTreeMap<StageId, BTreeMap<String, u32>>,
    around: Vec<Around>,
}

/// Plays from a state to the end.
pub(super) fn play(start: Pipeline, metrics: &Metrics, dice: Dice, at: Timestamp) -> Played {
    let file = start.core.current_task.as_ref().map(ToString::to_string);
    let mut play = Play {
        p: start,
        at,
        began: at,
        chance: Chance::new(metrics, dice),
        later: BinaryHeap::new(),
        counted: 0,
        facts: 0,
        drawn: BTreeMap::new(),
        words: BTreeMap::new(),
        merging: BTreeSet::new(),
        base: 0,
        asked: BTreeSet::new(),
        file,
        ready: BTreeMap::new(),
        live: BTreeMap::new(),
        ran: Vec::new(),
        completed: BTreeMap::new(),
        waited: BTreeMap::new(),
        decided: BTreeMap::new(),
        around: Vec::new(),
    };
    play.take_up();
    play.run();
    let last_run = play.ran.iter().map(|ran| ran.to).max();
    let until = play.completed.values().max().copied().or(last_run).unwrap_or(at);
    Played {
        cut: play.facts >= FACTS_MAX,
        end: play.p,
        ran: play.ran,
        completed: play.completed,
        waited: play.waited,
        decided: play.decided,
        around: play.around,
        granted: play.chance.granted,
        until,
    }
}

impl Play<'_> {
    /// Runs that live already go on.
    fn take_up(&mut self) {
        let live: Vec<Run> = self.p.core.runs.values().cloned().collect();
        for run in live {
            if let Phase::Started { at, .. } = run.phase {
                let passed = seconds_between(at, self.at).max(0.0);
                self.begin(&run, passed);
            }
        }
    }

    fn run(&mut self) {
        loop {
            self.settle();
            self.ask_people();
            let next = self.later.peek().map(|Reverse((at, ..))| *at);
            let deadline = self.p.next_deadline_after(self.at);
            let Some(at) = next.into_iter().chain(deadline).min() else { return };
            if self.facts >= FACTS_MAX {
                return;
            }
            self.at = self.at.max(at);
            while let Some(Reverse((at, _, later))) = self.later.peek().cloned() {
                if at > self.at {
                    break;
                }
                self.later.pop();
                self.happens(&later);
            }
        }
    }

    fn happens(&mut self, later: &Later) {
        match later {
            Later::Ends(id) => {
                let Some(run) = self.p.core.runs.get(id) else { return };
                let fails = self.drawn.get(id).is_some_and(|drawn| drawn.fails);
                let started = run.started_at.unwrap_or(self.at);
                let how = match &run.work {
                    _ if self.at >= after(started, run.timeout) => Ended::TimedOut,
                    _ if fails => Ended::Exited { code: 1 },
                    // Where it were done already there would be nothing to play.
                    Work::Probe { .. } => Ended::Exited { code: 1 },
                    Work::Agent | Work::Command { .. } | Work::Gate { .. } | Work::Setup { .. } => {
                        Ended::Exited { code: 0 }
                    }
                };
                self.ended(&id.clone(), how);
            }
            Later::Agrees(task) => {
                self.asked.remove(task);
                let request = Request::Approve { by: Some("simulated".to_owned()), task: task.clone(), decision: None };
                self.feed(&Event::Ask(request));
            }
            Later::Merged(task, head, merging) => self.merged(task, head, *merging),
        }
    }

    fn ended(&mut self, id: &RunId, how: Ended) {
        let Some(run) = self.p.core.runs.get(id) else { return };
        let evidence = match &run.work {
            Work::Gate { command, .. } => Some(Evidence {
                command: command.clone(),
                exit_code: Some(i32::from(how != Ended::Exited { code: 0 })),
                tree: String::new(),
                log_sha256: String::new(),
            }),
            _ => None,
        };
        let seen = Seen::Ended { how, at: self.at, evidence, output: Some(String::new()) };
        self.feed(&Event::Run { run: id.clone(), seen });
    }

    /// Everything that follows at this moment.
    fn settle(&mut self) {
        loop {
            let sequential = self.p.core.mode.orchestration == Orchestration::Sequential;
            if sequential {
                let content = self.file.clone();
                self.feed(&Event::CurrentTaskRead { content });
            }
            let mut quiet = true;
            while self.facts < FACTS_MAX && self.feed(&Event::Tick) {
                quiet = false;
            }
            for effect in self.p.due_effects(self.at) {
                quiet &= !self.perform(effect.effect());
            }
            if sequential && self.p.current_task_effect(self.file.as_deref()).is_some() {
                self.file = self.p.core.current_task.as_ref().map(ToString::to_string);
                quiet = false;
            }
            if quiet || self.facts >= FACTS_MAX {
                return;
            }
        }
    }

    /// Hears an event. Whether anything followed.
    fn feed(&mut self, event: &Event) -> bool {
        let now = Now { at: self.at, entropy: self.chance.dice.next() };
        // What is refused in a play would be refused by the engine: it changes nothing.
        let Ok(facts) = decide(&self.p, event, now) else { return false };
        self.facts += facts.len();
        for fact in &facts {
            self.watch(fact);
            self.p.apply(self.at, fact);
            self.watch_after(fact);
        }
        !facts.is_empty()
    }

    /// Does what has to be done outside, as a world does it in which nothing goes wrong. Whether anything followed.
    fn perform(&mut self, effect: &Effect) -> bool {
        let event = match effect {
            Effect::Launch { run } => {
                let event = Event::Run { run: run.clone(), seen: Seen::Started { pid: 1, at: self.at } };
                let followed = self.feed(&event);
                if let Some(run) = self.p.core.runs.get(run).cloned() {
                    self.begin(&run, 0.0);
                }
                return followed;
            }
            Effect::Stop { run, reason } => {
                let before = self.facts;
                self.ended(run, Ended::Stopped { reason: *reason });
                return self.facts > before;
            }
            Effect::Urge { run, rung } => {
                Event::Run { run: run.clone(), seen: Seen::Typed { rung: *rung, refused: None } }
            }
            Effect::Collect { run } => {
                let Some(left) = self.p.core.runs.get(run).map(|run| self.left_by(run)) else { return false };
                Event::Run { run: run.clone(), seen: Seen::Collected(left) }
            }
            Effect::JoinParts { task, heads } => {
                let onto = heads.first().cloned().unwrap_or_else(|| CommitId::from("base".to_owned()));
                let outcome = MergeOutcome::Commit { commit: made(onto.as_str()), onto };
                Event::PartsJoined { task: task.clone(), outcome }
            }
            Effect::PrepareMerge { task, head } => return self.merge(task, head),
            Effect::AdvanceBase { task, commit, onto } => {
                let outcome = self.advance(onto);
                Event::BaseAdvanced { task: task.clone(), commit: commit.clone(), outcome }
            }
            Effect::RevertBase { task, merge } => {
                self.base += 1;
                let outcome = RevertOutcome::Reverted { by: Some(made(merge.as_str())) };
                Event::BaseReverted { task: task.clone(), merge: merge.clone(), outcome }
            }
            Effect::WriteCurrentTask { .. } => return false,
        };
        self.feed(&event)
    }

    /// A run's process lives: it is drawn when it will end.
    fn begin(&mut self, run: &Run, passed: f64) {
        let task = run.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        let workflow = task.map(|task| task.workflow.clone());
        let role = self.p.core.agents.get(&run.agent).map(|agent| agent.role.clone());
        let drawn = match (&run.work, &workflow, &run.stage) {
            (Work::Agent | Work::Command { .. }, Some(workflow), Some(stage)) => {
                self.chance.rest(passed, |chance| chance.work(workflow, stage, role.as_ref()))
            }
            (Work::Gate { .. }, _, Some(stage)) => self.chance.rest(passed, |chance| chance.gate(stage)),
            (Work::Setup { .. }, ..) => self.chance.rest(passed, Chance::setup),
            _ => Drawn { seconds: 0.0, fails: false },
        };
        if let (Some(task), Some(workflow), true) = (task, &workflow, run.work.can_claim() && !drawn.fails) {
            let stage = run.stage.as_ref().and_then(|id| self.p.workflow_of(task)?.stage(id));
            if let Some(stage) = stage.filter(|stage| !matches!(stage.doing, Doing::Hub(_))) {
                let word = self.chance.decision(workflow, stage, &task.choices(stage));
                self.words.insert(run.id.clone(), word);
            }
        }
        // A hub only looks, whatever was recorded of it: its choices are made by the rules.
        let fails = drawn.fails && !task.is_some_and(|task| self.at_hub(task));
        let limit = (run.timeout.as_secs_f64() - passed).max(0.0);
        let seconds = drawn.seconds.min(limit).clamp(0.0, SECONDS_MAX);
        self.drawn.insert(run.id.clone(), Drawn { seconds, fails });
        let ends = after(self.at, length(seconds));
        self.schedule(ends, Later::Ends(run.id.clone()));
        self.live.entry(run.id.clone()).or_insert_with(|| Ran {
            agent: run.agent.clone(),
            task: run.task.clone(),
            stage: run.stage.clone(),
            gate: matches!(run.work, Work::Gate { .. }),
            from: self.at,
            to: ends,
            failed: fails,
        });
    }

    fn at_hub(&self, task: &Task) -> bool {
        self.p.stage_of(task).is_some_and(|stage| matches!(stage.doing, Doing::Hub(_)))
    }

    fn schedule(&mut self, at: Timestamp, later: Later) {
        self.counted += 1;
        self.later.push(Reverse((at, self.counted, later)));
    }

    /// What a run left: its work, and the decision that all is well with it.
    fn left_by(&self, run: &Run) -> Collected {
        let task = run.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        let stage = task.zip(run.stage.as_ref()).and_then(|(task, id)| self.p.workflow_of(task)?.stage(id));
        let fails = self.drawn.get(&run.id).is_some_and(|drawn| drawn.fails);
        let (mut output, mut decision) = (String::new(), self.words.get(&run.id).cloned());
        if let (Some(task), Some(Doing::Hub(hub))) = (task, stage.map(|stage| &stage.doing)) {
            match task.question() {
                Some(question) => decision = question.offers.first().map(|offer| offer.word.clone()),
                None => {
                    let done = |id: &StageId| task.outputs.iter().any(|output| output.stage == *id);
                    let holds = hub.requirements.iter().map(|requirement| match &requirement.probe {
                        None => '-',
                        Some(_) if done(&requirement.stage) => '0',
                        Some(_) => '1',
                    });
                    let holds: String = holds.collect();
                    output = Hub::found(&holds, &"0".repeat(hub.warnings.len()));
                    decision = None;
                }
            }
        }
        let status = if fails { ClaimStatus::Failed } else { ClaimStatus::Completed };
        let claims = run.work.can_claim() && matches!(run.phase, Phase::Ended { how: Ended::Exited { .. }, .. });
        Collected {
            commit: CommitId::from(format!("simulated-{}", run.id)),
            claim: claims.then(|| Claim {
                status,
                decision: decision.filter(|_| !fails),
                summary: None,
                source: ClaimSource::OutcomeFile,
                at: self.at,
            }),
            decision: Decision::None,
            failure: None,
            summary: String::new(),
            output,
            usage: Usage::default(),
            unmet: None,
            trespass: None,
            suspicion: None,
            proposal: None,
        }
    }

    /// People who have to approve something do so a while later. What they have to mend waits to the end.
    fn ask_people(&mut self) {
        let approves = |task: &&Task| match &task.state {
            TaskState::Paused { .. } => true,
            TaskState::AwaitingApproval { ask, .. } => matches!(ask, Ask::Approval { .. }),
            _ => false,
        };
        let asked: Vec<TaskId> = self.p.needing_people().filter(approves).map(|task| task.id.clone()).collect();
        let mut asked: Vec<TaskId> = asked.into_iter().filter(|id| !self.asked.contains(id)).collect();
        asked.sort_unstable();
        for task in asked {
            let wait = self.chance.answer().clamp(0.0, SECONDS_MAX);
            let at = after(self.at, SignedDuration::from_millis((wait * 1_000.0) as i64 + 1));
            self.asked.insert(task.clone());
            self.schedule(at, Later::Agrees(task));
        }
    }

    /// Notes what a fact is about to change.
    fn watch(&mut self, fact: &Fact) {
        match fact {
            Fact::RunClaimed { run } if run.work.serves_stage() => {
                let (Some(task), Some(stage)) = (&run.task, &run.stage) else { return };
                let since = self.ready.remove(task).or_else(|| self.could_begin(task)).unwrap_or(self.began);
                let waited = seconds_between(since, self.at).max(0.0);
                self.waited.entry(stage.clone()).or_default().push(waited);
            }
            Fact::RunClosed { run, .. } => {
                let fails = self.drawn.remove(run).is_some_and(|drawn| drawn.fails);
                self.words.remove(run);
                if let Some(mut ran) = self.live.remove(run) {
                    ran.to = self.at;
                    let what = match self.p.core.runs.get(run).map(|run| &run.work) {
                        Some(Work::Gate { .. }) => Some("gate"),
                        Some(Work::Setup { .. }) => Some("setup"),
                        _ => None,
                    };
                    let seconds = seconds_between(ran.from, ran.to);
                    self.around.extend(what.map(|what| Around { what, seconds, failed: fails }));
                    self.ran.push(ran);
                }
            }
            Fact::StageDone { output, .. } => {
                let words = self.decided.entry(output.stage.clone()).or_default();
                *words.entry(output.decision.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    fn watch_after(&mut self, fact: &Fact) {
        let Fact::TaskMoved { task, to, .. } = fact else { return };
        match to {
            TaskState::Ready { .. } => {
                let since = self.p.task(task.as_str()).and_then(|task| task.not_before).unwrap_or(self.at);
                self.ready.insert(task.clone(), since.max(self.at));
            }
            TaskState::Completed => {
                self.completed.insert(task.clone(), self.at);
            }
            _ => {}
        }
    }

    /// When a task that never ran could have begun: when the last of those it depends on was done.
    fn could_begin(&self, id: &TaskId) -> Option<Timestamp> {
        let task = self.p.task(id.as_str())?;
        task.depends_on.iter().filter_map(|before| self.completed.get(before)).max().copied()
    }
}

fn length(seconds: f64) -> SignedDuration {
    SignedDuration::from_millis((seconds * 1_000.0).round() as i64)
}
