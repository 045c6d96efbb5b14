//! Budgets: what agents may use of models and of time, for a task, for an agent a day, and for a day. What is used up is
//! not begun, and what runs is stopped as soon as that is known: time passes by itself, and of models is known what a
//! program tells while it runs; most tell what they cost only at their end. Days are those of UTC.

mod live;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::AgentName;
use crate::pipeline::Pipeline;
use crate::run::Usage;
use crate::task::Task;

pub(crate) use live::Live;
use live::Scope;

/// What may be used; nothing of a kind is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Tokens in and out together.
    pub tokens: u64,
    /// In US dollars.
    pub cost_usd: f64,
    /// For how long agents work.
    pub time: SignedDuration,
}

/// Every budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budgets {
    /// Of one task, counted anew where a person lets it go on.
    pub task: Limits,
    /// Of one agent a day.
    pub agent: Limits,
    /// Of all agents a day.
    pub day: Limits,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Of models.
    #[serde(flatten)]
    pub usage: Usage,
    /// How long agents worked, in seconds.
    pub seconds: f64,
}

impl Spent {
    /// Adds a run.
    pub fn add(&mut self, usage: &Usage, seconds: f64) {
        self.usage.tokens = self.usage.tokens.saturating_add(usage.tokens);
        self.usage.cost_usd += usage.cost_usd;
        self.seconds += seconds;
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What was used on one day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Day {
    /// The day, in days since 1970.
    pub number: i64,
    /// By all agents.
    pub all: Spent,
    /// By each.
    pub by_agent: BTreeMap<AgentName, Spent>,
}

impl Day {
    /// Adds a run that was settled at this time.
    pub fn add(&mut self, at: Timestamp, agent: &AgentName, usage: &Usage, seconds: f64) {
        let number = day_of(at);
        if number != self.number {
            *self = Self { number, ..Self::default() };
        }
        self.all.add(usage, seconds);
        self.by_agent.entry(agent.clone()).or_default().add(usage, seconds);
    }
}

/// The day of a time, in days since 1970.
fn day_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(24 * 60 * 60)
}

/// The beginning of the day after this time.
fn tomorrow(at: Timestamp) -> Timestamp {
    Timestamp::from_second((day_of(at) + 1) * 24 * 60 * 60).unwrap_or(Timestamp::MAX)
}

impl Limits {
    /// What of it is used up, in words; `None` while there is something left of everything.
    #[must_use]
    pub fn used_up(&self, spent: &Spent) -> Option<String> {
        let tokens = (self.tokens > 0 && spent.usage.tokens >= self.tokens)
            .then(|| format!("{} of {} tokens", spent.usage.tokens, self.tokens));
        let cost = (self.cost_usd > 0.0 && spent.usage.cost_usd >= self.cost_usd)
            .then(|| format!("${:.2} of ${:.2}", spent.usage.cost_usd, self.cost_usd));
        let limit = self.time.as_secs_f64();
        let time = (limit > 0.0 && spent.seconds >= limit)
            .then(|| format!("{:#} of {:#}", whole_seconds(spent.seconds), self.time));
        let all: Vec<String> = [cost, tokens, time].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

fn whole_seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds.floor()).unwrap_or(SignedDuration::MAX)
}

/// A budget of the present day that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedUp {
    /// The agent whose it is; none where it is that of all.
    pub agent: Option<AgentName>,
    /// What was used of what there is.
    pub what: String,
    /// When the next day begins.
    pub until: Timestamp,
}

impl UsedUp {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let whose = self
            .agent
            .as_ref()
            .map_or_else(|| "the day's budget".to_owned(), |agent| format!("{agent}'s budget of the day"));
        let until = self.until.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC");
        format!("{whose} is used up ({}) until {until}", self.what)
    }
}

impl Pipeline {
    /// What keeps an agent from beginning anything today; none asks for the budget of all.
    #[must_use]
    pub fn used_up_today(&self, agent: Option<&AgentName>, now: Timestamp) -> Option<UsedUp> {
        let live = Live::new(self, now, &[]);
        let until = tomorrow(now);
        if let Some(what) = live.used_up(Scope::Day) {
            return Some(UsedUp { agent: None, what, until });
        }
        let agent = agent?;
        let what = live.used_up(Scope::Agent(agent))?;
        Some(UsedUp { agent: Some(agent.clone()), what, until })
    }

