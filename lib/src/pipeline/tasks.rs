//! The tasks, by name and by slot. A slot is a small number that stays with a task for as long as it is live, so that
//! the index can order and compare without names.

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{TaskId, WorkflowId};
use crate::task::Task;
use crate::workflow::Workflow;

/// Where a task stands in the table.
pub(crate) type Slot = u32;

/// The table of tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<Slot>,
    by_id: HashMap<TaskId, Slot>,
}

impl Tasks {
    /// The task of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Task> {
        self.at(*self.by_id.get(id)?)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.slots.iter().flatten()
    }

    /// All of them, in the order of creation.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Task> {
        let mut all: Vec<&Task> = self.iter().collect();
        all.sort_unstable_by_key(|task| task.order);
        all
    }

    pub(crate) fn slot(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&Task> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: Slot) -> Option<&mut Task> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Every occupied slot.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (Slot, &Task)> {
        (0..).zip(self.slots.iter()).filter_map(|(slot, task)| Some((slot, task.as_ref()?)))
    }

    /// One more than the largest slot ever used.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn insert(&mut self, task: Task) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).expect("four billion tasks do not fit in memory")
        });
        self.by_id.insert(task.id.clone(), slot);
        self.slots[slot as usize] = Some(task);
        slot
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Task> {
        let slot = self.by_id.remove(id)?;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }
}

impl PartialEq for Tasks {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|task| other.get(task.id.as_str()) == Some(task))
    }
}

impl Serialize for Tasks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.in_order())
    }
}

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(InSlots)
    }
}

/// Tasks that started on the same map have it in common, as they had before they were written down: a map may be many
/// times as large as all else that is known of a task. Known are those that were read last, by name.
fn share_map(task: &mut Task, maps: &mut HashMap<WorkflowId, Arc<Workflow>>) {
    let Some(pinned) = &mut task.pinned else { return };
    match maps.get(&pinned.id) {
        Some(known) if known == pinned => *pinned = Arc::clone(known),
        _ => drop(maps.insert(pinned.id.clone(), Arc::clone(pinned))),
    }
}

/// That a list of tasks could be read.
pub(super) struct EachTask;

impl<'de> Deserialize<'de> for EachTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OneByOne)
    }
}

struct OneByOne;

impl<'de> Visitor<'de> for OneByOne {
    type Value = EachTask;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InSlots.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<EachTask, A::Error> {
        while list.next_element::<Task>()?.is_some() {}
        Ok(EachTask)
    }
}

/// Reads tasks straight into their slots: a list of them is large, and each verb reads it.
struct InSlots;

impl<'de> Visitor<'de> for InSlots {
    type Value = Tasks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tasks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tasks, A::Error> {
        let mut slots: Vec<Option<Task>> = Vec::new();
        let mut by_id = HashMap::default();
        let mut maps = HashMap::default();
        while let Some(mut task) = list.next_element::<Task>()? {
            share_map(&mut task, &mut maps);
            slots.push(Some(task));
        }
        by_id.reserve(slots.len());
        by_id.extend((0..).zip(&slots).filter_map(|(slot, task)| Some((task.as_ref()?.id.clone(), slot))));
        Ok(Tasks { slots, free: Vec::new(), by_id })
    }
}
