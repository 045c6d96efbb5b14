//! Collecting what a run left once it is over: its work onto the task's branch, its task file into its directory, what it
//! said, and what it used. Repeated, it finds what it did. What follows from it is decided elsewhere.

use std::path::{Path, PathBuf};

use jiff::Zoned;
use pipeline_lib::agents::failure_in_errors;
use pipeline_lib::agents::reading::{Reading, Way};
use pipeline_lib::agents::stream::{FINAL_TEXT_BYTES_MAX, Format, OUTPUT_BYTES_MAX, Summary, sniff, summarize};
use pipeline_lib::claim::{self, Decision};
use pipeline_lib::event::{Collected, Event, Seen};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, Usage, Work};
use pipeline_lib::task::Task;
use pipeline_lib::text;
use pipeline_lib::workflow::execute_block::Execute;
use pipeline_worktrees::git::Committed;
use pipeline_worktrees::host::{self, HostError, Stream};

use super::confine::private_dir;
use super::held::Held;
use super::launch::replace_file;
use super::look::{both_outputs, claim_in_files, drawn, read_outcome, read_small};
use super::perform::Failure;
use super::secrets::Secrets;
use super::{assign, clones, commands, proposals, results, spending, trespass};
use crate::context::Context;
use crate::error::chain;

/// So much of an agent's output is read at once, where it can be read in pieces.
const PIECE_BYTES: usize = 256 * 1024;
/// How much of what a session drew is read.
const SESSION_BYTES_MAX: usize = 64 * 1024;
/// How much of the end of a standard error is looked at.
const ERRORS_BYTES_MAX: usize = 16 * 1024;
/// The longest summary of a run, in characters.
const SUMMARY_CHARS_MAX: usize = 2_000;
/// In a run's directory, once its work is kept: what has to be said about where it is, if that is not on its branch.
const KEPT: &str = "kept";

/// What a run left that has just ended, where nothing has to be done to keep it: it worked in the main checkout, or left a
/// worktree as its branch has it, and no files of it are wanted. Else that is done once the end is recorded.
pub(super) fn collect_at_once(context: &Context, pipeline: &Pipeline, run: &Run, held: &mut Held) -> Option<Event> {
    if !matches!(run.work, Work::Agent | Work::Command { .. } | Work::Probe { .. }) {
        return None;
    }
    let task = pipeline.task(run.task.as_ref()?.as_str())?;
    let stage = pipeline.workflow_of(task)?.stage(run.stage.as_ref()?)?;
    if !stage.artifacts.is_empty() {
        return None;
    }
    let dir = context.run_dir(&run.id);
    let worktree = commands::worktree(context, pipeline, run, task);
    let task_file = match &worktree {
        Some(worktree) => take_from_whole(context, run, task, worktree, &dir)?,
        None => None,
    };
    let left = Left { place: worktree.as_deref().unwrap_or(context.root()), task_file, notes: Vec::new() };
    let said = what_was_said(context, pipeline, run, task, &dir, left).ok()?;
    if let Some(worktree) = worktree {
        held.hold(worktree, task.branch());
    }
    Some(Event::Run { run: run.id.clone(), seen: Seen::Collected(said) })
}

/// Takes the task file, if the run had one, out of a worktree that is as its branch has it, where the run has moved no other
/// branch and nobody has begun to collect it. None where more than that has to be done.
fn take_from_whole(context: &Context, run: &Run, task: &Task, worktree: &Path, dir: &Path) -> Option<Option<String>> {
    let is_there = |file: PathBuf| std::fs::symlink_metadata(file).is_ok();
    let (branch, name) = (task.branch(), Context::task_file_name(&task.id));
    let is_whole = || context.repo().is_as_committed(worktree, &branch).unwrap_or(false);
    let is_begun = || is_there(dir.join(KEPT)) || is_there(dir.join(trespass::FOUND));
    if is_there(dir.to_owned()) && is_begun() || !is_whole() {
        return None;
    }
    let mut task_file = None;
    if run.work == Work::Agent {
        if !has_started(run, dir) || !trespass::is_clear(context, run, &branch) {
            return None;
        }
        task_file = take_task_file(worktree, dir, &name, true).ok()?;
        trespass::settle(context, run).ok()?;
    }
    if has_moved(context, task).ok()? && !host::is_settled(dir) {
        context.repo().make_durable(worktree).ok()?;
    }
    // What has that name now is somebody's work, and git must not ignore it.
    (!is_there(worktree.join(name))).then_some(task_file)
}

