//! Why a task or an agent is in its state: the observations, the rule that decided, and what would change it.

use jiff::Timestamp;
use serde::Serialize;

use super::aftermath::{cannot_follow, went_on_without, what_followed, why_failed};
use super::attention::{retry_command, words_of};
use super::{AgentStatus, Seen, agent_view, waiting_reason};
use crate::agents::preset::Preset;
use crate::ids::AgentName;
use crate::mode::{Orchestration, Rollout};
use crate::pipeline::{Agent, Pipeline};
use crate::run::{ClaimStatus, Verdict};
use crate::settings::Sandbox;
use crate::task::{Ask, Step, Task, TaskState};
use crate::text::counted;

/// Why something is in its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The task or agent.
    pub subject: String,
    /// Its status.
    pub status: String,
    /// The rule that decided, in words.
    pub rule: String,
    /// Everything that was observed, in words.
    pub observations: Vec<String>,
    /// What would change it, in words.
    pub would_change: Vec<String>,
    /// What to type next, if anything helps.
    pub commands: Vec<String>,
}

/// Explains an agent's status.
#[must_use]
pub fn explain_agent(pipeline: &Pipeline, name: &AgentName, agent: &Agent, seen: &Seen) -> Explanation {
    let view = agent_view(pipeline, name, agent, seen);
    let mut reasons = view.reasons.into_iter();
    let rule = reasons.next().unwrap_or_default();
    let mut observations =
        vec![format!("source {}, confidence {:.1}, since {}", view.source, view.confidence, view.since)];
    observations.extend(reasons);
    observations.push(match pipeline.core.settings.sandbox(name) {
        Sandbox::Off => "sandbox off: it can do whatever you can".to_owned(),
        Sandbox::Basic => "sandbox basic: it changes only its worktree and cannot read the state".to_owned(),
        Sandbox::Strict => {
            "sandbox strict: it works in a private clone, reads only what is named, and has no sockets".to_owned()
        }
    });
    if let Some(run) = agent.run.as_ref().and_then(|id| pipeline.core.runs.get(id)) {
        let task = run.task.as_ref().map_or_else(|| "no task".to_owned(), ToString::to_string);
        observations.push(format!("run {} ({}) for {task}, attempt {}", run.id, run.work.word(), run.attempt));
    }
    Explanation {
        subject: name.to_string(),
        status: view.status.word().to_owned(),
        rule,
        observations,
        would_change: vec![view.would_change],
        commands: agent.run.iter().map(|_| format!("pipeline logs -f --agent {name}")).collect(),
    }
}

/// Explains a task's status.
#[must_use]
pub fn explain_task(pipeline: &Pipeline, task: &Task) -> Explanation {
    let mut explanation = Explanation {
        subject: task.id.to_string(),
        status: task.state.word(),
        rule: String::new(),
        observations: vec![format!("in this state since {}", task.state_since)],
        would_change: Vec::new(),
        commands: Vec::new(),
    };
    rule(pipeline, task, &mut explanation);
    explanation.observations.extend(pipeline.collisions_in_words(task));
    if let Some(stage) = pipeline.stage_of(task) {
        let workflow = &task.workflow;
        explanation.observations.push(format!("workflow {workflow}, stage {}, role {}", stage.id, stage.role));
    }
    for output in task.outputs.iter().rev().filter(|output| output.by.is_some()).take(3) {
        let why = output.summary.lines().next().unwrap_or_default();
        let (stage, decision) = (&output.stage, &output.decision);
        explanation.observations.push(format!("{stage} decided {decision}, by {}: {why}", output.who()));
    }
    if let Some(question) = task.question() {
        let words: Vec<&str> = question.offers.iter().map(|offer| offer.word.as_str()).collect();
        let refused = question.refused.as_ref().map_or(String::new(), |why| format!("; its last answer: {why}"));
        explanation.observations.push(format!("its agent is asked to decide among {}{refused}", words.join(", ")));
    }
    if task.attempt > 0 {
        explanation.observations.push(format!("attempt {}", task.attempt));
    }
    for run in task.runs.iter().rev().take(3) {
        // A program that ends well after it has said otherwise did not fail by its exit.
        let came = match (run.verdict, run.claimed) {
            (Verdict::Void, _) => "not counted".to_owned(),
            (_, Some(claimed)) if claimed != ClaimStatus::Completed => format!("claimed {}", claimed.heading_word()),
            (Verdict::Passed, _) => "passed".to_owned(),
            (Verdict::Failed, _) => "failed".to_owned(),
        };
        let text = format!("run {} ({} by {}): {}, {came}", run.id, run.work, run.agent, run.how);
        explanation.observations.push(text);
    }
    explanation
}

