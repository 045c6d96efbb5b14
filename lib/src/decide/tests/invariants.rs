//! What must hold after every step, whatever has happened.

use std::collections::HashMap;

use crate::fact::Effect;
use crate::mode::Rollout;
use crate::pipeline::{Counts, Pipeline};
use crate::run::Phase;
use crate::task::{Step, Task, TaskState};

/// Panics with what does not hold.
pub(crate) fn check(p: &Pipeline) {
    runs(p);
    tasks(p);
    agents(p);
    effects(p);
    counts(p);
}

fn runs(p: &Pipeline) {
    let mut by_task = HashMap::new();
    let mut by_agent = HashMap::new();
    for run in p.core.runs.values() {
        if let Some(task) = &run.task {
            let other = by_task.insert(task, &run.id);
            assert!(other.is_none(), "{task} has two live runs: {other:?} and {}", run.id);
        }
        let other = by_agent.insert(&run.agent, &run.id);
        assert!(other.is_none(), "{} has two live runs: {other:?} and {}", run.agent, run.id);
        let settled = matches!(run.phase, Phase::Ended { .. }) && !run.work.serves_stage();
        assert!(!settled, "{} is a {} that ended and was not settled", run.id, run.work.word());
    }
}

fn tasks(p: &Pipeline) {
    for task in p.tasks.iter() {
        let id = &task.id;
        if let Some(run) = task.state.run() {
            let run = p.core.runs.get(run).unwrap_or_else(|| panic!("{id} names run {run}, which is not live"));
            assert_eq!(run.task.as_ref(), Some(id), "{id} names the run of another task");
            assert_eq!(run.stage.as_ref(), task.state.stage(), "{id} and its run are at different stages");
            let agent = matches!(task.state, TaskState::Working { .. });
            assert_eq!(
                agent,
                run.work.serves_stage(),
                "{id} is {} and its run a {}",
                task.state.word(),
                run.work.word()
            );
        }
        assert_eq!(
            task.state.is_final(),
            task.finished_at.is_some(),
            "{id} is {} and finished at {:?}",
            task.state.word(),
            task.finished_at
        );
        if task.state == TaskState::Unassigned {
            assert!(task.started_at.is_none(), "{id} was started and is unassigned");
        }
        if let Some(stage) = task.state.stage() {
            let known = p.workflow_of(task).is_some_and(|w| w.stage(stage).is_some());
            assert!(known, "{id} is at stage {stage}, which its workflow does not have");
            if matches!(task.state, TaskState::Paused { .. }) && task.started_at.is_none() {
                // A person is asked before its first stage.
                continue;
            }
            assert!(task.visits.get(stage).is_some_and(|n| *n > 0), "{id} is at {stage} and never entered it");
            assert!(task.started_at.is_some(), "{id} is at {stage} and was never started");
        }
        if task.started_at.is_some() {
            assert!(task.pinned.is_some(), "{id} was started on a map that may change");
        }
    }
}

fn agents(p: &Pipeline) {
    for (name, agent) in &p.core.agents {
        let live = p.core.runs.values().find(|run| run.agent == *name).map(|run| &run.id);
        assert_eq!(agent.run.as_ref(), live, "{name} and its run do not agree");
        if let Some(task) = &agent.verifying {
            let state = p.task(task.as_str()).map(|t| &t.state);
            let checked = matches!(state, Some(TaskState::Verifying { claim, .. }) if claim.agent == *name);
            assert!(checked, "{name} stays for {task}, which is {state:?}");
        }
    }
}

fn effects(p: &Pipeline) {
    for permitted in p.due_effects(p.core.updated_at) {
        let effect = permitted.effect();
        assert!(p.is_due(effect), "{effect:?} is permitted and not due");
        match effect {
            Effect::Launch { run } => {
                let run = &p.core.runs[run];
                assert!(run.phase == Phase::Claimed && run.stop.is_none(), "{} is launched twice", run.id);
                let allowed = run.task.as_ref().map_or(p.core.mode.rollout > Rollout::Shadow, |t| p.may_touch(t));
                assert!(allowed, "{} is launched behind the wall", run.id);
            }
            Effect::Stop { run, .. } => {
                let run = &p.core.runs[run];
                assert!(!matches!(run.phase, Phase::Ended { .. }), "{} is stopped after its end", run.id);
            }
            Effect::Urge { run, .. } => {
                let run = &p.core.runs[run];
                assert!(matches!(run.phase, Phase::Started { .. }) && run.stop.is_none(), "{} is typed into", run.id);
            }
            Effect::Collect { run } => {
                assert!(matches!(p.core.runs[run].phase, Phase::Ended { .. }), "{run} is collected while it lives");
            }
            Effect::JoinParts { task, .. } => {
                assert!(p.may_touch(task), "parts of {task} are joined behind the wall");
            }
            Effect::PrepareMerge { task, .. } => {
                assert!(p.may_touch(task), "{task} is merged behind the wall");
                assert!(matches!(p.task(task.as_str()).unwrap().state, TaskState::Verifying { step: Step::Merge, .. }));
            }
            Effect::AdvanceBase { task, .. } => {
                assert!(p.may_touch(task), "{task} moves base behind the wall");
                let state = &p.task(task.as_str()).unwrap().state;
                assert!(matches!(state, TaskState::Verifying { step: Step::Advance { .. }, .. }));
            }
            Effect::RevertBase { task, .. } => {
                assert!(p.may_touch(task), "{task} is taken back behind the wall");
                let state = &p.task(task.as_str()).unwrap().state;
                assert!(matches!(state, TaskState::Verifying { step: Step::TakeBack { .. }, .. }));
            }
            Effect::WriteCurrentTask { .. } => panic!("the file is compared, not remembered"),
        }
    }
}

fn blocked(task: &Task) -> bool {
    matches!(task.state, TaskState::Blocked { .. })
}

fn counts(p: &Pipeline) {
    let live = |is: fn(&Task) -> bool| p.tasks.iter().filter(|task| is(task)).count() as u64;
    let archived = |word| p.core.archived.values().filter(|task| task.status == word).count() as u64;
    let expected = Counts {
        completed: live(|t| t.state == TaskState::Completed) + archived("completed"),
        in_progress: live(|t| t.in_flight() && !blocked(t)),
        blocked: live(blocked),
        failed: live(|t| t.state == TaskState::Failed) + archived("failed"),
    };
    assert_eq!(p.counts(), expected);
}
