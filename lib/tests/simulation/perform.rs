//! Effects as the world outside sees them. Each may be repeated, be cut short, or fail.

use pipeline_lib::agents::stream::Failure;
use pipeline_lib::claim::Decision;
use pipeline_lib::event::{AdvanceOutcome, Collected, Event, MergeOutcome, RevertOutcome, Seen};
use pipeline_lib::fact::{Effect, EffectKey};
use pipeline_lib::ids::{CommitId, RunId, TaskId};
use pipeline_lib::run::{Claim, ClaimSource, ClaimStatus, Ended, Run, StopReason, Usage, Work};
use pipeline_lib::task::Dirty;

use crate::broken::Broken;
use crate::outside::{Host, Place};
use crate::world::{Result, World};

impl World {
    pub(crate) fn perform(&mut self, who: usize, effect: &Effect) -> Result<Vec<Event>> {
        self.say(|| format!("process {who} performs {effect:?}"));
        if !self.kind && self.dice.permille(30) {
            let permanent = self.dice.permille(200);
            return Ok(vec![Event::EffectFailed { key: effect.key(), message: "no space left".to_owned(), permanent }]);
        }
        let run = match effect.key() {
            EffectKey::Run(id) => match self.processes[who].pipeline().core.runs.get(&id) {
                Some(run) => Some(run.clone()),
                None => return Ok(Vec::new()),
            },
            EffectKey::Task(_) | EffectKey::CurrentTask => None,
        };
        match (effect, run) {
            (Effect::Launch { .. }, Some(run)) => self.launch(who, &run),
            (Effect::Stop { reason, .. }, Some(run)) => {
                self.request_stop(&run, *reason);
                Ok(Vec::new())
            }
            (Effect::Collect { run: id }, Some(run)) => {
                let collected = self.collect(id, &run);
                Ok(vec![Event::Run { run: id.clone(), seen: Seen::Collected(collected) }])
            }
            (Effect::JoinParts { task, heads }, _) => Ok(vec![self.join(task, heads)]),
            (Effect::PrepareMerge { task, head }, _) => Ok(vec![self.prepare_merge(task, head)]),
            (Effect::AdvanceBase { task, onto, commit }, _) => Ok(vec![self.advance(task, onto, commit)]),
            (Effect::RevertBase { task, merge }, _) => Ok(vec![self.take_back(task, merge)]),
            (
                Effect::WriteCurrentTask { .. }
                | Effect::Launch { .. }
                | Effect::Stop { .. }
                | Effect::Urge { .. }
                | Effect::Collect { .. },
                _,
            ) => Ok(Vec::new()),
        }
    }

    fn launch(&mut self, who: usize, run: &Run) -> Result<Vec<Event>> {
        let place = Place::new(run);
        let has_setup = self.processes[who].pipeline().core.settings.setup.is_some();
        let setting_up = matches!(run.work, Work::Setup { .. });
        let worktree = place.worktree.clone();
        if self.repository.worktrees.insert(worktree.clone()) && has_setup && !setting_up {
            return Ok(vec![Event::Run { run: run.id.clone(), seen: Seen::WorktreeFresh { worktree } }]);
        }
        self.places.entry(run.id.clone()).or_insert(place);
        if !self.kind && self.dice.permille(20) {
            self.processes[who].die();
            return Ok(Vec::new());
        }
        if self.broken == Some(Broken::NoHandshake) {
            let at = self.at;
            let boot = self.boot;
            let place = self.places.get_mut(&run.id).expect("it was made above");
            if place.exit.is_none() {
                place.host = Host::Started;
                place.start.get_or_insert((boot, at));
                return self.begin_agent(&run.id).map(|()| Vec::new());
            }
            return Ok(Vec::new());
        }
        self.places.get_mut(&run.id).expect("it was made above").spawned += 1;
        Ok(Vec::new())
    }

    /// The request comes first, then the look for a start record: whatever the order, at least one sees the other.
    fn request_stop(&mut self, run: &Run, reason: StopReason) {
        let at = self.at;
        let place = self.places.entry(run.id.clone()).or_insert_with(|| Place::new(run));
        place.stop = Some(reason);
        if place.exit.is_none() && place.start.is_none() && !place.host_lives() {
            place.exit = Some((Ended::Stopped { reason }, at));
        }
    }

