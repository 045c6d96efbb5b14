//! The choice itself, and everything that could be chosen in its place.

use super::history::History;
use super::{
    Chosen, ERROR_CHARS_MAX, ESCALATE, Hub, Known, Look, PREVENT, RECOVER, RECOVERIES_MAX, RESET_ADVICE, Requirement,
    STRATEGY_CHANGES_AT, Step, fingerprint, last_words, word,
};
use crate::ids::StageId;
use crate::text;

/// What the state of things is.
pub(super) struct Sight<'a> {
    pub(super) history: History<'a>,
    /// For each requirement whether it holds.
    pub(super) holds: Vec<bool>,
    /// What is broken and does not hold all the same.
    pub(super) broken: Vec<(&'a StageId, &'a str)>,
}

impl Hub {
    fn sight<'a>(&'a self, look: &Look, known: &Known<'a>) -> Sight<'a> {
        let history = History::of(self, known);
        let holds: Vec<bool> = self
            .requirements
            .iter()
            .zip(&look.holds)
            .map(|(r, seen)| seen.unwrap_or_else(|| history.done.get(&r.stage).copied().unwrap_or(false)))
            .collect();
        let stands =
            |stage: &StageId| self.requirements.iter().zip(&holds).any(|(r, holds)| r.stage == *stage && *holds);
        let broken = history.broken.iter().copied().filter(|(stage, _)| !stands(stage)).collect();
        Sight { history, holds, broken }
    }

    /// What is done next, by the rules.
    #[must_use]
    pub fn choose(&self, look: &Look, known: &Known<'_>) -> Chosen {
        let sight = self.sight(look, known);
        let hopeless = |stage: &StageId| sight.history.gave_up(stage) || !self.may_mend(&sight);
        if let Some((stage, error)) = sight.broken.iter().find(|(stage, _)| hopeless(stage)) {
            return self.escalate(stage, error, &sight, known);
        }
        if let Some((stage, error)) = sight.broken.first() {
            return self.mend(stage, error, &sight, known);
        }
        if let Some(chosen) = self.preventions(look, &sight).into_iter().next().filter(|_| self.may_mend(&sight)) {
            return chosen;
        }
        if sight.holds.iter().all(|holds| *holds) {
            return self.complete(&sight.history);
        }
        self.delegate(&sight, known)
    }

    /// Everything that could be done now without breaking a rule: nothing is delegated that lacks what it needs, nothing is
    /// mended that is not broken or was mended in vain, and nothing is complete before everything holds. To hand it to a
    /// person is always possible.
    #[must_use]
    pub fn options(&self, look: &Look, known: &Known<'_>) -> Vec<Chosen> {
        let sight = self.sight(look, known);
        let mut options = Vec::new();
        if self.may_mend(&sight) {
            let mendable = sight.broken.iter().filter(|(stage, _)| !sight.history.gave_up(stage));
            options.extend(mendable.map(|(stage, error)| self.mend(stage, error, &sight, known)));
            options.extend(self.preventions(look, &sight));
        }
        let able = self.able(&sight, known, |stage| !sight.history.gave_up(stage));
        if able.len() > 1 {
            options.push(self.delegated(&able, &sight));
        }
        options.extend(able.iter().map(|one| self.delegated(std::slice::from_ref(one), &sight)));
        if sight.holds.iter().all(|holds| *holds) {
            options.push(self.complete(&sight.history));
        }
        let (stage, error) = sight.broken.first().copied().unwrap_or((known.hub, ""));
        options.push(self.escalate(stage, error, &sight, known));
        options
    }

    fn may_mend(&self, sight: &Sight<'_>) -> bool {
        self.recovery.is_some() && sight.history.recoveries_failed < RECOVERIES_MAX
    }

    fn mend(&self, stage: &StageId, error: &str, sight: &Sight<'_>, known: &Known<'_>) -> Chosen {
        let same = sight.history.failures.get(&fingerprint(stage, error)).copied().unwrap_or(0).max(1);
        let earlier = (known.seen)(stage, error);
        let error = shown(error);
        let reset = same.max(earlier) >= STRATEGY_CHANGES_AT;
        let hint = if reset { format!("{RESET_ADVICE}: {error}") } else { error.clone() };
        let times = match same {
            1 => format!("{stage} failed: {error}."),
            _ => format!("{stage} failed {same} times in the same way: {error}."),
        };
        let reasoning = match same {
            _ if reset && same < STRATEGY_CHANGES_AT => {
                format!("{times} In earlier tasks too, {earlier} times in a row. Another strategy: {RESET_ADVICE}.")
            }
            _ if reset => format!("{times} Another strategy: {RESET_ADVICE}."),
            1 => format!("{times} It is mended before it is tried again; what holds is left alone."),
            _ => format!("{times} It is mended once more."),
        };
        let step = match &self.recovery {
            Some(recovery) => Step::Mend { stage: recovery.clone(), hint },
            None => Step::Escalate,
        };
        Chosen { decision: format!("{RECOVER}{stage}"), reasoning, step }
    }

