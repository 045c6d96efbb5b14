//! What is tried with the agent of a session that does not get on: the gentlest means first, each once, each recorded, and
//! a person at the end. What an agent does is derived elsewhere; here it only follows what is done about it.

use jiff::{SignedDuration, Timestamp};

use super::stages::moved;
use super::{Rules, after};
use crate::event::DoingSeen;
use crate::fact::{Fact, Move, TaskEdit};
use crate::ids::AgentName;
use crate::pipeline::Agent;
use crate::run::{Ended, Noted, Phase, Run, Rung, StopReason, Tried};
use crate::status::Doing;
use crate::task::{Resume, Task};

/// Between a look and the next, before anything is typed.
const PEEK_WAIT: SignedDuration = SignedDuration::from_secs(30);
/// What was tried is given so long to help.
const RUNG_WAIT: SignedDuration = SignedDuration::from_mins(2);

impl Rules<'_> {
    /// What the agent of a run was seen to be doing, where that is new.
    pub(super) fn doing_seen(run: &Run, seen: &DoingSeen) -> Vec<Fact> {
        let live = matches!(run.phase, Phase::Started { .. }) && run.stop.is_none();
        let known =
            |noted: &Noted| noted.doing == seen.doing && (seen.session.is_none() || noted.session == seen.session);
        if !live || run.doing.as_deref().is_some_and(known) {
            return Vec::new();
        }
        vec![Fact::RunDoing {
            run: run.id.clone(),
            doing: seen.doing.clone(),
            source: seen.source,
            since: seen.since,
            conflict: seen.conflict.clone(),
            session: seen.session.clone(),
        }]
    }

    /// What was to be typed has been, or could not be: then a person is asked.
    pub(super) fn typed(run: &Run, rung: Rung, refused: Option<&String>) -> Vec<Fact> {
        let wanted = tried(run).is_some_and(|tried| tried.rung == rung && !tried.done);
        if !wanted {
            return Vec::new();
        }
        vec![Fact::RunTried { run: run.id.clone(), rung, done: true, refused: refused.cloned() }]
    }

    /// The next thing to try with an agent that does not get on.
    pub(super) fn climb(&self) -> Vec<Fact> {
        let due = |run: &&Run| ladder_deadline(run).is_some_and(|at| at <= self.now.at);
        let Some(run) = self.p.core.runs.values().find(due) else { return Vec::new() };
        let Some(rung) = next_rung(run) else { return Vec::new() };
        let task = run.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        let with = |rung, done| Fact::RunTried { run: run.id.clone(), rung, done, refused: None };
        match (rung, task) {
            (Rung::Resume, Some(_)) if session(run).is_some() => {
                vec![with(rung, true), Fact::RunStopping { run: run.id.clone(), reason: StopReason::Stuck }]
            }
            // Without a session there is nothing to go on with.
            (Rung::Resume | Rung::Reassign, Some(task)) => match self.another(run) {
                Some((other, _)) => {
                    let edit = TaskEdit { pinned_agent: Some(Some(other.clone())), ..TaskEdit::default() };
                    vec![
                        with(Rung::Reassign, true),
                        Fact::TaskEdited { task: task.id.clone(), edit: Box::new(edit) },
                        Fact::RunStopping { run: run.id.clone(), reason: StopReason::Stuck },
                    ]
                }
                None => vec![with(Rung::Person, true)],
            },
            (rung, _) => vec![with(rung, !rung.types())],
        }
    }

    /// Another agent that could do the stage.
    fn another(&self, run: &Run) -> Option<(&AgentName, &Agent)> {
        let role = &self.p.core.agents.get(&run.agent)?.role;
        let arm = |name| self.p.core.settings.arm_of_agent(name, role);
        self.p.core.agents.iter().find(|(name, agent)| {
            let able = !agent.stopped && !agent.removed && agent.broken.is_none();
            **name != run.agent
                && agent.role == *role
                && arm(name) == arm(&run.agent)
                && able
                && !self.p.core.paused.contains_key(&agent.preset)
        })
    }

    /// A run that was stopped because nothing moved: its task goes on where the ladder says. No attempt is counted for
    /// another try in the same session; one that another agent has to take over is.
    pub(super) fn after_stuck(run: &Run, task: &Task, why: String) -> Vec<Fact> {
        let Some(stage) = run.stage.clone() else { return Vec::new() };
        let resume = match (tried(run).map(|tried| tried.rung), session(run)) {
            (Some(Rung::Resume), Some(session)) => {
                Some(Resume { agent: run.agent.clone(), session: session.to_owned(), interrupted: false })
            }
            _ => None,
        };
        let with =
            Move { uncounted: resume.is_some(), reason: Some(why), resume: resume.map(Box::new), ..Move::default() };
        vec![moved(&task.id, crate::task::TaskState::Ready { stage }, with)]
    }
}

/// Where a run was interrupted that had a session, its task's next attempt goes on in that, so that what the agent knew by then
/// is not lost.
pub(super) fn goes_on_in_session(run: &Run, mut facts: Vec<Fact>) -> Vec<Fact> {
    let interrupted = matches!(run.phase, Phase::Ended { how: Ended::Interrupted { .. }, .. });
    if let (true, Some(session)) = (interrupted, session(run))
        && let Some(Fact::TaskMoved { to: crate::task::TaskState::Ready { stage }, with, .. }) = facts.first_mut()
        && run.stage.as_ref() == Some(stage)
    {
        let (agent, session) = (run.agent.clone(), session.to_owned());
        with.resume = Some(Box::new(Resume { agent, session, interrupted }));
    }
    facts
}

fn tried(run: &Run) -> Option<Tried> {
    run.doing.as_deref().and_then(|noted| noted.rung)
}

fn session(run: &Run) -> Option<&str> {
    run.doing.as_deref().and_then(|noted| noted.session.as_deref())
}

/// What would be tried next; none where all is well or everything was tried.
fn next_rung(run: &Run) -> Option<Rung> {
    let noted = run.doing.as_deref()?;
    let next = noted.rung.map_or(Some(Rung::Peek), |tried| tried.rung.next())?;
    match noted.doing {
        Doing::Stuck => Some(next),
        // It waits for something: it is told once what it was to do, and is not interrupted.
        Doing::TurnEnded if next > Rung::Nudge => Some(Rung::Person),
        Doing::TurnEnded => Some(next),
        Doing::Starting
        | Doing::Working
        | Doing::Background
        | Doing::Permission
        | Doing::Question
        | Doing::Dialog(_)
        | Doing::RateLimited { .. }
        | Doing::AuthFailed
        | Doing::Gone
        | Doing::Flickering
        | Doing::Unknown => None,
    }
}

/// When something has to be tried with the agent of a run.
pub(crate) fn ladder_deadline(run: &Run) -> Option<Timestamp> {
    let noted = run.doing.as_deref()?;
    let live = matches!(run.phase, Phase::Started { .. }) && run.stop.is_none() && run.claim.is_none();
    if !live || noted.rung.is_some_and(|tried| tried.rung == Rung::Person || !tried.done) {
        return None;
    }
    next_rung(run)?;
    Some(match noted.rung {
        None if noted.doing == Doing::TurnEnded => after(noted.since, PEEK_WAIT),
        None => noted.since,
        Some(tried) if tried.rung == Rung::Peek => after(tried.at, PEEK_WAIT),
        Some(tried) => after(tried.at, RUNG_WAIT),
    })
}
