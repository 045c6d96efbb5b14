//! What speaks for a task's work, and whether it still does. Evidence is bound to the commit it was taken on: whatever
//! came later is not covered by it. What git says now is given; nothing is looked up here.

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::{CommitId, RunId};
use crate::run::{Evidence, Verdict};
use crate::task::{Task, TaskState};

/// The last check that a task's work passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The gate's run.
    pub run: RunId,
    /// What was checked.
    pub commit: CommitId,
    /// When it ended.
    pub at: Timestamp,
    /// What it saw.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// Whether the evidence covers what is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", content = "why", rename_all = "snake_case")]
pub enum Standing {
    /// What was checked is what is there.
    Holds,
    /// Something came later that nobody has checked.
    Overtaken(String),
    /// Nothing was checked.
    Unchecked(String),
}

/// What git says of a task's work now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The head of its branch, where there is one.
    pub head: Option<CommitId>,
    /// Whether base has the commit that it was merged by; `None` where it was not merged.
    pub in_base: Option<bool>,
}

/// The last check that a task's work passed.
#[must_use]
pub fn proof(task: &Task) -> Option<Proof> {
    let passed = task.runs.iter().rev().filter(|run| run.work == "gate" && run.verdict == Verdict::Passed);
    passed
        .filter_map(|run| {
            let (evidence, commit) = (run.evidence.clone()?, run.commit.clone()?);
            Some(Proof { run: run.id.clone(), commit, at: run.ended_at, evidence })
        })
        .next()
}

/// Whether the evidence covers what is there now. `None` for a task that has neither been checked nor come to its end.
#[must_use]
pub fn standing(task: &Task, proof: Option<&Proof>, found: &Found) -> Option<Standing> {
    let merge = task.merged.as_ref().and_then(|merged| merged.commit.as_ref());
    let Some(proof) = proof else {
        let done = task.state == TaskState::Completed;
        return done.then(|| Standing::Unchecked("no check was asked for".to_owned()));
    };
    Some(match (merge, &found.head) {
        (Some(merge), _) if proof.commit != *merge => {
            Standing::Unchecked(format!("{} was merged, and {} was checked", merge.short(), proof.commit.short()))
        }
        (Some(merge), _) if found.in_base == Some(false) => {
            Standing::Overtaken(format!("base no longer has {}", merge.short()))
        }
        (Some(_), _) => Standing::Holds,
        (None, Some(head)) if *head != proof.commit => {
            Standing::Overtaken(format!("the branch has moved on to {}, which was not checked", head.short()))
        }
        (None, Some(_)) => Standing::Holds,
        (None, None) => Standing::Overtaken("its branch is gone".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::world::{OK, World, plain_stage, worker, workflow};
    use crate::event::AdvanceOutcome;
    use crate::settings::Settings;
    use crate::workflow::Verify;

    fn checked(merge: bool) -> World {
        let mut stage = plain_stage("do", "worker");
        stage.merge = merge;
        stage.verify = Verify::Command("make test".to_owned());
        let agents = vec![worker("w1", "worker")];
        let settings = Settings { agents, ..Settings::default() };
        let mut w = World::with(settings, vec![workflow("solo", vec![stage], &[])]);
        w.add_all(&["A"]);
        w.tick();
        w.do_stage("A");
        if merge {
            w.merged("A");
        }
        w
    }

    fn at(commit: &str) -> Found {
        Found { head: Some(CommitId::from(commit.to_owned())), in_base: None }
    }

    #[test]
    fn evidence_is_of_what_was_checked_and_of_nothing_later() {
        let mut w = checked(false);
        assert_eq!(standing(w.task("A"), None, &Found::default()), None, "nothing is claimed yet");
        w.gate("A", OK);
        let task = w.task("A");
        let proof = proof(task).expect("it was checked");
        assert_eq!(proof.evidence.command, "make test");
        assert_eq!(standing(task, Some(&proof), &at(proof.commit.as_str())), Some(Standing::Holds));
        let later = standing(task, Some(&proof), &at("0123456789abcdef"));
        assert!(matches!(later, Some(Standing::Overtaken(why)) if why.contains("0123456")), "an edit after it");
        assert!(matches!(standing(task, Some(&proof), &Found::default()), Some(Standing::Overtaken(_))));
        assert!(matches!(standing(task, None, &at("x")), Some(Standing::Unchecked(_))));
    }

    #[test]
    fn what_was_merged_has_to_be_what_was_checked_and_in_base() {
        let mut w = checked(true);
        w.gate("A", OK);
        w.advanced("A", AdvanceOutcome::Moved);
        let task = w.task("A");
        let proof = proof(task).expect("it was checked");
        let found = |in_base| Found { head: None, in_base: Some(in_base) };
        assert_eq!(standing(task, Some(&proof), &found(true)), Some(Standing::Holds));
        assert!(matches!(standing(task, Some(&proof), &found(false)), Some(Standing::Overtaken(_))));
        let other = Proof { commit: CommitId::from("else".to_owned()), ..proof };
        assert!(matches!(standing(task, Some(&other), &found(true)), Some(Standing::Unchecked(_))));
    }
}
