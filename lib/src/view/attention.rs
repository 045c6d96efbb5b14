//! What waits for a person, the most blocking first.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::aftermath::cannot_follow;
use crate::agents::preset::{DEMO_DOES_NO_WORK, Preset};
use crate::budget::UsedUp;
use crate::ids::{AgentName, TaskId};
use crate::machine::Resource;
use crate::pipeline::{OUTAGE_TOLD_AT, Pipeline, StandingAlert};
use crate::run::{Run, Rung};
use crate::settings::FailedDependency;
use crate::status::Doing;
use crate::task::{Ask, ParentWhy, Step, Task, TaskState};
use crate::text::{counted, one_line};

/// So long a grave alert is shown that nobody did anything about.
const ALERT_STANDS: SignedDuration = SignedDuration::from_hours(24);
/// The longest line about an alert, in characters.
const SUMMARY_CHARS_MAX: usize = 300;

/// One thing that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Attention {
    /// `approval`, `proposal`, `review`, `decision`, `blocked`, `dependency_failed`, `not_followed`, `checkout_dirty`, `agent_broken`,
    /// `alert`, `alert_undelivered`, `no_agent`, `rate_limited`, `unreachable`, `setup_failed`, `effect_failed`, `current_task`, `state_damaged`, `disk_low`, `overdue`, or of an agent in a
    /// session `permission`, `question`, `dialog`, `turn_ended`, `auth_failed`, `agent_gone` or `stuck`.
    pub kind: &'static str,
    /// About which task.
    pub task: Option<TaskId>,
    /// About which agent.
    pub agent: Option<AgentName>,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// In one line.
    pub summary: String,
    /// Tasks that could go on.
    pub unblocks: Vec<TaskId>,
    /// What to type.
    pub command: String,
}

/// Everything that waits for a person, the most blocking first.
#[must_use]
pub fn attention(pipeline: &Pipeline) -> Vec<Attention> {
    let people = pipeline.needing_people().filter(|task| !failed_at_parts(pipeline, task));
    let mut list: Vec<Attention> = people.filter_map(|task| of_task(pipeline, task)).collect();
    list.extend(failed_dependencies(pipeline));
    list.extend(not_followed(pipeline));
    list.extend(of_agents(pipeline));
    list.extend(of_sessions(pipeline));
    list.extend(without_agents(pipeline));
    list.extend(demoted(pipeline));
    list.extend(budgets(pipeline));
    list.extend(low_disk(pipeline));
    list.extend(overdue(pipeline));
    list.extend(of_alerts(pipeline));
    if let Some(problem) = &pipeline.core.current_task_problem {
        list.push(Attention {
            kind: "current_task",
            task: pipeline.core.current_task.clone(),
            agent: None,
            since: pipeline.core.updated_at,
            summary: problem.clone(),
            unblocks: Vec::new(),
            command: match &pipeline.core.current_task {
                Some(task) => format!("pipeline explain {task}"),
                None => "pipeline task list".to_owned(),
            },
        });
    }
    for (key, failure) in &pipeline.core.effect_failures {
        if failure.failures >= 3 {
            list.push(Attention {
                kind: "effect_failed",
                task: None,
                agent: None,
                since: pipeline.core.updated_at,
                summary: format!("{key} failed {} times: {}", failure.failures, failure.message),
                unblocks: Vec::new(),
                command: "pipeline doctor".to_owned(),
            });
        }
    }
    list.sort_by(|a, b| b.unblocks.len().cmp(&a.unblocks.len()).then(a.since.cmp(&b.since)).then(a.task.cmp(&b.task)));
    list
}

/// Grave alerts while what they are about has not moved on, and alerts that reached nobody. After a day they are history.
fn of_alerts(pipeline: &Pipeline) -> impl Iterator<Item = Attention> + '_ {
    let stands = |alert: &&StandingAlert| {
        let about = alert.notice.task.as_ref().map(|id| pipeline.task(id.as_str()));
        let moved_on = alert.notice.channel.is_none()
            && about.is_some_and(|task| task.is_none_or(|task| task.state_since > alert.at));
        !moved_on && pipeline.core.updated_at.duration_since(alert.at) < ALERT_STANDS
    };
    pipeline.core.alerts.iter().filter(stands).map(|alert| {
        let notice = &alert.notice;
        let (kind, summary, command) = match (&notice.channel, &notice.task) {
            (Some(channel), _) => (
                "alert_undelivered",
                format!("an alert could not be delivered through {channel}: {}", notice.text),
                "pipeline doctor".to_owned(),
            ),
            (None, Some(task)) => ("alert", notice.text.clone(), format!("pipeline explain {task}")),
            (None, None) => ("alert", notice.text.clone(), "pipeline doctor".to_owned()),
        };
        Attention {
            kind,
            task: notice.task.clone(),
            agent: None,
            since: alert.at,
            summary: one_line(&summary, SUMMARY_CHARS_MAX),
            unblocks: Vec::new(),
            command,
        }
    })
}