    /// Every budget of the day that is used up: that of all, or those of single agents.
    #[must_use]
    pub fn all_used_up_today(&self, now: Timestamp) -> Vec<UsedUp> {
        if self.core.settings.budgets == Budgets::default() {
            return Vec::new();
        }
        if let Some(of_all) = self.used_up_today(None, now) {
            return vec![of_all];
        }
        let at_work = Live::new(self, now, &[]).spenders().map(|run| &run.agent);
        let agents: BTreeSet<&AgentName> = self.core.day.by_agent.keys().chain(at_work).collect();
        agents.into_iter().filter_map(|agent| self.used_up_today(Some(agent), now)).collect()
    }

    /// When a budget of time will be used up by what runs now.
    pub(crate) fn budget_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        Live::new(self, self.core.updated_at, &[]).deadlines()
    }

    /// Why an agent may not work on a task any more.
    #[must_use]
    pub fn task_used_up(&self, task: &Task) -> Option<String> {
        let what = self.core.settings.budgets.task.used_up(&task.spent)?;
        Some(format!("its budget is used up: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::*;
    use crate::event::Collected;
    use crate::run::ClaimStatus;
    use crate::view::attention;

    fn costing(cost_usd: f64) -> Collected {
        Collected { usage: Usage { tokens: 1_000, cost_usd }, ..left(ClaimStatus::Failed) }
    }

    fn world(change: impl FnOnce(&mut Budgets)) -> World {
        World::workers(1, |settings| {
            change(&mut settings.budgets);
            settings.scheduler.retries = 10;
            settings.scheduler.backoff = SignedDuration::ZERO;
        })
    }

    #[test]
    fn a_task_that_has_used_up_its_budget_asks_before_it_goes_on() {
        let mut w = world(|budgets| budgets.task.cost_usd = 1.0);
        w.add_all(&["A"]);
        w.tick();
        w.work("A", BAD, costing(0.6));
        assert_eq!(w.status("A"), "do_wip", "something is left");
        w.work("A", BAD, costing(0.6));
        assert_eq!(w.status("A"), "blocked");
        assert!(w.reason("A").contains("$1.20 of $1.00"), "{}", w.reason("A"));
        w.asked(crate::event::Request::Retry { task: task("A"), message: None });
        w.tick();
        assert_eq!(w.status("A"), "do_wip", "a person agreed to as much again");
    }

    #[test]
    fn a_day_that_is_used_up_ends_at_midnight() {
        let mut w = world(|budgets| budgets.day.tokens = 2_000);
        w.add_all(&["A"]);
        w.tick();
        w.work("A", BAD, costing(0.0));
        w.work("A", BAD, costing(0.0));
        assert_eq!(w.status("A"), "do_ready");
        let said = attention(&w.p).into_iter().find(|one| one.kind == "budget").expect("the inbox says it");
        assert!(said.summary.contains("2000 of 2000 tokens"), "{}", said.summary);
        let midnight = w.p.next_deadline().expect("something is waited for");
        assert_eq!(midnight.as_second() % 86_400, 0);
        w.at = midnight;
        w.tick();
        assert_eq!(w.status("A"), "do_wip");
    }

    #[test]
    fn an_agent_that_has_used_up_its_day_leaves_the_work_to_others() {
        let mut w = World::workers(2, |settings| {
            settings.budgets.agent.time = SignedDuration::from_secs(10);
            settings.scheduler.backoff = SignedDuration::ZERO;
        });
        w.add_all(&["A"]);
        w.tick();
        let first = w.agent_of("A");
        let run = w.run_of("A");
        w.start(&run);
        w.pass(11);
        w.end(&run, BAD);
        w.collect(&run, left(ClaimStatus::Failed));
        w.tick();
        assert_ne!(w.agent_of("A"), first);
    }

    #[test]
    fn nothing_of_a_kind_is_no_limit() {
        let spent = Spent { usage: Usage { tokens: u64::MAX, cost_usd: 1e9 }, seconds: 1e9 };
        assert_eq!(Limits::default().used_up(&spent), None);
    }
}
