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

use super::inputs::Lists;
use super::{branches, commands};
use crate::context::{Context, Ticking};

/// What one stage of a task leaves for the next.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The worktrees, each with the branch that it has and that all of its files are committed on.
    worktrees: BTreeMap<PathBuf, String>,
    /// What the stages said, for those that follow in the same tick.
    pub(super) lists: Lists,
}

impl Held {
    /// Keeps a worktree on a branch, as which all of its files are.
    pub(super) fn hold(&mut self, worktree: PathBuf, branch: String) {
        self.worktrees.insert(worktree, branch);
    }

    /// Hands a worktree over to whoever works in it next. False where it has to be made ready for the branch first.
    pub(super) fn hand_over(&mut self, worktree: &Path, branch: &str) -> bool {
        let is_ready = self.worktrees.get(worktree).is_some_and(|held| held == branch);
        if is_ready {
            self.taken(worktree);
        }
        is_ready
    }

    /// The branch that a worktree is held on, whoever works there next.
    pub(super) fn branch_at(&self, worktree: &Path) -> Option<String> {
        self.worktrees.get(worktree).cloned()
    }

    /// That a worktree has another branch by now, and somebody who works there.
    pub(super) fn taken(&mut self, worktree: &Path) {
        self.worktrees.remove(worktree);
    }

    /// Lets go of every branch whose worktree none of these effects is about to work in, or that another one is about.
    pub(super) fn let_go(&mut self, context: &Context, pipeline: &Pipeline, due: &[Permitted]) {
        if self.worktrees.is_empty() {
            return;
        }
        let due: Vec<Wants> = due.iter().map(|permitted| Wants::of(context, pipeline, permitted.effect())).collect();
        self.worktrees.retain(|worktree, branch| {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use pipeline_lib::event::{Busy, NewTask, Request};
    use pipeline_lib::mode::{Mode, Orchestration, Rollout};
    use pipeline_lib::view::Seen;

    use super::*;
    use crate::context::{Globals, Site};
    use crate::engine::Engine;
    use crate::output::Output;

    fn git(dir: &Path, args: &[&str]) {
        let who = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
        assert!(Command::new("git").current_dir(dir).args(who).args(args).status().unwrap().success(), "{args:?}");
    }

    /// A power cut took the moment at which a worktree had let go of a task's branch, and not what was decided by then: the
    /// task goes on with another agent, and the agent of that worktree begins another task.
    #[test]
    fn whoever_is_about_to_begin_on_another_branch_keeps_nobody_from_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "-b", "main"]);
        git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "start"]);
        fs::create_dir(dir.path().join(".pipeline")).unwrap();
        let agent = |name: &str| {
            format!("[[agents]]\nname = \"{name}\"\nrole = \"architect\"\npreset = \"custom\"\ncommand = [\"true\"]\n")
        };
        fs::write(dir.path().join(".pipeline/config.toml"), agent("one") + &agent("two")).unwrap();
        let globals = Globals { dir: dir.path().to_owned(), ..Globals::default() };
        let context = Context::load(&globals, &Output::captured().0, Site::find(&globals).unwrap()).unwrap();
        let mut engine = Engine::init(&context).unwrap();
        let mode = Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Production };
        let tasks = vec![NewTask::titled("a"), NewTask::titled("b")];
        let asked = vec![Request::SetMode { mode, busy: Busy::Refuse, unready: true }, Request::AddTasks(tasks)];
        engine.ask_all(&context, "test", asked).unwrap();
        engine.feed(&context, "test", &[], true, &Seen::new()).unwrap();
        let pipeline = engine.pipeline();
        let runs: Vec<&Run> = pipeline.core.runs.values().collect();
        let [first, second] = runs[..] else { panic!("both agents were given a task: {runs:?}") };
        let place = |run: &Run| context.worktree(run.agent.as_str(), run.task.as_ref());
        let branch = |run: &Run| pipeline.task(run.task.as_ref().unwrap().as_str()).unwrap().branch();
        // The worktree of the second has the branch of the first.
        let (base, path) = (context.base_head().unwrap(), place(second));
        context.repo().ensure_worktree(&path, &base).unwrap();
        context.repo().ensure_branch(&branch(first), &base).unwrap();
        context.repo().checkout_branch(&path, &branch(first)).unwrap();
        let is_held = || context.repo().worktrees().unwrap().iter().any(|info| info.branch == Some(branch(first)));
        let after_a_kill = || {
            fs::write(dir.path().join(".git/pipeline-at-work"), "").unwrap();
            settle(&context, pipeline, &mut context.tick_lock().unwrap()).unwrap();
        };
        // What may have begun there is left alone.
        let claim = context.run_dir(&second.id).join("claim.json");
        fs::create_dir_all(claim.parent().unwrap()).unwrap();
        fs::write(&claim, "{}").unwrap();
        after_a_kill();
        assert!(is_held());
        fs::remove_file(&claim).unwrap();
        after_a_kill();
        assert!(!is_held());
    }
}