/// Whether a task only failed because parts of it wait for a person. Those are in the list, and take it along.
fn failed_at_parts(pipeline: &Pipeline, task: &Task) -> bool {
    let is_open = |id: &TaskId| pipeline.task(id.as_str()).is_some_and(|part| !part.state.is_final());
    matches!(task.state, TaskState::Blocked { .. }) && task.parts.iter().any(is_open)
}

fn of_task(pipeline: &Pipeline, task: &Task) -> Option<Attention> {
    let id = &task.id;
    let reason = task.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
    let (kind, agent, command) = match &task.state {
        TaskState::Blocked { .. } => ("blocked", None, retry_command(task)),
        TaskState::Paused { .. } if task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Proposal) => {
            ("proposal", None, format!("pipeline task approve {id}"))
        }
        TaskState::Paused { .. } => ("approval", None, format!("pipeline task approve {id}")),
        TaskState::AwaitingApproval { claim, ask, .. } => {
            let (kind, command) = match ask {
                Ask::Approval { .. } => ("approval", format!("pipeline task approve {id}")),
                Ask::Review => ("review", format!("pipeline task approve {id}")),
                Ask::Decision => {
                    ("decision", format!("pipeline task approve {id} --decision {}", words_of(pipeline, task)))
                }
            };
            (kind, Some(claim.agent.clone()), command)
        }
        TaskState::Verifying { step: Step::Advance { dirty: Some(dirty), .. }, .. } => {
            ("checkout_dirty", None, dirty.command.clone())
        }
        TaskState::Waiting { .. }
        | TaskState::Verifying { .. }
        | TaskState::Unassigned
        | TaskState::Ready { .. }
        | TaskState::Working { .. }
        | TaskState::Failed
        | TaskState::Completed
        | TaskState::Cancelled
        | TaskState::RolledBack => return None,
    };
    Some(Attention {
        kind,
        task: Some(id.clone()),
        agent,
        since: task.state_since,
        summary: format!("{id}: {reason}"),
        unblocks: behind(pipeline, id),
        command,
    })
}

/// Budgets of the day that are used up. A person may raise them; the next day comes by itself.
fn budgets(pipeline: &Pipeline) -> Vec<Attention> {
    let used_up = pipeline.all_used_up_today(pipeline.core.updated_at);
    let one = |used_up: UsedUp| Attention {
        kind: "budget",
        task: None,
        agent: used_up.agent.clone(),
        since: pipeline.core.updated_at,
        summary: used_up.words(),
        unblocks: Vec::new(),
        command: "${EDITOR:-vi} .pipeline/config.toml".to_owned(),
    };
    used_up.into_iter().map(one).collect()
}

/// A disk that fills is a person's business before anything fails for it; memory and load pass by themselves.
fn low_disk(pipeline: &Pipeline) -> Option<Attention> {
    let low = pipeline.core.shortages.iter().find(|shortage| shortage.what == Resource::Disk)?;
    Some(Attention {
        kind: "disk_low",
        task: None,
        agent: None,
        since: low.since,
        summary: low.to_string(),
        unblocks: Vec::new(),
        command: "df -h .".to_owned(),
    })
}

/// Runs that take much longer than such runs do.
fn overdue(pipeline: &Pipeline) -> impl Iterator<Item = Attention> + '_ {
    let over = pipeline.core.runs.values().filter(|run| run.overdue && run.stop.is_none() && run.claim.is_none());
    over.filter_map(|run| {
        let (agent, task) = (&run.agent, run.task.as_ref()?);
        Some(Attention {
            kind: "overdue",
            task: run.task.clone(),
            agent: Some(agent.clone()),
            since: run.started_at.unwrap_or(run.claimed_at),
            summary: format!("{agent} ({task}): {}", overdue_words(run)?),
            unblocks: behind(pipeline, task),
            command: format!("pipeline logs -f --agent {agent}"),
        })
    })
}

/// That a run is overdue, if it is.
pub(super) fn overdue_words(run: &Run) -> Option<String> {
    let after = run.overdue_after.filter(|_| run.overdue)?;
    let after = SignedDuration::from_secs(after.as_secs());
    Some(format!("it has run for more than {after:#}, three times what nine in ten such runs take"))
}

/// The rollout went back by itself, and only a person lets it go on.
fn demoted(pipeline: &Pipeline) -> Option<Attention> {
    let demoted = pipeline.core.demoted.as_ref()?;
    Some(Attention {
        kind: "demoted",
        task: None,
        agent: None,
        since: demoted.at,
        summary: format!("the rollout went back to {}: {}", demoted.to.word(), demoted.why),
        unblocks: Vec::new(),
        command: "pipeline rollout check".to_owned(),
    })
}

