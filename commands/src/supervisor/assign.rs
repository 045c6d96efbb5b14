//! The task files of agents that wait for their turn: in sequential mode the current task is every agent's, and each has
//! its file, whoever works. Whose turn it is and the file of a live run are not decided or written here.
//!
//! What may have been placed is recorded before it is, beside git's list of ignored paths, which has to name the file for
//! as long as any worktree holds it. So whoever ticks next knows what to take away, even after a kill, another template
//! for worktrees, or a reset of the state. Everything here may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pipeline_lib::claim::marker::FILE_BYTES_MAX;
use pipeline_lib::claim::waiting::is_waiting_file;
use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::pipeline::{Assigned, Pipeline};
use pipeline_lib::run::Work;
use pipeline_lib::task::Task;
use serde::{Deserialize, Serialize};

use super::launch::{prepare_worktree, replace_file_from};
use super::look::read_small;
use super::perform::Failure;
use crate::context::Context;

/// In git's common directory: where task files of waiting agents may be.
const RECORD: &str = "pipeline-task-files.json";
/// The largest record that is read.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What every task file of ours holds, be it of a run or of an agent that waits.
const OURS: &str = "<!-- pipeline run=";

/// A task file that may be in a worktree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Placed {
    task: TaskId,
    worktree: PathBuf,
}

/// A file that an agent should have.
struct Wanted<'a> {
    agent: &'a AgentName,
    placed: Placed,
    text: String,
}

impl<'a> Wanted<'a> {
    fn new(context: &Context, task: &Task, agent: &'a AgentName, text: String) -> Self {
        let worktree = context.worktree(agent.as_str(), Some(&task.id));
        Self { agent, placed: Placed { task: task.id.clone(), worktree }, text }
    }
}

/// Gives every agent that is assigned the current task its file, and takes away those of tasks that are current no more.
/// A worktree in which an agent works is left to its run.
///
/// # Errors
/// When a file cannot be written or removed. The others are in place then.
pub(super) fn place(context: &Context, pipeline: &Pipeline) -> Result<(), Failure> {
    let Some(assigned) = pipeline.assigned() else { return Ok(()) };
    let before = read_record(context)?;
    if before.is_empty() && assigned.task().is_none() {
        return Ok(());
    }
    let files = wanted_files(context, &assigned);
    let wanted: BTreeSet<Placed> = files.iter().map(|file| file.placed.clone()).collect();
    let both: BTreeSet<Placed> = before.union(&wanted).cloned().collect();
    if both != before {
        write_record(context, &both)?;
    }
    let live = live(context, pipeline);
    let (kept, withdrawn) = withdraw(context, &before, &wanted, &live);
    let written = write(context, pipeline, &files, &live);
    if kept != both {
        write_record(context, &kept)?;
    }
    withdrawn.and(written)
}

/// The files that agents should have. Agents that share a worktree are told by their runs alone: one file could not speak
/// to all of them.
fn wanted_files<'a>(context: &Context, assigned: &Assigned<'a>) -> Vec<Wanted<'a>> {
    let Some(task) = assigned.task() else { return Vec::new() };
    let all: Vec<_> = assigned.files().map(|(agent, text)| Wanted::new(context, task, agent, text)).collect();
    let mut sharing: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for file in &all {
        *sharing.entry(file.placed.worktree.clone()).or_default() += 1;
    }
    all.into_iter().filter(|file| sharing.get(&file.placed.worktree) == Some(&1)).collect()
}

/// Whether some worktree may hold a file about this task for an agent that waits, so that git has to ignore it.
///
/// # Errors
/// When the record cannot be read.
pub(super) fn may_be_placed(context: &Context, task: &TaskId) -> Result<bool, Failure> {
    Ok(read_record(context)?.iter().any(|placed| placed.task == *task))
}

/// Removes the file that an agent had while it waited, so that its run finds the worktree as its branch has it.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn clear(worktree: &Path, task: &TaskId) -> std::io::Result<()> {
    let file = worktree.join(Context::task_file_name(task));
    if text_of(&file).is_some_and(|text| is_waiting_file(&text)) {
        std::fs::remove_file(&file)?;
    }
    Ok(())
}

/// Whether a file is a task file that we wrote. So is one that is empty, or all zeros: it holds nothing that could be lost, and it is what a
/// power cut leaves of one that an agent has just changed.
pub(super) fn is_ours(file: &Path) -> bool {
    text_of(file).is_some_and(|text| text.bytes().all(|byte| byte == 0) || text.contains(OURS))
}

