//! Who is assigned the task of sequential mode: every agent, whoever's turn it is. Each has a file about the task in its
//! own worktree; where that is and what is there already is not known here.

use super::Pipeline;
use crate::agents::preset::Preset;
use crate::claim::marker::Earlier;
use crate::claim::{WaitingFile, render_waiting_file};
use crate::ids::{AgentName, Role};
use crate::mode::{Orchestration, Rollout};
use crate::task::Task;
use crate::workflow::Stage;

/// The agents that should have a file about the current task. Only `Pipeline` makes one, and none where the rollout lets
/// nothing be touched: without it no such file is written or taken away.
#[derive(Debug)]
pub struct Assigned<'a> {
    pipeline: &'a Pipeline,
    task: Option<&'a Task>,
}

impl Pipeline {
    /// Who should have a file about the task of sequential mode; `None` where the rollout lets no file be touched.
    #[must_use]
    pub fn assigned(&self) -> Option<Assigned<'_>> {
        let core = &self.core;
        if core.mode.rollout == Rollout::Shadow {
            return None;
        }
        let sequential = core.mode.orchestration == Orchestration::Sequential;
        let current = core.current_task.as_ref().filter(|id| sequential && self.may_touch(id));
        let task = current.and_then(|id| self.task(id.as_str())).filter(|task| !task.state.is_final());
        Some(Assigned { pipeline: self, task })
    }
}

impl<'a> Assigned<'a> {
    /// The task, if there is one.
    #[must_use]
    pub fn task(&self) -> Option<&'a Task> {
        self.task
    }

    /// Each agent that is assigned it, with the file that it should have while it waits. One whose last work is still in
    /// its worktree is left alone there.
    pub fn files(&self) -> impl Iterator<Item = (&'a AgentName, String)> {
        let (pipeline, task) = (self.pipeline, self.task);
        let usable = |name| pipeline.core.agents.get(name).is_none_or(|agent| agent.broken.is_none());
        // A place for commands reads no file.
        let agents = pipeline.core.settings.agents.iter().filter(|agent| agent.preset != Preset::Command);
        let agents = agents.filter(move |agent| usable(&agent.name));
        agents.filter_map(move |agent| Some((&agent.name, waiting_file(pipeline, task?, &agent.role))))
    }
}

fn waiting_file(pipeline: &Pipeline, task: &Task, role: &Role) -> String {
    let workflow = pipeline.workflow_of(task);
    let stages: Vec<&Stage> =
        workflow.into_iter().flat_map(|workflow| &workflow.stages).filter(|stage| stage.role == *role).collect();
    let outputs = task.outputs.iter();
    let earlier: Vec<Earlier<'_>> = outputs
        .map(|output| Earlier { stage: output.stage.as_str(), outcome: &output.decision, summary: &output.summary })
        .collect();
    render_waiting_file(&WaitingFile {
        task: &task.id,
        title: &task.title,
        body: &task.body,
        branch: &task.branch(),
        base: &pipeline.core.settings.base,
        workflow: &task.workflow,
        at: pipeline.stage_of(task),
        role,
        stages: &stages,
        earlier: &earlier,
    })
}
