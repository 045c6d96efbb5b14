//! Random histories. The world checks its invariants after every step; here stand the steps, the checks that need the
//! state before a step, and the model.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::*;
use crate::claim::Decision;
use crate::collision::Prediction;
use crate::event::{AdvanceOutcome, Busy, Event, MergeOutcome, NewTask, Request, RevertOutcome, Seen};
use crate::fact::{EffectKey, Fact, TaskEdit};
use crate::ids::{AgentName, CommitId, RunId, TaskId, Variant};
use crate::mode::{Mode, Orchestration, PilotScope, Rollout};
use crate::pipeline::Pipeline;
use crate::run::{ClaimStatus, Ended, Phase, StopReason, Work};
use crate::settings::{FailedDependency, Settings};
use crate::task::{Dirty, Step, Task, TaskState};
use crate::workflow::{Verify, Workflow};

/// One random step: what kind, and two numbers that choose among what there is.
type Dice = (u8, u16, u16);

fn pick<T: Clone>(list: &[T], dice: u16) -> Option<T> {
    if list.is_empty() { None } else { Some(list[usize::from(dice) % list.len()].clone()) }
}

fn base_settings() -> Settings {
    let mut settings = Settings { verify: Some("true".to_owned()), ..Settings::default() };
    settings.agents =
        vec![worker("w1", "worker"), worker("w2", "worker"), worker("r1", "reviewer"), worker("w3", "worker")];
    settings.agents[3].preset = crate::agents::preset::Preset::Claude;
    settings.scheduler.max_parallel = 3;
    settings.scheduler.keep_finished = 6;
    settings.post_merge = Some("after".to_owned());
    settings
}

fn flows() -> Vec<Workflow> {
    let mut build = plain_stage("build", "worker");
    build.verify = Verify::Project;
    let mut review = plain_stage("review", "reviewer");
    review.decisions = choices(&["success", "rework"]);
    review.merge = true;
    review.approval = true;
    review.verify = Verify::Project;
    review.max_visits = Some(4);
    let full = workflow(
        "full",
        vec![build, review],
        &[
            ("build", Some("review"), Some("success")),
            ("build", None, Some("failed")),
            ("review", None, Some("success")),
            ("review", Some("build"), Some("rework")),
            ("review", Some("build"), Some("conflict")),
        ],
    );
    let mut merge = plain_stage("do", "worker");
    merge.merge = true;
    vec![solo(), full, workflow("merge", vec![merge], &[])]
}

struct Game {
    w: World,
    runs_seen: Vec<RunId>,
    added: u32,
    rejects: HashMap<TaskId, u32>,
}

impl Game {
    fn new(orchestration: Orchestration, rollout: Rollout) -> Self {
        let mut w = World::with(base_settings(), flows());
        w.mode(orchestration, rollout);
        w.checkpoint_every = 7;
        Self { w, runs_seen: Vec::new(), added: 0, rejects: HashMap::new() }
    }

    fn some_task(&self, dice: u16) -> TaskId {
        let all: Vec<TaskId> = self.w.p.tasks.in_order().iter().map(|t| t.id.clone()).collect();
        pick(&all, dice).unwrap_or_else(|| task("NOPE"))
    }

    /// A live run mostly, sometimes one that is long over.
    fn some_run(&self, dice: u16) -> Option<RunId> {
        let live: Vec<RunId> = self.w.p.core.runs.keys().cloned().collect();
        if dice % 8 == 7 { pick(&self.runs_seen, dice / 8) } else { pick(&live, dice / 8) }
    }

    fn feed(&mut self, event: &Event) {
        let before = self.w.p.clone();
        let Ok(facts) = self.w.feed(event) else {
            assert!(self.w.p == before, "refused, and something changed");
            return;
        };
        for fact in &facts {
            if let Fact::RunClaimed { run } = fact {
                self.claimed(&before, run);
            }
        }
    }