/// Waits until what an ended run left is on disk, where its host has not: once its end is on record, what is found there
/// counts as its work, also after a power cut.
pub(super) fn settle(context: &Context, pipeline: &Pipeline, run: &Run) -> Result<(), Failure> {
    let task = run.task.as_ref().and_then(|id| pipeline.task(id.as_str()));
    let worktree = task.and_then(|task| commands::worktree(context, pipeline, run, task));
    match worktree.filter(|_| run.work.serves_stage() && !host::is_settled(&context.run_dir(&run.id))) {
        Some(worktree) => Ok(context.repo().make_durable(&worktree)?),
        None => Ok(()),
    }
}

/// Whether the branch of a task is not where the last of its stages left it, so that somebody else has committed there.
fn has_moved(context: &Context, task: &Task) -> Result<bool, Failure> {
    let head = context.repo().branch_head(&task.branch())?;
    Ok(match task.outputs.last() {
        Some(output) => head.as_ref() != Some(&output.commit),
        None => head.is_some() && head != Some(context.base_head()?),
    })
}

/// A host may have died before anybody saw it start.
fn has_started(run: &Run, dir: &Path) -> bool {
    run.started_at.is_some() || host::start_record(dir).is_ok_and(|start| start.is_some())
}

/// Reads what an ended run left and keeps its work on the task's branch. The worktree lets go of the branch, so that the
/// next agent can have it, or is held for whoever goes on there.
pub(super) fn collect(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    held: &mut Held,
) -> Result<Collected, Failure> {
    let gone = || Failure::permanent(format!("the task of run {} is not there", run.id));
    let task = run.task.as_ref().and_then(|id| pipeline.task(id.as_str())).ok_or_else(gone)?;
    let repo = context.repo();
    let dir = context.run_dir(&run.id);
    let Some(worktree) = commands::worktree(context, pipeline, run, task) else {
        let left = Left { place: context.root(), task_file: None, notes: Vec::new() };
        return what_was_said(context, pipeline, run, task, &dir, left);
    };
    private_dir(&dir)?;
    let name = Context::task_file_name(&task.id);
    let mut started = has_started(run, &dir);
    let task_file = take_task_file(&worktree, &dir, &name, started)?;
    // What else has that name is the agent's work, and git must not ignore it.
    if std::fs::symlink_metadata(worktree.join(&name)).is_ok() {
        repo.unexclude(&format!("/{name}"))?;
    }
    let mut notes = Vec::new();
    let mut found = trespass::Found::default();
    // Whatever it was committed with: the record of its end relies on it. What we commit is durable as it is.
    let moved = has_moved(context, task)?;
    let taken = clones::take(context, &worktree)?;
    if worktree.is_dir() {
        let branch = task.branch();
        let mended = repo.mend(&worktree, &dir)?;
        // The branch was checked out, and that was on disk, before it could begin: what is there after a power cut that left
        // no record of it is somebody else's where another one is.
        started &= !host::is_unrecorded(&dir) || repo.is_on(&worktree, &branch)?;
        found = trespass::compare(context, run, &branch, &worktree, mended)?;
        // One that an earlier run left, and whose owner might have lived then, would stop every commit of this task.
        repo.clear_locks_of(&worktree, &branch, task.started_at.unwrap_or(run.claimed_at).into())?;
        let mut is_whole = false;
        // Where this is repeated there is nothing left to commit, and what had to be said about it is found here.
        let kept = dir.join(KEPT);
        match std::fs::read_to_string(&kept) {
            Ok(before) => notes.extend(before.lines().map(str::to_owned)),
            // What is there before a run has begun is not its work, and stays as it is.
            Err(_) if !started => {}
            Err(_) => {
                notes.extend(taken.notes.iter().cloned());
                if host::is_of_another_boot(&dir) {
                    repo.put_back_lost(&worktree)?;
                }
                let work = keep_work(context, run, task, &worktree)?;
                // A clone that was not taken as it is may be tried again, and move the branch.
                is_whole = work.is_on_branch && taken.refused.is_none();
                notes.extend(work.note);
                if !notes.is_empty() {
                    replace_file(&kept, notes.join("\n").as_bytes())?;
                }
            }
        }
        // The files stay as they are: whoever works here next brings them where it needs them, all in one go.
        match is_whole {
            true => held.hold(worktree.clone(), branch),
            false => repo.let_go(&worktree)?,
        }
    }
    if moved && !host::is_settled(&dir) {
        repo.make_durable(&worktree)?;
    }
    found.certain.extend(taken.refused.clone());
    let words = |list: Vec<String>| (!list.is_empty()).then(|| list.join("; "));
    let left = Left { place: &worktree, task_file, notes };
    let collected = what_was_said(context, pipeline, run, task, &dir, left)?;
    clones::end(context, &worktree, &taken)?;
    Ok(Collected { trespass: words(found.certain), suspicion: words(found.possible), ..collected })
}

