//! An agent as the brain of a hub. It is asked on an event, a look, and within a budget; what it answers is a proposal, which
//! is taken only where it is a legal step now. Where it is not it is asked once more, and then the rules decide.

use std::fmt::Write as _;

use super::{At, completion};
use crate::decide::Rules;
use crate::decide::runs::Outcome;
use crate::decide::stages::moved;
use crate::fact::{Fact, Move};
use crate::ids::is_reserved;
use crate::run::Usage;
use crate::task::{Claimed, Decider, Offer, Question, Task, TaskState};
use crate::text;
use crate::workflow::hub::{Chosen, ESCALATE, Hub, Known, Look, Step, fingerprint};
use crate::workflow::{FAILED, Stage};

/// How often one question is asked.
const TRIES_MAX: u32 = 2;
/// How much of what happened an agent is told, in lines.
const PAST_MAX: usize = 20;
/// The longest line of it, in characters.
const LINE_CHARS_MAX: usize = 200;
/// The longest hint that an agent hands on, in characters.
const HINT_CHARS_MAX: usize = 400;

/// What the agent of a hub answered: a legal step, or why its answer is none.
pub(in crate::decide) type Answer = Result<Chosen, String>;

impl Rules<'_> {
    /// Who decides where the stage's agent does not; none where it does.
    pub(super) fn without_agent(&self, at: At<'_>) -> Option<Decider> {
        if is_reserved(&at.stage.role) {
            return Some(Decider::Rules { why: None });
        }
        let role = &at.stage.role;
        let mut agents = self.p.core.agents.values().filter(|agent| agent.role == *role && !agent.removed);
        let why = if !agents.any(|agent| agent.broken.is_none()) {
            Some(format!("no agent of the role {role} can work"))
        } else {
            let (asked, usage) =
                at.task.brain.as_ref().map_or((0, Usage::default()), |brain| (brain.asked, brain.usage));
            at.hub.budget.used_up(asked, &usage).map(|why| format!("the budget of {role} is used up: {why}"))
        };
        why.map(|why| Decider::Rules { why: Some(why) })
    }

    pub(super) fn hub_asks(&self, at: At<'_>, look: Look, tries: u32, refused: Option<String>) -> Vec<Fact> {
        let (options, told) = self.with_known(at, |known| {
            let told = told(self, at, &look, known);
            (at.hub.options(&look, known), told)
        });
        let question = Question { look, told, offers: offers(at, &options), tries, refused: refused.clone() };
        let with = Move {
            reason: refused,
            // The look was no attempt of the agent's.
            uncounted: tries == 1,
            retry: tries > 1,
            ..Move::default()
        };
        vec![
            Fact::HubAsks { task: at.task.id.clone(), question: Box::new(question) },
            moved(&at.task.id, TaskState::Ready { stage: at.stage.id.clone() }, with),
        ]
    }

    /// What the answer of a hub's agent means. `word` is the decision it stated, if it stated one.
    pub(in crate::decide) fn hub_answer(
        &self,
        task: &Task,
        stage: &Stage,
        hub: &Hub,
        outcome: &Outcome,
        word: Option<&str>,
    ) -> Option<Answer> {
        let question = task.question()?;
        let at = At { task, stage, workflow: self.p.workflow_of(task)?, hub };
        let find = |wanted: &str| {
            let offer = question.offers.iter().find(|offer| offer.is_meant_by(wanted))?;
            let options = self.with_known(at, |known| hub.options(&question.look, known));
            options.into_iter().find(|option| option.decision == offer.word)
        };
        let refused = |word: &str| {
            let legal: Vec<&str> = question.offers.iter().map(|offer| offer.word.as_str()).collect();
            let word = text::one_line(word, 80);
            format!("`{word}` is no legal decision now; these are: {}", legal.join(", "))
        };
        Some(match (outcome, word) {
            (Outcome::Void(_) | Outcome::Stuck(_) | Outcome::Limited { .. } | Outcome::Unreachable(_), _) => {
                return None;
            }
            // Whoever cannot decide hands it to a person.
            (Outcome::Blocked(_) | Outcome::Review(_), _) => find(ESCALATE).ok_or_else(|| refused(ESCALATE)),
            (Outcome::Failed(why) | Outcome::Broken(why), _) => Err(why.clone()),
            (Outcome::Done | Outcome::Unclear(_), None) => Err("it made no clear decision".to_owned()),
            (Outcome::Done | Outcome::Unclear(_), Some(word)) => find(word).ok_or_else(|| refused(word)),
        })
    }

    pub(in crate::decide) fn hub_answered(
        &self,
        task: &Task,
        stage: &Stage,
        hub: &Hub,
        claim: &Claimed,
        answer: Answer,
    ) -> Vec<Fact> {
        let (Some(question), Some(workflow)) = (task.question(), self.p.workflow_of(task)) else { return Vec::new() };
        let at = At { task, stage, workflow, hub };
        let why = match answer {
            Ok(chosen) => return self.hub_chose(at, claim, in_its_words(chosen, &claim.summary), Decider::Agent),
            Err(why) => why,
        };
        if question.tries < TRIES_MAX && self.without_agent(at).is_none() {
            return self.hub_asks(at, question.look.clone(), question.tries + 1, Some(why));
        }
        let times = if question.tries == 1 { "asked".to_owned() } else { format!("asked {} times", question.tries) };
        let why = format!("{} was {times}, and gave no legal answer: {}", claim.agent, text::one_line(&why, 300));
        self.hub_follows_rules(at, &question.look, claim, Decider::Rules { why: Some(why) })
    }
}

