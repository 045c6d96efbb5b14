//! One event in words, for the line that a person glances at. Programs read the event itself.

use pipeline_lib::fact::Fact;
use pipeline_lib::run::{Ended, Run, RunSummary, Verdict, Work};
use pipeline_lib::task::{Step, TaskState};
use pipeline_lib::text::{counted, one_line};
use serde::Deserialize as _;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use super::line::About;

/// The longest sentence, in characters.
const CHARS_MAX: usize = 160;

/// The event in human words, in one line, made safe. Empty for what only the machinery cares about.
#[must_use]
pub fn sentence(event: &Map<String, Value>) -> String {
    let fact = ["type", "data"].into_iter().filter_map(|key| Some((key, event.get(key)?)));
    match Fact::deserialize(MapDeserializer::<_, serde_json::Error>::new(fact)) {
        Ok(fact) => sentence_about(&fact, About::of(event)),
        // A newer program's event: its type is words enough.
        Err(_) => one_line(&format!("{} {}", text(event, "task"), text(event, "type").replace('_', " ")), CHARS_MAX),
    }
}

/// The same of a fact of which it is known what it is about.
pub(super) fn sentence_about(fact: &Fact, about: About<'_>) -> String {
    one_line(&words(fact, &about), CHARS_MAX)
}

/// What an event says under a key, empty where it says nothing there.
pub(super) fn text<'e>(event: &'e Map<String, Value>, key: &str) -> &'e str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn words(fact: &Fact, about: &About<'_>) -> String {
    let About { task, agent, stage, work } = about;
    match fact {
        Fact::TaskAdded { task } => format!("{} added: {}", task.id, task.title),
        Fact::TaskEdited { .. } => format!("{task} edited"),
        Fact::TaskMoved { to, with, .. } => {
            let words = moved(task, to, with.reason.as_deref());
            match &with.by {
                Some(by) if words.is_empty() => format!("{task}: {by} agreed"),
                Some(by) => format!("{words} ({by} agreed)"),
                None => words,
            }
        }
        Fact::TaskHeld { hold, .. } => format!("{task} waits for {}", hold.by),
        Fact::CollisionSeen { with, files, .. } => {
            let with = with.as_ref().map_or("base", |with| with.as_str());
            format!("{task} would collide with {with} in {}", files.join(", "))
        }
        Fact::CollisionGone { with: Some(with), .. } => format!("{task} collides with {with} no longer"),
        Fact::CollisionGone { with: None, .. } => format!("{task} merges onto base again"),
        Fact::TaskDue { .. } => format!("{task} may be tried again"),
        Fact::TaskArchived { .. } => format!("{task} archived"),
        Fact::TaskRestored { to: Some(to), .. } => format!("{task} is {} again: a command was undone", to.state.word()),
        Fact::TaskRestored { to: None, .. } => format!("{task} is gone again: the command that added it was undone"),
        Fact::StageDone { output, .. } => format!("{task} {stage} done: {}", output.decision),
        Fact::HubAsks { question, .. } => match &question.refused {
            Some(why) => format!("{task} {stage} asks its agent again: {why}"),
            None => format!("{task} {stage} asks its agent"),
        },
        Fact::TaskMerged { merged, .. } => match &merged.commit {
            Some(commit) => format!("{task} merged as {}", commit.short()),
            None => format!("{task} had nothing to merge"),
        },
        Fact::RunClaimed { run } => claimed(run),
        // What came of these is said when they are closed.
        Fact::RunEnded { .. } if matches!(*work, "gate" | "probe" | "setup") => String::new(),
        Fact::RunEnded { how, .. } if *work == "command" => format!("{task} {stage} command {how}"),
        Fact::RunEnded { how, .. } => format!("{task} {stage} by {agent} {how}"),
        Fact::RunClosed { summary: Some(summary), .. } => closed(task, summary),
        Fact::ClaimNoted { claim, .. } => format!("{task} {stage}: {agent} says {}", lower(claim.status)),
        Fact::ClaimRefused { why, .. } => format!("{task} {stage}: a claim was refused, {why}"),
        Fact::RunDoing { doing, .. } => format!("{agent} ({task}): {}", doing.words()),
        Fact::RunOverdue { .. } => format!("{agent} ({task}) takes much longer than usual"),
        Fact::RunUsed { usage, .. } => {
            format!("{agent} ({task}) has used {} so far", usage.words())
        }
        Fact::RunTried { refused: Some(why), .. } => format!("{agent} ({task}): nothing was typed: {why}"),
        Fact::RunTried { rung, done: true, .. } => format!("{agent} ({task}) {}", rung.words()),
        Fact::RunStopping { .. } if !matches!(*work, "" | "agent") => format!("{task} {stage} {work} is being stopped"),
        Fact::RunStopping { .. } => format!("{task} {stage} by {agent} is being stopped"),
        other => of_the_rest(other, about),
    }
}

