//! Performing effects: git and processes. Each effect may be repeated; its result comes back as an event.

use std::time::Duration;

use pipeline_lib::event::{AdvanceOutcome, Event, MergeOutcome, Seen};
use pipeline_lib::fact::Effect;
use pipeline_lib::ids::{CommitId, RunId, TaskId};
use pipeline_lib::pipeline::{Permitted, Pipeline};
use pipeline_lib::run::{Run, StopReason};
use pipeline_lib::task::Dirty;
use pipeline_worktrees::git::{self, Advance, GitError};
use pipeline_worktrees::host::HostError;

use super::begin;
use super::held::Held;
use super::launch::{self, replace_file};
use super::{branches, collect, revert, urge};
use crate::context::Context;
use crate::error::chain;

/// How long everything has between being asked to end and being killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The same for an agent that has said that it is done.
const CLAIMED_GRACE: Duration = Duration::from_secs(2);

/// Why an effect could not be performed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) permanent: bool,
}

impl Failure {
    pub(crate) fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: true }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let permanent = matches!(
            error,
            GitError::BranchElsewhere { .. }
                | GitError::NotAWorktree { .. }
                | GitError::NameTaken { .. }
                | GitError::BadName { .. }
                | GitError::NoSuchBranch { .. }
                | GitError::GitMissing
        );
        Self { message: format!("failed to {}", chain(&error)), permanent }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let permanent = matches!(error, HostError::Tmux { missing: true, .. });
        Self { message: chain(&error), permanent }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { message: chain(&error), permanent: false }
    }
}

/// Performs an effect. A failure is an event too.
pub(super) fn perform(context: &Context, pipeline: &Pipeline, permitted: &Permitted, held: &mut Held) -> Vec<Event> {
    let effect = permitted.effect();
    let result = match effect {
        Effect::Launch { run } => with_run(pipeline, run, |run| launch::launch(context, pipeline, run, held)),
        Effect::Stop { run, reason } => with_run(pipeline, run, |run| {
            let grace = if *reason == StopReason::Claimed { CLAIMED_GRACE } else { STOP_GRACE };
            begin::stop(context, run, word(*reason), grace).map(|()| None)
        }),
        Effect::Urge { run, rung } => {
            with_run(pipeline, run, |run| Ok(Some(urge::urge(context, pipeline, run, *rung))))
        }
        Effect::Collect { run } => with_run(pipeline, run, |run| {
            let seen = Seen::Collected(collect::collect(context, pipeline, run, held)?);
            Ok(Some(Event::Run { run: run.id.clone(), seen }))
        }),
        Effect::JoinParts { task, heads } => join_parts(context, pipeline, task, heads).map(Some),
        Effect::PrepareMerge { task, head } => prepare_merge(context, pipeline, task, head).map(Some),
        Effect::AdvanceBase { task, onto, commit } => advance(context, task, onto, commit).map(Some),
        Effect::RevertBase { task, merge } => revert::take_back(context, pipeline, task, merge).map(Some),
        Effect::WriteCurrentTask { task } => write_current_task(context, task.as_ref()).map(|()| None),
    };
    match result {
        Ok(event) => event.into_iter().collect(),
        Err(failure) => {
            tracing::warn!(effect = effect.word(), key = %effect.key(), message = failure.message, "effect failed");
            vec![Event::EffectFailed { key: effect.key(), message: failure.message, permanent: failure.permanent }]
        }
    }
}

fn with_run(
    pipeline: &Pipeline,
    id: &RunId,
    act: impl FnOnce(&Run) -> Result<Option<Event>, Failure>,
) -> Result<Option<Event>, Failure> {
    // A run that is gone was settled by somebody else: nothing is left to do.
    pipeline.core.runs.get(id).map_or(Ok(None), act)
}

fn word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Claimed => "claimed",
        StopReason::Person => "stopped",
        StopReason::Cancelled => "cancelled",
        StopReason::ModeSwitch => "mode_switch",
        StopReason::Stuck => "stuck",
        StopReason::Budget => "budget",
    }
}

