//! How everything that is known is written down and read again. What follows from it, the index, is not written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::index::Queue;
use super::tasks::EachTask;
use super::{Core, Pipeline, Tasks};

impl Serialize for Pipeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut state = serializer.serialize_struct("Pipeline", 2)?;
        state.serialize_field("core", &self.core)?;
        state.serialize_field("tasks", &self.tasks)?;
        state.end()
    }
}

#[derive(Deserialize)]
struct Stored<T> {
    core: Core,
    tasks: T,
}

impl<'de> Deserialize<'de> for Pipeline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { core, tasks } = Stored::<Tasks>::deserialize(deserializer)?;
        let mut pipeline = Self { core, tasks, queue: Queue::default() };
        pipeline.rebuild_index();
        Ok(pipeline)
    }
}

/// That a [`Pipeline`] could be read: deserialized wherever one could, task by task, of which none is kept. A second whole
/// state beside the one that was written would be most of the memory of a process that writes one.
#[derive(Debug)]
pub struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Stored::<EachTask>::deserialize(deserializer).map(|_| Self)
    }
}