/// What a run left, beside its output and its outcome file.
struct Left<'a> {
    /// Where it worked.
    place: &'a Path,
    /// Its task file.
    task_file: Option<String>,
    /// What has to be said about where its work is.
    notes: Vec<String>,
}

/// What a run said about its outcome, and where its work stands.
fn what_was_said(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    task: &Task,
    dir: &Path,
    left: Left<'_>,
) -> Result<Collected, Failure> {
    let stage = run.stage.as_ref().and_then(|id| pipeline.workflow_of(task)?.stage(id));
    // A command that said nothing at all has left nothing that could be read, and there are many of them.
    let has_outcome = std::fs::symlink_metadata(context.outcome_file(run)).is_ok();
    let has_output = dir.is_dir();
    let is_measured = stage.is_some_and(|stage| !stage.thresholds.is_empty() || !stage.artifacts.is_empty());
    let secrets = match has_outcome || has_output || is_measured || !left.notes.is_empty() {
        true => Secrets::known(context, stage),
        false => Secrets::default(),
    };
    if has_outcome {
        mask_outcome(context, run, &secrets)?;
    }
    let measured = stage.map(|stage| results::measure(context, run, stage, left.place)).transpose()?;
    let measured = measured.unwrap_or_default();
    let commit = match context.repo().branch_head(&task.branch())? {
        Some(commit) => commit,
        None => context.base_head()?,
    };
    let says = has_outcome || left.task_file.is_some();
    let stated = says.then(|| claim_in_files(context, run, || left.task_file)).flatten();
    // Whoever wrote one meant to say something, and an exit code must not say the opposite of it.
    let unclear = (has_outcome && stated.is_none()).then(|| unreadable_outcome(context, run)).flatten();
    let claim = stated.and_then(Result::ok).map(|mut claim| {
        claim.summary = claim.summary.map(|summary| with_notes(&summary, &measured.notes));
        claim
    });
    let summary = has_output.then(|| summary_of(pipeline, run, dir)).flatten();
    let choices = stage.map(|stage| task.choices(stage)).unwrap_or_default();
    // What a session has on its screen is no last message: it may be anybody's words.
    let final_text = summary.as_ref().filter(|_| !run.interactive).and_then(|s| s.final_text.clone());
    let final_text = final_text.unwrap_or_default();
    let decision = claim::decide(&final_text, &choices);
    let mut words = match &decision {
        Decision::Chosen { reasoning: Some(reasoning), .. } => reasoning.clone(),
        // What was meant as one stands near the end.
        Decision::NotListed { .. } | Decision::Unclear => {
            text::safe(text::tail_bytes(&final_text, SUMMARY_CHARS_MAX), SUMMARY_CHARS_MAX)
        }
        Decision::Chosen { .. } | Decision::None => text::safe(&final_text, SUMMARY_CHARS_MAX),
    };
    words = with_notes(&words, &left.notes);
    words = with_notes(&words, &measured.notes);
    let proposal = (run.work == Work::Agent).then(|| proposals::read(context, &final_text)).flatten();
    let proposed = proposal.as_ref().map(|proposal| proposals::in_words(pipeline, proposal));
    words = with_notes(&words, proposed.as_slice());
    let usage = match run.interactive {
        true => spending::of_session(pipeline, run, dir),
        false => summary.as_ref().map_or_else(Usage::default, |s| Usage {
            tokens: s.tokens.as_ref().map_or(0, |t| t.input + t.output),
            cost_usd: s.cost_usd.unwrap_or(0.0),
        }),
    };
    Ok(Collected {
        commit,
        claim,
        decision,
        failure: summary.and_then(|s| s.failure),
        summary: secrets.mask(&words),
        output: if has_output { secrets.mask(&both_outputs(dir)) } else { String::new() },
        usage,
        unmet: measured.unmet.or_else(|| unclear.map(|why| secrets.mask(&why))),
        trespass: None,
        suspicion: None,
        proposal: proposal.map(|proposal| match proposal {
            Ok(asked) => Ok(Execute { prompt: secrets.mask(&asked.prompt), ..asked }),
            Err(problem) => Err(secrets.mask(&problem)),
        }),
    })
}

