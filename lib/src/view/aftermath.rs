//! What a failure left, in words for whoever looks at a task: what its stage said of it, what was started because of it or
//! could not be, and what a chain went on without. Decides nothing, and starts nothing.

use crate::pipeline::Pipeline;
use crate::registry::chain::is_chain;
use crate::task::{ParentWhy, Task, TaskState};
use crate::text::{last_error, one_line};
use crate::workflow::FAILED;

/// The longest reason that is repeated behind another one, in characters.
const REASON_CHARS_MAX: usize = 300;

/// What was started because a task failed, such as its rollback, and how that stands. Who lets the task go on has to know
/// it: its stage begins on what that left behind.
#[must_use]
pub fn what_followed(pipeline: &Pipeline, task: &Task) -> Option<String> {
    let followed = pipeline.after_failure_of(&task.id)?;
    let begun = if followed.started_at.is_some() { "was started when it failed" } else { "is to follow its failure" };
    Some(format!("{} ({}) {begun}, and is {}", followed.id, followed.workflow, followed.state.word()))
}

/// Why the workflow that is started when a task fails cannot be started, if that is so: what failed is not rolled back then.
#[must_use]
pub fn cannot_follow(pipeline: &Pipeline, task: &Task) -> Option<String> {
    let failed = task.state == TaskState::Failed || task.given_up;
    // What mends a failure is not mended by itself.
    let mends = task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Failure);
    if !failed || mends || pipeline.after_failure_of(&task.id).is_some() {
        return None;
    }
    let id = pipeline.workflow_of(task)?.on_failure.as_ref()?;
    let stage = task.left_at.as_ref().or(task.state.stage());
    let why = pipeline.follows_failure(task, id, stage, task.reason.as_deref().unwrap_or_default()).err()?;
    Some(format!("its `on_failure`, workflow {id}, cannot be started: {why}"))
}

/// Why a task failed, with what the stage said that failed behind it.
#[must_use]
pub fn why_failed(task: &Task) -> Option<String> {
    let reason = task.reason.as_ref()?;
    let last = task.outputs.last().filter(|output| output.decision == FAILED && task.state == TaskState::Failed);
    let said = last.filter(|output| task.left_at.as_ref() == Some(&output.stage));
    let said = said.map(|output| one_line(last_error(&output.summary), REASON_CHARS_MAX)).unwrap_or_default();
    match said.is_empty() || reason.contains(&said) {
        true => Some(reason.clone()),
        false => Some(format!("{reason}: {said}")),
    }
}

/// The parts that failed and that a chain went on without, with why; none where there are none.
#[must_use]
pub fn went_on_without(pipeline: &Pipeline, chain: &Task) -> Option<String> {
    let parts = left_out(pipeline, chain);
    let words: Vec<String> = parts
        .iter()
        .map(|part| {
            let why = why_failed(part).unwrap_or_default();
            // That it was left behind is what is said here.
            let said = part.parent.as_ref().map(|parent| format!("{} went on without it", parent.task));
            let why = said.and_then(|said| why.strip_prefix(said.as_str())).unwrap_or(&why);
            let why = one_line(why.trim_start_matches(':'), REASON_CHARS_MAX);
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            format!("{} ({}), which is {}{why}", part.id, part.workflow, part.state.word())
        })
        .collect();
    (!words.is_empty()).then(|| format!("it went on without {}", words.join(", and ")))
}

