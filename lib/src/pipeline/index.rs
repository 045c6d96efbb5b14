//! The index over tasks and runs: what is ready for whom and in which order, what waits for what, what has to be done
//! outside. It holds nothing that could not be derived again from the facts' content.

mod changes;
mod counts;
#[cfg(test)]
mod picture;
mod unfinished;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use jiff::Timestamp;

pub(crate) use changes::{Changes, Mark};
pub use counts::Counts;

use self::counts::Counted;
use super::tasks::{Slot, Tasks};
use super::{Archived, Pipeline};
use crate::estimate::{self, WEIGHT_USUAL};
use crate::fact::{Effect, EffectKey};
use crate::ids::{AgentName, Role, TaskId, Variant, parts_role};
use crate::run::{Phase, Run};
use crate::settings::FailedDependency;
use crate::task::{Step, Task, TaskState};

/// Heights are counted up to here, so that adding a task to a long chain stays cheap: 64 tasks of usual length.
pub(crate) const HEIGHT_MAX: u16 = 64 * WEIGHT_USUAL;

/// For whom a task is ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum QueueId {
    /// Any agent of this role.
    Role(Role),
    /// Any agent of this role and variant, where several are compared.
    Arm(Role, Variant),
    /// The agent a person chose.
    Agent(AgentName),
}

/// The order in which ready tasks are taken: urgency (priority, raised by waiting), then how long the chain behind the task
/// takes, then how far it has come, then age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyKey {
    pub(crate) urgency: i64,
    height: Reverse<u16>,
    depth: Reverse<u16>,
    order: u64,
    pub(crate) slot: Slot,
}

/// Where the index has put a task.
#[derive(Debug, Clone, Default)]
struct Links {
    /// Dependencies that are not satisfied.
    open: u32,
    /// The weight of the heaviest chain behind it.
    height: u16,
    /// Who waits for it.
    dependents: Vec<Slot>,
    place: Place,
}

/// The places a task can be in, besides the table itself. Computed from the task, then compared and stored.
#[derive(Debug, Clone, Default, PartialEq)]
struct Place {
    queued: Option<(bool, QueueId, ReadyKey)>,
    promote_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    held_by: Option<Slot>,
    in_flight: bool,
    gate_due: bool,
    waits_for_parts: bool,
    alone: bool,
    needs_person: bool,
    given_up: bool,
    counted: Counted,
    finished_at: Option<Timestamp>,
    satisfied: bool,
    effect: Option<Effect>,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    links: Vec<Links>,
    /// Ready tasks that may be touched.
    open: BTreeMap<QueueId, BTreeSet<ReadyKey>>,
    /// Ready tasks behind the rollout's wall.
    walled: BTreeMap<QueueId, BTreeSet<ReadyKey>>,
    promotions: BTreeSet<(Timestamp, Slot)>,
    due: BTreeSet<(Timestamp, Slot)>,
    held: HashMap<Slot, Vec<Slot>>,
    flight: BTreeSet<Slot>,
    gates: BTreeSet<Slot>,
    /// Tasks that wait for those that do parts of a stage.
    waiting: BTreeSet<Slot>,
    /// Ready tasks that may be touched and that run alone once they begin.
    alone: BTreeSet<Slot>,
    people: BTreeSet<Slot>,
    /// Final, and not completed.
    given_up: BTreeSet<Slot>,
    finished: BTreeSet<(Timestamp, Slot)>,
    counts: Counts,
    effects: BTreeMap<EffectKey, Effect>,
    /// Ids in lower case, but for those of the form `TASK-<number>`, which can be asked for directly.
    folded: HashMap<String, TaskId>,
    changes: Changes,
}

impl Queue {
    /// Which tasks changed lately.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// A task left the live state for the archive.
    pub(super) fn count_archived(&mut self, task: &Archived) {
        self.counts.recount(Counted::Not, Counted::of_archived(task));
    }

    pub(crate) fn height(&self, slot: Slot) -> u16 {
        self.links.get(slot as usize).map_or(0, |l| l.height)
    }