/// What lets a blocked task go on. An agent that only demonstrates would block it again.
pub(super) fn retry_command(task: &Task) -> String {
    let retry = format!("pipeline task retry {}", task.id);
    match task.reason.as_deref().is_some_and(|why| why.contains(DEMO_DOES_NO_WORK)) {
        true => format!("${{EDITOR:-vi}} .pipeline/config.toml && {retry}"),
        false => retry,
    }
}

/// What a person may decide in an agent's place.
pub(super) fn words_of(pipeline: &Pipeline, task: &Task) -> String {
    pipeline.stage_of(task).map_or_else(|| "WORD".to_owned(), |stage| stage.words().join("|"))
}

/// Tasks that can only go on once this one is done, directly or through others: those that depend on it, and those of whose
/// stages it does a part.
fn behind(pipeline: &Pipeline, root: &TaskId) -> Vec<TaskId> {
    // A task that was given up takes nobody along until a person wants it again.
    let is_given_up = pipeline.task(root.as_str()).is_some_and(|task| task.state.is_final());
    let mut seen: HashSet<TaskId> = HashSet::from([root.clone()]);
    let mut found = Vec::new();
    let mut todo = vec![root.clone()];
    while let Some(id) = todo.pop() {
        let part = pipeline.task(id.as_str()).filter(|task| !is_given_up || task.id != *root);
        let dependents = pipeline.dependents(&id).into_iter().filter(|task| !task.state.is_final());
        for task in dependents.chain(part.and_then(|part| taken_along(pipeline, part))) {
            if seen.insert(task.id.clone()) {
                found.push(task.id.clone());
                todo.push(task.id.clone());
            }
        }
    }
    found.sort_unstable();
    found
}

/// The task that goes on once a part of it does: it waits for the part, or it failed at the part.
fn taken_along<'a>(pipeline: &'a Pipeline, part: &Task) -> Option<&'a Task> {
    let link = part.parent.as_ref().filter(|link| link.why == ParentWhy::Part)?;
    let parent = pipeline.task(link.task.as_str())?;
    let goes_on = match &parent.state {
        TaskState::Waiting { on, .. } => on.contains(&part.id),
        TaskState::Failed | TaskState::Blocked { .. } => parent.parts.contains(&part.id) && !part.state.is_final(),
        _ => false,
    };
    goes_on.then_some(parent)
}

/// Failed or cancelled tasks that others still wait for.
fn failed_dependencies(pipeline: &Pipeline) -> Vec<Attention> {
    if pipeline.core.settings.scheduler.failed_dependency == FailedDependency::Continue {
        return Vec::new();
    }
    let waited_for = pipeline.given_up().filter_map(|task| {
        let unblocks = behind(pipeline, &task.id);
        (!unblocks.is_empty()).then(|| Attention {
            kind: "dependency_failed",
            task: Some(task.id.clone()),
            agent: None,
            since: task.state_since,
            summary: format!(
                "{} is {}, and {} {} for it",
                task.id,
                task.state.word(),
                counted(unblocks.len(), "task"),
                if unblocks.len() == 1 { "waits" } else { "wait" }
            ),
            command: match task.state {
                // What was rolled back is not done again by itself: a person decides about those behind it.
                TaskState::RolledBack => format!("pipeline task show {}", unblocks[0]),
                _ => format!("pipeline task retry {}", task.id),
            },
            unblocks,
        })
    });
    waited_for.collect()
}

/// Tasks that failed and whose workflow says what is done then, where that cannot be started. After a day they are history.
fn not_followed(pipeline: &Pipeline) -> impl Iterator<Item = Attention> + '_ {
    let is_new = |task: &&Task| pipeline.core.updated_at.duration_since(task.state_since) < ALERT_STANDS;
    pipeline.needing_people().chain(pipeline.given_up()).filter(is_new).filter_map(|task| {
        let why = cannot_follow(pipeline, task)?;
        Some(Attention {
            kind: "not_followed",
            task: Some(task.id.clone()),
            agent: None,
            since: task.state_since,
            summary: one_line(&format!("{}: {why}", task.id), SUMMARY_CHARS_MAX),
            unblocks: Vec::new(),
            command: format!("pipeline explain {}", task.id),
        })
    })
}

