//! The status of an agent: one pure function from observations to a status that can explain itself.
//!
//! The order of belief: what a person decided, then what the system knows about processes, then what the agent's own
//! stream or files say, then what the journal remembers. Unknown is a legal answer.

use jiff::Timestamp;
use serde::Serialize;

use super::{ProcessSeen, RunSeen, Seen};
use crate::agents::preset::Preset;
use crate::ids::AgentName;
use crate::pipeline::{Agent, Pipeline};
use crate::run::{Ended, Phase, Run, Work};
use crate::status::Derived;

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Nothing, and it could work.
    Idle,
    /// Its process has not proven itself yet, or its worktree is being set up.
    Starting,
    /// Its process lives.
    Working,
    /// It waits for a person.
    Waiting,
    /// Its process lives and nothing moves.
    Stuck,
    /// Its preset reached a limit.
    RateLimited,
    /// Its claim is being checked.
    Verifying,
    /// Its process died or cannot be started.
    Crashed,
    /// A person took it out of work.
    Stopped,
    /// It could not be found out.
    Unknown,
}

impl AgentStatus {
    /// The public word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Stuck => "stuck",
            Self::RateLimited => "rate_limited",
            Self::Verifying => "verifying",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it counts as busy, wherever that is counted.
    #[must_use]
    pub fn is_busy(self) -> bool {
        match self {
            Self::Starting | Self::Working | Self::Waiting | Self::Stuck | Self::Verifying => true,
            Self::Idle | Self::RateLimited | Self::Crashed | Self::Stopped | Self::Unknown => false,
        }
    }
}

/// A status with everything that speaks for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentView {
    /// What it is doing.
    pub status: AgentStatus,
    /// Which kind of observation decided: `person`, `process`, `stream`, `gate`, `journal`.
    pub source: &'static str,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words; the deciding rule first.
    pub reasons: Vec<String>,
    /// What would change it.
    pub would_change: String,
}

/// Derives the status of an agent.
#[must_use]
pub fn agent_view(pipeline: &Pipeline, name: &AgentName, agent: &Agent, seen: &Seen) -> AgentView {
    let run = agent.run.as_ref().and_then(|id| pipeline.core.runs.get(id));
    if let Some(run) = run {
        return run_view(agent, run, seen.get(&run.id));
    }
    let view = |status, source, confidence, reason: String, would_change: &str| AgentView {
        status,
        source,
        confidence,
        since: agent.since,
        reasons: vec![reason],
        would_change: would_change.to_owned(),
    };
    if agent.stopped {
        let change = format!("`pipeline agent start {name}`");
        return view(AgentStatus::Stopped, "person", 1.0, "a person stopped it".to_owned(), &change);
    }
    if let Some(used_up) =
        pipeline.used_up_today(Some(name), pipeline.core.updated_at).filter(|_| agent.preset != Preset::Command)
    {
        return view(AgentStatus::RateLimited, "journal", 1.0, used_up.words(), "the next day, or a larger budget");
    }
    if let Some(task) = &agent.verifying {
        let reason = format!("its claim for {task} is being checked");
        return view(AgentStatus::Verifying, "gate", 1.0, reason, "the end of the gate");
    }
    if let Some(why) = &agent.broken {
        let change = format!("a changed config.toml, or `pipeline agent start {name}`");
        return view(AgentStatus::Crashed, "process", 1.0, why.clone(), &change);
    }
    if let Some(why) = pipeline.core.worktrees.get(name.as_str()).and_then(|w| w.broken.as_ref()) {
        let reason = format!("its worktree cannot be set up: {}", why.lines().next().unwrap_or_default());
        return view(AgentStatus::Crashed, "process", 1.0, reason, &format!("`pipeline agent start {name}`"));
    }
    if let Some(pause) = pipeline.core.paused.get(&agent.preset) {
        let mut limited = view(
            AgentStatus::RateLimited,
            "stream",
            0.9,
            format!("{} agents rest until {}: {}", agent.preset.as_str(), pause.until, pause.why),
            &format!("the time {}, or `pipeline agent start {name}`", pause.until),
        );
        limited.since = pause.since;
        return limited;
    }
    let mut idle =
        view(AgentStatus::Idle, "journal", 1.0, "it has no live run".to_owned(), "a ready stage of its role");
    idle.reasons.extend(agent.last.iter().map(|last| format!("last run {last}")));
    idle
}