    /// What must hold when a run is claimed, looked at in the state before.
    fn claimed(&mut self, before: &Pipeline, run: &crate::run::Run) {
        assert!(!self.runs_seen.contains(&run.id), "a run's name is used twice");
        self.runs_seen.push(run.id.clone());
        let settings = &before.core.settings;
        let Some(task) = run.task.as_ref().map(|id| before.task(id.as_str()).unwrap()) else { return };
        assert!(before.may_touch(&task.id), "{} is behind the wall", task.id);
        if run.work != Work::Agent {
            return;
        }
        let working = before.core.runs.values().filter(|r| r.work == Work::Agent).count();
        let limit = settings.scheduler.max_parallel as usize;
        assert!(limit == 0 || working < limit, "{working} agents work already");
        assert!(before.core.pending_mode.is_none(), "something starts while the mode drains");
        assert!(!task.resumed || !overtaken(before, task), "{} goes on beside one that it overlaps", task.id);
        if task.started_at.is_none() {
            assert!(task.depends_on.iter().all(|d| satisfied(before, d)), "{} starts before its dependencies", task.id);
        }
        let rejects = self.rejects.get(&task.id).copied().unwrap_or(0);
        assert!(run.attempt <= 3 + rejects, "attempt {} of {}", run.attempt, task.id);
        assert_eq!(run.attempt, task.attempt + 1);
    }

    /// Ticks until nothing follows, each step compared with the model.
    fn settle(&mut self) {
        for _ in 0..400 {
            let expected = model(&self.w.p, self.w.at);
            let facts = self.next_tick();
            match facts.first() {
                Some(Fact::RunClaimed { run }) if run.work == Work::Agent => {
                    let (agent, task) = expected.expect("the model would start nothing");
                    assert_eq!((Some(&task), &agent), (run.task.as_ref(), &run.agent));
                }
                Some(Fact::RunClaimed { run }) if matches!(&run.work, Work::Setup { worktree, .. } if *worktree == run.agent.as_str()) =>
                {
                    assert_eq!(expected.map(|(agent, _)| agent), Some(run.agent.clone()));
                }
                Some(Fact::TaskHeld { task, hold }) => {
                    assert_eq!(expected.map(|(_, id)| id).as_ref(), Some(task));
                    assert_ne!(hold.by, *task);
                }
                None | Some(Fact::EffectWithheld { .. } | Fact::TaskArchived { .. }) => {
                    assert_eq!(expected, None, "the model would start this");
                    if facts.is_empty() {
                        return;
                    }
                }
                Some(_) => {}
            }
        }
        panic!("it does not settle");
    }

    fn next_tick(&mut self) -> Vec<Fact> {
        let before = self.w.journal.len();
        self.feed(&Event::Tick);
        self.w.journal[before..].iter().map(|(_, fact)| fact.clone()).collect()
    }

    fn step(&mut self, (kind, a, b): Dice) {
        match kind % 20 {
            0 | 1 => self.add(a, b),
            2 => self.request(a, b),
            3 => self.edit(a, b),
            4..=9 => self.run_seen(a, b),
            10 | 11 => self.merge_seen(a, b),
            12 => self.effect_fails(a, b),
            13 => {
                let content = pick(&[None, Some("NOPE".to_owned()), Some(self.some_task(b).to_string())], a).flatten();
                self.feed(&Event::CurrentTaskRead { content });
            }
            14 => self.w.pass(pick(&[1, 10, 600, 7_200, 86_400, -86_400], a).unwrap()),
            15 => self.switch(a, b),
            16 => self.configure(a, b),
            17 => self.merges_tried(a, b),
            _ => self.settle(),
        }
    }

    fn add(&mut self, a: u16, b: u16) {
        self.added += 1;
        let mut new = NewTask::named(&format!("T{}", self.added)).on(["solo", "full", "merge"][usize::from(a % 3)]);
        new.priority = 1 + (a / 3 % 4) as u8;
        if a.is_multiple_of(2) {
            new.depends_on =
                [self.some_task(b), self.some_task(b / 7)].into_iter().filter(|t| t.as_str() != "NOPE").collect();
        }
        new.paths =
            pick(&[vec![], vec!["src/**".to_owned()], vec!["src/a.rs".to_owned()], vec!["docs".to_owned()]], b / 3)
                .unwrap();
        if b.is_multiple_of(3) {
            new = new.group(["g1", "g2"][usize::from(b / 3 % 2)]);
        }
        self.feed(&Event::Ask(Request::AddTasks(vec![new])));
    }

    fn edit(&mut self, a: u16, b: u16) {
        let mut edit = TaskEdit::default();
        match b % 6 {
            0 => edit.priority = Some(1 + (b / 6 % 5) as u8),
            1 => edit.depends_on = Some(vec![self.some_task(b / 6)]),
            2 => edit.paths = Some(pick(&[vec![], vec!["src/**".to_owned()]], b / 6).unwrap()),
            3 => edit.pinned_agent = Some(pick(&[None, Some(agent("w1")), Some(agent("r1"))], b / 6).unwrap()),
            4 => edit.group = Some(None),
            _ => edit.workflow = Some(crate::ids::WorkflowId::new("merge").unwrap()),
        }
        let task = self.some_task(a);
        self.feed(&Event::Ask(Request::Edit { task, edit }));
    }

