//! What several plays have in common: medians with their intervals, who was busy, what was waited for, and the chain of
//! runs that decided when it was over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chance::{DEFAULT_FAILURES, DEFAULT_SECONDS, Granted};
use super::play::{Played, Ran};
use crate::agents::preset::Preset;
use crate::estimate::{Basis, quantile};
use crate::ids::{AgentName, Role, StageId, TaskId, WorkflowId};
use crate::metrics::{Metrics, seconds_between};
use crate::pipeline::Pipeline;
use crate::text::counted;
use crate::view;

/// Steps of the critical path at most: the last ones.
const PATH_MAX: usize = 40;
/// Reasons why tasks are not done in the end, at most.
const HELD_MAX: usize = 10;

/// A figure over several plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// One play in ten stays below.
    pub p10: f64,
    /// As many plays are below as above.
    pub p50: f64,
    /// Nine plays in ten stay below.
    pub p90: f64,
}

/// The spread of some values; nothing but zeros without any.
#[must_use]
pub fn spread_of(values: impl IntoIterator<Item = f64>) -> Spread {
    let values: Vec<f64> = values.into_iter().collect();
    let at = |q| quantile(values.iter().copied(), q).unwrap_or(0.0);
    Spread { p10: at(0.1), p50: at(0.5), p90: at(0.9) }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// From when it was played.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Where chance began.
    pub seed: u64,
    /// How often it was played.
    pub plays: usize,
    /// Unfinished tasks in the beginning.
    pub tasks: usize,
    /// Recorded runs that this rests on.
    pub runs_on_record: u64,
    /// Of the tasks, how many were completed.
    pub completed: Spread,
    /// From the beginning until the last task was completed, in seconds.
    pub makespan_seconds: Spread,
    /// When that is, half of the plays being sooner; none where no task was completed.
    #[schemars(with = "Option<String>")]
    pub predicted_finish: Option<Timestamp>,
    /// Tasks completed per hour.
    pub throughput_per_hour: Spread,
    /// The agents, in the order of the configuration.
    pub agents: Vec<AgentUse>,
    /// The stages that were worked at, those that were waited for longest first.
    pub stages: Vec<StageFigures>,
    /// What is done beside the work at stages: set-ups, gates and merges, those that were played.
    pub around: Vec<AroundFigures>,
    /// What holds everything up; none where nothing was done.
    pub bottleneck: Option<Bottleneck>,
    /// The chain of runs that decided when it was over, in the play in the middle.
    pub critical_path: Vec<PathStep>,
    /// Why tasks were not completed in the play in the middle.
    pub unfinished: Vec<Held>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// When each task was done, in seconds from the beginning; those that were completed in at least half of the plays.
    #[serde(skip)]
    pub finishes: BTreeMap<TaskId, Spread>,
}

/// How busy an agent was.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentUse {
    /// Who.
    pub agent: AgentName,
    /// The stages it serves.
    pub role: Role,
    /// The share of the time that it worked, gates on its claims included, from 0 to 1.
    pub utilization: f64,
}

/// What happened at a stage.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StageFigures {
    /// Which.
    pub stage: StageId,
    /// The role that does it, where agents do.
    pub role: Role,
    /// Runs in a play.
    pub runs: f64,
    /// The share that failed, from 0 to 1.
    pub failed: f64,
    /// How often each decision ended the stage in a play; `conflict` may be that of a merge.
    pub decisions: BTreeMap<String, f64>,
    /// How long one run took, in seconds.
    pub work_seconds: Spread,
    /// How long one task waited for an agent, in seconds.
    pub waiting_seconds: Spread,
    /// How long all tasks of a play waited for it together, in seconds.
    pub waiting_seconds_total: f64,
    /// Which recorded runs that was drawn from; none where nothing is known and the default was taken.
    pub basis: Option<Basis>,
}

/// What is done beside the work at stages.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AroundFigures {
    /// `setup`, `gate` or `merge`.
    pub what: &'static str,
    /// How often in a play.
    pub times: f64,
    /// The share that failed, from 0 to 1; of merges, that met a conflict.
    pub failed: f64,
    /// How long one took, in seconds.
    pub seconds: Spread,
}

/// What holds everything up.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Bottleneck {
    /// The role whose agents were busiest.
    pub role: Role,
    /// How busy they were, from 0 to 1.
    pub utilization: f64,
    /// Its agents.
    pub agents: usize,
    /// The stage that was waited for longest; none where nothing was.
    pub stage: Option<StageId>,
    /// How long all tasks waited for it together, in seconds.
    pub waiting_seconds_total: f64,
}