    pub(crate) fn dependents_of<'a>(&self, tasks: &'a Tasks, id: &TaskId) -> Vec<&'a Task> {
        let Some(links) = tasks.slot(id.as_str()).and_then(|slot| self.links.get(slot as usize)) else {
            return Vec::new();
        };
        let mut dependents: Vec<&Task> = links.dependents.iter().filter_map(|slot| tasks.at(*slot)).collect();
        // Slots depend on history; whoever loads the state later has to come to the same answer.
        dependents.sort_unstable_by_key(|task| task.order);
        dependents
    }

    pub(crate) fn effects(&self) -> impl Iterator<Item = (&EffectKey, &Effect)> {
        self.effects.iter()
    }

    pub(crate) fn effect(&self, key: &EffectKey) -> Option<&Effect> {
        self.effects.get(key)
    }

    /// The next moment at which a wait before a retry is over.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn due_before(&self, now: Timestamp) -> Option<Slot> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, slot)| *slot)
    }

    /// A wait that ends later than any could: a clock ran ahead when it began.
    pub(crate) fn due_beyond(&self, latest: Timestamp) -> Option<Slot> {
        self.due.last().filter(|(at, _)| *at > latest).map(|(_, slot)| *slot)
    }

    pub(crate) fn first_gate_due(&self) -> impl Iterator<Item = Slot> + '_ {
        self.gates.iter().copied()
    }

    /// Tasks that wait for those that do parts of a stage.
    pub(crate) fn waiting_for_parts(&self) -> impl Iterator<Item = Slot> + '_ {
        self.waiting.iter().copied()
    }

    /// Ready tasks that may be touched and that run alone once they begin.
    pub(crate) fn ready_alone(&self) -> impl Iterator<Item = Slot> + '_ {
        self.alone.iter().copied()
    }

    /// Ready tasks whose next stage other tasks do.
    pub(crate) fn ready_for_parts(&self, walled: bool) -> impl Iterator<Item = ReadyKey> + '_ {
        let map = if walled { &self.walled } else { &self.open };
        map.get(&QueueId::Role(parts_role().clone())).into_iter().flatten().copied()
    }

    pub(crate) fn in_flight(&self) -> impl Iterator<Item = Slot> + '_ {
        self.flight.iter().copied()
    }

    pub(crate) fn needing_people(&self) -> impl Iterator<Item = Slot> + '_ {
        self.people.iter().copied()
    }

    pub(crate) fn finished_len(&self) -> usize {
        self.finished.len()
    }

    /// Finished tasks, the oldest first.
    pub(crate) fn finished(&self) -> impl Iterator<Item = Slot> + '_ {
        self.finished.iter().map(|(_, slot)| *slot)
    }

    /// Ready tasks for an agent, best first: those a person gave it and those that it shares with others.
    pub(crate) fn ready_for<'a>(
        &'a self,
        walled: bool,
        agent: &AgentName,
        shared: Option<&QueueId>,
    ) -> impl Iterator<Item = ReadyKey> + use<'a> {
        let map = if walled { &self.walled } else { &self.open };
        let mut own = map.get(&QueueId::Agent(agent.clone())).into_iter().flatten().copied().peekable();
        let mut shared = shared.and_then(|id| map.get(id)).into_iter().flatten().copied().peekable();
        std::iter::from_fn(move || match (own.peek(), shared.peek()) {
            (Some(a), Some(b)) if a <= b => own.next(),
            (_, Some(_)) => shared.next(),
            (_, None) => own.next(),
        })
    }

    /// Roles that ready tasks wait for, with the first of those tasks.
    pub(crate) fn wanted_roles(&self) -> impl Iterator<Item = (&Role, Slot)> {
        self.open.iter().filter_map(|(id, ready)| match id {
            QueueId::Role(role) => Some((role, ready.first()?.slot)),
            QueueId::Arm(..) | QueueId::Agent(_) => None,
        })
    }

    /// The first of the ready tasks of each variant that is compared.
    pub(crate) fn first_of_arms(&self) -> impl Iterator<Item = Slot> + '_ {
        self.open.iter().filter_map(|(id, ready)| match id {
            QueueId::Arm(..) => Some(ready.first()?.slot),
            QueueId::Role(_) | QueueId::Agent(_) => None,
        })
    }

    /// Where a slot is queued.
    pub(crate) fn queued(&self, slot: Slot) -> Option<(bool, &QueueId, ReadyKey)> {
        self.links.get(slot as usize)?.place.queued.as_ref().map(|(walled, id, key)| (*walled, id, *key))
    }

    pub(crate) fn open_dependencies(&self, slot: Slot) -> u32 {
        self.links.get(slot as usize).map_or(0, |l| l.open)
    }

    fn set_place(&mut self, slot: Slot, key: impl FnOnce() -> EffectKey, new: Place) {
        let old = std::mem::take(&mut self.links[slot as usize].place);
        if old != new {
            self.remove_place(slot, &old, &new);
            self.insert_place(slot, key, &old, &new);
        }
        self.links[slot as usize].place = new;
    }

    fn remove_place(&mut self, slot: Slot, old: &Place, new: &Place) {
        if let Some((walled, id, key)) = &old.queued
            && old.queued != new.queued
        {
            let map = if *walled { &mut self.walled } else { &mut self.open };
            if let Some(set) = map.get_mut(id) {
                set.remove(key);
            }
        }
        if let Some(at) = old.promote_at
            && old.promote_at != new.promote_at
        {
            self.promotions.remove(&(at, slot));
        }
        if let Some(at) = old.due_at
            && old.due_at != new.due_at
        {
            self.due.remove(&(at, slot));
        }
        if let Some(by) = old.held_by
            && old.held_by != new.held_by
            && let Some(waiting) = self.held.get_mut(&by)
        {
            waiting.retain(|s| *s != slot);
            if waiting.is_empty() {
                self.held.remove(&by);
            }
        }
        if let Some(at) = old.finished_at
            && old.finished_at != new.finished_at
        {
            self.finished.remove(&(at, slot));
        }
    }

    fn insert_place(&mut self, slot: Slot, key: impl FnOnce() -> EffectKey, old: &Place, new: &Place) {
        if let Some((walled, id, ready)) = &new.queued
            && old.queued != new.queued
        {
            let map = if *walled { &mut self.walled } else { &mut self.open };
            match map.get_mut(id) {
                Some(set) => {
                    set.insert(*ready);
                }
                None => {
                    map.insert(id.clone(), BTreeSet::from([*ready]));
                }
            }
        }
        if let Some(at) = new.promote_at
            && old.promote_at != new.promote_at
        {
            self.promotions.insert((at, slot));
        }
        if let Some(at) = new.due_at
            && old.due_at != new.due_at
        {
            self.due.insert((at, slot));
        }
        if let Some(by) = new.held_by
            && old.held_by != new.held_by
        {
            self.held.entry(by).or_default().push(slot);
        }
        if let Some(at) = new.finished_at
            && old.finished_at != new.finished_at
        {
            self.finished.insert((at, slot));
        }
        let member = |set: &mut BTreeSet<Slot>, was: bool, is: bool| {
            if is && !was {
                set.insert(slot);
            } else if was && !is {
                set.remove(&slot);
            }
        };
        member(&mut self.flight, old.in_flight, new.in_flight);
        member(&mut self.gates, old.gate_due, new.gate_due);
        member(&mut self.waiting, old.waits_for_parts, new.waits_for_parts);
        member(&mut self.alone, old.alone, new.alone);
        member(&mut self.people, old.needs_person, new.needs_person);
        member(&mut self.given_up, old.given_up, new.given_up);
        self.counts.recount(old.counted, new.counted);
        if old.effect != new.effect {
            match &new.effect {
                Some(effect) => self.effects.insert(effect.key(), effect.clone()),
                None => self.effects.remove(&key()),
            };
        }
    }
}

