//! What an ended run means: by what was claimed, by what its program said about itself, and by how it ended. What follows
//! from that for its task is decided elsewhere.

use jiff::{SignedDuration, Timestamp};

use crate::agents::stream::Failure;
use crate::claim::Decision;
use crate::decide::{Rules, after};
use crate::event::Collected;
use crate::fact::Fact;
use crate::run::{Claim, ClaimSource, ClaimStatus, Ended, Run, StopReason, Verdict, Work};
use crate::workflow::Stage;
use crate::workflow::hub::last_words;

/// The shortest rest of a preset that cannot reach its service.
const OUTAGE_PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);

impl Rules<'_> {
    pub(super) fn outcome(
        &self,
        run: &Run,
        stage: &Stage,
        how: &Ended,
        claim: Option<&Claim>,
        left: &Collected,
    ) -> Outcome {
        if let Ended::Stopped { reason } = how
            && *reason != StopReason::Claimed
        {
            // What it claimed while it was being stopped for no fault of the task's stands.
            let stands = matches!(reason, StopReason::Stuck | StopReason::Budget) && claim.is_some();
            if !stands && *reason == StopReason::Stuck {
                return Outcome::Stuck(how.to_string());
            }
            if !stands {
                return Outcome::Void(how.to_string());
            }
        }
        if let Some(claim) = claim {
            let words = claim.summary.clone().filter(|text| !text.is_empty());
            return match claim.status {
                ClaimStatus::Completed => {
                    left.trespass.clone().or_else(|| left.unmet.clone()).map_or(Outcome::Done, Outcome::Failed)
                }
                ClaimStatus::Failed => {
                    Outcome::Failed(format!("{} says it failed{}", run.agent, colon(words.as_deref())))
                }
                ClaimStatus::Blocked => {
                    Outcome::Blocked(format!("{} is blocked at {}{}", run.agent, stage.id, colon(words.as_deref())))
                }
                ClaimStatus::NeedsReview => {
                    Outcome::Review(format!("{} asks for a review{}", run.agent, colon(words.as_deref())))
                }
            };
        }
        match (&left.failure, how) {
            (Some(Failure::RateLimited { until, text }), _) => Outcome::Limited { until: *until, why: text.clone() },
            (Some(Failure::Auth { text }), _) => Outcome::Limited { until: None, why: text.clone() },
            (Some(Failure::Unreachable { text }), _) => {
                Outcome::Unreachable(format!("cannot reach its service: {text}"))
            }
            (_, Ended::NotStarted { message, permanent: true }) => {
                Outcome::Broken(format!("{} could not be started: {message}", run.agent))
            }
            (Some(failure), _) => Outcome::Failed(format!("{}: {}", run.agent, failure.text())),
            (None, Ended::Exited { code: 0 }) => {
                Outcome::Failed(format!("{} ended without saying that its work is done", run.agent))
            }
            (None, _) => Outcome::Failed(format!("{} {}", run.agent, how)),
        }
    }

    /// A one-shot program that ends well has done its work unless it says otherwise. Of a conversational one, which
    /// also ends well when it gives up, that is believed only together with a clear decision. A session in a terminal
    /// ends well whenever somebody closes it, which says nothing.
    /// Nor is a program believed that said why it could not go on: some end well all the same.
    pub(super) fn exit_code_claim(&self, run: &Run, how: &Ended, at: Timestamp, left: &Collected) -> Option<Claim> {
        if run.interactive {
            return None;
        }
        if let (Work::Command { .. }, Ended::Exited { code }) = (&run.work, how)
            && let Some(word) = self.task_and_stage_of(run).and_then(|(_, stage)| stage.decision_of_exit(*code))
        {
            let decision = Some(word.to_owned());
            return Some(Claim {
                status: ClaimStatus::Completed,
                decision,
                summary: None,
                source: ClaimSource::ExitCode,
                at,
            });
        }
        let one_shot = self.p.core.agents.get(&run.agent).is_none_or(|a| a.preset.info().exit_is_claim);
        let said = matches!(left.decision, Decision::Chosen { .. });
        (*how == Ended::Exited { code: 0 } && left.failure.is_none() && (one_shot || said)).then_some(Claim {
            status: ClaimStatus::Completed,
            decision: None,
            summary: None,
            source: ClaimSource::ExitCode,
            at,
        })
    }
}