    fn request(&mut self, a: u16, b: u16) {
        let task = self.some_task(a);
        let name = agent(["w1", "w2", "r1", "w3"][usize::from(b / 16 % 4)]);
        let live = self.w.task_state(&task).and_then(|s| s.run().cloned());
        let request = match b % 14 {
            0 | 1 => Request::Retry { task, message: None },
            2 => Request::Block { task, reason: "a person".to_owned() },
            3 => Request::Unblock { task },
            4 => Request::Cancel { task, reason: None },
            5 | 6 => {
                let decision = pick(
                    &[None, Some("success".to_owned()), Some("rework".to_owned()), Some("odd".to_owned())],
                    b / 14,
                )
                .unwrap();
                Request::Approve { by: None, task, decision }
            }
            7 => {
                if matches!(self.w.task_state(&task), Some(TaskState::AwaitingApproval { .. })) {
                    *self.rejects.entry(task.clone()).or_default() += 1;
                }
                Request::Reject { task, message: None }
            }
            8 => Request::RolledBack { tasks: vec![(task, None)] },
            9 => Request::StopAgent { agent: name },
            10 | 11 => Request::StartAgent { agent: name },
            12 => Request::Assign { task, agent: Some(name), interrupt: (b / 14).is_multiple_of(2) },
            _ => Request::Done { task: Some(task), run: live, claim: claim(ClaimStatus::Completed) },
        };
        self.feed(&Event::Ask(request));
    }

    fn run_seen(&mut self, a: u16, b: u16) {
        let Some(run) = self.some_run(a) else { return };
        let stop = self.w.p.core.runs.get(&run).and_then(|r| r.stop).unwrap_or(StopReason::Person);
        let at = self.w.at;
        let how = pick(
            &[
                OK,
                OK,
                OK,
                BAD,
                interrupted(),
                Ended::TimedOut,
                stopped(stop),
                Ended::NotStarted { message: "m".to_owned(), permanent: b.is_multiple_of(5) },
            ],
            b / 8,
        )
        .unwrap();
        let ended = self.w.p.core.runs.get(&run).is_some_and(|r| matches!(r.phase, Phase::Ended { .. }));
        let seen = match b % 8 {
            _ if ended && b % 8 > 1 => Seen::Collected(self.left(b / 8)),
            0 => Seen::Collected(self.left(b / 8)),
            1 => Seen::Claimed(claim(pick(&[ClaimStatus::Completed, ClaimStatus::Failed], b / 8).unwrap())),
            2 => Seen::ForeignClaim { why: "not its own".to_owned() },
            3 => Seen::WorktreeFresh {
                worktree: self.w.p.core.runs.get(&run).map_or_else(String::new, |r| r.agent.to_string()),
            },
            4 | 5 => Seen::Started { pid: 1, at },
            _ => Seen::Ended { how, at, evidence: None, output: None },
        };
        self.feed(&Event::Run { run, seen });
    }

    fn left(&self, b: u16) -> crate::event::Collected {
        let mut left = match b % 8 {
            0..=3 => left(ClaimStatus::Completed),
            4 => left(ClaimStatus::Failed),
            5 => left(pick(&[ClaimStatus::Blocked, ClaimStatus::NeedsReview], b / 8).unwrap()),
            6 => left_limited(None),
            _ => left_nothing(),
        };
        left.commit = CommitId::from(format!("c{}", self.w.p.core.seq));
        let words = |word: &str| Decision::Chosen { choice: word.to_owned(), reasoning: None };
        left.decision = pick(&[Decision::None, Decision::None, words("rework"), Decision::Unclear], b / 64).unwrap();
        left
    }