impl Pipeline {
    /// Whether tasks behind this one may start.
    #[must_use]
    pub fn is_satisfied(&self, id: &TaskId) -> bool {
        match self.tasks.get(id.as_str()) {
            Some(task) => self.satisfies(task),
            None => self.core.archived.get(id).is_some_and(|a| self.goes_on() || a.status == "completed"),
        }
    }

    fn satisfies(&self, task: &Task) -> bool {
        task.state == TaskState::Completed || (self.goes_on() && task.state.is_final())
    }

    fn goes_on(&self) -> bool {
        self.core.settings.scheduler.failed_dependency == FailedDependency::Continue
    }

    /// The task, live or archived, whose id differs from this one by case at most: both would share a file on some file
    /// systems.
    pub(crate) fn same_name(&self, id: &TaskId) -> Option<TaskId> {
        let known = |id: &str| {
            let live = self.tasks.get(id).map(|task| &task.id);
            live.or_else(|| self.core.archived.get_key_value(id).map(|(id, _)| id)).cloned()
        };
        known(id.as_str())
            .or_else(|| self.queue.folded.get(&id.as_str().to_ascii_lowercase()).cloned())
            .or_else(|| known(&id.as_str().to_ascii_uppercase()))
    }

    /// Tasks that a person has to look at, in no particular order.
    pub fn needing_people(&self) -> impl Iterator<Item = &Task> {
        self.queue.needing_people().filter_map(|slot| self.tasks.at(slot))
    }

