//! Budgets while runs are live: what their streams tell is recorded where it matters, and a run that draws on a budget that
//! is used up is stopped. Its work is kept, the attempt is not counted; that a person is asked follows from what is
//! settled then.

use super::Rules;
use crate::budget::{Budgets, Live};
use crate::fact::Fact;
use crate::ids::RunId;
use crate::run::{StopReason, Usage};

impl Rules<'_> {
    /// Records what live runs have used: each further tenth of a limit, and everything once a limit is reached. So a run
    /// leaves at most a few records, however often it is looked at.
    pub(super) fn usage_seen(&self, seen: &[(RunId, Usage)]) -> Vec<Fact> {
        let live = Live::new(self.p, self.now.at, seen);
        let spenders = live.spenders().filter(|run| seen.iter().any(|(id, _)| *id == run.id));
        let worth = spenders.filter_map(|run| {
            let usage = live.usage(run);
            let grows = usage != run.used;
            (grows && (live.is_a_tenth_more(run, &usage) || live.beyond(run).is_some()))
                .then(|| Fact::RunUsed { run: run.id.clone(), usage })
        });
        worth.collect()
    }

    /// A run that has said how it ends is about to; any other that is beyond a budget is stopped.
    pub(super) fn stop_beyond_budget(&self) -> Vec<Fact> {
        if self.p.core.settings.budgets == Budgets::default() {
            return Vec::new();
        }
        let live = Live::new(self.p, self.now.at, &[]);
        let beyond = live.spenders().filter(|run| live.may_stop(run) && live.beyond(run).is_some());
        beyond.map(|run| Fact::RunStopping { run: run.id.clone(), reason: StopReason::Budget }).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::tests::world::*;
    use super::*;
    use crate::event::{Collected, Event, Seen};
    use crate::run::{ClaimStatus, Ended};
    use crate::view::attention;

    fn world(agents: usize, change: impl FnOnce(&mut Budgets)) -> World {
        World::workers(agents, |settings| change(&mut settings.budgets))
    }

    fn started(w: &mut World, id: &str) -> RunId {
        let run = w.run_of(id);
        w.start(&run);
        run
    }

    /// Tells what runs have used, and how many facts that was worth.
    fn tell(w: &mut World, used: &[(&RunId, u64, f64)]) -> usize {
        let used = used.iter().map(|(run, tokens, cost)| ((*run).clone(), Usage { tokens: *tokens, cost_usd: *cost }));
        w.feed(&Event::Used(used.collect())).expect("nothing is refused").len()
    }

    fn stop_of(w: &World, run: &RunId) -> Option<StopReason> {
        w.p.core.runs.get(run).and_then(|run| run.stop)
    }

    /// Ends a run that was stopped, as its host and the collection would.
    fn end_stopped(w: &mut World, run: &RunId, used: Usage) {
        w.end(run, Ended::Stopped { reason: StopReason::Budget });
        let nothing = Collected { claim: None, usage: used, ..left(ClaimStatus::Failed) };
        w.collect(run, nothing);
        w.tick();
    }

    #[test]
    fn a_run_leaves_a_record_for_each_tenth_of_a_limit_and_no_more() {
        for (limit, step, told, records) in
            [(1_000_u64, 10_u64, 99_u64, 9_usize), (1_000, 100, 9, 9), (1_000, 1, 90, 0), (0, 1_000, 50, 0)]
        {
            let mut w = world(1, |budgets| budgets.task.tokens = limit);
            w.add_all(&["A"]);
            w.tick();
            let run = started(&mut w, "A");
            let count: usize = (1..=told).map(|n| tell(&mut w, &[(&run, n * step, 0.0)])).sum();
            assert_eq!(count, records, "{told} times {step} of {limit}");
            w.tick();
            assert_eq!(stop_of(&w, &run), None);
        }
    }

    #[test]
    fn a_live_run_that_reaches_its_tasks_budget_is_stopped_and_a_person_is_asked() {
        let mut w = world(1, |budgets| budgets.task.cost_usd = 1.0);
        w.add_all(&["A"]);
        w.tick();
        let run = started(&mut w, "A");
        tell(&mut w, &[(&run, 0, 0.99)]);
        w.tick();
        assert_eq!(stop_of(&w, &run), None, "something is left");
        assert_eq!(tell(&mut w, &[(&run, 0, 1.01)]), 1);
        w.tick();
        assert_eq!(stop_of(&w, &run), Some(StopReason::Budget));
        // Its stream ends in the middle and tells less than it told before.
        end_stopped(&mut w, &run, Usage::default());
        assert_eq!(w.status("A"), "blocked");
        assert!(w.reason("A").contains("$1.01 of $1.00"), "{}", w.reason("A"));
        assert_eq!(w.task("A").attempt, 0, "that was no attempt");
        w.asked(crate::event::Request::Retry { task: task("A"), message: None });
        w.tick();
        assert_eq!(w.status("A"), "do_wip", "a person agreed to as much again");
        let run = started(&mut w, "A");
        tell(&mut w, &[(&run, 0, 0.99)]);
        w.tick();
        assert_eq!(stop_of(&w, &run), None, "it counts anew");
    }

    #[test]
    fn what_it_claimed_before_it_was_stopped_stands() {
        let mut w = world(1, |budgets| budgets.task.tokens = 100);
        w.add_all(&["A", "B"]);
        w.tick();
        let run = started(&mut w, "A");
        tell(&mut w, &[(&run, 100, 0.0)]);
        w.tick();
        w.end(&run, Ended::Stopped { reason: StopReason::Budget });
        w.collect(&run, left(ClaimStatus::Completed));
        assert_eq!(w.status("A"), "completed");
        // One that has claimed is not stopped: it is about to end.
        w.tick();
        let run = started(&mut w, "B");
        w.seen(&run, Seen::Claimed(claim(ClaimStatus::Completed)));
        tell(&mut w, &[(&run, 100, 0.0)]);
        w.tick();
        assert_eq!(stop_of(&w, &run), None);
    }

    /// All that draw on a budget are counted together, also what the others have not recorded yet.
    #[test]
    fn a_days_budget_stops_all_that_draw_on_it() {
        let mut w = world(3, |budgets| budgets.day.tokens = 1_000);
        w.add_all(&["A", "B", "C"]);
        w.tick();
        let (a, b) = (started(&mut w, "A"), started(&mut w, "B"));
        tell(&mut w, &[(&a, 490, 0.0), (&b, 490, 0.0)]);
        w.tick();
        assert_eq!((stop_of(&w, &a), stop_of(&w, &b)), (None, None));
        tell(&mut w, &[(&a, 499, 0.0), (&b, 501, 0.0)]);
        let said = attention(&w.p).into_iter().find(|one| one.kind == "budget").expect("the inbox says it at once");
        assert!(said.summary.contains("1000 of 1000 tokens"), "{}", said.summary);
        w.tick();
        assert_eq!((stop_of(&w, &a), stop_of(&w, &b)), (Some(StopReason::Budget), Some(StopReason::Budget)));
        end_stopped(&mut w, &a, Usage { tokens: 499, cost_usd: 0.0 });
        end_stopped(&mut w, &b, Usage { tokens: 501, cost_usd: 0.0 });
        assert_eq!((w.status("A"), w.status("B")), ("do_ready".into(), "do_ready".into()));
        let c = w.run_of("C");
        w.start(&c);
        w.tick();
        assert_eq!(stop_of(&w, &c), Some(StopReason::Budget), "one that was starting meanwhile, too");
    }

    #[test]
    fn an_agents_budget_leaves_its_task_to_others() {
        let mut w = world(2, |budgets| budgets.agent.tokens = 1_000);
        w.add_all(&["A"]);
        w.tick();
        let first = w.agent_of("A");
        let run = started(&mut w, "A");
        tell(&mut w, &[(&run, 1_000, 0.0)]);
        w.tick();
        assert_eq!(stop_of(&w, &run), Some(StopReason::Budget));
        end_stopped(&mut w, &run, Usage::default());
        assert_eq!(w.status("A"), "do_wip");
        assert_ne!(w.agent_of("A"), first);
    }

    /// Time passes without anybody telling: it is a deadline.
    #[test]
    fn a_budget_of_time_ends_a_run_at_its_moment() {
        for (agents, tasks, limit, expected) in [(1, &["A"][..], 60, 60), (2, &["A", "B"], 60, 30)] {
            let mut w = world(agents, |budgets| budgets.day.time = SignedDuration::from_secs(limit));
            w.add_all(tasks);
            w.tick();
            let runs: Vec<RunId> = tasks.iter().map(|id| started(&mut w, id)).collect();
            let begun = w.at;
            let at = w.p.next_deadline().expect("it is waited for");
            assert_eq!(at.duration_since(begun).as_secs(), expected, "{tasks:?}");
            w.pass(expected - 1);
            w.tick();
            assert!(runs.iter().all(|run| stop_of(&w, run).is_none()));
            w.at = at;
            w.tick();
            assert!(runs.iter().all(|run| stop_of(&w, run) == Some(StopReason::Budget)));
        }
    }
}