    fn merge_seen(&mut self, a: u16, b: u16) {
        let open: Vec<TaskId> = self
            .w
            .p
            .in_flight()
            .filter(|t| matches!(t.state, TaskState::Verifying { .. }))
            .map(|t| t.id.clone())
            .collect();
        let Some(id) = pick(&open, a) else { return };
        let TaskState::Verifying { claim, step, .. } = self.w.task_state(&id).unwrap() else { return };
        let onto = CommitId::from("base".to_owned());
        let event = match step {
            Step::Join { .. } => {
                let outcome = match b % 4 {
                    0 => MergeOutcome::Conflict { files: vec!["f".to_owned()] },
                    _ => MergeOutcome::Commit { commit: claim.commit, onto },
                };
                Event::PartsJoined { task: id, outcome }
            }
            Step::Merge => {
                let commit = CommitId::from(format!("m{}", self.w.p.core.seq));
                let outcome = match b % 8 {
                    0 => MergeOutcome::AlreadyMerged { onto },
                    1 => MergeOutcome::Conflict { files: vec!["f".to_owned()] },
                    _ => MergeOutcome::Commit { commit, onto },
                };
                let head = if b % 16 == 15 { CommitId::from("stale".to_owned()) } else { claim.commit };
                Event::MergePrepared { task: id, head, outcome }
            }
            Step::Gate { .. } => return,
            Step::TakeBack { merge, .. } => {
                let outcome = match b % 4 {
                    0 => RevertOutcome::Conflict { files: vec!["f".to_owned()] },
                    1 => RevertOutcome::Reverted { by: None },
                    _ => RevertOutcome::Reverted { by: Some(CommitId::from(format!("t{}", self.w.p.core.seq))) },
                };
                Event::BaseReverted { task: id, merge, outcome }
            }
            Step::Advance { commit, .. } => {
                let dirty = Dirty { files: vec!["f".to_owned()], command: "git stash".to_owned() };
                let outcome = pick(
                    &[
                        AdvanceOutcome::Moved,
                        AdvanceOutcome::Moved,
                        AdvanceOutcome::Stale,
                        AdvanceOutcome::Dirty(dirty),
                    ],
                    b,
                )
                .unwrap();
                Event::BaseAdvanced { task: id, commit, outcome }
            }
        };
        self.feed(&event);
    }

    fn effect_fails(&mut self, a: u16, b: u16) {
        let run = self.some_run(a).map(EffectKey::Run);
        let key = pick(&[run, Some(EffectKey::Task(self.some_task(a))), Some(EffectKey::CurrentTask)], b).flatten();
        let Some(key) = key else { return };
        self.feed(&Event::EffectFailed { key, message: "m".to_owned(), permanent: b.is_multiple_of(5) });
    }

    fn merges_tried(&mut self, a: u16, b: u16) {
        let flying: Vec<TaskId> = self.w.p.in_flight().map(|task| task.id.clone()).collect();
        let some = |dice| pick(&flying, dice).unwrap_or_else(|| self.some_task(dice));
        let with = pick(&[None, Some(some(b / 2)), Some(some(b / 3)), Some(some(b / 5))], b).flatten();
        let files = pick(&[vec![], vec!["src/a.rs".to_owned()], vec!["src/a.rs".to_owned(), "b".to_owned()]], a / 7);
        let found = Prediction { task: some(a), with, files: files.unwrap() };
        self.feed(&Event::MergesPredicted(vec![found.clone()]));
        let before = self.w.journal.len();
        self.feed(&Event::MergesPredicted(vec![found]));
        assert_eq!(self.w.journal.len(), before, "what is known is not said again");
    }

    fn switch(&mut self, a: u16, b: u16) {
        if a.is_multiple_of(3) {
            let patterns = pick(&[vec![], vec!["*".to_owned()], vec!["T1*".to_owned()]], b).unwrap();
            let scope = PilotScope {
                tasks: [self.some_task(b)].into(),
                patterns: patterns.into_iter().collect(),
                percent: u8::try_from(a % 50).unwrap(),
            };
            self.feed(&Event::Ask(Request::SetPilot { scope }));
            return;
        }
        let orchestration =
            pick(&[Orchestration::Parallel, Orchestration::Hybrid, Orchestration::Sequential], a / 3).unwrap();
        let rollout = pick(&[Rollout::Production, Rollout::Production, Rollout::Pilot, Rollout::Shadow], b).unwrap();
        if b.is_multiple_of(5) {
            self.feed(&Event::Ask(Request::SetRollout { rollout, unready: false }));
            return;
        }
        let busy = pick(&[Busy::Refuse, Busy::Drain, Busy::Stop], b / 4).unwrap();
        self.feed(&Event::Ask(Request::SetMode { mode: Mode { orchestration, rollout }, busy, unready: false }));
    }