/// The parts that failed and that a chain went on without, also those of its chains. A part that was done by another try is
/// none.
#[must_use]
pub fn left_out<'a>(pipeline: &'a Pipeline, chain: &Task) -> Vec<&'a Task> {
    if !pipeline.workflow_of(chain).is_some_and(|workflow| is_chain(workflow)) {
        return Vec::new();
    }
    let is_part = |task: &&Task| {
        task.parent.as_ref().is_some_and(|parent| parent.why == ParentWhy::Part && parent.task == chain.id)
    };
    let mut parts: Vec<&Task> = pipeline.tasks.iter().filter(is_part).collect();
    parts.sort_by_key(|part| part.order);
    let stage = |task: &Task| task.parent.as_ref().map(|parent| parent.stage.clone());
    let last = |part: &&&Task| !parts.iter().any(|other| other.order > part.order && stage(other) == stage(part));
    let mut found = Vec::new();
    for part in parts.iter().filter(last) {
        match part.state {
            TaskState::Completed => found.extend(left_out(pipeline, part)),
            _ if part.state.is_final() => found.push(*part),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::agents::preset::Preset;
    use crate::decide::tests::world::*;
    use crate::event::{Collected, NewTask};
    use crate::ids::{WorkflowId, command_role};
    use crate::registry::{Chain, Link};
    use crate::run::{Ended, Verdict};
    use crate::settings::{AgentSettings, Settings};
    use crate::view::{attention, explain_task};
    use crate::workflow::{Doing, Exit, Param, Stage, Workflow};

    fn command(id: &str) -> Stage {
        let doing = Doing::Command("true".to_owned());
        Stage { doing, retries: Some(0), ..plain_stage(id, "command") }
    }

    fn world(workflows: Vec<Workflow>) -> World {
        let place = AgentSettings { role: command_role().clone(), preset: Preset::Command, ..worker("c1", "command") };
        World::with(Settings { agents: vec![place], ..settings() }, workflows)
    }

    fn begun(mut w: World, id: &str, on: &str) -> World {
        w.add(NewTask::named(id).on(on));
        w.tick();
        w
    }

    #[test]
    fn a_command_whose_exit_code_says_failed_has_failed_with_its_last_words() {
        let mut a = command("a");
        a.decisions = choices(&["success", "failed"]);
        a.decisions[0].exit = vec![Exit::Code(0)];
        a.decisions[1].exit = vec![Exit::Code(7)];
        let ways = [("a", None, Some("success")), ("a", None, Some("failed"))];
        let mut w = begun(world(vec![workflow("flow", vec![a], &ways)]), "A", "flow");
        let left = Collected { summary: "looking".to_owned(), output: "looking\nno luck".to_owned(), ..left_nothing() };
        w.work("A", Ended::Exited { code: 7 }, left);
        let run = w.task("A").runs.last().unwrap();
        assert_eq!((w.status("A").as_str(), run.verdict), ("failed", Verdict::Failed));
        let why = why_failed(w.task("A")).unwrap();
        assert_eq!(why, "stage a failed and its workflow ends there: no luck");
        assert_eq!(explain_task(&w.p, w.task("A")).rule, why);
    }

    #[test]
    fn a_rollback_that_cannot_be_started_is_told_to_who_looks() {
        let mut flow = workflow("flow", vec![command("a")], &[]);
        flow.on_failure = WorkflowId::new("need").ok();
        let mut ends = workflow("ends", vec![command("a")], &[("a", None, Some("failed"))]);
        ends.on_failure.clone_from(&flow.on_failure);
        let mut need = workflow("need", vec![command("x")], &[]);
        let required = Param { required: true, ..Param::default() };
        need.params = BTreeMap::from(["must", "reason"].map(|name| (name.to_owned(), required.clone())));
        for (on, state) in [("flow", "blocked"), ("ends", "failed")] {
            let mut w = begun(world(vec![flow.clone(), ends.clone(), need.clone()]), "A", on);
            assert_eq!(cannot_follow(&w.p, w.task("A")), None, "nothing failed yet");
            w.work("A", BAD, left_nothing());
            let expected = "its `on_failure`, workflow need, cannot be started: parameter `must` is missing";
            assert_eq!((w.status("A").as_str(), cannot_follow(&w.p, w.task("A")).as_deref()), (state, Some(expected)));
            assert!(explain_task(&w.p, w.task("A")).observations.contains(&expected.to_owned()));
            let told: Vec<_> = attention(&w.p).into_iter().filter(|one| one.kind == "not_followed").collect();
            assert_eq!(told[0].summary, format!("A: {expected}"));
        }
        need.params.remove("must");
        let mut w = begun(world(vec![flow, need]), "A", "flow");
        w.work("A", BAD, left_nothing());
        assert_eq!(cannot_follow(&w.p, w.task("A")), None);
        assert!(what_followed(&w.p, w.task("A")).unwrap().starts_with("A.on-failure (need) was started"));
    }

    #[test]
    fn a_chain_tells_which_part_it_went_on_without() {
        let name = |id: &str| WorkflowId::new(id).unwrap();
        let all = ["good", "bad"].map(|id| workflow(id, vec![command("do")], &[]));
        let chain = Chain {
            id: name("chain"),
            at: String::new(),
            description: String::new(),
            category: String::new(),
            triggers: Vec::new(),
            links: ["bad", "good"].map(|id| Link { workflow: name(id), params: BTreeMap::new() }).into(),
            stop_on_failure: false,
            on_failure: None,
        };
        let chain = chain.workflow(|id| all.iter().find(|known| known.id == *id).cloned().map(Arc::new)).unwrap();
        let mut w = begun(world(all.into_iter().chain([chain]).collect()), "C", "chain");
        w.work("C.bad", BAD, left_nothing());
        w.work("C.good", OK, left_nothing());
        assert_eq!(w.status("C"), "completed");
        let words = went_on_without(&w.p, w.task("C")).unwrap();
        assert_eq!(words, "it went on without C.bad (bad), which is failed: c1 exited with code 1, 1 attempt");
        assert!(explain_task(&w.p, w.task("C")).observations.contains(&words));
        assert_eq!(went_on_without(&w.p, w.task("C.good")), None);
    }
}