    /// Failed, cancelled and rolled back tasks that are not archived, in no particular order.
    pub fn given_up(&self) -> impl Iterator<Item = &Task> {
        self.queue.given_up.iter().filter_map(|slot| self.tasks.at(*slot))
    }

    /// Tasks that were started and are not finished.
    pub fn in_flight(&self) -> impl Iterator<Item = &Task> {
        self.queue.in_flight().filter_map(|slot| self.tasks.at(slot))
    }

    /// Whether a task waits for dependencies.
    #[must_use]
    pub fn waits_for_dependencies(&self, task: &Task) -> bool {
        task.state == TaskState::Unassigned
            && self.tasks.slot(task.id.as_str()).is_some_and(|slot| self.queue.open_dependencies(slot) > 0)
    }

    /// Whether a task could be taken by an agent now, if one were free and the rollout allowed it.
    #[must_use]
    pub fn is_startable(&self, task: &Task) -> bool {
        self.tasks.slot(task.id.as_str()).is_some_and(|slot| self.queue.queued(slot).is_some())
    }

    /// What ready tasks are sorted by; tasks that are not ready come last, by age.
    pub(crate) fn order_of(&self, task: &Task) -> (bool, Option<ReadyKey>, u64) {
        let slot = self.tasks.slot(task.id.as_str());
        let key = slot.and_then(|slot| self.queue.queued(slot)).map(|(_, _, key)| key);
        (key.is_none(), key, task.order)
    }

    /// Derives the index anew from everything else.
    pub(crate) fn rebuild_index(&mut self) {
        self.queue = Queue { links: vec![Links::default(); self.tasks.capacity()], ..Queue::default() };
        let slots: Vec<Slot> = self.tasks.occupied().map(|(slot, _)| slot).collect();
        for id in self.tasks.iter().map(|task| &task.id).chain(self.core.archived.keys()) {
            fold(&mut self.queue.folded, id);
        }
        for task in self.core.archived.values() {
            self.queue.count_archived(task);
        }
        for slot in &slots {
            self.link_dependencies(*slot);
        }
        self.count_heights(&slots);
        for slot in slots {
            self.place(slot);
        }
        let effects: Vec<(EffectKey, Effect)> =
            self.core.runs.values().filter_map(run_effect).map(|e| (e.key(), e)).collect();
        self.queue.effects.extend(effects);
    }

    /// Makes room for a new task and joins it to those it depends on.
    pub(super) fn index_new(&mut self, slot: Slot) {
        if self.queue.links.len() <= slot as usize {
            self.queue.links.resize_with(slot as usize + 1, Links::default);
        }
        self.queue.links[slot as usize] = Links::default();
        if let Some(task) = self.tasks.at(slot) {
            fold(&mut self.queue.folded, &task.id);
        }
        self.link_dependencies(slot);
        self.raise_dependencies(slot);
        self.place(slot);
        self.queue.changes.note(slot);
    }

    /// Takes a task out before it leaves the table.
    pub(super) fn index_removed(&mut self, slot: Slot) {
        let Some(task) = self.tasks.at(slot) else { return };
        let dependencies: Vec<Slot> = task.depends_on.iter().filter_map(|d| self.tasks.slot(d.as_str())).collect();
        let key = EffectKey::Task(task.id.clone());
        for dependency in &dependencies {
            self.queue.links[*dependency as usize].dependents.retain(|s| s != &slot);
        }
        self.queue.set_place(slot, || key, Place::default());
        self.queue.links[slot as usize] = Links::default();
        self.queue.changes.note(slot);
        self.lower_dependencies(dependencies);
    }

    /// The name of a task that is gone as if it had never been may be given again.
    pub(super) fn free_name(&mut self, id: &TaskId) {
        self.queue.folded.remove(&id.as_str().to_ascii_lowercase());
    }

    /// Something about a task changed that no place in the index depends on.
    pub(super) fn note_change(&mut self, slot: Slot) {
        self.queue.changes.note(slot);
    }