/// Brings the branches of tasks that did parts of a stage together on the task's own, one after the other. Repeated, it
/// finds what it did.
fn join_parts(context: &Context, pipeline: &Pipeline, id: &TaskId, heads: &[CommitId]) -> Result<Event, Failure> {
    let gone = || Failure::permanent(format!("task {id} is not there"));
    let task = pipeline.task(id.as_str()).ok_or_else(gone)?;
    let repo = context.repo();
    let base = context.base_head()?;
    branches::start_joined(context, pipeline, task, &base, heads)?;
    let branch = task.branch();
    let first =
        repo.branch_head(&branch)?.ok_or_else(|| Failure::permanent(format!("branch {branch} is not there")))?;
    let mut onto = first.clone();
    for (nth, head) in heads.iter().enumerate() {
        let message = format!("{id}: join part {} of {}", nth + 1, heads.len());
        onto = match repo.merge_commit(&onto, head, &message, task.state_since)? {
            _ if repo.is_ancestor(&onto, head)? => head.clone(),
            git::MergeOutcome::AlreadyMerged => onto,
            git::MergeOutcome::Commit(commit) => commit,
            git::MergeOutcome::Conflict { files } => {
                return Ok(Event::PartsJoined { task: id.clone(), outcome: MergeOutcome::Conflict { files } });
            }
        };
    }
    if onto != first {
        match repo.advance_branch(&branch, &first, &onto)? {
            Advance::Moved => {}
            Advance::Stale { .. } => {
                return Err(Failure { message: format!("branch {branch} moved meanwhile"), permanent: false });
            }
            Advance::CheckoutDirty { path, .. } => {
                let message = format!("branch {branch} is checked out with changes at {}", path.display());
                return Err(Failure { message, permanent: false });
            }
        }
    }
    let outcome = MergeOutcome::Commit { commit: onto, onto: first };
    Ok(Event::PartsJoined { task: id.clone(), outcome })
}

fn prepare_merge(context: &Context, pipeline: &Pipeline, id: &TaskId, head: &CommitId) -> Result<Event, Failure> {
    let gone = || Failure::permanent(format!("task {id} is not there"));
    let task = pipeline.task(id.as_str()).ok_or_else(gone)?;
    let repo = context.repo();
    let onto = context.base_head()?;
    let message = format!("Merge {id}: {}\n\nBranch {} into {}.", task.title, task.branch(), context.base());
    // The moment at which the task came here makes the commit the same however often this is repeated.
    let outcome = match repo.merge_commit(&onto, head, &message, task.state_since)? {
        git::MergeOutcome::AlreadyMerged => MergeOutcome::AlreadyMerged { onto },
        git::MergeOutcome::Commit(commit) => MergeOutcome::Commit { commit, onto },
        git::MergeOutcome::Conflict { files } => MergeOutcome::Conflict { files },
    };
    Ok(Event::MergePrepared { task: id.clone(), head: head.clone(), outcome })
}

fn advance(context: &Context, id: &TaskId, onto: &CommitId, commit: &CommitId) -> Result<Event, Failure> {
    let repo = context.repo();
    let outcome = match repo.advance_branch(context.base(), onto, commit)? {
        Advance::Moved => AdvanceOutcome::Moved,
        // A crash after the branch had moved: somebody may have built on it since.
        Advance::Stale { found: Some(found) } if repo.is_ancestor(commit, &found)? => AdvanceOutcome::Moved,
        Advance::Stale { .. } => AdvanceOutcome::Stale,
        Advance::CheckoutDirty { files, command, .. } => AdvanceOutcome::Dirty(Dirty { files, command }),
    };
    Ok(Event::BaseAdvanced { task: id.clone(), commit: commit.clone(), outcome })
}

fn write_current_task(context: &Context, task: Option<&TaskId>) -> Result<(), Failure> {
    let path = context.current_task_file();
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let text = task.map_or_else(String::new, |task| format!("{task}\n"));
    replace_file(&path, text.as_bytes())?;
    Ok(())
}