/// Why the outcome file of an ended run says nothing, if it is there and not empty.
fn unreadable_outcome(context: &Context, run: &Run) -> Option<String> {
    let file = context.outcome_file(run);
    let found = std::fs::symlink_metadata(&file).ok()?;
    let Some(bytes) = read_outcome(context, run) else {
        let most = claim::outcome::FILE_BYTES_MAX;
        return Some(format!("its outcome file is no plain file of at most {most} bytes ({} bytes)", found.len()));
    };
    let error = claim::Outcome::parse(&bytes).err().filter(|_| !bytes.trim_ascii().is_empty())?;
    Some(format!("what it said is unclear: {}", text::one_line(&chain(&error), 300)))
}

/// Takes secrets out of the outcome file, which an agent wrote and we keep.
fn mask_outcome(context: &Context, run: &Run, secrets: &Secrets) -> Result<(), Failure> {
    let Some(bytes) = read_outcome(context, run) else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    let masked = secrets.mask(&text);
    if masked != text {
        replace_file(&context.outcome_file(run), masked.as_bytes())?;
    }
    Ok(())
}

fn with_notes(words: &str, notes: &[String]) -> String {
    notes.iter().fold(words.to_owned(), |words, note| format!("{words}\n{note}").trim_start().to_owned())
}

/// What the output of a run says. That of a session is read for limits only, from what it drew last.
fn summary_of(pipeline: &Pipeline, run: &Run, dir: &Path) -> Option<Summary> {
    let format = pipeline.core.agents.get(&run.agent)?.preset.info().format;
    let now = Zoned::now();
    if run.interactive {
        let end = host::tail(dir, Stream::Stdout, SESSION_BYTES_MAX).unwrap_or_default();
        return Some(summarize(Format::Plain, &drawn(&end), &now));
    }
    let mut summary = summary_of_stream(dir, format, &now).unwrap_or_default();
    if summary.failure.is_none() && run.work == Work::Agent {
        let errors = host::tail(dir, Stream::Stderr, ERRORS_BYTES_MAX).unwrap_or_default();
        if !errors.is_empty() {
            // What its output ends with tells whether it got on after all; of a format that is read as a whole, all of it.
            let bytes_max = if format.way() == Way::Whole { OUTPUT_BYTES_MAX } else { PIECE_BYTES };
            let output = host::tail(dir, Stream::Stdout, bytes_max).unwrap_or_default();
            summary.failure = failure_in_errors(format, &output, &errors, &now);
        }
    }
    Some(summary)
}

