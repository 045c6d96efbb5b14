//! What starts by itself when its time has come: a task on a workflow, like any other. A time that nobody was there for is
//! caught up once, however many there were, and nothing is added while the task of the time before is not finished.

use jiff::Timestamp;

use super::Rules;
use crate::event::NewTask;
use crate::fact::Fact;
use crate::pipeline::Scheduled;
use crate::settings::ScheduleSettings;
use crate::workflow::schedule::Schedule;

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
                        return self.fire(schedule, known, due);
                    }
                }
                // What is seen for the first time does not start at once, but at its next time.
                Some(_) | None => {
                    let fresh = Scheduled {
                        when: schedule.when.clone(),
                        jitter: schedule.jitter,
                        next: self.next_time(schedule),
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

    fn fire(&self, schedule: &ScheduleSettings, known: &Scheduled, due: Timestamp) -> Vec<Fact> {
        let fired = |task, why| Fact::ScheduleFired {
            name: schedule.name.clone(),
            due,
            next: self.next_time(schedule),
            task,
            why,
        };
        let before = known.task.as_ref().and_then(|id| self.p.task(id.as_str()));
        if let Some(open) = before.filter(|task| !task.state.is_final()) {
            return vec![fired(None, Some(format!("{} of the time before is not finished", open.id)))];
        }
        let new = NewTask {
            workflow: Some(schedule.workflow.clone()),
            params: schedule.params.clone(),
            ..NewTask::titled(&format!("{} (scheduled {})", schedule.name, due.strftime("%H:%M")))
        };
        match self.add_tasks(&[new]) {
            Ok(mut facts) => {
                let added = facts.iter().find_map(|fact| match fact {
                    Fact::TaskAdded { task } => Some(task.id.clone()),
                    _ => None,
                });
                facts.push(fired(added, None));
                facts
            }
            Err(refusal) => vec![fired(None, Some(refusal.to_string()))],
        }
    }

    /// The next time, with the part of the jitter that belongs to the schedule's name.
    fn next_time(&self, schedule: &ScheduleSettings) -> Option<Timestamp> {
        let seconds = u64::try_from(schedule.jitter.as_secs()).unwrap_or(0);
        // FNV-1a (Fowler, Noll, Vo): the same for one name wherever it is asked for.
        let hash = schedule
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let late = jiff::SignedDuration::from_secs(i64::try_from(hash % (seconds + 1)).unwrap_or(0));
        let next = Schedule::parse(&schedule.when).ok()?.next_after(self.now.at.checked_sub(late).ok()?)?;
        next.checked_add(late).ok()
    }
}
