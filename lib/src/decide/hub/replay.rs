//! Decisions of an earlier task in the place of new ones. Each is taken only where it is legal now; where it is not, the task
//! stops and says so, for from there on it would be another journey.

use super::At;
use super::asking::offers;
use crate::decide::Rules;
use crate::fact::Fact;
use crate::task::{Claimed, Decider, Recorded, Replay, Task};
use crate::workflow::Stage;
use crate::workflow::hub::Look;

impl Rules<'_> {
    pub(super) fn hub_replays(&self, at: At<'_>, look: &Look, claim: &Claimed, record: &Replay) -> Vec<Fact> {
        let options = self.with_known(at, |known| at.hub.options(look, known));
        let offers = offers(at, &options);
        let legal: Vec<&str> = offers.iter().map(|offer| offer.word.as_str()).collect();
        let recorded = match next(record, at.stage, &legal) {
            Ok(recorded) => recorded,
            Err(why) => return self.block(at.task, Some(&at.stage.id), &why),
        };
        let meant = options.into_iter().zip(&offers).find(|(_, offer)| offer.is_meant_by(&recorded.decision));
        let by = Decider::Recorded { of: record.of.clone() };
        match meant {
            Some((chosen, _)) => self.hub_chose(at, claim, chosen, by),
            None => self.block(at.task, Some(&at.stage.id), &diverged(record, Some(recorded), &legal)),
        }
    }

    /// The decision of an agent that is not asked, because it is on record.
    pub(in crate::decide) fn agent_replayed(
        &self,
        task: &Task,
        stage: &Stage,
        record: &Replay,
        claim: Claimed,
    ) -> Vec<Fact> {
        let legal = if stage.decisions.is_empty() { vec![crate::workflow::SUCCESS] } else { stage.choices() };
        match next(record, stage, &legal) {
            Ok(recorded) if legal.contains(&recorded.decision.as_str()) => {
                let (decision, by) = (Some(recorded.decision.clone()), Decider::Recorded { of: record.of.clone() });
                self.accept(
                    task,
                    stage,
                    Claimed { decision, summary: recorded.summary.clone(), by: Some(Box::new(by)), ..claim },
                )
            }
            Ok(recorded) => self.block(task, Some(&stage.id), &diverged(record, Some(recorded), &legal)),
            Err(why) => self.block(task, Some(&stage.id), &why),
        }
    }
}

/// The next decision on record, if it is one of this stage.
fn next<'r>(record: &'r Replay, stage: &Stage, legal: &[&str]) -> Result<&'r Recorded, String> {
    match record.decisions.get(record.next) {
        Some(recorded) if recorded.stage == stage.id => Ok(recorded),
        other => Err(diverged(record, other, legal)),
    }
}

fn diverged(record: &Replay, recorded: Option<&Recorded>, legal: &[&str]) -> String {
    let (of, number) = (&record.of, record.next + 1);
    let was = match recorded {
        Some(recorded) => {
            format!("its decision {number} was `{}` at {}, which is not legal now", recorded.decision, recorded.stage)
        }
        None => format!("it made no decision {number}"),
    };
    format!("what happens diverged from the record of {of}: {was}.\n\nLegal now: {}", legal.join(", "))
}
