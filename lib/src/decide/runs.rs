//! What follows from what is seen of a run. Every observation names its run; one that no longer fits is ignored.

mod outcome;

use jiff::Timestamp;

use super::aftermath::trespassed;
use super::decided::{Decided, decided};
use outcome::{stated, with_error};

pub(super) use outcome::Outcome;

use super::ladder::goes_on_in_session;
use super::stages::moved;
use super::{Rules, after};
use crate::event::{Collected, Seen};
use crate::fact::{Fact, Move};
use crate::ids::RunId;
use crate::run::{Claim, ClaimSource, Ended, Evidence, Phase, Run, RunSummary, Usage, Verdict, Work};
use crate::task::{Ask, Claimed, Step, Task, TaskState};
use crate::workflow::{Doing, FAILED, Stage};

impl Rules<'_> {
    pub(super) fn run_seen(&self, id: &RunId, seen: &Seen) -> Vec<Fact> {
        let Some(run) = self.p.core.runs.get(id) else { return Vec::new() };
        match seen {
            Seen::Started { pid, at } => match run.phase {
                Phase::Claimed => vec![Fact::RunStarted { run: id.clone(), pid: *pid, started_at: *at }],
                Phase::Started { .. } | Phase::Ended { .. } => Vec::new(),
            },
            Seen::Claimed(claim) => self.claim_seen(run, claim),
            Seen::ForeignClaim { why } if run.foreign_claim.as_ref() != Some(why) => {
                vec![Fact::ClaimRefused { run: id.clone(), why: why.clone() }]
            }
            Seen::ForeignClaim { .. } => Vec::new(),
            Seen::Ended { how, at, evidence, output } => match run.phase {
                Phase::Ended { .. } => Vec::new(),
                Phase::Claimed | Phase::Started { .. } => {
                    self.run_ended(run, how, *at, evidence.as_ref(), output.as_deref())
                }
            },
            Seen::Collected(collected) => match (&run.phase, &run.work) {
                (Phase::Ended { at, how }, Work::Agent | Work::Command { .. }) => {
                    self.run_collected(run, how, *at, collected)
                }
                (Phase::Ended { at, how }, Work::Probe { command }) => {
                    self.probe_collected(run, command, how, *at, collected)
                }
                (Phase::Ended { .. }, Work::Gate { .. } | Work::Setup { .. })
                | (Phase::Claimed | Phase::Started { .. }, _) => Vec::new(),
            },
            Seen::Doing(seen) => Self::doing_seen(run, seen),
            Seen::Typed { rung, refused } => Self::typed(run, *rung, refused.as_ref()),
            Seen::WorktreeFresh { worktree } => self.worktree_fresh(run, worktree),
        }
    }

    fn claim_seen(&self, run: &Run, claim: &Claim) -> Vec<Fact> {
        let live = match run.phase {
            Phase::Claimed | Phase::Started { .. } => true,
            Phase::Ended { .. } => false,
        };
        let known = run.claim.as_ref().is_some_and(|c| {
            // What the agent told us directly is not overruled by what it left in a file.
            c.source == ClaimSource::Command || (c.status == claim.status && c.decision == claim.decision)
        });
        if !live || known || !run.work.can_claim() {
            return Vec::new();
        }
        vec![claimed(run, claim)]
    }

    fn run_ended(
        &self,
        run: &Run,
        how: &Ended,
        at: Timestamp,
        evidence: Option<&Evidence>,
        output: Option<&str>,
    ) -> Vec<Fact> {
        let mut facts = vec![Fact::RunEnded { run: run.id.clone(), how: how.clone(), ended_at: at }];
        match &run.work {
            Work::Agent | Work::Command { .. } | Work::Probe { .. } => {}
            Work::Gate { .. } => facts.extend(self.gate_ended(run, how, at, evidence, output.unwrap_or_default())),
            Work::Setup { command, worktree } => {
                facts.push(Fact::RunClosed { run: run.id.clone(), summary: None });
                facts.extend(self.setup_ended(worktree, command, how, output.unwrap_or_default()));
            }
        }
        facts
    }

    fn setup_ended(&self, worktree: &str, command: &str, how: &Ended, output: &str) -> Option<Fact> {
        let worktree = worktree.to_owned();
        match how {
            Ended::Exited { code: 0 } => Some(Fact::WorktreeReady { worktree, setup: command.to_owned() }),
            Ended::Stopped { .. } => None,
            Ended::Exited { .. }
            | Ended::Signaled { .. }
            | Ended::TimedOut
            | Ended::NotStarted { .. }
            | Ended::Interrupted { .. } => {
                let scheduler = &self.p.core.settings.scheduler;
                let failures = self.p.core.worktrees.get(&worktree).map_or(0, |w| w.failures) + 1;
                let again = failures <= scheduler.retries;
                let retry_at = again.then(|| after(self.now.at, self.backoff(scheduler.backoff, failures)));
                let message = format!("`{command}` {}\n{output}", how);
                Some(Fact::WorktreeFailed { worktree, message, retry_at })
            }
        }
    }

    fn gate_ended(
        &self,
        run: &Run,
        how: &Ended,
        at: Timestamp,
        evidence: Option<&Evidence>,
        output: &str,
    ) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage_of(run) else {
            return vec![Fact::RunClosed { run: run.id.clone(), summary: None }];
        };
        let verdict = match how {
            Ended::Exited { code: 0 } => Verdict::Passed,
            Ended::Interrupted { .. } if self.interrupted_too_often(task, stage) => Verdict::Failed,
            // Nothing was found out about the claim: the gate runs again.
            Ended::Stopped { .. } | Ended::Interrupted { .. } => Verdict::Void,
            Ended::Exited { .. } | Ended::Signaled { .. } | Ended::TimedOut | Ended::NotStarted { .. } => {
                Verdict::Failed
            }
        };
        let mut summary = self.summary(run, how, at, verdict, &Usage::default());
        summary.evidence = evidence.cloned();
        if let Work::Gate { commit, .. } = &run.work {
            summary.commit = Some(commit.clone());
        }
        let mut facts = vec![Fact::RunClosed { run: run.id.clone(), summary: Some(Box::new(summary)) }];
        let TaskState::Verifying { claim, step: Step::Gate { run: gate, merged, .. }, .. } = &task.state else {
            return facts;
        };
        if gate.as_ref() != Some(&run.id) {
            return facts;
        }
        match (verdict, how) {
            (Verdict::Passed, _) => facts.extend(self.gate_passed(task, &stage.id, claim)),
            (Verdict::Void, _) => {}
            (Verdict::Failed, Ended::NotStarted { message, .. }) => {
                facts.extend(self.block(task, Some(&stage.id), &format!("the gate could not be started: {message}")));
            }
            (Verdict::Failed, _) => {
                let command = evidence.map_or("the gate", |e| e.command.as_str());
                if *merged {
                    let why = format!("after the merge `{command}` {how}");
                    facts.extend(self.taken_back_next(task, stage, claim, &why, output));
                    return facts;
                }
                let why = format!("the gate failed: `{command}` {}", how);
                let feedback = format!("{why}\n{output}");
                facts.extend(self.attempt_failed(task, stage, &why, &feedback, Some(claim)));
            }
        }
        facts
    }

    /// A gate that takes its host down every time would otherwise run forever.
    fn interrupted_too_often(&self, task: &Task, stage: &Stage) -> bool {
        let gates = task.runs.iter().rev().take_while(|run| run.work == "gate");
        let interrupted = gates.take_while(|run| matches!(run.how, Ended::Interrupted { .. })).count();
        interrupted >= stage.retries.unwrap_or(self.p.core.settings.scheduler.retries) as usize
    }

    /// The task of a run and the stage it served, wherever the task is by now.
    fn task_and_stage_of(&self, run: &Run) -> Option<(&Task, &Stage)> {
        let task = self.p.task(run.task.as_ref()?.as_str())?;
        Some((task, self.p.workflow_of(task)?.stage(run.stage.as_ref()?)?))
    }

    fn run_collected(&self, run: &Run, how: &Ended, at: Timestamp, left: &Collected) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage_of(run) else {
            return vec![Fact::RunClosed { run: run.id.clone(), summary: None }];
        };
        let said = run.claim.clone().filter(|c| c.source == ClaimSource::Command).or_else(|| left.claim.clone());
        let claim = said.or_else(|| run.claim.clone());
        let claim = claim.or_else(|| self.exit_code_claim(run, how, at, left));
        let outcome = self.outcome(run, stage, how, claim.as_ref(), left);
        let Decided { decision, unclear } = decided(task, run, stage, claim.as_ref(), &left.decision, &left.summary);
        let answer = match (&stage.doing, &run.work) {
            (Doing::Hub(hub), Work::Agent) => self.hub_answer(task, stage, hub, &outcome, stated(&claim, left)),
            _ => None,
        };
        let refused = matches!(answer, Some(Err(_)));
        // A command whose exit code says `failed` has failed.
        let by_exit = |word: &str| word == FAILED && matches!(run.work, Work::Command { .. });
        let fails = |word: &String| by_exit(word) || self.fails_its_hub(task, &stage.id, word);
        let verdict = match outcome.verdict() {
            Verdict::Passed if refused || decision.as_ref().is_some_and(fails) => Verdict::Failed,
            verdict => verdict,
        };
        let mut summary = self.summary(run, how, at, verdict, &left.usage.at_least(&run.used));
        (summary.commit, summary.claimed) = (Some(left.commit.clone()), claim.as_ref().map(|c| c.status));
        let words = claim.as_ref().and_then(|c| c.summary.clone()).unwrap_or_else(|| left.summary.clone());
        let words = if verdict == Verdict::Failed { with_error(words, run, left) } else { words };
        let said = match (&answer, &outcome, how) {
            (Some(Err(why)), _, _) => why.clone(),
            // Its end says nothing about why.
            (_, Outcome::Failed(why), Ended::Exited { code: 0 }) => why.clone(),
            _ => words.clone(),
        };
        summary.summary = Some(said).filter(|text| !text.is_empty());
        // Closed, done with the stage, moved on: growing step by step would copy each of them.
        let mut facts = Vec::with_capacity(3);
        facts.push(Fact::RunClosed { run: run.id.clone(), summary: Some(Box::new(summary)) });
        facts.extend(outcome.about_the_agent(self, run));
        facts.extend(trespassed(run, left));
        let proposed = left.proposal.as_ref().map(|proposal| self.proposed(run, task, proposal));
        let proposes = proposed.is_some();
        facts.extend(proposed);
        // The task may have been taken elsewhere while the run was being stopped.
        if task.state.run() != Some(&run.id) {
            return facts;
        }
        let claimed = Claimed {
            decision,
            commit: left.commit.clone(),
            agent: run.agent.clone(),
            run: run.id.clone(),
            summary: words,
            approved: false,
            approved_by: None,
            by: None,
        };
        let outcome = outcome.unless(unclear.filter(|_| !matches!(stage.doing, Doing::Hub(_))));
        let record = task.record_for(&stage.id).filter(|_| matches!(outcome, Outcome::Done | Outcome::Unclear(_)));
        facts.extend(match (&stage.doing, &run.work, answer, record) {
            (Doing::Hub(hub), Work::Agent, Some(answer), _) => self.hub_answered(task, stage, hub, &claimed, answer),
            (Doing::Hub(hub), Work::Command { .. }, _, _) if matches!(outcome, Outcome::Done) => {
                self.hub_looked(task, stage, hub, &claimed, left)
            }
            (Doing::Agent, Work::Command { .. }, _, Some(record)) => self.agent_replayed(task, stage, record, claimed),
            _ => self.task_after(task, stage, outcome, claimed, left),
        });
        if proposes {
            self.put_in_order(&mut facts);
        }
        facts
    }

    fn task_after(
        &self,
        task: &Task,
        stage: &Stage,
        outcome: Outcome,
        claimed: Claimed,
        left: &Collected,
    ) -> Vec<Fact> {
        match outcome {
            Outcome::Done => self.accept(task, stage, claimed),
            Outcome::Unclear(said) => self.unclear(task, stage, claimed, &said),
            Outcome::Review(why) => self.ask(task, stage, claimed, Ask::Review, why),
            Outcome::Blocked(why) => self.block(task, Some(&stage.id), &why),
            Outcome::Failed(why) => {
                let feedback = format!("{why}\n{}", left.output);
                let facts = self.attempt_failed(task, stage, &why, &feedback, Some(&claimed));
                match self.p.core.runs.get(&claimed.run) {
                    Some(run) => goes_on_in_session(run, facts),
                    None => facts,
                }
            }
            Outcome::Stuck(why) => {
                self.p.core.runs.get(&claimed.run).map_or_else(Vec::new, |run| Self::after_stuck(run, task, why))
            }
            Outcome::Void(why) | Outcome::Limited { why, .. } | Outcome::Unreachable(why) | Outcome::Broken(why) => {
                let with = Move { reason: Some(why), uncounted: true, ..Move::default() };
                vec![moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with)]
            }
        }
    }

    /// Where nothing is left to do at a stage it is skipped; else it begins.
    fn probe_collected(&self, run: &Run, command: &str, how: &Ended, at: Timestamp, left: &Collected) -> Vec<Fact> {
        let Some((task, stage)) = self.task_and_stage_of(run) else {
            return vec![Fact::RunClosed { run: run.id.clone(), summary: None }];
        };
        let taken_back = matches!(how, Ended::Stopped { .. } | Ended::Interrupted { .. });
        let holds = *how == Ended::Exited { code: 0 };
        let verdict = if taken_back { Verdict::Void } else { Verdict::Passed };
        let mut summary = self.summary(run, how, at, verdict, &left.usage);
        summary.commit = Some(left.commit.clone());
        let mut facts = vec![Fact::RunClosed { run: run.id.clone(), summary: Some(Box::new(summary)) }];
        if task.state.run() != Some(&run.id) {
            return facts;
        }
        if holds {
            let claim = Claimed {
                decision: stage.default_decision().map(str::to_owned),
                commit: left.commit.clone(),
                agent: run.agent.clone(),
                run: run.id.clone(),
                summary: format!("skipped: it holds already, says `{command}`"),
                approved: false,
                approved_by: None,
                by: None,
            };
            facts.extend(match claim.decision.clone() {
                Some(decision) => self.finish(task, stage, &claim, &decision, None),
                None => self.accept(task, stage, claim),
            });
            return facts;
        }
        let with = Move { probed: !taken_back, ..Move::default() };
        facts.push(moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with));
        facts
    }

    /// A worktree turned out to be new: the run is taken back, and the set-up comes first.
    fn worktree_fresh(&self, run: &Run, worktree: &str) -> Vec<Fact> {
        let has_setup = self.p.core.settings.setup.is_some() && !matches!(run.work, Work::Setup { .. });
        if run.phase != Phase::Claimed || !has_setup {
            return Vec::new();
        }
        let mut facts = vec![
            Fact::RunClosed { run: run.id.clone(), summary: None },
            Fact::WorktreeReset { worktree: worktree.to_owned() },
        ];
        if let (true, Some((task, stage))) = (run.work.serves_stage(), self.task_and_stage_of(run))
            && task.state.run() == Some(&run.id)
        {
            let with = Move { uncounted: true, ..Move::default() };
            facts.push(moved(&task.id, TaskState::Ready { stage: stage.id.clone() }, with));
        }
        facts
    }

    pub(super) fn summary(&self, run: &Run, how: &Ended, at: Timestamp, verdict: Verdict, usage: &Usage) -> RunSummary {
        let started_at = run.started_at.unwrap_or(run.claimed_at);
        RunSummary {
            id: run.id.clone(),
            work: run.work.word().into(),
            agent: run.agent.clone(),
            stage: run
                .stage
                .clone()
                .unwrap_or_else(|| crate::ids::StageId::new("setup").expect("a literal stage id is well formed")),
            attempt: run.attempt,
            interactive: run.interactive,
            started_at,
            ended_at: at.max(started_at),
            how: how.clone(),
            verdict,
            claimed: None,
            summary: None,
            commit: None,
            evidence: None,
            usage: *usage,
            arm: run.arm.clone(),
        }
    }
}

/// A claim of a run. A later one replaces what was said, not since when: the time to end runs from the first.
pub(super) fn claimed(run: &Run, claim: &Claim) -> Fact {
    let at = run.claim.as_ref().map_or(claim.at, |first| first.at);
    Fact::ClaimNoted { run: run.id.clone(), claim: Claim { at, ..claim.clone() } }
}
