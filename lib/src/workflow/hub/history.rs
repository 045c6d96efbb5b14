//! What happened at a hub so far, as it matters for its next choice. What a person let go on with counts no longer.

use std::collections::BTreeMap;

use super::{GIVES_UP_AT, Hub, Known, PREVENT, Past, RECOVER, fingerprint, word};
use crate::ids::StageId;

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct History<'a> {
    /// Failures in a row, by fingerprint.
    pub(super) failures: BTreeMap<String, u32>,
    /// The same by stage, however they differ.
    pub(super) failed: BTreeMap<&'a StageId, Vec<Past<'a>>>,
    /// What stages left broken that nothing has mended since: the last error of each, in the order in which they broke.
    pub(super) broken: Vec<(&'a StageId, &'a str)>,
    /// Every recovery that counts.
    pub(super) recoveries: Vec<Past<'a>>,
    /// Recoveries in a row that failed.
    pub(super) recoveries_failed: u32,
    /// How often each stage was mended since it last succeeded.
    pub(super) mended: BTreeMap<&'a str, u32>,
    /// Stages whose last result was good.
    pub(super) done: BTreeMap<&'a StageId, bool>,
    /// Warnings that were mended once.
    pub(super) warned: Vec<&'a str>,
    /// Whether the whole was found good since anything else was done.
    pub(super) validated: bool,
    /// How often stages were tried.
    pub(super) attempts: u32,
}

impl<'a> History<'a> {
    pub(super) fn of(hub: &'a Hub, known: &Known<'a>) -> Self {
        let mut history = Self::default();
        let mut mending = None;
        for (at, past) in known.past.iter().enumerate() {
            let done = (known.is_done)(past.stage, past.decision);
            let counts = at >= known.forgiven;
            if past.stage == known.hub {
                mending = past.decision.strip_prefix(RECOVER);
                if let Some(name) = past.decision.strip_prefix(PREVENT) {
                    mending = Some("");
                    let warning = hub.warnings.iter().find(|warning| word(&warning.name) == name);
                    history.warned.extend(warning.map(|warning| warning.name.as_str()));
                }
                continue;
            }
            history.validated = hub.validation.as_ref() == Some(past.stage) && done;
            if hub.recovery.as_ref() == Some(past.stage) {
                if counts {
                    history.recovered(*past, mending, done);
                }
            } else if hub.serves(past.stage) {
                history.done.insert(past.stage, done);
                if counts {
                    history.tried(*past, done);
                }
            }
        }
        history
    }

    /// What a recovery mended is tried again, all of it where nobody said what it was for; one that failed leaves broken
    /// what was.
    fn recovered(&mut self, past: Past<'a>, mending: Option<&'a str>, done: bool) {
        self.recoveries.push(past);
        if !done {
            self.recoveries_failed += 1;
            return;
        }
        self.recoveries_failed = 0;
        self.broken.retain(|(stage, _)| mending.is_some_and(|mended| stage.as_str() != mended));
        if let Some(stage) = mending.filter(|stage| !stage.is_empty()) {
            *self.mended.entry(stage).or_default() += 1;
        }
    }

    fn tried(&mut self, past: Past<'a>, done: bool) {
        self.attempts += 1;
        self.broken.retain(|(stage, _)| *stage != past.stage);
        if done {
            let own = format!("{}: ", past.stage);
            self.failures.retain(|print, _| !print.starts_with(&own));
            self.failed.remove(past.stage);
            self.mended.remove(past.stage.as_str());
        } else {
            *self.failures.entry(fingerprint(past.stage, past.summary)).or_default() += 1;
            self.failed.entry(past.stage).or_default().push(past);
            self.broken.push((past.stage, past.summary));
        }
    }

    /// How often in a row a stage failed.
    pub(super) fn times_failed(&self, stage: &StageId) -> u32 {
        self.failed.get(stage).map_or(0, |failed| u32::try_from(failed.len()).unwrap_or(u32::MAX))
    }

    /// Whether a stage failed so often that nobody but a person goes on with it.
    pub(super) fn gave_up(&self, stage: &StageId) -> bool {
        self.times_failed(stage) >= GIVES_UP_AT || self.mended.get(stage.as_str()).is_some_and(|n| *n >= GIVES_UP_AT)
    }
}
