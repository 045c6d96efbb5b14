//! The tasks, by name and by slot. A slot is a small number that stays with a task for as long as it is live, so that
//! the index can order and compare without names.

use foldhash::{HashMap, HashMapExt as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::TaskId;
use crate::task::Task;

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
        let list = Vec::<Task>::deserialize(deserializer)?;
        let mut tasks = Self::default();
        tasks.slots.reserve(list.len());
        tasks.by_id.reserve(list.len());
        for task in list {
            tasks.insert(task);
        }
        Ok(tasks)
    }
}
