//! The index in a form that two pipelines can be compared by: slots, which depend on history, become task ids, and sets
//! that do not matter when empty disappear. For tests only.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Counts, QueueId, ReadyKey};
use crate::fact::{Effect, EffectKey};
use crate::ids::TaskId;
use crate::pipeline::Pipeline;
use crate::pipeline::tasks::Slot;

/// What the index says, by task id.
#[derive(Debug, PartialEq)]
pub(crate) struct IndexPicture {
    links: BTreeMap<TaskId, (u32, u16, BTreeSet<TaskId>)>,
    queues: BTreeMap<(bool, QueueId), Vec<(TaskId, ReadyKey)>>,
    promotions: BTreeSet<(Timestamp, TaskId)>,
    due: BTreeSet<(Timestamp, TaskId)>,
    held: BTreeMap<TaskId, BTreeSet<TaskId>>,
    flight: BTreeSet<TaskId>,
    gates: BTreeSet<TaskId>,
    alone: BTreeSet<TaskId>,
    people: BTreeSet<TaskId>,
    given_up: BTreeSet<TaskId>,
    counts: Counts,
    finished: BTreeSet<(Timestamp, TaskId)>,
    effects: BTreeMap<EffectKey, Effect>,
    folded: BTreeMap<String, TaskId>,
}

impl Pipeline {
    /// What the index says now.
    pub(crate) fn index_picture(&self) -> IndexPicture {
        let id = |slot: &Slot| self.tasks.at(*slot).expect("the index names live tasks").id.clone();
        let set = |slots: &BTreeSet<Slot>| slots.iter().map(id).collect();
        let timed = |slots: &BTreeSet<(Timestamp, Slot)>| slots.iter().map(|(at, slot)| (*at, id(slot))).collect();
        let q = &self.queue;
        let mut queues = BTreeMap::new();
        for (walled, map) in [(false, &q.open), (true, &q.walled)] {
            for (name, keys) in map.iter().filter(|(_, keys)| !keys.is_empty()) {
                let keys = keys.iter().map(|key| (id(&key.slot), ReadyKey { slot: 0, ..*key })).collect();
                queues.insert((walled, name.clone()), keys);
            }
        }
        IndexPicture {
            links: self
                .tasks
                .occupied()
                .map(|(slot, task)| {
                    let l = &q.links[slot as usize];
                    (task.id.clone(), (l.open, l.height, l.dependents.iter().map(id).collect()))
                })
                .collect(),
            queues,
            promotions: timed(&q.promotions),
            due: timed(&q.due),
            held: q.held.iter().map(|(by, held)| (id(by), held.iter().map(id).collect())).collect(),
            flight: set(&q.flight),
            gates: set(&q.gates),
            alone: set(&q.alone),
            people: set(&q.people),
            given_up: set(&q.given_up),
            counts: q.counts,
            finished: timed(&q.finished),
            effects: q.effects.clone(),
            folded: q.folded.iter().map(|(folded, id)| (folded.clone(), id.clone())).collect(),
        }
    }
}
