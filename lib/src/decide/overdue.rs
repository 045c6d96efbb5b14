//! Runs that take much longer than such runs do. A person is told; nothing is stopped for it: only a timeout that somebody
//! configured ends a run.

use jiff::{SignedDuration, Timestamp};

use super::{Rules, after};
use crate::fact::Fact;
use crate::run::{Phase, Run};
use crate::task::Task;
use crate::workflow::Stage;

/// When a run will be overdue; none where too little is known, or it has been said.
pub(crate) fn overdue_at(run: &Run) -> Option<Timestamp> {
    let Phase::Started { at, .. } = run.phase else { return None };
    let usual = run.overdue_after.filter(|_| !run.overdue && run.stop.is_none())?;
    Some(after(at, usual))
}

impl Rules<'_> {
    /// How long a run that begins now may take until it is called overdue: where its stage names no timeout, and before
    /// the one of the configuration ends it.
    pub(super) fn overdue_after(&self, task: &Task, stage: &Stage, timeout: SignedDuration) -> Option<SignedDuration> {
        if stage.timeout.is_some() {
            return None;
        }
        let seconds = self.p.core.metrics.overdue_after(&task.workflow, &stage.id)?;
        SignedDuration::try_from_secs_f64(seconds).ok().filter(|usual| *usual < timeout)
    }

    pub(super) fn note_overdue(&self) -> Vec<Fact> {
        let over = |run: &&Run| overdue_at(run).is_some_and(|at| at <= self.now.at);
        self.p.core.runs.values().filter(over).map(|run| Fact::RunOverdue { run: run.id.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::*;
    use crate::view;

    fn with_history(change: impl FnOnce(&mut crate::settings::Settings)) -> World {
        let mut w = World::workers(1, change);
        for n in 0..10 {
            let id = format!("T{n}");
            w.add_all(&[&id]);
            w.tick();
            let run = w.run_of(&id);
            w.start(&run);
            w.pass(60);
            w.do_stage(&id);
        }
        w.add_all(&["A"]);
        w.tick();
        let run = w.run_of("A");
        w.start(&run);
        w
    }

    #[test]
    fn a_run_that_takes_far_longer_than_usual_is_told_of_and_goes_on() {
        let mut w = with_history(|_| {});
        w.pass(179);
        assert!(w.tick().is_empty());
        assert_eq!(w.p.next_deadline(), Some(w.at + jiff::SignedDuration::from_secs(1)));
        w.pass(1);
        assert_eq!(w.tick().len(), 1);
        assert!(w.tick().is_empty(), "it is said once");
        let attention = view::attention(&w.p);
        let words: Vec<(&str, &str)> = attention.iter().map(|one| (one.kind, one.summary.as_str())).collect();
        assert_eq!(
            words,
            [("overdue", "w1 (A): it has run for more than 3m, three times what nine in ten such runs take")]
        );
        assert_eq!(w.status("A"), "do_wip", "nothing is stopped for it");
        w.do_stage("A");
        assert_eq!(w.status("A"), "completed");
        assert!(view::attention(&w.p).is_empty());
    }

    #[test]
    fn a_timeout_that_comes_sooner_says_enough() {
        let mut w = with_history(|settings| settings.scheduler.stage_timeout = jiff::SignedDuration::from_secs(170));
        w.pass(1_000);
        assert!(w.tick().is_empty());
    }
}
