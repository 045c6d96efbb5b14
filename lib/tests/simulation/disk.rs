//! The journal on a disk that keeps nothing before it is asked to: what was written is seen by every process at once, and
//! is gone after a power cut unless it was synced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::RunId;
use pipeline_lib::pipeline::Pipeline;

/// Records between two checkpoints.
const CHECKPOINT_EVERY: usize = 64;

/// What became true, and when.
pub(crate) type Record = (Timestamp, Fact);

#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: Vec<Record>,
    /// So many of them survive a power cut.
    durable: usize,
    /// So many of them somebody was told about.
    acknowledged: usize,
    checkpoint: (usize, Pipeline),
    /// What all records say together.
    state: Pipeline,
    /// How often something that processes may have read was lost.
    generation: u32,
    /// Where each run was claimed.
    claims: BTreeMap<RunId, usize>,
}

impl Disk {
    pub(crate) fn state(&self) -> &Pipeline {
        &self.state
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// What was read in another generation may never have been.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn write(&mut self, record: Record) {
        if let Fact::RunClaimed { run } = &record.1 {
            self.claims.insert(run.id.clone(), self.records.len());
        }
        self.state.apply(record.0, &record.1);
        self.records.push(record);
        if self.records.len() >= self.checkpoint.0 + 2 * CHECKPOINT_EVERY && self.durable == self.records.len() - 1 {
            self.checkpoint = (self.records.len() - 1, self.replayed(self.records.len() - 1));
        }
    }

    pub(crate) fn sync(&mut self) {
        self.durable = self.records.len();
    }

    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.records.len();
    }

    /// Whether a run's claim would be there after a power cut.
    pub(crate) fn has_durable_claim(&self, run: &RunId) -> bool {
        self.claims.get(run).is_some_and(|index| *index < self.durable)
    }

    /// Everything that was not synced is gone.
    ///
    /// # Errors
    /// When somebody had been told about it.
    pub(crate) fn lose_unsynced(&mut self) -> Result<(), String> {
        if self.durable == self.records.len() {
            return Ok(());
        }
        self.generation += 1;
        self.records.truncate(self.durable);
        self.claims.retain(|_, index| *index < self.durable);
        self.state = self.read();
        if self.acknowledged > self.durable {
            let lost = self.acknowledged - self.durable;
            return Err(format!("{lost} acknowledged records are lost after a power cut"));
        }
        Ok(())
    }

    /// What a process that starts now reads.
    pub(crate) fn read(&self) -> Pipeline {
        self.replayed(self.records.len())
    }

    fn replayed(&self, until: usize) -> Pipeline {
        let (from, mut pipeline) = self.checkpoint.clone();
        for (at, fact) in &self.records[from..until] {
            pipeline.apply(*at, fact);
        }
        pipeline
    }
}