/// The status of an agent in a session: what was derived, with what speaks for it and against it.
fn session_view(run: &Run, derived: &Derived, process: &str, activity: Option<&String>) -> AgentView {
    let mut reasons = derived.reasons.clone();
    reasons.push(process.to_owned());
    reasons.extend(activity.cloned());
    reasons.extend(derived.conflicts.iter().map(|conflict| format!("against it: {conflict}")));
    let tried = run.doing.as_deref().and_then(|noted| noted.rung);
    reasons.extend(tried.map(|tried| format!("it {} at {}", tried.rung.words(), tried.at)));
    reasons.extend(run.claim.as_ref().map(|c| format!("it claimed {} at {}", c.status.heading_word(), c.at)));
    reasons.extend(super::attention::overdue_words(run));
    reasons.extend(run.stop.map(|reason| format!("it is being {}", Ended::Stopped { reason })));
    let would_change = match derived.doing.needs_person() {
        true => format!("an answer: `pipeline agent attach {}`", run.agent),
        false => "the next thing that its hooks say or its screen shows, its claim, or its end".to_owned(),
    };
    AgentView {
        status: derived.doing.status(),
        source: derived.source.word(),
        confidence: derived.confidence,
        since: derived.since,
        reasons,
        would_change,
    }
}

fn run_view(agent: &Agent, run: &Run, seen: Option<&RunSeen>) -> AgentView {
    let what = match &run.work {
        Work::Agent | Work::Command { .. } | Work::Probe { .. } => AgentStatus::Working,
        Work::Gate { .. } => AgentStatus::Verifying,
        Work::Setup { .. } => AgentStatus::Starting,
    };
    let process = seen.map(|s| s.process);
    let (status, source, confidence, reason) = match (&run.phase, process) {
        (Phase::Claimed | Phase::Started { .. }, Some(ProcessSeen::Ended)) => {
            (AgentStatus::Verifying, "process", 1.0, "its process has ended and waits for the next tick")
        }
        (Phase::Claimed | Phase::Started { .. }, Some(ProcessSeen::Gone)) => (
            AgentStatus::Crashed,
            "process",
            1.0,
            "its host is gone and left no exit record; the next tick records that",
        ),
        (Phase::Claimed, Some(ProcessSeen::Alive)) => {
            (what, "process", 1.0, "its host holds the lock of the run; the next tick records its start")
        }
        (Phase::Claimed, Some(ProcessSeen::Starting)) => {
            (AgentStatus::Starting, "process", 1.0, "its host lives and has not started its program yet")
        }
        (Phase::Claimed, _) => {
            (AgentStatus::Starting, "journal", 0.8, "its run is claimed and no process has proven itself")
        }
        (Phase::Started { .. }, Some(ProcessSeen::Alive | ProcessSeen::Starting)) => {
            (what, "process", 1.0, "its host holds the lock of the run")
        }
        (Phase::Started { .. }, Some(ProcessSeen::NotStarted | ProcessSeen::Unknown)) => {
            (AgentStatus::Unknown, "process", 0.0, "the records of its run cannot be read")
        }
        (Phase::Started { .. }, None) => (what, "journal", 0.5, "it was started; its process was not looked at"),
        (Phase::Ended { .. }, _) => {
            (AgentStatus::Verifying, "journal", 1.0, "its run has ended and is being collected")
        }
    };
    // A session whose process lives has more to say than that.
    if let (AgentStatus::Working, Some(derived)) = (status, seen.and_then(|seen| seen.doing.as_ref())) {
        return session_view(run, derived, reason, seen.and_then(|seen| seen.activity.as_ref()));
    }
    let since = match run.phase {
        Phase::Started { at, .. } | Phase::Ended { at, .. } => at,
        Phase::Claimed => agent.since,
    };
    let mut reasons = vec![reason.to_owned()];
    if let Some(seen) = seen {
        reasons.extend(seen.last_output_at.map(|at| format!("it last printed something at {at}")));
        reasons.extend(seen.activity.clone());
        reasons.extend(seen.marker.map(|m| format!("its task file says {}", m.heading_word())));
    }
    reasons.extend(run.claim.as_ref().map(|c| format!("it claimed {} at {}", c.status.heading_word(), c.at)));
    reasons.extend(super::attention::overdue_words(run));
    let used = Some(&run.used).filter(|used| !used.is_empty());
    reasons.extend(used.map(|used| format!("it has used {} so far", used.words())));
    reasons.extend(run.stop.map(|reason| format!("it is being stopped {}", reason.why())));
    let would_change = match process {
        Some(ProcessSeen::Ended | ProcessSeen::Gone) => "the next tick: `pipeline monitor --once`",
        _ => "the end of its process, or its claim",
    };
    AgentView { status, source, confidence, since, reasons, would_change: would_change.to_owned() }
}
