//! What would happen: the rules of this program on a clock of their own, with agents whose durations and failures are
//! drawn from what [`crate::estimate`] knows. `decide` and `apply` are the real ones, so that a simulation cannot differ
//! from the engine; only the world outside is made up. Nothing is touched: it plays on a copy.
//!
//! One play is one draw of chance. Several make a median and an interval; the same seed makes the same plays.

mod chance;
mod play;
mod prediction;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use chance::{DEFAULT_FAILURES, DEFAULT_SECONDS};
pub use prediction::{Compared, Prediction, compare};
pub use report::{AgentUse, AroundFigures, Bottleneck, Held, PathStep, Report, Spread, StageFigures, spread_of};

use crate::agents::preset::Preset;
use crate::decide::{Now, decide};
use crate::event::{Event, NewTask, Refusal, Request};
use crate::fact::Fact;
use crate::ids::{AgentName, Role, WorkflowId};
use crate::mode::Rollout;
use crate::pipeline::Pipeline;
use crate::settings::{AgentSettings, RoomSettings, Sandbox, Settings};
use crate::text::counted;
use crate::workflow::params::{Param, ParamKind};

/// Tasks at most: more say nothing that these do not, and take long.
pub const TASKS_MAX: usize = 10_000;
/// How often it is played with few tasks, and with many.
const PLAYS_MAX: usize = 20;
const PLAYS_MIN: usize = 3;
/// So many tasks are played altogether, where that allows for enough plays.
const TASKS_PLAYED: usize = 4_000;

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Everything that is not finished now, from where it stands.
    State,
    /// New tasks on a workflow, with nothing else to do.
    Tasks {
        /// Which; the default if missing.
        workflow: Option<WorkflowId>,
        /// How many.
        count: usize,
    },
}

/// What is to be found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is played.
    pub what: What,
    /// How many agents of a role there are; roles that are not here have the agents that are configured.
    pub agents: BTreeMap<Role, usize>,
    /// Where chance begins.
    pub seed: u64,
}

/// Why nothing can be simulated.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// There is no such workflow.
    NoWorkflow(WorkflowId),
    /// No stage asks for this role, and no agent has it.
    NoRole(Role),
    /// There is nothing to do.
    Nothing,
    /// There are more tasks than are played.
    TooMany(usize),
    /// The tasks cannot be added.
    Refused(Refusal),
}

/// Plays it several times, and says what came out.
///
/// # Errors
/// When the question names what is not there, or there is nothing to play.
pub fn simulate(pipeline: &Pipeline, question: &Question, now: Timestamp) -> Result<Report, Problem> {
    let start = prepared(pipeline, question, now)?;
    let tasks = start.unfinished_total();
    if tasks == 0 {
        return Err(Problem::Nothing);
    }
    if tasks > TASKS_MAX {
        return Err(Problem::TooMany(tasks));
    }
    let plays = (TASKS_PLAYED / tasks).clamp(PLAYS_MIN, PLAYS_MAX);
    let played: Vec<play::Played> = (0..plays)
        .map(|number| {
            let dice = chance::Dice::new(question.seed, number);
            play::play(start.clone(), &pipeline.core.metrics, dice, now)
        })
        .collect();
    let mut assumptions = assumed(pipeline, &start);
    assumptions.extend(report::unknown_stages(pipeline, &played));
    assumptions.extend(report::granted(&played));
    Ok(report::report(&start, &pipeline.core.metrics, played, assumptions, question.seed, now))
}

/// The state that every play begins with.
fn prepared(pipeline: &Pipeline, question: &Question, now: Timestamp) -> Result<Pipeline, Problem> {
    let mut settings = (*pipeline.core.settings).clone();
    staff(pipeline, &mut settings, &question.agents)?;
    // Of the machine and of what starts by itself nothing is known.
    settings.scheduler.room = RoomSettings { min_free_disk: Some(0), ..RoomSettings::default() };
    settings.scheduler.keep_finished = u32::MAX;
    settings.schedules.clear();
    settings.rollout.breaker = 0;
    let configured = Fact::Configured {
        settings: Arc::new(settings),
        workflows: pipeline.core.workflows.values().cloned().collect(),
        digest: "simulated".to_owned(),
    };
    let mut copy = match &question.what {
        What::State => pipeline.clone(),
        What::Tasks { .. } => Pipeline::default(),
    };
    copy.core.mode = pipeline.core.mode;
    copy.core.mode.rollout = Rollout::Production;
    copy.core.pending_mode = None;
    copy.core.effect_failures.clear();
    copy.core.shortages.clear();
    copy.core.metrics.clone_from(&pipeline.core.metrics);
    copy.core.weights.clone_from(&pipeline.core.weights);
    copy.core.worktrees.clone_from(&pipeline.core.worktrees);
    copy.apply(now, &configured);
    copy.rebuild_index();
    if let What::Tasks { workflow, count } = &question.what {
        add(&mut copy, workflow.as_ref(), *count, now)?;
    }
    Ok(copy)
}

