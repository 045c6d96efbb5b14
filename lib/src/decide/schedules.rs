//! What starts by itself when its time has come: a task on a workflow, like any other. A time that nobody was there for is
//! caught up once, however many there were, and nothing is added while the task of the time before is at work. One that
//! waits for a person because it could not go on stops nothing: the next takes its place.

use jiff::Timestamp;

use super::Rules;
use super::stages::{because, moved};
use crate::event::NewTask;
use crate::fact::Fact;
use crate::ids::TaskId;
use crate::pipeline::Scheduled;
use crate::settings::ScheduleSettings;
use crate::task::{Task, TaskState};
use crate::text::one_line;
use crate::workflow::schedule::Schedule;

/// So many times that were left out are counted at once.
const MISSED_MAX: usize = 10_000;

impl Rules<'_> {
    /// The first schedule that is new, gone, different or due.
    pub(super) fn fire_schedules(&self) -> Vec<Fact> {
        let (wanted, known) = (&self.p.core.settings.schedules, &self.p.core.schedules);
        if let Some(name) = known.keys().find(|name| wanted.iter().all(|schedule| schedule.name != **name)) {
            return vec![Fact::ScheduleSet { name: name.clone(), scheduled: None }];
        }
        for schedule in wanted {
            let known = known.get(&schedule.name);
            let settled = known.filter(|known| known.when == schedule.when && known.jitter == schedule.jitter);
            match settled {
                // A time that was found by a clock that ran ahead may be a year away.
                Some(known) if self.now.at >= known.since => {
                    if let Some(due) = known.next.filter(|due| *due <= self.now.at) {
                        let facts = self.fire(schedule, known, due);
                        if !facts.is_empty() {
                            return facts;
                        }
                    }
                }
                // What is seen for the first time does not start at once, but at its next time.
                Some(_) | None => {
                    let fresh = Scheduled {
                        when: schedule.when.clone(),
                        jitter: schedule.jitter,
                        next: self.time_after(schedule, self.now.at),
                        since: self.now.at,
                        last: known.and_then(|known| known.last),
                        task: known.and_then(|known| known.task.clone()),
                        skipped: known.map_or(0, |known| known.skipped),
                        problem: None,
                    };
                    return vec![Fact::ScheduleSet { name: schedule.name.clone(), scheduled: Some(Box::new(fresh)) }];
                }
            }
        }
        Vec::new()
    }

    /// What follows from a time that has come. Nothing where it was said before.
    fn fire(&self, schedule: &ScheduleSettings, known: &Scheduled, due: Timestamp) -> Vec<Fact> {
        let fired = |task, why| Fact::ScheduleFired {
            name: schedule.name.clone(),
            due,
            next: self.time_after(schedule, self.now.at),
            task,
            why,
        };
        let left_out = |why: String| {
            if known.problem.as_ref() == Some(&why) { Vec::new() } else { vec![fired(None, Some(why))] }
        };
        let before = known.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        let mut facts = Vec::new();
        match before.filter(|task| !task.state.is_final()) {
            Some(open) if self.is_stuck(open) => facts.extend(self.replaced(open)),
            Some(open) if open.put_aside => {}
            Some(open) => return left_out(not_finished(&open.id)),
            None => {
                if let Some(settled) = self.settled(schedule, known, due) {
                    return vec![settled];
                }
            }
        }
        let new = NewTask {
            workflow: Some(schedule.workflow.clone()),
            params: schedule.params.clone(),
            ..NewTask::titled(&format!("{} (scheduled {})", schedule.name, due.strftime("%H:%M")))
        };
        match self.add_tasks(&[new]) {
            Ok(added) => {
                let task = added.iter().find_map(|fact| match fact {
                    Fact::TaskAdded { task } => Some(task.id.clone()),
                    _ => None,
                });
                facts.extend(added);
                facts.push(fired(task, None));
                self.put_in_order(&mut facts);
                facts
            }
            Err(refusal) => left_out(refusal.to_string()),
        }
    }

    /// A task of the time before that waits for a person: the next one takes its place, or there would be ever more of them.
    /// Who wants it back lets it go on as any that was cancelled.
    fn replaced(&self, open: &Task) -> Vec<Fact> {
        let reason = open.reason.as_deref().map_or_else(String::new, |why| format!(": {}", one_line(why, 200)));
        let why = format!("the next time of its schedule came while it was blocked{reason}");
        let mut facts = self.give_up_parts(open, &why);
        facts.push(moved(&open.id, TaskState::Cancelled, because(&why)));
        facts.extend(self.after_cancel(open));
        facts.extend(self.skip_dependents(&open.id, &why));
        facts
    }

    /// The times that came while the task of the time before was at work were left out, and said once. The next is the
    /// first one after its end.
    fn settled(&self, schedule: &ScheduleSettings, known: &Scheduled, due: Timestamp) -> Option<Fact> {
        let id = known.task.as_ref()?;
        known.problem.as_ref().filter(|problem| **problem == not_finished(id))?;
        let archived = || self.p.core.archived.get(id).map(|archived| archived.finished_at);
        let end = self.p.task(id.as_str()).and_then(|task| task.finished_at).or_else(archived)?;
        let times = std::iter::successors(Some(due), |at| self.time_after(schedule, *at));
        let missed = times.take_while(|at| *at <= end).take(MISSED_MAX).count();
        let settled = Scheduled {
            next: self.time_after(schedule, end),
            since: self.now.at,
            skipped: known.skipped + missed as u64,
            problem: None,
            ..known.clone()
        };
        Some(Fact::ScheduleSet { name: schedule.name.clone(), scheduled: Some(Box::new(settled)) })
    }

    /// The next time after another, with the part of the jitter that belongs to the schedule's name.
    fn time_after(&self, schedule: &ScheduleSettings, at: Timestamp) -> Option<Timestamp> {
        let seconds = u64::try_from(schedule.jitter.as_secs()).unwrap_or(0);
        // FNV-1a (Fowler, Noll, Vo): the same for one name wherever it is asked for.
        let hash = schedule
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let late = jiff::SignedDuration::from_secs(i64::try_from(hash % (seconds + 1)).unwrap_or(0));
        let next = Schedule::parse(&schedule.when).ok()?.next_after(at.checked_sub(late).ok()?)?;
        next.checked_add(late).ok()
    }
}

fn not_finished(before: &TaskId) -> String {
    format!("{before} of the time before is not finished")
}