/// Events that are about no task's journey.
fn of_the_rest(fact: &Fact, about: &About<'_>) -> String {
    let agent = about.agent;
    match fact {
        Fact::Configured { .. } => "the configuration changed".to_owned(),
        Fact::MergeReverted { task, by: Some(by) } => format!("{task} was taken back from base by {}", by.short()),
        Fact::MergeReverted { task, by: None } => format!("{task} is no longer in base"),
        Fact::Demoted { mode, why } => format!("the rollout went back to {}: {why}", mode.rollout.word()),
        Fact::ModeChanged { mode, .. } => format!("mode is {} · {}", mode.orchestration.word(), mode.rollout.word()),
        Fact::ModePending { mode: Some(mode), .. } => {
            format!("switching to {} · {} once nothing runs", mode.orchestration.word(), mode.rollout.word())
        }
        Fact::ModePending { mode: None, .. } => "the mode stays as it is".to_owned(),
        Fact::NumbersTaken { below } => format!("new tasks are numbered from {below}"),
        Fact::PilotChanged { scope } if scope.percent > 0 => {
            format!("the pilot covers its list and {} % of all tasks", scope.percent)
        }
        Fact::PilotChanged { .. } => "the pilot's list changed".to_owned(),
        Fact::WorktreeReady { worktree, .. } => format!("worktree {worktree} is set up"),
        Fact::WorktreeFailed { worktree, message, .. } => format!("setting up worktree {worktree} failed: {message}"),
        Fact::WorktreeReset { worktree } => format!("worktree {worktree} will be set up again"),
        Fact::AgentStopped { .. } => format!("{agent} stopped"),
        Fact::AgentEnabled { .. } => format!("{agent} takes work again"),
        Fact::AgentBroken { message, .. } => format!("{agent} cannot work: {message}"),
        Fact::MachineShort { shortages } if shortages.is_empty() => "the machine has room again".to_owned(),
        Fact::MachineShort { shortages } => shortages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Fact::PresetPaused { preset, why, .. } => format!("{preset} agents rest: {why}"),
        Fact::PresetResumed { preset } => format!("{preset} agents go on"),
        Fact::EffectWithheld { effect, task, stage, agent } => {
            let by = agent.as_ref().map_or_else(String::new, |agent| format!(" by {agent}"));
            format!("would {effect} {task} {stage}{by}")
        }
        Fact::EffectFailed { key, message, .. } => format!("{key} failed: {message}"),
        Fact::ScheduleSet { name, scheduled: Some(scheduled) } => match scheduled.next {
            Some(next) => format!("{name} starts by itself at {next}"),
            None => format!("{name} never starts by itself"),
        },
        Fact::ScheduleSet { name, scheduled: None } => format!("{name} no longer starts by itself"),
        Fact::ScheduleFired { name, task: Some(task), .. } => format!("{name} was started by its schedule as {task}"),
        Fact::ScheduleFired { name, why, .. } => {
            format!("{name} was left out this time: {}", why.as_deref().unwrap_or_default())
        }
        Fact::CurrentTask { problem: Some(problem), .. } => problem.clone(),
        Fact::CurrentTask { task: Some(task), .. } => format!("{task} is the current task"),
        Fact::CurrentTask { task: None, .. } => "no task is left".to_owned(),
        Fact::AlertNoted { notice } => match &notice.channel {
            Some(channel) => format!("an alert could not be delivered through {channel}: {}", notice.text),
            None => notice.text.clone(),
        },
        Fact::ChannelWorks { channel } => format!("alerts are delivered through {channel} again"),
        Fact::Notice { role, task, text } => format!("{task}: {role} is told: {text}"),
        // The claim of a run and its end have their words already.
        _ => String::new(),
    }
}

fn claimed(run: &Run) -> String {
    let task = run.task.as_ref().map_or("", |task| task.as_str());
    let stage = run.stage.as_ref().map_or("", |stage| stage.as_str());
    let again = if run.attempt > 1 { format!(" (attempt {})", run.attempt) } else { String::new() };
    match &run.work {
        Work::Agent => format!("{task} {stage} started by {}{again}", run.agent),
        Work::Command { .. } => format!("{task} {stage} command started at {}{again}", run.agent),
        Work::Probe { .. } => format!("{task} {stage}: is there anything to do?"),
        Work::Gate { .. } => format!("{task} {stage} gate started{again}"),
        Work::Setup { worktree, .. } => format!("setting up worktree {worktree}"),
    }
}