fn rule(pipeline: &Pipeline, task: &Task, out: &mut Explanation) {
    let id = &task.id;
    let reason = task.reason.clone().unwrap_or_else(|| "no reason was recorded".to_owned());
    match &task.state {
        TaskState::Unassigned | TaskState::Ready { .. } => waiting_rule(pipeline, task, out),
        TaskState::Working { run, .. } => {
            let agent = pipeline.core.runs.get(run).map_or("an agent", |run| run.agent.as_str());
            out.rule = format!("{agent} has the live run {run}");
            out.would_change.push("the end of that run".to_owned());
            out.commands.push(format!("pipeline logs -f --agent {agent}"));
        }
        TaskState::Waiting { on, .. } => {
            let names: Vec<&str> = on.iter().map(crate::ids::TaskId::as_str).collect();
            out.rule = format!("other tasks do this stage: {}", names.join(", "));
            out.would_change.push("the end of the last of them".to_owned());
            let open = on.iter().filter(|id| pipeline.task(id.as_str()).is_some_and(|task| !task.state.is_final()));
            out.commands.extend(open.map(|id| format!("pipeline explain {id}")));
        }
        TaskState::Paused { .. } => {
            out.rule = reason;
            out.would_change.push("a person's word".to_owned());
            out.commands
                .extend([format!("pipeline task approve {id}"), format!("pipeline task reject {id} --message TEXT")]);
        }
        TaskState::Verifying { step, claim, .. } => verifying_rule(pipeline, step, &claim.agent, out),
        TaskState::AwaitingApproval { ask, .. } => {
            out.rule = match ask {
                Ask::Approval { .. } => format!("the claim was checked and the stage asks a person: {reason}"),
                Ask::Review => format!("the agent asked for a person: {reason}"),
                Ask::Decision => format!("nothing unclear counts as a decision: {reason}"),
            };
            out.would_change.push("a person's word".to_owned());
            let approve = match ask {
                Ask::Decision => format!("pipeline task approve {id} --decision {}", words_of(pipeline, task)),
                Ask::Approval { .. } | Ask::Review => format!("pipeline task approve {id}"),
            };
            out.commands.extend([approve, format!("pipeline task reject {id} --message TEXT")]);
        }
        TaskState::Blocked { .. } => {
            out.rule = reason;
            out.observations.extend(what_followed(pipeline, task).or_else(|| cannot_follow(pipeline, task)));
            out.would_change.push("a person's word".to_owned());
            out.commands.extend([retry_command(task), format!("pipeline task cancel {id}")]);
        }
        TaskState::Failed | TaskState::Cancelled => {
            out.rule = why_failed(task).unwrap_or(reason);
            out.observations.extend(what_followed(pipeline, task).or_else(|| cannot_follow(pipeline, task)));
            out.commands.push(format!("pipeline task retry {id}"));
        }
        TaskState::Completed => {
            out.rule = match task.merged.as_ref().map(|m| &m.commit) {
                Some(Some(commit)) => format!(
                    "its workflow ended, and {} contains its merge {}",
                    pipeline.core.settings.base,
                    commit.short()
                ),
                Some(None) => {
                    format!("its workflow ended, and {} contained everything already", pipeline.core.settings.base)
                }
                None => "its workflow ended".to_owned(),
            };
            out.observations.extend(went_on_without(pipeline, task));
            out.commands.push(format!("pipeline task rollback {id}"));
        }
        TaskState::RolledBack => out.rule = reason,
    }
}