/// A run on the critical path.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PathStep {
    /// Of which task.
    pub task: TaskId,
    /// At which stage.
    pub stage: StageId,
    /// By whom.
    pub agent: AgentName,
    /// Whether it was the check of a claim.
    pub gate: bool,
    /// From when, in seconds from the beginning.
    pub from_seconds: f64,
    /// Until when.
    pub to_seconds: f64,
    /// What it waited for: `nothing`, `task` (the run before, of it or of one it depends on), or `agent` (which was busy).
    pub waited_for: &'static str,
}

/// Why tasks were not completed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Held {
    /// How many.
    pub tasks: usize,
    /// In words.
    pub why: String,
}

pub(super) fn report(
    start: &Pipeline,
    metrics: &Metrics,
    mut played: Vec<Played>,
    mut assumptions: Vec<String>,
    seed: u64,
    from: Timestamp,
) -> Report {
    // Tasks that do parts of others, or mend them, are how those are done, and no more of them.
    for play in &mut played {
        play.completed.retain(|task, _| is_asked_for(start, task));
        play.until = play.completed.values().max().copied().unwrap_or(play.until);
    }
    let span = |play: &Played| seconds_between(from, play.until).max(0.0);
    if played.iter().any(|play| play.cut) {
        assumptions.push("a play that did not come to an end was cut short".to_owned());
    }
    let makespan = spread_of(played.iter().map(span));
    let completed = spread_of(played.iter().map(|play| play.completed.len() as f64));
    let throughput = spread_of(played.iter().map(|play| match span(play) {
        seconds if seconds > 0.0 => play.completed.len() as f64 * 3_600.0 / seconds,
        _ => 0.0,
    }));
    let agents = agents(start, &played, from);
    let stages = stages(start, metrics, &played);
    let around = around(&played);
    let finishes = finishes(&played, from);
    let plays = played.len();
    played.sort_by_key(|play| play.until);
    let middle = played.get(plays.saturating_sub(1) / 2);
    let finish = middle.filter(|play| !play.completed.is_empty()).map(|play| play.until);
    Report {
        from,
        seed,
        plays,
        tasks: start.unfinished_total(),
        runs_on_record: metrics.runs,
        completed,
        makespan_seconds: makespan,
        predicted_finish: finish,
        throughput_per_hour: throughput,
        bottleneck: bottleneck(&agents, &stages),
        critical_path: middle.map(|play| critical_path(play, from)).unwrap_or_default(),
        unfinished: middle.map(|play| unfinished(start, &play.end)).unwrap_or_default(),
        agents,
        stages,
        around,
        assumptions,
        finishes,
    }
}

/// The stages of which nothing is known, and what was taken instead.
pub(super) fn unknown_stages(pipeline: &Pipeline, played: &[Played]) -> Option<String> {
    let mut unknown: BTreeSet<&StageId> = BTreeSet::new();
    for play in played {
        let work =
            play.ran.iter().filter(|ran| !ran.gate).filter_map(|ran| Some((ran.task.as_ref()?, ran.stage.as_ref()?)));
        for (task, stage) in work {
            let workflow = play.end.task(task.as_str()).map(|task| &task.workflow);
            if workflow.is_some_and(|workflow| basis(pipeline, workflow, stage).is_none()) {
                unknown.insert(stage);
            }
        }
    }
    let names: Vec<&str> = unknown.iter().map(|stage| stage.as_str()).collect();
    let (minutes, percent) = (DEFAULT_SECONDS / 60.0, DEFAULT_FAILURES * 100.0);
    (!names.is_empty()).then(|| {
        format!(
            "no run is on record that says anything about {}: about {minutes:.0} minutes a run, of which {percent:.0} % fail",
            names.join(", ")
        )
    })
}

fn basis(pipeline: &Pipeline, workflow: &WorkflowId, stage: &StageId) -> Option<Basis> {
    let role = pipeline.core.workflows.get(workflow).and_then(|known| known.stage(stage)).map(|stage| &stage.role);
    pipeline.core.metrics.work(workflow, stage, role).map(|(basis, _)| basis)
}

fn agents(start: &Pipeline, played: &[Played], from: Timestamp) -> Vec<AgentUse> {
    let mut busy: BTreeMap<&AgentName, f64> = BTreeMap::new();
    let mut seconds = 0.0;
    for play in played {
        seconds += seconds_between(from, play.until).max(0.0);
        for ran in &play.ran {
            *busy.entry(&ran.agent).or_default() += seconds_between(ran.from, ran.to.min(play.until)).max(0.0);
        }
    }
    let shown = start
        .core
        .settings
        .agents
        .iter()
        .filter(|agent| agent.preset != Preset::Command || busy.contains_key(&agent.name));
    shown
        .map(|agent| AgentUse {
            agent: agent.name.clone(),
            role: agent.role.clone(),
            utilization: if seconds > 0.0 { busy.get(&agent.name).copied().unwrap_or(0.0) / seconds } else { 0.0 },
        })
        .collect()
}