fn closed(task: &str, summary: &RunSummary) -> String {
    let stage = &summary.stage;
    match (&*summary.work, summary.verdict) {
        ("gate", Verdict::Passed) => format!("{task} {stage} gate passed"),
        ("gate", Verdict::Failed) => format!("{task} {stage} gate failed: {}", summary.how),
        ("probe", Verdict::Passed) if summary.how == (Ended::Exited { code: 0 }) => {
            format!("{task} {stage} holds already")
        }
        ("probe", Verdict::Passed) => format!("{task} {stage} has something to do"),
        (_, Verdict::Passed) => format!("{task} {stage} by {} held", summary.agent),
        (_, Verdict::Failed) => format!("{task} {stage} by {} failed: {}", summary.agent, summary.how),
        (_, Verdict::Void) => format!("{task} {stage} by {} was taken back", summary.agent),
    }
}

fn moved(task: &str, to: &TaskState, reason: Option<&str>) -> String {
    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    match to {
        TaskState::Unassigned => format!("{task} is back in the queue{why}"),
        TaskState::Ready { stage } => format!("{task} is ready for {stage}{why}"),
        TaskState::Working { stage, .. } => format!("{task} is at {stage}"),
        TaskState::Waiting { stage, on } => format!("{task} {stage} is done by {}", counted(on.len(), "task")),
        TaskState::Paused { stage } => format!("{task} waits for you before {stage}"),
        TaskState::Verifying { stage, step, .. } => checked(task, stage.as_str(), step),
        TaskState::AwaitingApproval { .. } => format!("{task} waits for you{why}"),
        TaskState::Blocked { .. } => format!("{task} is blocked{why}"),
        TaskState::Failed => format!("{task} failed{why}"),
        TaskState::Completed => format!("{task} completed"),
        TaskState::Cancelled => format!("{task} cancelled{why}"),
        TaskState::RolledBack => format!("{task} rolled back{why}"),
    }
}

/// How far the check of a claim has come, where the next event does not say it: that a gate started, or what was merged.
fn checked(task: &str, stage: &str, step: &Step) -> String {
    match step {
        Step::Join { heads } => format!("{task} {stage}: {} are brought together", counted(heads.len(), "part")),
        Step::Merge => format!("{task} {stage} is being merged"),
        Step::Gate { run: None, merged: true, .. } => format!("{task} {stage}: what base is now is being checked"),
        Step::Gate { run: None, .. } => format!("{task} {stage} is being checked"),
        Step::Advance { dirty: Some(dirty), .. } => {
            format!("{task} waits for your checkout, which has changes in {}", dirty.files.join(", "))
        }
        Step::TakeBack { merge, why, .. } => format!("{task}: {why}; {} is taken back", merge.short()),
        Step::Gate { run: Some(_), .. } | Step::Advance { dirty: None, .. } => String::new(),
    }
}