/// Roles that nobody has: what waits for them would wait forever.
fn without_agents(pipeline: &Pipeline) -> Vec<Attention> {
    let nobody =
        pipeline.queue.wanted_roles().filter(|(role, _)| !pipeline.core.agents.values().any(|a| a.role == **role));
    let mut list: Vec<Attention> = nobody
        .filter_map(|(role, slot)| {
            let task = pipeline.tasks.at(slot)?;
            Some(Attention {
                kind: "no_agent",
                task: Some(task.id.clone()),
                agent: None,
                since: task.state_since,
                summary: format!("{}: no agent has the role {role}", task.id),
                unblocks: behind(pipeline, &task.id),
                command: format!("pipeline agent add NAME --role {role} --preset PRESET"),
            })
        })
        .collect();
    list.extend(pipeline.queue.first_of_arms().filter_map(|slot| {
        let task = pipeline.tasks.at(slot)?;
        let wait = pipeline.arm_wait(task)?;
        Some(Attention {
            kind: "no_agent",
            task: Some(task.id.clone()),
            agent: Some(wait.agent.clone()),
            since: task.state_since,
            summary: format!("{} is {}", task.id, wait.words()),
            unblocks: behind(pipeline, &task.id),
            command: wait.start(),
        })
    }));
    list.sort_by(|a, b| a.task.cmp(&b.task));
    list
}

fn of_agents(pipeline: &Pipeline) -> Vec<Attention> {
    let mut list = Vec::new();
    for (name, agent) in &pipeline.core.agents {
        let setup = [name.to_string(), crate::decide::gate_worktree(name)];
        let setup = setup.iter().find_map(|w| pipeline.core.worktrees.get(w)?.broken.clone());
        let trouble = agent.broken.clone().map(|why| ("agent_broken", why)).or(setup.map(|why| ("setup_failed", why)));
        if let Some((kind, why)) = trouble {
            list.push(Attention {
                kind,
                task: None,
                agent: Some(name.clone()),
                since: agent.since,
                summary: format!("{name}: {}", why.lines().next().unwrap_or_default()),
                unblocks: Vec::new(),
                command: format!("pipeline agent start {name}"),
            });
        }
    }
    let first_of = |preset: &Preset| {
        pipeline.core.agents.iter().find(|(_, agent)| agent.preset == *preset).map(|(name, _)| name.clone())
    };
    for (preset, outage) in pipeline.core.outages.iter().filter(|(_, outage)| outage.in_a_row >= OUTAGE_TOLD_AT) {
        let agent = first_of(preset);
        list.push(Attention {
            kind: "unreachable",
            task: None,
            command: agent.as_ref().map_or_else(String::new, |name| format!("pipeline agent start {name}")),
            agent,
            since: outage.since,
            summary: format!("{} {} times in a row: {}", preset.as_str(), outage.in_a_row, outage.why),
            unblocks: Vec::new(),
        });
    }
    for (preset, pause) in pipeline.core.paused.iter().filter(|(preset, _)| !pipeline.core.outages.contains_key(preset))
    {
        let agent = first_of(preset);
        list.push(Attention {
            kind: "rate_limited",
            task: None,
            command: agent.as_ref().map_or_else(String::new, |name| format!("pipeline agent start {name}")),
            agent,
            since: pause.since,
            summary: format!("{} agents rest until {}: {}", preset.as_str(), pause.until, pause.why),
            unblocks: Vec::new(),
        });
    }
    list
}

/// Agents of sessions whose turn it is not: a person has to answer, or to look.
fn of_sessions(pipeline: &Pipeline) -> impl Iterator<Item = Attention> + '_ {
    pipeline.core.runs.values().filter(|run| run.stop.is_none() && run.claim.is_none()).filter_map(|run| {
        let noted = run.doing.as_deref()?;
        let asked = noted.rung.is_some_and(|tried| tried.rung == Rung::Person);
        let agent = &run.agent;
        let kind = match &noted.doing {
            Doing::Permission => "permission",
            Doing::Question => "question",
            Doing::Dialog(_) => "dialog",
            Doing::TurnEnded => "turn_ended",
            Doing::AuthFailed => "auth_failed",
            Doing::Gone => "agent_gone",
            Doing::Stuck if asked => "stuck",
            Doing::Starting
            | Doing::Working
            | Doing::Background
            | Doing::RateLimited { .. }
            | Doing::Stuck
            | Doing::Flickering
            | Doing::Unknown => return None,
        };
        let command = match &noted.doing {
            Doing::Permission => format!("pipeline agent send {agent} --answer yes"),
            _ => format!("pipeline agent attach {agent}"),
        };
        let task = run.task.clone();
        let about = task.as_ref().map_or_else(String::new, |task| format!(" ({task})"));
        Some(Attention {
            kind,
            agent: Some(agent.clone()),
            since: noted.since,
            summary: format!("{agent}{about}: {}", noted.doing.words()),
            unblocks: task.as_ref().map_or_else(Vec::new, |task| behind(pipeline, task)),
            task,
            command,
        })
    })
}