    /// Puts a task where it belongs after something about it changed, and wakes those that waited for it.
    pub(super) fn reindex(&mut self, slot: Slot) {
        let marks = |place: &Place| (place.satisfied, place.in_flight);
        let (was_satisfied, was_in_flight) = marks(&self.queue.links[slot as usize].place);
        self.place(slot);
        self.queue.changes.note(slot);
        let (satisfied, in_flight) = marks(&self.queue.links[slot as usize].place);
        if was_satisfied != satisfied {
            for index in 0..self.queue.links[slot as usize].dependents.len() {
                let dependent = self.queue.links[slot as usize].dependents[index];
                let open = &mut self.queue.links[dependent as usize].open;
                let was_open = *open > 0;
                *open = if satisfied { open.saturating_sub(1) } else { *open + 1 };
                if was_open != (*open > 0) {
                    self.place(dependent);
                }
            }
        }
        if was_in_flight && !in_flight {
            self.release_held(slot);
        }
    }

    /// Lets go of the tasks that wait for this one; where a wait still applies it is found again.
    pub(super) fn release_held(&mut self, slot: Slot) {
        for waiting in self.queue.held.get(&slot).cloned().unwrap_or_default() {
            if let Some(task) = self.tasks.at_mut(waiting) {
                task.held = None;
            }
            self.place(waiting);
        }
    }

    /// Raises the urgency of tasks that have waited long enough by now.
    pub(super) fn promote(&mut self, now: Timestamp) {
        while let Some((at, slot)) = self.queue.promotions.first().copied() {
            if at > now {
                break;
            }
            self.queue.promotions.remove(&(at, slot));
            self.queue.links[slot as usize].place.promote_at = None;
            self.place(slot);
        }
    }

    /// Keeps the list of effects in step with a run.
    pub(super) fn reindex_run(&mut self, id: &crate::ids::RunId) {
        match self.core.runs.get(id).and_then(run_effect) {
            Some(effect) => {
                self.queue.effects.insert(effect.key(), effect);
            }
            None => {
                self.queue.effects.remove(&EffectKey::Run(id.clone()));
            }
        }
    }

    fn link_dependencies(&mut self, slot: Slot) {
        let Some(task) = self.tasks.at(slot) else { return };
        let mut open = 0;
        let mut known = Vec::new();
        for dependency in &task.depends_on {
            open += u32::from(!self.is_satisfied(dependency));
            known.extend(self.tasks.slot(dependency.as_str()));
        }
        self.queue.links[slot as usize].open = open;
        for dependency in known {
            self.queue.links[dependency as usize].dependents.push(slot);
        }
    }

    /// Counts how long the chain behind each task is. Those added last come first: what waits for a task is almost always
    /// younger than it, so that each height is known before it is passed on.
    fn count_heights(&mut self, slots: &[Slot]) {
        let mut youngest: Vec<(u64, Slot)> =
            slots.iter().filter_map(|slot| Some((self.tasks.at(*slot)?.order, *slot))).collect();
        youngest.sort_unstable_by(|a, b| b.cmp(a));
        let mut late = Vec::new();
        for (order, slot) in youngest {
            let height = self.height_with(slot).min(HEIGHT_MAX);
            let Some(task) = self.tasks.at(slot) else { continue };
            for dependency in task.depends_on.iter().filter_map(|id| self.tasks.slot(id.as_str())) {
                let links = &mut self.queue.links[dependency as usize];
                if links.height < height {
                    links.height = height;
                    late.extend(self.tasks.at(dependency).filter(|task| task.order > order).map(|_| dependency));
                }
            }
        }
        late.into_iter().for_each(|slot| self.raise_dependencies(slot));
    }

    /// The weight of the heaviest chain that begins with a task.
    fn height_with(&self, slot: Slot) -> u16 {
        let weight =
            self.tasks.at(slot).map_or(WEIGHT_USUAL, |task| estimate::weight(&self.core.weights, &task.workflow));
        self.queue.links[slot as usize].height.saturating_add(weight)
    }

