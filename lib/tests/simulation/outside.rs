//! What is outside the store: run directories, hosts, agents, git. Hosts follow the protocol of the product's own: a lock
//! held for life, a start record before the agent begins, an exit record after its end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pipeline_lib::ids::{AgentName, CommitId, RunId, TaskId};
use pipeline_lib::run::{ClaimStatus, Ended, Run, StopReason, Work};

use crate::dice::Dice;

/// The host of a run, from its lock to its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Host {
    None,
    /// It has the lock.
    Locked,
    /// It has written its start record.
    Started,
    /// Its agent is gone; the exit record comes next.
    Ending(Ended),
}

/// A live agent, gate or set-up.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// Steps it still takes; a hanging one never stops by itself.
    pub(crate) left: Option<u32>,
    /// Steps it goes on after being asked to stop.
    pub(crate) deaf: u32,
    pub(crate) says: Option<ClaimStatus>,
    pub(crate) code: i32,
}

/// The directory of a run, and the processes that belong to it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) task: Option<TaskId>,
    pub(crate) work: Work,
    /// Where it works, by name.
    pub(crate) worktree: String,
    /// Hosts that were started and have not looked yet.
    pub(crate) spawned: u32,
    pub(crate) host: Host,
    pub(crate) agent: Option<Agent>,
    /// In which life of the machine, and when.
    pub(crate) start: Option<(u32, Timestamp)>,
    pub(crate) exit: Option<(Ended, Timestamp)>,
    pub(crate) stop: Option<StopReason>,
    pub(crate) deadline: i64,
    /// How often its agent began. More than once is what must never be.
    pub(crate) began: u32,
    pub(crate) marker: Option<ClaimStatus>,
    pub(crate) foreign: bool,
    /// The commit its work was kept in.
    pub(crate) kept: Option<CommitId>,
    /// Looks during which its remains cannot be killed.
    pub(crate) unkillable: u32,
    /// Whole ticks since its host died.
    pub(crate) ticks_since_death: u32,
}

impl Place {
    pub(crate) fn new(run: &Run) -> Self {
        let worktree = match &run.work {
            Work::Gate { .. } => format!("gate-{}", run.agent),
            Work::Setup { worktree, .. } => worktree.clone(),
            Work::Agent | Work::Command { .. } | Work::Probe { .. } => run.agent.to_string(),
        };
        Self {
            task: run.task.clone(),
            work: run.work.clone(),
            worktree,
            spawned: 0,
            host: Host::None,
            agent: None,
            start: None,
            exit: None,
            stop: None,
            deadline: 0,
            began: 0,
            marker: None,
            foreign: false,
            kept: None,
            unkillable: 0,
            ticks_since_death: 0,
        }
    }

    pub(crate) fn host_lives(&self) -> bool {
        self.host != Host::None
    }
}

/// What happens to be on base.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// Every commit that base has been at, oldest first.
    pub(crate) base: Vec<CommitId>,
    /// Heads that a commit brought along.
    pub(crate) merges: BTreeMap<CommitId, (CommitId, CommitId)>,
    pub(crate) heads: BTreeMap<TaskId, CommitId>,
    /// Merges that were undone later on.
    pub(crate) reverted: BTreeSet<CommitId>,
    pub(crate) worktrees: BTreeSet<String>,
    commits: u32,
}

impl Repository {
    pub(crate) fn new() -> Self {
        Self { base: vec![CommitId::from("base".to_owned())], ..Self::default() }
    }

    pub(crate) fn tip(&self) -> CommitId {
        self.base.last().expect("base has a commit").clone()
    }

    pub(crate) fn commit(&mut self, kind: &str) -> CommitId {
        self.commits += 1;
        CommitId::from(format!("{kind}{}", self.commits))
    }

    pub(crate) fn head(&self, task: &TaskId) -> CommitId {
        self.heads.get(task).cloned().unwrap_or_else(|| self.tip())
    }

    /// Whether a commit is in base.
    pub(crate) fn holds(&self, commit: &CommitId) -> bool {
        self.base.iter().any(|at| at == commit || self.merges.get(at).is_some_and(|(_, head)| head == commit))
    }
}

/// Whether what is at a commit is good, which nobody knows before a gate has looked.
pub(crate) fn is_good(seed: u64, commit: &CommitId) -> bool {
    let hash = commit.as_str().bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    !Dice::new(hash).permille(200)
}

/// What an agent will do. In a kind world it does its work.
pub(crate) fn agent(dice: &mut Dice, kind: bool, seed: u64, work: &Work) -> Agent {
    let left = u32::try_from(dice.below(4)).unwrap_or_default();
    let deaf = if kind { 0 } else { u32::try_from(dice.below(3)).unwrap_or_default() };
    let honest = |code| Agent { left: Some(left), deaf, says: None, code };
    match work {
        Work::Gate { commit, .. } => honest(i32::from(!is_good(seed, commit))),
        Work::Setup { .. } => honest(i32::from(!kind && dice.permille(150))),
        Work::Probe { .. } => honest(i32::from(dice.permille(700))),
        Work::Command { .. } => honest(i32::from(!kind && dice.permille(300))),
        Work::Agent => {
            use ClaimStatus::{Blocked, Completed, Failed, NeedsReview};
            let says = match dice.below(20) {
                _ if kind => Some(Completed),
                0 => Some(Blocked),
                1 => Some(NeedsReview),
                2 | 3 => Some(Failed),
                4 | 5 => None,
                _ => Some(Completed),
            };
            let hangs = !kind && dice.permille(80);
            Agent { left: (!hangs).then_some(left), deaf, says, code: dice.one(&[0, 0, 0, 1]) }
        }
    }
}

/// The worktrees and branches that are in use by live agents, each with its run.
pub(crate) fn in_use(places: &BTreeMap<RunId, Place>) -> Vec<(String, &RunId)> {
    let live = places.iter().filter(|(_, place)| place.agent.is_some());
    let mut used: Vec<(String, &RunId)> = Vec::new();
    for (run, place) in live {
        used.push((format!("worktree {}", place.worktree), run));
        if let Some(task) = place.task.as_ref().filter(|_| place.work.serves_stage()) {
            used.push((format!("task {task}"), run));
        }
    }
    used.sort();
    used
}

/// The agents of the world's configuration.
pub(crate) const AGENTS: [(&str, &str); 4] = [("w1", "worker"), ("w2", "worker"), ("w3", "worker"), ("r1", "reviewer")];
/// Places for the commands of workflows.
pub(crate) const PLACES: [&str; 2] = ["command-1", "command-2"];

pub(crate) fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("a name")
}