    fn configure(&mut self, a: u16, b: u16) {
        let mut settings = base_settings();
        settings.scheduler.max_parallel = u32::from(a % 4);
        settings.scheduler.failed_dependency =
            pick(&[FailedDependency::Block, FailedDependency::Skip, FailedDependency::Continue], a / 4).unwrap();
        settings.scheduler.stagger = jiff::SignedDuration::from_secs(i64::from(a % 3) * 7);
        settings.setup = pick(&[None, None, Some("npm ci".to_owned())], b).unwrap();
        settings.verify = pick(&[None, Some("true".to_owned())], b / 3).unwrap();
        let all = settings.agents.len();
        settings.agents.truncate(all - usize::from(b / 6 % 3));
        if a.is_multiple_of(5) {
            for (at, agent) in settings.agents.iter_mut().enumerate() {
                agent.variant = pick(&[None, Some("a"), Some("b")], b / 18 + at as u16).flatten().map(variant);
            }
        }
        let flows: Vec<Arc<Workflow>> = flows().into_iter().map(Arc::new).collect();
        let digest = format!("{a}-{b}");
        self.feed(&Event::Configure { settings: Arc::new(settings), workflows: flows, digest });
    }
}

fn variant(word: &str) -> Variant {
    Variant::new(word).unwrap()
}

impl World {
    fn task_state(&self, id: &TaskId) -> Option<TaskState> {
        self.p.task(id.as_str()).map(|t| t.state.clone())
    }
}

/// Whether somebody has come to where a task that was given up wants to go on.
fn overtaken(p: &Pipeline, task: &Task) -> bool {
    let beside = p.core.mode.orchestration != Orchestration::Sequential;
    let overlap = |other: &Task| task.paths.iter().any(|a| other.paths.iter().any(|b| crate::globs::overlap(a, b)));
    beside && p.in_flight().any(|other| other.id != task.id && overlap(other))
}

fn satisfied(p: &Pipeline, id: &TaskId) -> bool {
    let go_on = p.core.settings.scheduler.failed_dependency == FailedDependency::Continue;
    match p.task(id.as_str()) {
        Some(task) => task.state == TaskState::Completed || (go_on && task.state.is_final()),
        None => p.core.archived.get(id).is_some_and(|a| a.status == "completed" || go_on),
    }
}

/// Priority less age, the chain behind it, how far it has come, the order of creation.
type Urgency = (i64, std::cmp::Reverse<u16>, std::cmp::Reverse<usize>, u64);

/// Whether a task is bound to others than this agent.
fn other_side(p: &Pipeline, task: &Task, agent: &crate::settings::AgentSettings) -> bool {
    let of_role = p.core.settings.agents.iter().filter(|other| other.role == agent.role);
    let variants: std::collections::BTreeSet<_> = of_role.filter_map(|other| other.variant.as_ref()).collect();
    variants.len() > 1 && agent.variant.as_ref() != p.core.settings.arm_of_task(&task.id, &agent.role)
}

/// The scheduler as one would write it without an index: everything that may start, sorted.
fn model(p: &Pipeline, now: jiff::Timestamp) -> Option<(AgentName, TaskId)> {
    let core = &p.core;
    let limit = core.settings.scheduler.max_parallel as usize;
    let working = core.runs.values().filter(|r| !matches!(r.work, Work::Gate { .. })).count();
    if core.pending_mode.is_some() || (limit > 0 && working >= limit) {
        return None;
    }
    let sequential = core.mode.orchestration == Orchestration::Sequential;
    let startable = |task: &&Task| {
        let open = match task.state {
            TaskState::Unassigned => task.depends_on.iter().all(|d| satisfied(p, d)),
            TaskState::Ready { .. } => true,
            _ => false,
        };
        let free = task.not_before.is_none() && task.held.is_none() && p.may_touch(&task.id);
        let current = !sequential || core.current_task.as_ref() == Some(&task.id);
        open && free && current && !core.runs.values().any(|r| r.task.as_ref() == Some(&task.id))
    };
    let mut heights = BTreeMap::new();
    let mut best: Option<(Urgency, AgentName, TaskId)> = None;
    for wanted in &core.settings.agents {
        let Some(a) = core.agents.get(&wanted.name) else { continue };
        let worktree = core.worktrees.get(wanted.name.as_str());
        let sound = worktree
            .is_none_or(|w| w.broken.is_none() && w.retry_at.is_none_or(|at| at <= now || at > limit_of_waits(p, now)));
        let staggered = p.staggered_until(a.preset, now).is_some();
        let resting = staggered || core.paused.contains_key(&a.preset) || a.stopped || a.broken.is_some() || a.removed;
        if a.run.is_some() || a.verifying.is_some() || resting || !sound {
            continue;
        }
        // Of those that are as urgent, the one that gives way to nobody; between agents that makes no difference.
        let mut own: Option<((i64, bool, Urgency), TaskId)> = None;
        for task in p.tasks.iter().filter(startable) {
            let Some(stage) = p.stage_of(task) else { continue };
            if task.pinned_agent.as_ref().map_or(stage.role != a.role, |pin| *pin != wanted.name) {
                continue;
            }
            if task.pinned_agent.is_none() && other_side(p, task, wanted) {
                continue;
            }
            let age = core.updated_at.duration_since(task.created_at).max(jiff::SignedDuration::ZERO);
            let steps = age.as_millis() / core.settings.scheduler.ageing.as_millis();
            let depth = task.state.stage().map_or(0, |s| p.workflow_of(task).unwrap().depth(s) + 1);
            let height = height(p, &task.id, &mut heights);
            let key = (
                i64::from(task.priority) - steps as i64,
                std::cmp::Reverse(height),
                std::cmp::Reverse(depth),
                task.order,
            );
            let ordered = (key.0, p.gives_way_to(task).is_some(), key);
            if own.as_ref().is_none_or(|(other, _)| ordered < *other) {
                own = Some((ordered, task.id.clone()));
            }
        }
        if let Some(((_, _, key), task)) = own
            && best.as_ref().is_none_or(|(other, _, _)| key < *other)
        {
            best = Some((key, wanted.name.clone(), task));
        }
    }
    best.map(|(_, agent, task)| (agent, task))
}