/// A choice with the reasons of the agent that made it; what is mended learns them too.
fn in_its_words(chosen: Chosen, words: &str) -> Chosen {
    if words.trim().is_empty() {
        return chosen;
    }
    let Chosen { decision, reasoning, step } = chosen;
    let step = match step {
        Step::Mend { stage, hint } => {
            Step::Mend { stage, hint: format!("{hint}\n{}", text::one_line(words, HINT_CHARS_MAX)) }
        }
        other => other,
    };
    // What a person is handed is the whole of what is known.
    let reasoning =
        if step == Step::Escalate { format!("{}\n\n{reasoning}", words.trim()) } else { words.trim().to_owned() };
    Chosen { decision, reasoning, step }
}

/// What may be decided. Where the workflow has words of its own for where a decision leads they are understood too.
pub(super) fn offers(at: At<'_>, options: &[Chosen]) -> Vec<Offer> {
    let mut taken: Vec<&str> = options.iter().map(|option| option.decision.as_str()).collect();
    let mut offers = Vec::with_capacity(options.len());
    for option in options {
        let to = match &option.step {
            Step::Delegate(stages) => {
                if let [one] = stages.as_slice() {
                    Some(Some(one))
                } else {
                    None
                }
            }
            Step::Mend { stage, .. } | Step::Validate(stage) => Some(Some(stage)),
            Step::Complete => Some(None),
            Step::Escalate => None,
        };
        let ways = at.workflow.onward(&at.stage.id).filter(|c| Some(c.to.as_ref()) == to);
        let mut also: Vec<&str> = ways.filter_map(|c| c.condition.as_deref()).collect();
        if option.step == Step::Complete {
            also.push(completion(at.workflow, at.stage));
        }
        also.retain(|word| *word != FAILED && *word != ESCALATE && !taken.contains(word));
        also.dedup();
        taken.extend(also.iter().copied());
        let about = text::one_line(option.reasoning.lines().next().unwrap_or_default(), LINE_CHARS_MAX);
        offers.push(Offer {
            word: option.decision.clone(),
            also: also.into_iter().map(str::to_owned).collect(),
            about: if option.step == Step::Escalate { "a person has to look; say why".to_owned() } else { about },
        });
    }
    offers
}

/// All that an agent needs to decide: what was seen, what happened, what was learned, and what the rules would do.
fn told(rules: &Rules<'_>, at: At<'_>, look: &Look, known: &Known<'_>) -> String {
    let mut out =
        String::from("You decide what this hub does next. Change no file; only decide.\n\nWhat its probes found:\n");
    let put = |out: &mut String, line: String| {
        let _written = writeln!(out, "- {}", text::one_line(&line, LINE_CHARS_MAX));
    };
    for (requirement, holds) in at.hub.requirements.iter().zip(&look.holds) {
        let state = match holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "has no probe: it holds once its stage has succeeded",
        };
        let after = if requirement.after.is_empty() {
            String::new()
        } else {
            format!(", needs {}", requirement.after.join(" and "))
        };
        put(&mut out, format!("{} {state} (stage {}{after})", requirement.name, requirement.stage));
    }
    for (warning, well) in at.hub.warnings.iter().zip(&look.well) {
        put(&mut out, format!("warning {}: {}", warning.name, if *well { "all is well" } else { "not well" }));
    }
    out.push_str("\nWhat was done so far, the latest last:\n");
    if known.past.is_empty() {
        out.push_str("- nothing\n");
    }
    for past in known.past.iter().skip(known.past.len().saturating_sub(PAST_MAX)) {
        let summary = text::one_line(past.summary, LINE_CHARS_MAX);
        put(&mut out, format!("{} {}: {summary} (run {})", past.stage, past.decision, past.run));
    }
    let patterns = rules.p.core.patterns.values();
    let mut patterns: Vec<_> = patterns.filter(|pattern| pattern.workflow == at.task.workflow).collect();
    patterns.sort_by_key(|pattern| std::cmp::Reverse((pattern.in_a_row, pattern.last_at)));
    if !patterns.is_empty() {
        out.push_str("\nFailures that were recognised again, over all tasks:\n");
    }
    for pattern in patterns.iter().take(PAST_MAX) {
        let print = fingerprint(&pattern.stage, &pattern.error);
        let (row, times, overcome) = (pattern.in_a_row, pattern.times, pattern.overcome);
        put(&mut out, format!("{print}: {row} in a row, {times} in all, {overcome} overcome"));
    }
    let rules_choose = at.hub.choose(look, known);
    let reasoning = text::one_line(rules_choose.reasoning.lines().next().unwrap_or_default(), LINE_CHARS_MAX);
    let _written = writeln!(out, "\nThe built-in rules would decide `{}`: {reasoning}", rules_choose.decision);
    out.push_str("An answer that is none of the decisions listed below is refused.\n");
    out
}