fn verifying_rule(pipeline: &Pipeline, step: &Step, agent: &AgentName, out: &mut Explanation) {
    match step {
        Step::Join { .. } => {
            out.rule = "the branches of the tasks that did its parts are being brought together".to_owned();
            out.would_change.push("the next tick".to_owned());
        }
        Step::Merge => {
            out.rule = "its claim was accepted and the merge commit is being made".to_owned();
            out.would_change.push("the next tick".to_owned());
        }
        Step::Gate { commit, run: Some(run), .. } => {
            out.rule = format!("the gate runs on {} as {run}", commit.short());
            out.would_change.push("the end of the gate".to_owned());
        }
        Step::Gate { commit, run: None, .. } => {
            let stopped = pipeline.core.agents.get(agent).is_some_and(|a| a.stopped);
            out.rule = if let Some(shortage) = pipeline.short_of().filter(|_| !stopped) {
                format!("the gate on {} waits: {shortage}", commit.short())
            } else if stopped {
                format!("the gate on {} waits because {agent} is stopped", commit.short())
            } else {
                format!("the gate on {} is about to run", commit.short())
            };
            out.would_change.push(if stopped {
                format!("`pipeline agent start {agent}`")
            } else {
                "the next tick".to_owned()
            });
        }
        Step::TakeBack { merge, why, .. } => {
            out.rule = format!("{why}; {} is taken back from {}", merge.short(), pipeline.core.settings.base);
            out.would_change.push("the next tick".to_owned());
        }
        Step::Advance { dirty: Some(dirty), .. } => {
            let base = &pipeline.core.settings.base;
            out.rule = format!("your checkout of {base} has uncommitted changes in {}", dirty.files.join(", "));
            out.would_change.push("a clean checkout; it is looked at again by itself".to_owned());
            out.commands.push(dirty.command.clone());
        }
        Step::Advance { commit, .. } => {
            out.rule = format!("{} is about to move to {}", pipeline.core.settings.base, commit.short());
            out.would_change.push("the next tick".to_owned());
        }
    }
}

/// Why a task that could be taken, or will be, has not been taken.
fn waiting_rule(pipeline: &Pipeline, task: &Task, out: &mut Explanation) {
    let core = &pipeline.core;
    if pipeline.waits_for_dependencies(task) || task.held.is_some() || pipeline.category_wait(task).is_some() {
        out.rule = waiting_reason(pipeline, task).unwrap_or_default();
        for dependency in pipeline.open_dependencies(task) {
            let status = pipeline.task(dependency.as_str()).map_or_else(|| "archived".to_owned(), |d| d.state.word());
            out.observations.push(format!("{dependency} is {status}"));
        }
        out.would_change.push("their completion".to_owned());
        let waits_for_others = pipeline.waits_for_dependencies(task) || task.held.is_some();
        if let Some(wait) = pipeline.category_wait(task).filter(|_| !waits_for_others) {
            for id in &wait.by {
                let status = pipeline.task(id.as_str()).map_or_else(String::new, |holder| holder.state.word());
                out.observations.push(format!("{id} holds a place and is {status}"));
            }
            out.would_change
                .push(format!("another limit for `{}` under `concurrency` in .pipeline/registry.json", wait.category));
        }
        return;
    }
    if let Some(at) = task.not_before {
        out.rule =
            format!("it waits until {at} before the next attempt: {}", task.reason.as_deref().unwrap_or_default());
        out.would_change.push(format!("the time {at}"));
        out.commands.push(format!("pipeline task retry {}", task.id));
        return;
    }
    if !pipeline.may_touch(&task.id) {
        let mode = core.mode.rollout;
        out.rule = format!("the rollout mode is {}, so it is not acted on", mode.word());
        out.commands.push(match mode {
            Rollout::Shadow => "pipeline rollout check".to_owned(),
            Rollout::Pilot | Rollout::Production => format!("pipeline pilot add {}", task.id),
        });
        if mode == Rollout::Pilot && core.pilot.percent > 0 {
            out.observations.push(format!("it is not in the pilot's share of {} %", core.pilot.percent));
            out.would_change.push("a larger share: `pipeline pilot percent N`".to_owned());
        }
        return;
    }
    if core.mode.orchestration == Orchestration::Sequential && core.current_task.as_ref() != Some(&task.id) {
        let current = core.current_task.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        out.rule = format!("sequential mode serves one task at a time, now {current}");
        out.would_change.push("the end of that task".to_owned());
        return;
    }
    if let Some(mode) = core.pending_mode {
        out.rule = format!("nothing new starts until the switch to {} is made", mode.orchestration.word());
        return;
    }
    if let Some(shortage) = pipeline.short_of() {
        out.rule = shortage.to_string();
        out.would_change.push("more room on the machine, or another limit under [scheduler] in config.toml".to_owned());
        return;
    }
    if core.mode.rollout == Rollout::Pilot
        && let Some(why) = core.pilot.why(&task.id)
    {
        out.observations.push(why);
    }
    no_agent_rule(pipeline, task, out);
}