    /// Warnings that nothing was done about yet.
    fn preventions(&self, look: &Look, sight: &Sight<'_>) -> Vec<Chosen> {
        let Some(stage) = &self.recovery else { return Vec::new() };
        let open = self.warnings.iter().zip(&look.well).filter(|(_, well)| !**well).map(|(warning, _)| warning);
        let open = open.filter(|warning| !sight.history.warned.contains(&warning.name.as_str()));
        open.map(|warning| Chosen {
            decision: format!("{PREVENT}{}", word(&warning.name)),
            reasoning: format!("Nothing has failed yet, and there is a warning: {}. It is mended first.", warning.name),
            step: Step::Mend { stage: stage.clone(), hint: format!("warning: {}", warning.name) },
        })
        .collect()
    }

    fn complete(&self, history: &History<'_>) -> Chosen {
        match &self.validation {
            Some(stage) if !history.validated => Chosen {
                decision: "validate".to_owned(),
                reasoning: "Everything that is required holds. The whole is checked.".to_owned(),
                step: Step::Validate(stage.clone()),
            },
            Some(_) | None => Chosen {
                decision: "complete".to_owned(),
                reasoning: "Everything that is required holds.".to_owned(),
                step: Step::Complete,
            },
        }
    }

    /// What is missing and has what it needs, each stage once, what takes longest first.
    fn able<'h>(
        &'h self,
        sight: &Sight<'_>,
        known: &Known<'_>,
        may: impl Fn(&StageId) -> bool,
    ) -> Vec<&'h Requirement> {
        let held =
            |name: &String| self.requirements.iter().zip(&sight.holds).any(|(r, holds)| r.name == *name && *holds);
        let mut able: Vec<&Requirement> = Vec::new();
        for (requirement, _) in self.requirements.iter().zip(&sight.holds).filter(|(_, holds)| !**holds) {
            let twice = able.iter().any(|other| other.stage == requirement.stage);
            if !twice && may(&requirement.stage) && requirement.after.iter().all(held) {
                able.push(requirement);
            }
        }
        // A stable sort: what nobody has measured keeps its order.
        let seconds = |r: &Requirement| (known.expected)(&r.stage).unwrap_or(0.0);
        able.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
        able
    }

    fn delegate(&self, sight: &Sight<'_>, known: &Known<'_>) -> Chosen {
        let able = self.able(sight, known, |_| true);
        if !able.is_empty() {
            return self.delegated(&able, sight);
        }
        let missing = self.requirements.iter().zip(&sight.holds).filter(|(_, holds)| !**holds);
        let names: Vec<&str> = missing.map(|(r, _)| r.name.as_str()).collect();
        let reasoning = format!("These wait for each other or for something that is not there: {}.", names.join(", "));
        Chosen { decision: ESCALATE.to_owned(), reasoning, step: Step::Escalate }
    }

    fn delegated(&self, able: &[&Requirement], sight: &Sight<'_>) -> Chosen {
        let names: Vec<&str> = able.iter().map(|r| r.name.as_str()).collect();
        let standing: Vec<&str> = self
            .requirements
            .iter()
            .zip(&sight.holds)
            .filter(|(_, holds)| **holds)
            .map(|(r, _)| r.name.as_str())
            .collect();
        let already = match (standing.as_slice(), sight.history.attempts) {
            ([], 0) => "Nothing holds yet".to_owned(),
            ([], _) => "Nothing holds".to_owned(),
            ([one], _) => format!("{one} holds"),
            (several, _) => format!("{} hold", several.join(", ")),
        };
        let together = if names.len() > 1 { ", which need nothing of each other" } else { "" };
        Chosen {
            decision: format!("delegate_{}", names.iter().map(|name| word(name)).collect::<Vec<_>>().join("_and_")),
            reasoning: format!("{already}; next: {}{together}.", names.join(", ")),
            step: Step::Delegate(able.iter().map(|r| r.stage.clone()).collect()),
        }
    }
}

/// An error in one line.
pub(super) fn shown(error: &str) -> String {
    match last_words(error) {
        "" => "no error was printed".to_owned(),
        words => text::one_line(words, ERROR_CHARS_MAX),
    }
}