fn lower(status: impl serde::Serialize) -> String {
    let word = serde_json::to_value(status).unwrap_or_default();
    word.as_str().unwrap_or_default().to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::super::Known;
    use super::*;
    use jiff::Timestamp;
    use pipeline_state::Record;
    use serde_json::json;

    /// What is said of it where it is read, which is what whoever wrote it says.
    fn said_after(known: &mut [Known; 2], kind: &str, data: Value) -> String {
        let fact = json!({ "type": kind, "data": data });
        let of_fact = serde_json::from_value(fact.clone()).ok().map(|fact| known[1].sentence_of(&fact));
        let record = Record { seq: 1, at: Timestamp::UNIX_EPOCH, actor: "monitor".to_owned(), fact };
        let said = sentence(&known[0].event(record));
        assert!(of_fact.is_none_or(|of_fact| of_fact == said), "{said}");
        said
    }

    fn said(kind: &str, data: Value) -> String {
        said_after(&mut Default::default(), kind, data)
    }

    #[test]
    fn what_happens_to_a_task_is_said_in_a_few_words() {
        let run = |work: Value, attempt: u32| {
            json!({ "run": { "id": "r1", "work": work, "agent": "architect", "task": "TASK-001", "stage": "arch",
                "attempt": attempt, "timeout": "PT30M", "phase": "claimed", "claimed_at": "2026-01-01T00:00:00Z" } })
        };
        assert_eq!(said("run_claimed", run(json!("agent"), 1)), "TASK-001 arch started by architect");
        assert_eq!(said("run_claimed", run(json!("agent"), 2)), "TASK-001 arch started by architect (attempt 2)");
        let gate = json!({ "gate": { "command": "true", "commit": "1" } });
        assert_eq!(said("run_claimed", run(gate, 1)), "TASK-001 arch gate started");
        assert_eq!(said("task_moved", json!({"task": "T", "to": "completed"})), "T completed");
        let blocked = json!({"task": "T", "to": {"blocked": {"stage": null}}, "with": {"reason": "no\nway"}});
        assert_eq!(said("task_moved", blocked), "T is blocked: no way");
    }

    #[test]
    fn a_gate_is_told_as_a_gate_and_each_step_once() {
        let mut known = Default::default();
        let mut said = |kind: &str, data: Value| said_after(&mut known, kind, data);
        let claim = json!({ "decision": null, "commit": "1", "agent": "a", "run": "r0" });
        let step = |step: Value| json!({ "task": "T", "to": { "verifying": { "stage": "super", "claim": claim, "step": step } } });
        let gate = |run: Value| step(json!({ "gate": { "commit": "2", "onto": "1", "run": run } }));
        let run = json!({ "id": "r1", "work": { "gate": { "command": "true", "commit": "2" } }, "agent": "implementation",
            "task": "T", "stage": "super", "attempt": 1, "timeout": "PT30M", "phase": "claimed",
            "claimed_at": "2026-01-01T00:00:00Z" });
        let closed = json!({ "run": "r1", "summary": { "id": "r1", "work": "gate", "agent": "implementation",
            "stage": "super", "attempt": 1, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z",
            "how": { "exited": { "code": 0 } }, "verdict": "passed" } });
        let ended = json!({ "run": "r1", "how": { "exited": { "code": 0 } }, "ended_at": "2026-01-01T00:00:00Z" });
        let told = [
            said("task_moved", step(json!("merge"))),
            said("task_moved", gate(Value::Null)),
            said("run_claimed", json!({ "run": run })),
            said("task_moved", gate("r1".into())),
            said("run_ended", ended),
            said("run_closed", closed),
            said("task_moved", step(json!({ "advance": { "commit": "2", "onto": "1", "dirty": null } }))),
        ];
        let told: Vec<&str> = told.iter().map(String::as_str).filter(|words| !words.is_empty()).collect();
        let expected =
            ["T super is being merged", "T super is being checked", "T super gate started", "T super gate passed"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_command_is_told_from_its_claim_to_the_decision() {
        let mut known = Default::default();
        let mut said = |kind: &str, data: Value| said_after(&mut known, kind, data);
        let run = json!({ "id": "r1", "work": { "command": { "command": "true" } }, "agent": "command-1", "task": "T",
            "stage": "s0", "attempt": 1, "timeout": "PT30M", "phase": "claimed", "claimed_at": "2026-01-01T00:00:00Z" });
        let started = json!({ "run": "r1", "pid": 7, "started_at": "2026-01-01T00:00:00Z" });
        let ended = json!({ "run": "r1", "how": { "exited": { "code": 0 } }, "ended_at": "2026-01-01T00:00:00Z" });
        let output = json!({ "stage": "s0", "agent": "command-1", "run": "r1", "decision": "success", "summary": "",
            "commit": "1", "at": "2026-01-01T00:00:00Z" });
        let told = [
            said("run_claimed", json!({ "run": run })),
            said("run_started", started),
            said("run_ended", ended),
            said("stage_done", json!({ "task": "T", "output": output })),
            said("task_moved", json!({ "task": "T", "to": { "ready": { "stage": "s1" } } })),
            said("run_closed", json!({ "run": "r1", "summary": null })),
        ];
        assert_eq!(
            told,
            [
                "T s0 command started at command-1",
                "",
                "T s0 command exited with code 0",
                "T s0 done: success",
                "T is ready for s1",
                ""
            ]
        );
        assert_eq!(
            said(
                "run_ended",
                json!({ "run": "r2", "how": { "exited": { "code": 0 } },
            "ended_at": "2026-01-01T00:00:00Z" })
            ),
            "by exited with code 0"
        );
    }

    #[test]
    fn an_event_of_a_newer_program_is_said_by_its_type() {
        assert_eq!(said("task_teleported", json!({"task": "T"})), "T task teleported");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(said("agent_broken", json!({"agent": "a", "message": "\u{1b}[2Jgone"})), "a cannot work: gone");
    }
}