/// When an agent may start that is free for a task and held back only because one of its preset has just started.
fn next_start(pipeline: &Pipeline, task: &Task) -> Option<(Timestamp, Preset)> {
    let role = &pipeline.stage_of(task)?.role;
    let serves = |name: &AgentName, agent: &Agent| match &task.pinned_agent {
        Some(pinned) => pinned == name,
        None => agent.role == *role,
    };
    let free = |name: &AgentName, agent: &Agent| {
        agent_view(pipeline, name, agent, &Seen::new()).status == AgentStatus::Idle && serves(name, agent)
    };
    let free = pipeline.core.agents.iter().filter(|(name, agent)| free(name, agent));
    let until =
        free.map(|(_, agent)| Some((pipeline.staggered_until(agent.preset, pipeline.core.updated_at)?, agent.preset)));
    // Where one could start right now, a tick is all that is waited for.
    until.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn no_agent_rule(pipeline: &Pipeline, task: &Task, out: &mut Explanation) {
    let Some(stage) = pipeline.stage_of(task) else {
        out.rule = format!("its workflow {} is not there", task.workflow);
        out.commands.push("pipeline workflow validate".to_owned());
        return;
    };
    if let Some(wait) = pipeline.arm_wait(task) {
        out.rule = wait.words();
        out.would_change.push(format!("a start of one of its agents, or `pipeline task assign {} AGENT`", task.id));
        out.commands.push(wait.start());
        return;
    }
    out.observations.extend(pipeline.gives_way_in_words(task));
    let arm = pipeline.core.settings.arm_of_task(&task.id, &stage.role);
    let mut agents = pipeline.core.agents.iter().filter(|(name, agent)| match &task.pinned_agent {
        Some(pinned) => pinned == *name,
        None => agent.role == stage.role,
    });
    let mut any = false;
    for (name, agent) in agents.by_ref() {
        any = true;
        let view = agent_view(pipeline, name, agent, &Seen::new());
        out.observations.push(format!("{name} is {}: {}", view.status.word(), view.reasons.join("; ")));
    }
    let full = pipeline.role_is_full(&stage.role).filter(|_| any);
    if let Some((working, cap)) = full {
        out.rule =
            format!("{} of role {} at work, and `role_caps` allows {cap}", counted(working, "agent"), stage.role);
        out.would_change.push("the end of one of their runs, or another `role_caps` in config.toml".to_owned());
        return;
    }
    if let Some((at, preset)) = next_start(pipeline, task) {
        let stagger = pipeline.core.settings.scheduler.stagger;
        out.rule = format!("stage {} waits until {at}: starts of {preset} agents are {stagger:#} apart", stage.id);
        out.would_change.push(format!("the time {at}, or another `stagger` in config.toml"));
        return;
    }
    out.rule = if any {
        let arm = arm.map_or_else(String::new, |arm| format!(", variant {arm}"));
        format!("stage {} waits for a free agent of role {}{arm}", stage.id, stage.role)
    } else {
        format!("no agent has the role {} that stage {} asks for", stage.role, stage.id)
    };
    out.would_change.push(if any { "a free agent and a tick".to_owned() } else { "another agent".to_owned() });
    if !any {
        out.commands.push(format!("pipeline agent add NAME --role {}", stage.role));
    }
}