    /// Finds out what tasks weigh by what their workflows have taken so far. Only where that moved noticeably are chains
    /// looked at, and of the tasks only those that others wait for.
    pub(super) fn weigh(&mut self) {
        let weights = estimate::weights(&self.core);
        if weights == self.core.weights {
            return;
        }
        self.core.weights = weights;
        let waited_for = |slot: &Slot| self.queue.links.get(*slot as usize).is_some_and(|l| !l.dependents.is_empty());
        let slots = self.tasks.occupied().map(|(slot, _)| slot).filter(waited_for).collect();
        self.lower_dependencies(slots);
    }

    /// A task weighs something else: chains that it ends are weighed anew.
    pub(super) fn weigh_behind(&mut self, slot: Slot) {
        let Some(task) = self.tasks.at(slot) else { return };
        let dependencies = task.depends_on.iter().filter_map(|id| self.tasks.slot(id.as_str())).collect();
        self.lower_dependencies(dependencies);
    }

    /// Tells the tasks in front of this one how long the chain behind them has become.
    fn raise_dependencies(&mut self, slot: Slot) {
        let mut todo = vec![slot];
        while let Some(slot) = todo.pop() {
            let Some(task) = self.tasks.at(slot) else { continue };
            let height = self.height_with(slot).min(HEIGHT_MAX);
            let dependencies: Vec<Slot> = task.depends_on.iter().filter_map(|d| self.tasks.slot(d.as_str())).collect();
            for dependency in dependencies {
                if self.queue.links[dependency as usize].height < height {
                    self.set_height(dependency, height);
                    todo.push(dependency);
                }
            }
        }
    }

    /// Weighs the chains behind these tasks anew after something behind them has left or weighs something else.
    fn lower_dependencies(&mut self, mut todo: Vec<Slot>) {
        while let Some(slot) = todo.pop() {
            let links = &self.queue.links[slot as usize];
            let behind = links.dependents.iter().map(|dependent| self.height_with(*dependent));
            let height = behind.max().unwrap_or(0).min(HEIGHT_MAX);
            if height == links.height {
                continue;
            }
            self.set_height(slot, height);
            if let Some(task) = self.tasks.at(slot) {
                todo.extend(task.depends_on.iter().filter_map(|d| self.tasks.slot(d.as_str())));
            }
        }
    }

