//! Worktrees whose run is over and that still have its branch. Whoever works next at the same branch, in the same worktree
//! and at once, finds everything as it was left: what was just looked at need not be looked at again, and HEAD need not be
//! moved away and back. Every other worktree lets go of its branch before anything else is done.
//!
//! What is held is known to this process alone. Whoever ticks after one that was killed lets go of what it held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline_lib::fact::Effect;
use pipeline_lib::ids::TaskId;
use pipeline_lib::pipeline::{Permitted, Pipeline};
use pipeline_lib::run::{Run, Work};
use pipeline_lib::task::BRANCHES;
use pipeline_worktrees::git::GitError;

use super::{branches, commands};
use crate::context::{Context, Ticking};

/// The worktrees, each with the branch that it has and that all of its files are committed on.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<PathBuf, String>);

impl Held {
    /// Keeps a worktree on a branch, as which all of its files are.
    pub(super) fn hold(&mut self, worktree: PathBuf, branch: String) {
        self.0.insert(worktree, branch);
    }

    /// Hands a worktree over to whoever works in it next. False where it has to be made ready for the branch first.
    pub(super) fn hand_over(&mut self, worktree: &Path, branch: &str) -> bool {
        let is_ready = self.0.get(worktree).is_some_and(|held| held == branch);
        if is_ready {
            self.taken(worktree);
        }
        is_ready
    }

    /// That a worktree has another branch by now, and somebody who works there.
    pub(super) fn taken(&mut self, worktree: &Path) {
        self.0.remove(worktree);
    }

    /// Lets go of every branch whose worktree none of these effects is about to work in, or that another one is about.
    pub(super) fn let_go(&mut self, context: &Context, pipeline: &Pipeline, due: &[Permitted]) {
        if self.0.is_empty() {
            return;
        }
        let due: Vec<Wants> = due.iter().map(|permitted| Wants::of(context, pipeline, permitted.effect())).collect();
        self.0.retain(|worktree, branch| {
            let is_next = |wants: &Wants| wants.worktree.as_deref() == Some(&**worktree);
            let is_elsewhere = |wants: &Wants| wants.branch.as_ref() == Some(branch) && !is_next(wants);
            if due.iter().any(is_next) && !due.iter().any(is_elsewhere) {
                return true;
            }
            match context.repo().let_go(worktree) {
                Ok(()) => false,
                Err(error) => {
                    tracing::warn!(path = %worktree.display(), branch, %error, "a worktree did not let go of its branch");
                    // The next round tries again, as long as there is something to try.
                    worktree.is_dir()
                }
            }
        });
    }
}

/// What an effect works with.
#[derive(Default)]
struct Wants {
    /// The branch of its task.
    branch: Option<String>,
    /// Where it is about to check that out.
    worktree: Option<PathBuf>,
}

impl Wants {
    fn of(context: &Context, pipeline: &Pipeline, effect: &Effect) -> Self {
        let branch = |task: &TaskId| pipeline.task(task.as_str()).map(pipeline_lib::task::Task::branch);
        let of_run = |run: &Run| run.task.as_ref().and_then(branch);
        match effect {
            Effect::Launch { run } => match pipeline.core.runs.get(run) {
                Some(run) => Self { branch: of_run(run), worktree: place(context, pipeline, run) },
                None => Self::default(),
            },
            Effect::Stop { run, .. } | Effect::Urge { run, .. } | Effect::Collect { run } => {
                Self { branch: pipeline.core.runs.get(run).and_then(of_run), worktree: None }
            }
            Effect::JoinParts { task, .. }
            | Effect::PrepareMerge { task, .. }
            | Effect::AdvanceBase { task, .. }
            | Effect::RevertBase { task, .. } => Self { branch: branch(task), worktree: None },
            Effect::WriteCurrentTask { .. } => Self::default(),
        }
    }
}

/// The worktree in which a run has its task's branch.
fn place(context: &Context, pipeline: &Pipeline, run: &Run) -> Option<PathBuf> {
    match run.work {
        Work::Agent | Work::Command { .. } | Work::Probe { .. } => {
            let task = pipeline.task(run.task.as_ref()?.as_str())?;
            commands::worktree(context, pipeline, run, task)
        }
        Work::Gate { .. } | Work::Setup { .. } => None,
    }
}

/// Where the process that ticked before was killed, lets go of what it may have held: every branch of a task in a worktree of
/// ours in which nobody works. No file changes.
///
/// # Errors
/// When the worktrees cannot be listed.
pub(super) fn settle(context: &Context, pipeline: &Pipeline, ticking: &mut Ticking) -> Result<(), GitError> {
    if !ticking.at_work.is_after_kill() {
        return Ok(());
    }
    for info in context.repo().worktrees()? {
        let of_a_task = info.branch.as_ref().is_some_and(|branch| branch.starts_with(BRANCHES));
        if of_a_task
            && !info.prunable
            && context.is_our_worktree(&info.path)
            && !branches::is_in_use(context, pipeline, None, &info.path)
            && let Err(error) = context.repo().let_go(&info.path)
        {
            tracing::warn!(path = %info.path.display(), %error, "a worktree did not let go of its branch");
        }
    }
    ticking.at_work.settle();
    Ok(())
}
