//! What a person gets who has to go on where a hub gave up: what failed, what was tried, where the evidence is, and what
//! could be done by hand. The first line says it all for whoever sees no more than that.

use super::choose::{Sight, shown};
use super::{Chosen, ESCALATE, Hub, Known, Past, RECOVER, RESET_ADVICE, Step};
use crate::ids::StageId;
use crate::text;

/// Attempts beyond these are counted only: the latest say most.
const ATTEMPTS_MAX: usize = 10;
/// The longest line about a recovery, in characters.
const RECOVERY_CHARS_MAX: usize = 120;

impl Hub {
    /// Hands the task to a person, with everything that is needed to go on from here.
    pub(super) fn escalate(&self, stage: &StageId, error: &str, sight: &Sight<'_>, known: &Known<'_>) -> Chosen {
        let failed = sight.history.failed.get(stage).map(Vec::as_slice).unwrap_or_default();
        let mut report = match failed.len() {
            0 => "A person is asked; nothing is left broken.".to_owned(),
            1 => format!("{stage} failed: {}.", shown(error)),
            n => format!("{stage} failed {n} times in a row, the last time with: {}.", shown(error)),
        };
        if sight.history.recoveries_failed > 0 {
            report.push_str(&format!(
                " {} in a row failed.",
                counted(sight.history.recoveries_failed, "recovery", "recoveries")
            ));
        } else if self.recovery.is_none() && !failed.is_empty() {
            report.push_str(" No stage mends it.");
        }
        self.what_failed(&mut report, sight);
        self.what_was_tried(&mut report, sight, known);
        self.evidence(&mut report, sight, known);
        self.by_hand(&mut report, stage, failed, known);
        Chosen { decision: ESCALATE.to_owned(), reasoning: report, step: Step::Escalate }
    }

    fn what_failed(&self, report: &mut String, sight: &Sight<'_>) {
        if sight.history.failed.is_empty() {
            return;
        }
        report.push_str("\n\nWhat failed:\n");
        for (stage, failed) in &sight.history.failed {
            report.push_str(&format!("- {stage}, {} in a row\n", counted(count(failed.len()), "time", "times")));
            for (error, n) in grouped(failed.iter().map(|past| shown(past.summary))) {
                report.push_str(&format!("  {n}x: {error}\n"));
            }
        }
        let tried: Vec<&Past<'_>> = sight.history.failed.values().flatten().collect();
        let left_out = tried.len().saturating_sub(ATTEMPTS_MAX);
        report.push_str(&format!("\nAttempts ({} of stages in all):\n", sight.history.attempts));
        if left_out > 0 {
            report.push_str(&format!("- {left_out} older ones\n"));
        }
        for past in tried.iter().skip(left_out) {
            report.push_str(&format!("- {} {}: {}\n", past.stage, past.decision, evidence_of(past)));
        }
    }

    fn what_was_tried(&self, report: &mut String, sight: &Sight<'_>, known: &Known<'_>) {
        let Some(recovery) = &self.recovery else { return };
        let gap = if report.ends_with('\n') { "" } else { "\n" };
        report.push_str(&format!("{gap}\nRecoveries tried:\n"));
        if sight.history.recoveries.is_empty() {
            report.push_str("- none\n");
        }
        let words = |past: &Past<'_>| {
            let said = text::one_line(past.summary, RECOVERY_CHARS_MAX);
            if said.is_empty() { past.decision.to_owned() } else { format!("{}: {said}", past.decision) }
        };
        for (words, n) in grouped(sight.history.recoveries.iter().map(words)) {
            report.push_str(&format!("- {recovery} {words} ({n}x)\n"));
        }
        let counted_past = known.past.iter().skip(known.forgiven);
        let advised = |past: &&Past<'_>| {
            past.stage == known.hub && past.decision.starts_with(RECOVER) && past.summary.contains(RESET_ADVICE)
        };
        let resets = counted_past.filter(advised).count();
        if resets > 0 {
            report.push_str(&format!("- of these with the advice `{RESET_ADVICE}`: {resets}x\n"));
        }
    }

    fn evidence(&self, report: &mut String, sight: &Sight<'_>, known: &Known<'_>) {
        let names = |wanted: bool| {
            let all = self.requirements.iter().zip(&sight.holds).filter(|(_, holds)| **holds == wanted);
            let names: Vec<&str> = all.map(|(r, _)| r.name.as_str()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let gap = if report.ends_with('\n') { "" } else { "\n" };
        report.push_str(&format!("{gap}\nEvidence:\n"));
        report.push_str(&format!("- holds now: {}; does not: {}\n", names(true), names(false)));
        let mut last: Vec<&Past<'_>> = Vec::new();
        for past in known.past.iter().rev().filter(|past| past.stage != known.hub) {
            if !last.iter().any(|other| other.stage == past.stage) {
                last.push(past);
            }
        }
        for past in last.iter().rev() {
            report.push_str(&format!(
                "- last run of {}, which decided {}: {}\n",
                past.stage,
                past.decision,
                evidence_of(past)
            ));
        }
    }

    fn by_hand(&self, report: &mut String, stage: &StageId, failed: &[Past<'_>], known: &Known<'_>) {
        let mut steps = Vec::new();
        if let Some(last) = failed.last() {
            steps.push(format!("Read what {stage} printed: pipeline logs --run {}", last.run));
        }
        let probes = self.requirements.iter().filter(|r| r.stage == *stage).filter_map(|r| r.probe.as_ref());
        steps.extend(probes.map(|probe| format!("Make this succeed: {}", probe.trim())));
        let task = known.task;
        steps.push(format!("Let it go on; failures are counted anew: pipeline task retry {task}"));
        steps.push(format!("Or give it up: pipeline task cancel {task}"));
        report.push_str("\nSuggested manual actions:\n");
        for (n, step) in steps.iter().enumerate() {
            report.push_str(&format!("{}. {step}\n", n + 1));
        }
        report.truncate(report.trim_end().len());
    }
}

/// Where what a run left can be read.
fn evidence_of(past: &Past<'_>) -> String {
    format!("{}; run {}, .pipeline/runs/{}/", shown(past.summary), past.run, past.run)
}

/// What is the same counted, in the order in which it came first.
fn grouped(all: impl Iterator<Item = String>) -> Vec<(String, u32)> {
    let mut groups: Vec<(String, u32)> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|(other, _)| *other == one) {
            Some((_, n)) => *n += 1,
            None => groups.push((one, 1)),
        }
    }
    groups
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn counted(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