/// The decision that a run stated in clear words, whether or not its stage knows it.
pub(super) fn stated<'a>(claim: &'a Option<Claim>, left: &'a Collected) -> Option<&'a str> {
    match (claim.as_ref().and_then(|claim| claim.decision.as_deref()), &left.decision) {
        (Some(word), _) => Some(word),
        (None, Decision::Chosen { choice: word, .. } | Decision::NotListed { word }) => Some(word),
        (None, Decision::Unclear | Decision::None) => None,
    }
}

/// What a run said, and behind it the error it failed with: by that the failure is recognised again, whoever looks.
pub(super) fn with_error(words: String, run: &Run, left: &Collected) -> String {
    let error = last_words(&left.output);
    let said = matches!(run.work, Work::Agent) && !words.is_empty();
    if said || error.is_empty() || words.contains(error) {
        return words;
    }
    format!("{words}\n{}", crate::text::one_line(error, 200)).trim_start().to_owned()
}

/// What an ended run means.
pub(in crate::decide) enum Outcome {
    Done,
    /// Done, with a decision that means nothing here: what was said.
    Unclear(String),
    Review(String),
    Blocked(String),
    Failed(String),
    /// Taken back by us.
    Void(String),
    /// Stopped by us because nothing moved.
    Stuck(String),
    /// A usage limit or a lost login: the preset rests, the attempt does not count.
    Limited {
        until: Option<Timestamp>,
        why: String,
    },
    /// The service of its model cannot be reached: the preset rests for a while, the attempt does not count.
    Unreachable(String),
    /// The agent's program is missing or the like: trying again would not help.
    Broken(String),
}

impl Outcome {
    /// The same, unless what was decided means nothing.
    pub(super) fn unless(self, unclear: Option<String>) -> Self {
        if let (Self::Done, Some(said)) = (&self, unclear) { Self::Unclear(said) } else { self }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Done | Self::Unclear(_) | Self::Review(_) => Verdict::Passed,
            Self::Blocked(_) | Self::Failed(_) => Verdict::Failed,
            Self::Void(_) | Self::Stuck(_) | Self::Limited { .. } | Self::Unreachable(_) | Self::Broken(_) => {
                Verdict::Void
            }
        }
    }

    pub(super) fn about_the_agent(&self, rules: &Rules<'_>, run: &Run) -> Option<Fact> {
        match self {
            Self::Limited { until, why } => {
                let preset = rules.p.core.agents.get(&run.agent)?.preset;
                let scheduler = &rules.p.core.settings.scheduler;
                let until = match until {
                    Some(at) if *at > rules.now.at => *at,
                    // It was lifted before anybody looked. A short rest all the same: the time may be misread.
                    Some(at) if *at >= run.claimed_at => after(rules.now.at, scheduler.backoff),
                    // A time before the run even began says nothing.
                    Some(_) | None => after(rules.now.at, scheduler.limit_pause),
                };
                Some(Fact::PresetPaused { preset, until, why: why.clone(), in_a_row: 0 })
            }
            Self::Unreachable(why) => {
                let core = &rules.p.core;
                let preset = core.agents.get(&run.agent)?.preset;
                // Those that were under way together fail together, which is one outage and not many in a row.
                if core.paused.contains_key(&preset) {
                    return None;
                }
                let in_a_row = core.outages.get(&preset).map_or(0, |outage| outage.in_a_row).saturating_add(1);
                let shortest = core.settings.scheduler.backoff.max(OUTAGE_PAUSE_MIN);
                let until = after(rules.now.at, rules.backoff(shortest, in_a_row));
                Some(Fact::PresetPaused { preset, until, why: why.clone(), in_a_row })
            }
            Self::Broken(message) => Some(Fact::AgentBroken { agent: run.agent.clone(), message: message.clone() }),
            Self::Done
            | Self::Unclear(_)
            | Self::Review(_)
            | Self::Blocked(_)
            | Self::Failed(_)
            | Self::Void(_)
            | Self::Stuck(_) => None,
        }
    }
}

fn colon(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!(": {words}"))
}
