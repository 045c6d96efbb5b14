//! What an ended run decided, as far as that is clear, and what is done where it is not.

use super::Rules;
use super::stages::{known_decision, moved};
use crate::claim::{Decision, decision};
use crate::fact::{Fact, Move};
use crate::run::{Claim, Run, Work};
use crate::task::{Ask, Claimed, Task, TaskState};
use crate::text;
use crate::workflow::Stage;

/// What a run decided.
pub(super) struct Decided {
    /// A word that the stage knows.
    pub(super) decision: Option<String>,
    /// Something was said that means nothing here: that, quoted.
    pub(super) unclear: Option<String>,
}

/// Goes from what a run said to what its stage knows. `words` are its last ones.
pub(super) fn decided(
    task: &Task,
    run: &Run,
    stage: &Stage,
    claim: Option<&Claim>,
    said: &Decision,
    words: &str,
) -> Decided {
    // What a command prints is its own affair, unless its stage asks it to decide something.
    let silent = matches!(run.work, Work::Command { .. }) && stage.decisions.is_empty();
    let said = if silent { &Decision::None } else { said };
    let (decision, unclear) = match (claim.and_then(|claim| claim.decision.as_deref()), said) {
        (Some(word), _) => (known_decision(task, stage, word), format!("`{}`", text::one_line(word, 80))),
        (None, Decision::Chosen { choice, .. }) => (known_decision(task, stage, choice), format!("`{choice}`")),
        // That is not silence. A stage that lists no word knows one all the same.
        (None, Decision::NotListed { word }) => (known_decision(task, stage, word), decision::quoted(words)),
        (None, Decision::Unclear) => (None, decision::quoted(words)),
        (None, Decision::None) => {
            let decision = stage.default_decision().map(str::to_owned);
            return Decided { decision, unclear: None };
        }
    };
    let unclear = decision.is_none().then_some(unclear);
    Decided { decision, unclear }
}

impl Rules<'_> {
    /// Something was decided that the stage does not know. Its agent is asked once what it meant; then a person is.
    pub(super) fn unclear(&self, task: &Task, stage: &Stage, claimed: Claimed, said: &str) -> Vec<Fact> {
        let words = stage.words().join(", ");
        let why = format!("it made no clear decision: it said {said}, and stage {} knows {words}", stage.id);
        if task.asked_again || !stage.doing.is_agent() {
            return self.ask(task, stage, claimed, Ask::Decision, why);
        }
        let feedback = format!(
            "You said {said}, which is no decision that stage {} knows. Look at what you did, and decide: end with exactly \
             one line `DECISION: <word>`, where <word> is one of: {words}.",
            stage.id
        );
        let reason = Some(format!("{why}; it is asked once more"));
        let with = Move { reason, feedback: Some(feedback), uncounted: true, asked_again: true, ..Move::default() };
        vec![moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with)]
    }
}