fn stages(start: &Pipeline, metrics: &Metrics, played: &[Played]) -> Vec<StageFigures> {
    #[derive(Default)]
    struct Seen<'p> {
        work: Vec<f64>,
        failed: usize,
        waited: Vec<f64>,
        of: Option<(&'p WorkflowId, &'p AgentName)>,
    }
    let mut seen: BTreeMap<&StageId, Seen<'_>> = BTreeMap::new();
    for play in played {
        for ran in play.ran.iter().filter(|ran| !ran.gate) {
            let (Some(task), Some(stage)) = (&ran.task, &ran.stage) else { continue };
            let stage = seen.entry(stage).or_default();
            stage.work.push(seconds_between(ran.from, ran.to));
            stage.failed += usize::from(ran.failed);
            stage.of = stage.of.or(play.end.task(task.as_str()).map(|task| (&task.workflow, &ran.agent)));
        }
        for (stage, waited) in &play.waited {
            seen.entry(stage).or_default().waited.extend(waited);
        }
    }
    let plays = played.len().max(1) as f64;
    let figures = seen.into_iter().filter_map(|(stage, seen)| {
        let (workflow, agent) = seen.of?;
        let role = start.core.settings.agents.iter().find(|known| known.name == *agent)?.role.clone();
        Some(StageFigures {
            basis: metrics.work(workflow, stage, Some(&role)).map(|(basis, _)| basis),
            stage: stage.clone(),
            role,
            runs: seen.work.len() as f64 / plays,
            failed: seen.failed as f64 / seen.work.len().max(1) as f64,
            decisions: decisions(played, stage),
            work_seconds: spread_of(seen.work),
            waiting_seconds_total: seen.waited.iter().sum::<f64>() / plays,
            waiting_seconds: spread_of(seen.waited),
        })
    });
    let mut figures: Vec<StageFigures> = figures.collect();
    figures.sort_by(|a, b| {
        b.waiting_seconds_total.total_cmp(&a.waiting_seconds_total).then_with(|| a.stage.cmp(&b.stage))
    });
    figures
}

/// How often each decision ended a stage in a play.
fn decisions(played: &[Played], stage: &StageId) -> BTreeMap<String, f64> {
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    for (word, times) in played.iter().filter_map(|play| play.decided.get(stage)).flatten() {
        *found.entry(word.clone()).or_default() += f64::from(*times) / played.len() as f64;
    }
    found
}

fn around(played: &[Played]) -> Vec<AroundFigures> {
    let of = |what| {
        let all: Vec<_> = played.iter().flat_map(|play| &play.around).filter(|around| around.what == what).collect();
        let failed = all.iter().filter(|around| around.failed).count();
        (!all.is_empty()).then(|| AroundFigures {
            what,
            times: all.len() as f64 / played.len() as f64,
            failed: failed as f64 / all.len() as f64,
            seconds: spread_of(all.iter().map(|around| around.seconds)),
        })
    };
    ["setup", "gate", "merge"].into_iter().filter_map(of).collect()
}

