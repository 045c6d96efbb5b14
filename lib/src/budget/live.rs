//! What live runs draw on budgets before they are settled: the time they take, and what their streams have told so far.

use jiff::{SignedDuration, Timestamp};

use super::{Limits, Spent, day_of};
use crate::decide::after;
use crate::ids::{AgentName, RunId, TaskId};
use crate::pipeline::Pipeline;
use crate::run::{Phase, Run, Usage, Work};

/// Whose budget.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    Task(&'a TaskId),
    Agent(&'a AgentName),
    Day,
}

impl Scope<'_> {
    fn covers(self, run: &Run) -> bool {
        match self {
            Self::Task(task) => run.task.as_ref() == Some(task),
            Self::Agent(agent) => run.agent == *agent,
            Self::Day => true,
        }
    }
}

/// The live runs at a moment, with what was just seen of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live<'a> {
    p: &'a Pipeline,
    now: Timestamp,
    seen: &'a [(RunId, Usage)],
}

impl<'a> Live<'a> {
    pub(crate) fn new(p: &'a Pipeline, now: Timestamp, seen: &'a [(RunId, Usage)]) -> Self {
        Self { p, now, seen }
    }

    /// The runs that draw on budgets and are not settled.
    pub(crate) fn spenders(self) -> impl Iterator<Item = &'a Run> {
        self.p.core.runs.values().filter(|run| run.work == Work::Agent && run.phase != Phase::Claimed)
    }

    /// Whether a run can be stopped: it is at work and has not said how it ends.
    #[expect(clippy::unused_self, reason = "it is asked of a run among those that are live")]
    pub(crate) fn may_stop(self, run: &Run) -> bool {
        matches!(run.phase, Phase::Started { .. }) && run.stop.is_none() && run.claim.is_none()
    }

    /// What a run has used of models so far.
    pub(crate) fn usage(self, run: &Run) -> Usage {
        let seen = self.seen.iter().find(|(id, _)| *id == run.id);
        seen.map_or(run.used, |(_, usage)| usage.at_least(&run.used))
    }

    /// What is drawn on a budget: what is settled, and what live runs use.
    pub(crate) fn spent(self, scope: Scope<'_>) -> Spent {
        let core = &self.p.core;
        let today = || Some(&core.day).filter(|day| day.number == day_of(self.now));
        let settled = match scope {
            Scope::Task(task) => self.p.task(task.as_str()).map(|task| task.spent),
            Scope::Agent(agent) => today().and_then(|day| day.by_agent.get(agent).copied()),
            Scope::Day => today().map(|day| day.all),
        };
        let mut spent = settled.unwrap_or_default();
        for run in self.spenders().filter(|run| scope.covers(run)) {
            spent.add(&self.usage(run), self.seconds(run));
        }
        spent
    }

    /// What of a budget is used up, in words.
    pub(crate) fn used_up(self, scope: Scope<'_>) -> Option<String> {
        let limits = self.limits(scope);
        if *limits == Limits::default() {
            return None;
        }
        limits.used_up(&self.spent(scope))
    }

    /// What a run draws on and is used up, in words.
    pub(crate) fn beyond(self, run: &Run) -> Option<String> {
        scopes(run).find_map(|scope| self.used_up(scope))
    }

    /// Whether a run has used a further tenth of any limit since that was recorded.
    pub(crate) fn is_a_tenth_more(self, run: &Run, usage: &Usage) -> bool {
        scopes(run).map(|scope| self.limits(scope)).any(|limits| {
            let tokens = |used: &Usage| u128::from(used.tokens) * 10 / u128::from(limits.tokens);
            let cost = |used: &Usage| (used.cost_usd * 10.0 / limits.cost_usd).floor();
            (limits.tokens > 0 && tokens(usage) > tokens(&run.used))
                || (limits.cost_usd > 0.0 && cost(usage) > cost(&run.used))
        })
    }

    /// When a budget of time that live runs draw on is used up if they all go on.
    pub(crate) fn deadlines(self) -> impl Iterator<Item = Timestamp> {
        let stoppable = self.spenders().filter(move |run| self.may_stop(run));
        let scopes = stoppable.flat_map(scopes).filter(move |scope| self.limits(*scope).time > SignedDuration::ZERO);
        scopes.filter_map(move |scope| {
            let at_work = |run: &&Run| scope.covers(run) && matches!(run.phase, Phase::Started { .. });
            let drawing = u32::try_from(self.spenders().filter(at_work).count()).ok()?;
            let left = self.limits(scope).time.as_secs_f64() - self.spent(scope).seconds;
            // A moment more, so that it is over then whatever the last digit.
            let wait = SignedDuration::try_from_secs_f64(left.max(0.0) / f64::from(drawing.max(1)) + 0.001).ok()?;
            Some(after(self.now, wait))
        })
    }

    fn limits(self, scope: Scope<'_>) -> &'a Limits {
        let budgets = &self.p.core.settings.budgets;
        match scope {
            Scope::Task(_) => &budgets.task,
            Scope::Agent(_) => &budgets.agent,
            Scope::Day => &budgets.day,
        }
    }

    /// How long a run has worked.
    fn seconds(self, run: &Run) -> f64 {
        let until = match run.phase {
            Phase::Ended { at, .. } => at,
            Phase::Claimed | Phase::Started { .. } => self.now,
        };
        until.duration_since(run.started_at.unwrap_or(run.claimed_at)).as_secs_f64().max(0.0)
    }
}

/// The budgets that a run draws on.
fn scopes(run: &Run) -> impl Iterator<Item = Scope<'_>> {
    run.task.iter().map(Scope::Task).chain([Scope::Agent(&run.agent), Scope::Day])
}