/// An agent may print as much as it likes, and what is read of it at once stays small where its format allows it.
fn summary_of_stream(dir: &Path, format: Format, now: &Zoned) -> Result<Summary, HostError> {
    let format = match format {
        Format::Auto => {
            let begin = host::read_log(dir, Stream::Stdout, 0, PIECE_BYTES)?;
            sniff(&String::from_utf8_lossy(&begin.bytes))
        }
        known => known,
    };
    match format.way() {
        Way::Whole => Ok(summarize(format, &host::tail(dir, Stream::Stdout, OUTPUT_BYTES_MAX)?, now)),
        Way::ByItsEnd => Ok(summarize(format, &host::tail(dir, Stream::Stdout, FINAL_TEXT_BYTES_MAX)?, now)),
        Way::InPieces => {
            let mut reading = Reading::new(format, now);
            let end = host::read_log(dir, Stream::Stdout, 0, 0)?.end;
            let mut from = end.saturating_sub(OUTPUT_BYTES_MAX as u64);
            loop {
                let piece = host::read_log(dir, Stream::Stdout, from, PIECE_BYTES)?;
                if piece.bytes.is_empty() {
                    return Ok(reading.finish());
                }
                reading.read(&piece.bytes);
                from = piece.from + piece.bytes.len() as u64;
            }
        }
    }
}

/// Moves the task file out of the worktree into the run's directory, where it stays as evidence, and reads it. Of a run
/// that never started a file may be there that we did not write.
fn take_task_file(worktree: &Path, dir: &Path, name: &str, started: bool) -> Result<Option<String>, Failure> {
    let kept = dir.join(name);
    let there = worktree.join(name);
    if !started && !assign::is_ours(&there) {
        return Ok(None);
    }
    if let Some(bytes) = read_small(&there, claim::marker::FILE_BYTES_MAX) {
        match std::fs::rename(&there, &kept) {
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => replace_file(&kept, &bytes)?,
            moved => moved?,
        }
    }
    match std::fs::symlink_metadata(&there) {
        // Something else of that name is the agent's work and stays.
        Ok(found) if found.is_file() || found.is_symlink() => std::fs::remove_file(&there)?,
        Ok(_) | Err(_) => {}
    }
    let bytes = read_small(&kept, claim::marker::FILE_BYTES_MAX);
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What became of uncommitted work.
struct KeptWork {
    /// It is on the task's branch now, and the worktree as that is.
    is_on_branch: bool,
    /// Where it is instead.
    note: Option<String>,
}

/// Commits what is not committed. What ended up beside the task's branch is kept under a rescue reference and said.
fn keep_work(context: &Context, run: &Run, task: &Task, worktree: &Path) -> Result<KeptWork, Failure> {
    let repo = context.repo();
    let stage = run.stage.as_ref().map_or("work", |stage| stage.as_str());
    let message = format!("{}: {stage} by {}\n\nUncommitted work of run {}.", task.id, run.agent, run.id);
    let note = match repo.commit_all(worktree, &message, &[])? {
        Committed::Nothing => {
            return Ok(KeptWork { is_on_branch: repo.is_on(worktree, &task.branch())?, note: None });
        }
        Committed::Branch { branch, .. } if branch == task.branch() => {
            return Ok(KeptWork { is_on_branch: true, note: None });
        }
        Committed::Branch { branch, commit } => {
            Some(format!("(its last work is on branch {branch} at {}, not on {})", commit.short(), task.branch()))
        }
        Committed::Rescued { reference, .. } => {
            Some(format!("(work that was on no branch is kept at {reference}; see `pipeline trash list`)"))
        }
    };
    Ok(KeptWork { is_on_branch: false, note })
}
