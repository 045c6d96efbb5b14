//! The unfinished tasks in the order in which they matter, and the finished ones from the latest on, found by the index:
//! what is asked for is paid for, however many tasks there are.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::{ReadyKey, Slot};
use crate::ids::TaskId;
use crate::pipeline::Pipeline;
use crate::task::Task;

impl Pipeline {
    /// How many tasks are not finished.
    #[must_use]
    pub fn unfinished_total(&self) -> usize {
        self.tasks.len().saturating_sub(self.queue.finished_len())
    }

    /// Unfinished tasks, up to a limit: what is in flight, what waits for a person, what is ready in the order in which it
    /// would be taken, and behind each of these the tasks that wait for it, the longest chain first.
    #[must_use]
    pub fn unfinished(&self, limit: usize) -> Vec<&Task> {
        let mut seen = HashSet::new();
        // Half of the room is for what could be done now, so that there is some for what comes after it.
        let front = self.front(limit);
        let mut found: Vec<Slot> = front.iter().copied().take(limit.div_ceil(2)).collect();
        seen.extend(found.iter().copied());
        let mut at = 0;
        while at < found.len() && found.len() < limit {
            let mut behind: Vec<Slot> =
                self.unfinished_behind(found[at]).filter(|slot| !seen.contains(slot)).take(limit).collect();
            behind.sort_unstable_by_key(|slot| (Reverse(self.queue.height(*slot)), self.order(*slot)));
            behind.truncate(limit - found.len());
            seen.extend(behind.iter().copied());
            found.extend(behind);
            at += 1;
        }
        found.extend(front.into_iter().filter(|slot| seen.insert(*slot)).take(limit - found.len()));
        found.into_iter().filter_map(|slot| self.tasks.at(slot)).collect()
    }

    /// Unfinished tasks that no unfinished one stands in front of, up to a limit.
    fn front(&self, limit: usize) -> Vec<Slot> {
        let queue = &self.queue;
        let sets = queue.open.values().chain(queue.walled.values());
        let mut ready: Vec<ReadyKey> = sets.flat_map(|keys| keys.iter().take(limit)).copied().collect();
        ready.sort_unstable();
        let mut holding: Vec<_> = queue.held.iter().collect();
        holding.sort_unstable_by_key(|(by, _)| **by);
        let held = holding.into_iter().flat_map(|(_, held)| held.iter().copied());
        let due = queue.due.iter().map(|(_, slot)| *slot);
        // What waits for a task that was given up is in none of the other sets while nobody has said what becomes of it.
        let given_up = queue.given_up.iter().flat_map(|slot| self.unfinished_behind(*slot));
        let all = queue.flight.iter().chain(&queue.people).copied().chain(ready.iter().map(|key| key.slot));
        let mut seen = HashSet::new();
        all.chain(due).chain(held).chain(given_up).filter(|slot| seen.insert(*slot)).take(limit).collect()
    }

    fn unfinished_behind(&self, slot: Slot) -> impl Iterator<Item = Slot> + '_ {
        let links = self.queue.links.get(slot as usize);
        let behind = links.into_iter().flat_map(|links| links.dependents.iter().copied());
        behind.filter(|slot| self.tasks.at(*slot).is_some_and(|task| !task.state.is_final()))
    }

    /// Whether a task has to be looked at by a person before it goes on.
    #[must_use]
    pub fn waits_for_person(&self, task: &Task) -> bool {
        self.tasks.slot(task.id.as_str()).is_some_and(|slot| self.queue.people.contains(&slot))
    }

    fn order(&self, slot: Slot) -> u64 {
        self.tasks.at(slot).map_or(u64::MAX, |task| task.order)
    }

    /// Finished tasks that are not archived, the latest first.
    pub fn latest_finished(&self) -> impl Iterator<Item = &Task> {
        self.queue.finished.iter().rev().filter_map(|(_, slot)| self.tasks.at(*slot))
    }

    /// How many tasks wait for this one, finished ones included, and some of them: at most `limit`, by age.
    #[must_use]
    pub fn some_dependents(&self, id: &TaskId, limit: usize) -> (usize, Vec<&Task>) {
        let links = self.tasks.slot(id.as_str()).and_then(|slot| self.queue.links.get(slot as usize));
        let Some(links) = links else { return (0, Vec::new()) };
        let mut some: Vec<&Task> =
            links.dependents.iter().take(limit).filter_map(|slot| self.tasks.at(*slot)).collect();
        some.sort_unstable_by_key(|task| task.order);
        (links.dependents.len(), some)
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::tests::world::*;
    use crate::event::{NewTask, Request};
    use crate::pipeline::Pipeline;

    fn names(p: &Pipeline, limit: usize) -> Vec<String> {
        p.unfinished(limit).iter().map(|task| task.id.to_string()).collect()
    }

    #[test]
    fn unfinished_tasks_come_as_they_matter_and_none_is_left_out() {
        let mut w = World::workers(1, |_| {});
        w.add_all(&["A", "B", "C"]);
        w.add(NewTask::named("A1").after(&["A"]).on("solo"));
        w.add(NewTask::named("C1").after(&["C"]).on("solo"));
        w.add(NewTask::named("C2").after(&["C1"]).on("solo"));
        w.add(NewTask::named("C3").after(&["C"]).on("solo"));
        w.tick();
        // C has the longest chain behind it, so it was taken first.
        assert_eq!(names(&w.p, 10), ["C", "A", "B", "C1", "C3", "A1", "C2"]);
        assert_eq!(names(&w.p, 4), ["C", "A", "C1", "C3"]);
        assert_eq!(w.p.unfinished_total(), 7);
        w.do_stage("C");
        assert_eq!((w.p.unfinished_total(), names(&w.p, 10).len()), (6, 6));
        assert_eq!(w.p.latest_finished().map(|task| task.id.to_string()).collect::<Vec<_>>(), ["C"]);
    }

    #[test]
    fn what_waits_for_a_task_that_was_given_up_is_among_them() {
        let mut w = World::workers(1, |_| {});
        w.add_all(&["A"]);
        w.add(NewTask::named("A1").after(&["A"]).on("solo"));
        w.asked(Request::Cancel { task: task("A"), reason: None });
        w.tick();
        assert_eq!(names(&w.p, 10), ["A1"]);
    }

    #[test]
    fn a_hub_is_not_looked_at_in_full() {
        let mut w = World::workers(1, |_| {});
        w.add_all(&["A"]);
        for n in 0..20 {
            w.add(NewTask::named(&format!("B{n}")).after(&["A"]).on("solo"));
        }
        let (total, some) = w.p.some_dependents(&task("A"), 3);
        assert_eq!((total, some.len()), (20, 3));
        assert_eq!(names(&w.p, 5).len(), 5);
    }
}