fn limit_of_waits(p: &Pipeline, now: jiff::Timestamp) -> jiff::Timestamp {
    now.checked_add(p.core.settings.scheduler.backoff_max).unwrap()
}

/// The weight of the heaviest chain behind a task.
fn height(p: &Pipeline, id: &TaskId, known: &mut BTreeMap<TaskId, u16>) -> u16 {
    if let Some(height) = known.get(id) {
        return *height;
    }
    let behind: Vec<&Task> = p.tasks.iter().filter(|t| t.depends_on.contains(id)).collect();
    let weight = |t: &Task| p.core.weights.get(&t.workflow).copied().unwrap_or(4);
    let height = behind.iter().map(|t| height(p, &t.id, known) + weight(t)).max().unwrap_or(0).min(256);
    known.insert(id.clone(), height);
    height
}

/// As many as fit into seconds; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    const ORDINARY: u32 = 120;
    let asked = ProptestConfig::default().cases;
    if asked == 256 { ORDINARY } else { asked }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(
        mode in 0u16..3,
        rollout in 0u16..4,
        steps in vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..120),
    ) {
        let orchestration = pick(&[Orchestration::Parallel, Orchestration::Hybrid, Orchestration::Sequential], mode).unwrap();
        let rollout = pick(&[Rollout::Production, Rollout::Production, Rollout::Pilot, Rollout::Shadow], rollout).unwrap();
        let mut game = Game::new(orchestration, rollout);
        for step in steps {
            game.step(step);
        }
        game.settle();
    }

    #[test]
    fn without_trouble_every_task_is_completed(
        graph in vec((any::<u16>(), any::<u16>()), 1..25),
        agents in 1usize..4,
        hybrid in any::<bool>(),
    ) {
        let mut game = Game::new(if hybrid { Orchestration::Hybrid } else { Orchestration::Parallel }, Rollout::Production);
        game.w.reconfigure(|s| {
            s.scheduler.keep_finished = 1_000;
            s.scheduler.max_parallel = agents as u32;
        });
        for (a, b) in graph {
            game.add(a, b);
        }
        let ids: Vec<TaskId> = game.w.p.tasks.in_order().iter().map(|t| t.id.clone()).collect();
        // Two stages each, one after the other at worst.
        for _ in 0..ids.len() * 3 {
            game.settle();
            for id in &ids {
                game.w.finish(id.as_str());
                if matches!(game.w.task_state(id), Some(TaskState::AwaitingApproval { .. })) {
                    game.w.asked(Request::Approve { by: None, task: id.clone(), decision: None });
                    game.w.finish(id.as_str());
                }
            }
            if game.w.p.tasks.iter().all(|t| t.state == TaskState::Completed) {
                break;
            }
        }
        for id in &ids {
            prop_assert_eq!(game.w.status(id.as_str()), "completed", "{}", id);
        }
    }
}