    /// Only the place of a ready task depends on its height.
    fn set_height(&mut self, slot: Slot, height: u16) {
        let links = &mut self.queue.links[slot as usize];
        links.height = height;
        if links.place.queued.is_some() {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: Slot) {
        let Some(task) = self.tasks.at(slot) else { return };
        let place = self.place_of(slot, task);
        let id = task.id.clone();
        self.queue.set_place(slot, || EffectKey::Task(id), place);
    }

    fn place_of(&self, slot: Slot, task: &Task) -> Place {
        let startable = match &task.state {
            TaskState::Unassigned => self.queue.links[slot as usize].open == 0,
            TaskState::Ready { .. } => true,
            TaskState::Working { .. }
            | TaskState::Waiting { .. }
            | TaskState::Paused { .. }
            | TaskState::Verifying { .. }
            | TaskState::AwaitingApproval { .. }
            | TaskState::Blocked { .. }
            | TaskState::Failed
            | TaskState::Completed
            | TaskState::Cancelled
            | TaskState::RolledBack => false,
        };
        let held_by = task.held.as_ref().and_then(|hold| self.tasks.slot(hold.by.as_str()));
        let mut place = Place {
            in_flight: task.in_flight(),
            finished_at: task.finished_at.filter(|_| task.state.is_final()),
            held_by,
            given_up: task.state.is_final() && task.state != TaskState::Completed,
            counted: Counted::of(task),
            satisfied: self.satisfies(task),
            effect: task_effect(task),
            ..Place::default()
        };
        match &task.state {
            TaskState::Verifying { step: Step::Gate { run: None, .. }, .. } => place.gate_due = true,
            state if state.is_a_persons() => place.needs_person = true,
            TaskState::Waiting { .. } => place.waits_for_parts = true,
            _ => {}
        }
        if startable && let Some(due) = task.not_before {
            place.due_at = Some(due);
        } else if startable && held_by.is_none() {
            let (key, promote_at) = self.ready_key(slot, task);
            place.queued = self.queue_id(task).map(|id| (!self.may_touch(&task.id), id, key));
            place.promote_at = place.queued.as_ref().and(promote_at);
            let begins = !task.in_flight() || task.lost_place;
            let open = place.queued.as_ref().is_some_and(|(walled, _, _)| !walled);
            place.alone = open && begins && self.runs_alone(task);
        }
        place
    }

    fn queue_id(&self, task: &Task) -> Option<QueueId> {
        let stage = self.stage_of(task)?;
        let role = stage.waits_for(task);
        match &task.pinned_agent {
            Some(agent) if *role == stage.role => Some(QueueId::Agent(agent.clone())),
            Some(_) | None => Some(match self.core.settings.arm_of_task(&task.id, role) {
                Some(variant) => QueueId::Arm(role.clone(), variant.clone()),
                None => QueueId::Role(role.clone()),
            }),
        }
    }

    /// The queue that an agent shares with others; none where its role is compared and it takes no part.
    pub(crate) fn shared_queue(&self, agent: &AgentName, role: &Role) -> Option<QueueId> {
        Some(match self.core.settings.arm_of_agent(agent, role) {
            Some(variant) => QueueId::Arm(role.clone(), variant?.clone()),
            None => QueueId::Role(role.clone()),
        })
    }

    /// Ready tasks for an agent, best first, in front of the rollout's wall or behind it.
    pub(crate) fn ready_for<'a>(
        &'a self,
        walled: bool,
        agent: &AgentName,
        role: &Role,
    ) -> impl Iterator<Item = ReadyKey> + use<'a> {
        self.queue.ready_for(walled, agent, self.shared_queue(agent, role).as_ref())
    }

    /// The key of a ready task, and when waiting will have raised its urgency.
    fn ready_key(&self, slot: Slot, task: &Task) -> (ReadyKey, Option<Timestamp>) {
        let step_ms = self.core.settings.scheduler.ageing.as_millis().clamp(1, i128::from(i64::MAX)) as i64;
        let created_ms = task.created_at.as_millisecond();
        let steps = (self.core.updated_at.as_millisecond() - created_ms).max(0) / step_ms;
        let promote_ms =
            steps.checked_add(1).and_then(|n| n.checked_mul(step_ms)).and_then(|n| n.checked_add(created_ms));
        let depth = self.workflow_of(task).map_or(0, |workflow| match task.state.stage() {
            Some(stage) => workflow.depth(stage) + 1,
            None => 0,
        });
        let key = ReadyKey {
            urgency: i64::from(task.priority) - steps,
            depth: Reverse(u16::try_from(depth).unwrap_or(u16::MAX)),
            height: Reverse(self.queue.links[slot as usize].height),
            order: task.order,
            slot,
        };
        (key, promote_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }
}

fn fold(folded: &mut HashMap<String, TaskId>, id: &TaskId) {
    let number = id.as_str().strip_prefix("TASK-");
    if !number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        folded.insert(id.as_str().to_ascii_lowercase(), id.clone());
    }
}

fn task_effect(task: &Task) -> Option<Effect> {
    match &task.state {
        TaskState::Verifying { step: Step::Join { heads }, .. } => {
            Some(Effect::JoinParts { task: task.id.clone(), heads: heads.clone() })
        }
        TaskState::Verifying { claim, step: Step::Merge, .. } => {
            Some(Effect::PrepareMerge { task: task.id.clone(), head: claim.commit.clone() })
        }
        TaskState::Verifying { step: Step::Advance { commit, onto, .. }, .. } => {
            Some(Effect::AdvanceBase { task: task.id.clone(), onto: onto.clone(), commit: commit.clone() })
        }
        TaskState::Verifying { step: Step::TakeBack { merge, .. }, .. } => {
            Some(Effect::RevertBase { task: task.id.clone(), merge: merge.clone() })
        }
        _ => None,
    }
}

fn run_effect(run: &Run) -> Option<Effect> {
    let id = run.id.clone();
    match (&run.phase, run.stop, &run.work) {
        (Phase::Claimed | Phase::Started { .. }, Some(reason), _) => Some(Effect::Stop { run: id, reason }),
        (Phase::Claimed, None, _) => Some(Effect::Launch { run: id }),
        (Phase::Ended { .. }, _, work) if work.serves_stage() => Some(Effect::Collect { run: id }),
        (Phase::Started { .. }, None, _) => {
            let tried = run.doing.as_ref()?.rung.filter(|tried| !tried.done)?;
            Some(Effect::Urge { run: id, rung: tried.rung })
        }
        (Phase::Ended { .. }, _, _) => None,
    }
}
