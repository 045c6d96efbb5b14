//! What agents of sessions were found to be doing, and what was tried with those that do not get on.

use jiff::{SignedDuration, Timestamp};

use super::super::Pipeline;
use crate::fact::Fact;
use crate::run::{CHANGES_KEPT, Noted, Rung, Tried};
use crate::status::Doing;

/// After having worked for so long an agent is treated as if nothing had ever been the matter.
const FORGIVEN_AFTER: SignedDuration = SignedDuration::from_mins(10);

impl Pipeline {
    pub(super) fn note_doing(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::RunDoing { run, doing, source, since, conflict, session } => {
                self.core.metrics.disagreements += u64::from(!conflict.is_empty());
                self.change_run(run, |r| {
                    let before = r.doing.take();
                    let (mut changes, mut rung) =
                        (Vec::new(), r.resumes.as_ref().filter(|_| !r.resumes_interrupted).map(|_| resumed(at)));
                    let mut known = session.clone();
                    if let Some(before) = before {
                        let worked =
                            before.doing == Doing::Working && since.duration_since(before.since) > FORGIVEN_AFTER;
                        rung = before.rung.filter(|_| !worked);
                        changes = before.changes;
                        if before.doing != *doing {
                            changes.push(at);
                        }
                        known = known.or(before.session);
                    }
                    let surplus = changes.len().saturating_sub(CHANGES_KEPT);
                    changes.drain(..surplus);
                    let noted =
                        Noted { doing: doing.clone(), source: *source, since: *since, changes, session: known, rung };
                    r.doing = Some(Box::new(noted));
                });
            }
            Fact::RunTried { run, rung, done, refused } => self.change_run(run, |r| {
                if let Some(noted) = &mut r.doing {
                    // What cannot be typed is a person's business.
                    let rung = if refused.is_some() { Rung::Person } else { *rung };
                    noted.rung = Some(Tried { rung, at, done: *done });
                }
            }),
            _ => {}
        }
    }
}

/// Where a run begins that goes on in the session of one that did not get on.
fn resumed(at: Timestamp) -> Tried {
    Tried { rung: Rung::Resume, at, done: true }
}