    /// What a run says in its files and its output.
    pub(crate) fn left_by(&mut self, id: &RunId, run: &Run, commit: CommitId) -> Collected {
        let marker = self.places.get(id).and_then(|place| place.marker);
        let decisive = run.stage.as_ref().is_some_and(|stage| stage.as_str() == "review");
        let decision = match self.dice.below(8) {
            0 if decisive => Decision::Chosen { choice: "rework".to_owned(), reasoning: None },
            1 if decisive && !self.kind => Decision::Unclear,
            _ => Decision::None,
        };
        let is_agent = !self.kind && run.work == Work::Agent;
        let limited = is_agent && self.dice.permille(30);
        let offline = is_agent && !limited && self.dice.permille(30);
        let failure = match (limited, offline) {
            (true, _) => Some(Failure::RateLimited { until: None, text: "limit reached".to_owned() }),
            (false, true) => Some(Failure::Unreachable { text: "no route".to_owned() }),
            (false, false) => None,
        };
        let claim = marker.filter(|_| run.work.can_claim());
        let at = self.at;
        Collected {
            commit,
            claim: claim.map(|status| Claim { status, decision: None, summary: None, source: ClaimSource::Marker, at }),
            decision,
            failure,
            summary: String::new(),
            output: "its output".to_owned(),
            usage: Usage::default(),
            unmet: (self.dice.permille(20) && claim == Some(ClaimStatus::Completed)).then(|| "too little".to_owned()),
            proposal: None,
            trespass: None,
            suspicion: None,
        }
    }

    fn join(&mut self, task: &TaskId, heads: &[CommitId]) -> Event {
        let outcome = match heads.last() {
            _ if !self.kind && self.dice.permille(100) => MergeOutcome::Conflict { files: vec!["f".to_owned()] },
            None => MergeOutcome::AlreadyMerged { onto: self.repository.head(task) },
            Some(_) => {
                let onto = self.repository.head(task);
                let commit = self.repository.commit("j");
                self.repository.heads.insert(task.clone(), commit.clone());
                MergeOutcome::Commit { commit, onto }
            }
        };
        Event::PartsJoined { task: task.clone(), outcome }
    }

    fn prepare_merge(&mut self, task: &TaskId, head: &CommitId) -> Event {
        let onto = self.repository.tip();
        let outcome = if self.repository.holds(head) {
            MergeOutcome::AlreadyMerged { onto }
        } else if !self.kind && self.dice.permille(120) {
            MergeOutcome::Conflict { files: vec!["f".to_owned()] }
        } else {
            let commit = self.repository.commit("m");
            self.repository.merges.insert(commit.clone(), (onto.clone(), head.clone()));
            MergeOutcome::Commit { commit, onto }
        };
        Event::MergePrepared { task: task.clone(), head: head.clone(), outcome }
    }

    fn take_back(&mut self, task: &TaskId, merge: &CommitId) -> Event {
        let outcome = if self.repository.reverted.contains(merge) {
            RevertOutcome::Reverted { by: None }
        } else if !self.kind && self.dice.permille(100) {
            RevertOutcome::Conflict { files: vec!["f".to_owned()] }
        } else {
            let by = self.repository.commit("t");
            self.repository.base.push(by.clone());
            self.repository.reverted.insert(merge.clone());
            let again = self.repository.commit("h");
            self.repository.heads.insert(task.clone(), again);
            RevertOutcome::Reverted { by: Some(by) }
        };
        Event::BaseReverted { task: task.clone(), merge: merge.clone(), outcome }
    }

    fn advance(&mut self, task: &TaskId, onto: &CommitId, commit: &CommitId) -> Event {
        let outcome = if self.repository.base.contains(commit) {
            AdvanceOutcome::Moved
        } else if !self.kind && self.dice.permille(100) {
            AdvanceOutcome::Dirty(Dirty { files: vec!["f".to_owned()], command: "git stash".to_owned() })
        } else if self.repository.tip() == *onto {
            self.repository.base.push(commit.clone());
            AdvanceOutcome::Moved
        } else if self.broken == Some(Broken::NoCompareAndSwap) {
            // What came after `onto` is in no history any more.
            let known = self.repository.base.iter().position(|at| at == onto);
            self.repository.base.truncate(known.map_or(1, |at| at + 1));
            self.repository.base.push(commit.clone());
            AdvanceOutcome::Moved
        } else {
            AdvanceOutcome::Stale
        };
        Event::BaseAdvanced { task: task.clone(), commit: commit.clone(), outcome }
    }
}