fn text_of(file: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&read_small(file, FILE_BYTES_MAX)?).into_owned())
}

/// Where agents work, and at which task.
fn live(context: &Context, pipeline: &Pipeline) -> BTreeSet<Placed> {
    let runs = pipeline.core.runs.values().filter(|run| run.work == Work::Agent);
    let place = |task: &TaskId, agent: &AgentName| Placed {
        task: task.clone(),
        worktree: context.worktree(agent.as_str(), Some(task)),
    };
    runs.filter_map(|run| Some(place(run.task.as_ref()?, &run.agent))).collect()
}

/// Removes the files that nobody should have any more. What remains in the record: what is wanted, what could not be
/// removed, and what a live run of the same task still has git ignore.
fn withdraw(
    context: &Context,
    before: &BTreeSet<Placed>,
    wanted: &BTreeSet<Placed>,
    live: &BTreeSet<Placed>,
) -> (BTreeSet<Placed>, Result<(), Failure>) {
    let mut kept = wanted.clone();
    let mut result = Ok(());
    for stale in before.difference(wanted) {
        let cleared =
            if live.contains(stale) { Ok(()) } else { clear(&stale.worktree, &stale.task).map_err(Failure::from) };
        if cleared.is_err() || live.iter().any(|run| run.task == stale.task) {
            kept.insert(stale.clone());
        }
        result = result.and(cleared);
    }
    let of = |all: &BTreeSet<Placed>| all.iter().map(|placed| placed.task.clone()).collect::<BTreeSet<_>>();
    for task in of(before).difference(&of(&kept)) {
        if let Err(error) = context.repo().unexclude(&line(task)) {
            // The record has to lead here again.
            kept.extend(before.iter().filter(|placed| placed.task == *task).cloned());
            result = result.and(Err(error.into()));
        }
    }
    (kept, result)
}

/// Writes the files of those who wait, where they do not say already what they should.
fn write(context: &Context, pipeline: &Pipeline, files: &[Wanted<'_>], live: &BTreeSet<Placed>) -> Result<(), Failure> {
    let Some(first) = files.first() else { return Ok(()) };
    context.repo().exclude(&line(&first.placed.task))?;
    let at_work = |file: &&Wanted<'_>| live.iter().any(|run| run.worktree == file.placed.worktree);
    let waiting = files.iter().filter(|file| !at_work(file));
    waiting.map(|file| write_one(context, pipeline, file)).fold(Ok(()), Result::and)
}

fn write_one(context: &Context, pipeline: &Pipeline, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let Placed { task, worktree } = &wanted.placed;
    if !worktree.join(".git").exists() {
        let record = pipeline.core.worktrees.get(&pipeline.core.settings.worktree(wanted.agent, task));
        // One that was set up and is gone has to be found fresh by the next run, or it would not be set up again.
        if record.is_some_and(|record| record.setup.is_some()) && context.config().project.setup.is_some() {
            return Ok(());
        }
        prepare_worktree(context, context.repo(), worktree, &context.base_head()?)?;
    }
    let file = worktree.join(Context::task_file_name(task));
    match text_of(&file) {
        Some(found) if found == wanted.text => return Ok(()),
        Some(found) if found.contains(OURS) => {}
        // Somebody else's file, or something that is no file.
        Some(_) => return Ok(()),
        None if std::fs::symlink_metadata(&file).is_ok() => return Ok(()),
        None => {}
    }
    Ok(replace_file_from(&context.repo().private_dir(worktree)?, &file, wanted.text.as_bytes())?)
}

/// The line in git's list of ignored paths.
fn line(task: &TaskId) -> String {
    format!("/{}", Context::task_file_name(task))
}

fn read_record(context: &Context) -> Result<BTreeSet<Placed>, Failure> {
    let path = context.repo().common_dir().join(RECORD);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let bytes = read_small(&path, RECORD_BYTES_MAX);
    let record = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // Without it files may stay behind, which harms less than never placing or removing one again.
    Ok(record.unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "the record of task files is unreadable and begun anew");
        BTreeSet::new()
    }))
}

/// Replaces the record as a whole; it is on disk before anything it names.
fn write_record(context: &Context, record: &BTreeSet<Placed>) -> Result<(), Failure> {
    let dir = context.repo().common_dir();
    let path = dir.join(RECORD);
    if record.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
    }
    let bytes = serde_json::to_vec(record).map_err(std::io::Error::from)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