/// What was drawn without anything on record, in words.
pub(super) fn granted(played: &[Played]) -> Vec<String> {
    let at = |of: fn(&Granted) -> &BTreeSet<StageId>| {
        let stages: BTreeSet<&str> =
            played.iter().flat_map(|play| of(&play.granted)).map(|stage| stage.as_str()).collect();
        stages.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut found = Vec::new();
    if played.iter().any(|play| play.granted.setups) {
        found.push("no set-up is on record: they take no time and succeed".to_owned());
    }
    for (stages, what) in [
        (at(|granted| &granted.gates), "no gate is on record at {}: it takes no time and passes"),
        (at(|granted| &granted.merges), "no merge is on record at {}: it takes no time and meets no conflict"),
        (at(|granted| &granted.decisions), "few decisions are on record at {}: the likely one is taken each time"),
    ] {
        found.extend((!stages.is_empty()).then(|| what.replace("{}", &stages)));
    }
    found
}

fn bottleneck(agents: &[AgentUse], stages: &[StageFigures]) -> Option<Bottleneck> {
    let mut roles: BTreeMap<&Role, (f64, usize)> = BTreeMap::new();
    for agent in agents {
        let (busy, count) = roles.entry(&agent.role).or_default();
        *busy += agent.utilization;
        *count += 1;
    }
    let busiest = roles.into_iter().map(|(role, (busy, count))| (role, busy / count as f64, count));
    let (role, utilization, agents) = busiest.filter(|(_, busy, _)| *busy > 0.0).max_by(|a, b| a.1.total_cmp(&b.1))?;
    let stage = stages.first().filter(|stage| stage.waiting_seconds_total > 0.0);
    Some(Bottleneck {
        role: role.clone(),
        utilization,
        agents,
        stage: stage.map(|stage| stage.stage.clone()),
        waiting_seconds_total: stage.map_or(0.0, |stage| stage.waiting_seconds_total),
    })
}

/// From the run that ended last back to the one that nothing had to wait for.
fn critical_path(play: &Played, from: Timestamp) -> Vec<PathStep> {
    let mut path: Vec<PathStep> = Vec::new();
    // In the order of their ends, so that what ended before a run began is found by looking back.
    let ran: Vec<&Ran> = play.ran.iter().filter(|ran| ran.task.is_some() && ran.stage.is_some()).collect();
    let last_task = play.completed.iter().filter(|(_, at)| **at == play.until).map(|(task, _)| task).next();
    let mut at =
        ran.iter().rposition(|ran| ran.to <= play.until && (last_task.is_none() || ran.task.as_ref() == last_task));
    while let Some(index) = at.filter(|_| path.len() < PATH_MAX) {
        let run = ran[index];
        let (Some(task), Some(stage)) = (&run.task, &run.stage) else { break };
        let before = |serves: &dyn Fn(&Ran) -> bool| {
            ran[..index].iter().rposition(|other| other.to <= run.from && serves(other))
        };
        let known = play.end.task(task.as_str());
        let depends = |other: &Ran| {
            other.task.as_ref() == Some(task)
                || known.is_some_and(|known| other.task.as_ref().is_some_and(|id| known.depends_on.contains(id)))
        };
        let of_task = before(&depends);
        let of_agent = before(&|other: &Ran| other.agent == run.agent);
        let (next, waited_for) = match (of_task, of_agent) {
            (None, None) => (None, "nothing"),
            (Some(task), Some(agent)) if ran[agent].to > ran[task].to => (Some(agent), "agent"),
            (Some(task), _) => (Some(task), "task"),
            (None, Some(agent)) => (Some(agent), "agent"),
        };
        path.push(PathStep {
            task: task.clone(),
            stage: stage.clone(),
            agent: run.agent.clone(),
            gate: run.gate,
            from_seconds: seconds_between(from, run.from),
            to_seconds: seconds_between(from, run.to),
            waited_for,
        });
        at = next;
    }
    path.reverse();
    path
}

/// Whether a task was to be done in the beginning.
fn is_asked_for(start: &Pipeline, task: &TaskId) -> bool {
    start.task(task.as_str()).is_some_and(|task| !task.state.is_final())
}

/// Why tasks are not done in the end of a play, the most frequent reason first.
fn unfinished(start: &Pipeline, end: &Pipeline) -> Vec<Held> {
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    let nobody: BTreeSet<&Role> = end
        .queue
        .wanted_roles()
        .map(|(role, _)| role)
        .filter(|role| !end.core.agents.values().any(|agent| agent.role == **role))
        .collect();
    for task in end.unfinished(usize::MAX).into_iter().filter(|task| is_asked_for(start, &task.id)) {
        let role = end.stage_of(task).map(|stage| &stage.role).filter(|role| nobody.contains(role));
        let why = match role.filter(|_| end.is_startable(task)) {
            Some(role) => format!("no agent has the role {role}"),
            None if end.waits_for_dependencies(task) => "wait for tasks that were not completed".to_owned(),
            None if end.waits_for_person(task) => {
                "wait for a person, having failed too often or been asked for".to_owned()
            }
            None => view::waiting_reason(end, task).unwrap_or_else(|| "were not taken by any agent".to_owned()),
        };
        *held.entry(why).or_default() += 1;
    }
    let given_up = end.given_up().filter(|task| is_asked_for(start, &task.id)).count();
    if given_up > 0 {
        held.insert("failed or were cancelled".to_owned(), given_up);
    }
    let mut held: Vec<Held> = held.into_iter().map(|(why, tasks)| Held { tasks, why }).collect();
    held.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| a.why.cmp(&b.why)));
    held.truncate(HELD_MAX);
    held
}

/// When tasks were done that mostly are.
fn finishes(played: &[Played], from: Timestamp) -> BTreeMap<TaskId, Spread> {
    let mut all: BTreeMap<&TaskId, Vec<f64>> = BTreeMap::new();
    for play in played {
        for (task, at) in &play.completed {
            all.entry(task).or_default().push(seconds_between(from, *at));
        }
    }
    let mostly = all.into_iter().filter(|(_, seconds)| seconds.len() * 2 >= played.len());
    mostly.map(|(task, seconds)| (task.clone(), spread_of(seconds))).collect()
}

impl Held {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {}", counted(self.tasks, "task"), self.why)
    }
}