fn add(copy: &mut Pipeline, workflow: Option<&WorkflowId>, count: usize, now: Timestamp) -> Result<(), Problem> {
    if let Some(id) = workflow.filter(|id| !copy.core.workflows.contains_key(*id)) {
        return Err(Problem::NoWorkflow(id.clone()));
    }
    let known = workflow.and_then(|id| copy.core.workflows.get(id));
    let params: BTreeMap<String, Value> = known
        .into_iter()
        .flat_map(|workflow| &workflow.params)
        .filter_map(|(name, param)| Some((name.clone(), made_up(param)?)))
        .collect();
    let new = |number| NewTask {
        workflow: workflow.cloned(),
        params: params.clone(),
        ..NewTask::titled(&format!("simulated task {number}"))
    };
    let event = Event::Ask(Request::AddTasks((1..=count).map(new).collect()));
    let facts = decide(copy, &event, Now { at: now, entropy: 0 }).map_err(Problem::Refused)?;
    facts.iter().for_each(|fact| copy.apply(now, fact));
    Ok(())
}

/// Something for a parameter that has to be given.
fn made_up(param: &Param) -> Option<Value> {
    if !param.required || param.default.is_some() {
        return None;
    }
    Some(param.choices.first().cloned().unwrap_or_else(|| match param.kind {
        ParamKind::Text => "simulated".into(),
        ParamKind::Number | ParamKind::Integer => 1.into(),
        ParamKind::Boolean => true.into(),
        ParamKind::List => Value::Array(Vec::new()),
        ParamKind::Object => Value::Object(serde_json::Map::new()),
    }))
}

/// As many agents of each role as are asked for: those that are configured, fewer of them, or more like them.
fn staff(pipeline: &Pipeline, settings: &mut Settings, wanted: &BTreeMap<Role, usize>) -> Result<(), Problem> {
    for (role, count) in wanted {
        let asked_for =
            || pipeline.core.workflows.values().flat_map(|workflow| &workflow.stages).any(|s| s.role == *role);
        let known = settings.agents.iter().filter(|agent| agent.role == *role).count();
        if known == 0 && !asked_for() {
            return Err(Problem::NoRole(role.clone()));
        }
        let mut kept = 0;
        settings.agents.retain(|agent| {
            kept += usize::from(agent.role == *role);
            agent.role != *role || kept <= *count
        });
        let names: Vec<AgentName> = settings.agents.iter().map(|agent| agent.name.clone()).collect();
        let free =
            (1..).filter_map(|n: usize| AgentName::new(&format!("{role}-{n}")).ok()).filter(|n| !names.contains(n));
        for name in free.take(count.saturating_sub(known)) {
            let role = role.clone();
            // One more of those that are there: where variants are compared, who has none is given nothing.
            let variant = settings.agents.iter().rev().find(|agent| agent.role == role).and_then(|a| a.variant.clone());
            settings.agents.push(AgentSettings {
                name,
                role,
                preset: Preset::Custom,
                interactive: false,
                sandbox: Sandbox::Off,
                variant,
            });
        }
    }
    // Where a person asks what more agents would bring, a limit on all of them would hide it.
    if !wanted.is_empty() {
        settings.scheduler.max_parallel = 0;
    }
    Ok(())
}

/// What a play takes for granted, in words.
fn assumed(pipeline: &Pipeline, start: &Pipeline) -> Vec<String> {
    let mut assumed = vec!["base moves to a merge at once, no claim is unclear, and the machine has room".to_owned()];
    let answer = &pipeline.core.metrics.attention_seconds;
    assumed.push(match answer.len() {
        0 => "people who are asked to approve answer at once".to_owned(),
        n => format!("people who are asked to approve answer as fast as in the last {}", counted(n, "case")),
    });
    if pipeline.core.mode.rollout != Rollout::Production {
        let rollout = pipeline.core.mode.rollout.word();
        assumed.push(format!("all tasks are acted on, though the rollout is {rollout}"));
    }
    let limit = pipeline.core.settings.scheduler.max_parallel;
    if limit != start.core.settings.scheduler.max_parallel {
        assumed.push(format!("`max_parallel` = {limit} is lifted, because numbers of agents were given"));
    }
    assumed
}
