//! What a command is told of the stages before it, as files: `STAGE.txt` is what a stage said, cut where that is long, and a
//! line of `outputs.jsonl` says what it decided and where the whole of it is. An agent is told in its task file.
//!
//! Making a file is the dearest part of it, and where many were deleted a moment ago some file systems take very long for
//! it. So there is one for each stage that said something, and no more than a few beside them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pipeline_lib::ids::{RunId, TaskId};
use pipeline_lib::run::Run;
use pipeline_lib::task::{StageOutput, Task};
use pipeline_lib::workflow::Stage;
use pipeline_worktrees::host::{self, Stream};
use pipeline_worktrees::process::boot_id;
use serde_json::{Value, json};

use super::confine::private_dir;
use super::launch::replace_file;
use super::perform::Failure;
use super::results::ARTIFACTS;
use crate::context::Context;

/// The directory in a run's that holds what the stages before it said, where it names them.
const NAMED: &str = "inputs";
/// Beside the directories of runs: what all stages of a task said, a directory for each task.
const ALL: &str = ".inputs";
/// In place of such a directory where no stage is done yet. An empty list is in it.
const NONE: &str = ".none";
/// What was decided, a line for each output.
const LIST: &str = "outputs.jsonl";
/// How many outputs are there, how long the list is, of which run the last one is, and since when the machine runs, a line
/// each time and the last one counts. After a power cut all of it is written anew, because none was synced.
const WRITTEN: &str = ".written";
/// How much of its end is read.
const WRITTEN_BYTES_MAX: usize = 512;
/// What stages that said nothing have said: their files are other names of this one.
const SILENCE: &str = ".silence";
/// A file has no more names than this; one of ext4 may have a few more.
const NAMES_MAX: u64 = 60_000;
/// The lists of so many tasks are kept open.
const LISTS_MAX: usize = 16;
/// How much of an earlier output is handed on; the whole of it is named.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What a directory says of itself.
#[derive(Debug)]
struct Noted {
    /// Where it says so, and the list.
    file: File,
    list: File,
    /// How many outputs are in it, and of which run the last one is.
    count: usize,
    last: RunId,
    /// How long the list is.
    list_bytes: u64,
}

impl Noted {
    /// Whether all that is there is of the task.
    fn is_of(&self, task: &Task) -> bool {
        let last = self.count.checked_sub(1).and_then(|last| task.outputs.get(last));
        last.is_some_and(|output| output.run == self.last)
    }
}

/// What this process has just written, still open: one stage of a task follows the other, and nobody else writes there while
/// we tick.
#[derive(Debug, Default)]
pub(super) struct Lists(HashMap<TaskId, Noted>);

impl Lists {
    fn keep(&mut self, task: &Task, noted: Noted) {
        if self.0.len() >= LISTS_MAX {
            self.0.clear();
        }
        self.0.insert(task.id.clone(), noted);
    }

    /// Closes all of them.
    pub(super) fn close(&mut self) {
        self.0.clear();
    }
}

/// Writes what the earlier stages said, and returns the directory.
///
/// # Errors
/// When that cannot be written.
pub(super) fn write(
    context: &Context,
    run: &Run,
    task: &Task,
    stage: &Stage,
    lists: &mut Lists,
) -> Result<PathBuf, Failure> {
    let kept = lists.0.remove(&task.id).filter(|noted| stage.inputs.is_empty() && noted.is_of(task));
    // Somebody may have removed it, and then it is written anew.
    if kept.is_some()
        && let Ok(dir) = write_on(context, run, task, stage, (kept, lists))
    {
        return Ok(dir);
    }
    write_on(context, run, task, stage, (None, lists))
}

fn write_on(
    context: &Context,
    run: &Run,
    task: &Task,
    stage: &Stage,
    (kept, lists): (Option<Noted>, &mut Lists),
) -> Result<PathBuf, Failure> {
    // Where all of them are wanted one directory serves every run of the task, or a long way would be written anew at
    // each of its steps.
    let all = stage.inputs.is_empty();
    let dir = match all {
        true => context.runs_dir().join(ALL).join(task.id.as_str()),
        false => context.run_dir(&run.id).join(NAMED),
    };
    if all && task.outputs.is_empty() {
        let none = context.runs_dir().join(ALL).join(NONE);
        let list = none.join(LIST);
        if fs::symlink_metadata(&list).is_err() {
            private_dir(&none)?;
            File::options().append(true).create(true).mode(0o444).open(list)?;
        }
        return Ok(none);
    }
    let noted = match kept {
        None if all => noted(&dir, task)?,
        kept => kept,
    };
    let (before, list_bytes) = noted.as_ref().map_or((0, 0), |noted| (noted.count, noted.list_bytes));
    if all && noted.is_none() {
        // A task of this name may have been here before the state was reset.
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    if noted.is_none() {
        // As everything of a run, for its owner alone.
        private_dir(&dir)?;
    }
    let Some(last) = task.outputs.last().filter(|_| before < task.outputs.len()) else { return Ok(dir) };
    let wanted = |output: &&StageOutput| all || stage.inputs.iter().any(|name| name == output.stage.as_str());
    let mut lines = String::new();
    // In order, so that what a stage said last is what is there.
    for output in task.outputs.iter().skip(before).filter(wanted) {
        let (said, about) = told_of(context, task, output);
        let path = dir.join(format!("{}.txt", output.stage));
        match all && said.is_empty() {
            true => write_silence(&dir, &path)?,
            false => write_text(&path, &said)?,
        }
        lines.push_str(&about.to_string());
        lines.push('\n');
    }
    let (mut list, file) = match noted {
        Some(noted) => (noted.list, Some(noted.file)),
        None => (open_to_add(&dir.join(LIST))?, None),
    };
    // What was written there and not noted comes again.
    if list.metadata()?.len() != list_bytes {
        list.set_len(list_bytes)?;
    }
    list.write_all(lines.as_bytes())?;
    if all {
        let list_bytes = list_bytes + lines.len() as u64;
        // Half of a line names no boot, and then everything is written anew.
        let line = format!("\n{} {list_bytes} {} {}", task.outputs.len(), last.run, boot_id());
        let mut file = file.map_or_else(|| open_to_add(&dir.join(WRITTEN)), Ok)?;
        file.write_all(line.as_bytes())?;
        lists.keep(task, Noted { file, list, count: task.outputs.len(), last: last.run.clone(), list_bytes });
    }
    Ok(dir)
}

/// What an output said, cut where it is long, and what else there is to be told of it.
fn told_of(context: &Context, task: &Task, output: &StageOutput) -> (String, Value) {
    let of = context.run_dir(&output.run);
    let command = task.runs.iter().any(|earlier| earlier.id == output.run && earlier.work == "command");
    let whole = of.join(Stream::Stdout.file_name());
    // Many commands say nothing, and leave no directory.
    let has_said = of.is_dir();
    let printed =
        if has_said { host::tail(&of, Stream::Stdout, TEXT_BYTES_MAX).unwrap_or_default() } else { String::new() };
    // What an agent's program prints is a protocol; its words are in the summary.
    let (said, cut) = if command || (output.summary.is_empty() && !printed.is_empty()) {
        let cut = has_said && fs::metadata(&whole).is_ok_and(|found| found.len() > TEXT_BYTES_MAX as u64);
        (printed, cut)
    } else {
        (output.summary.clone(), false)
    };
    let about = json!({
        "stage": output.stage, "decision": output.decision, "summary": output.summary, "run": output.run,
        "commit": output.commit, "log": whole, "cut": cut, "artifacts": of.join(ARTIFACTS),
    });
    (said, about)
}

fn open_to_add(path: &Path) -> std::io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Writes one of the files. One that nobody can have open yet is written where it will be; what is left half-way is
/// written anew, since it is not counted.
fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    match File::options().write(true).create_new(true).open(path) {
        Ok(mut file) => Ok(file.write_all(text.as_bytes())?),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(replace_file(path, text.as_bytes())?),
        Err(error) => Err(error.into()),
    }
}

/// Writes that a stage said nothing.
fn write_silence(dir: &Path, path: &Path) -> Result<(), Failure> {
    let silence = dir.join(SILENCE);
    // Whoever may do anything may have written to it.
    let serves = |found: fs::Metadata| found.len() == 0 && found.nlink() < NAMES_MAX;
    if !fs::symlink_metadata(&silence).is_ok_and(serves) {
        match fs::remove_file(&silence) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        File::options().write(true).create_new(true).mode(0o444).open(&silence)?;
    }
    match fs::hard_link(&silence, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => match fs::symlink_metadata(path)?.len() {
            0 => Ok(()),
            _ => write_text(path, ""),
        },
        // Not every file system lets a file have many names.
        Err(_) => write_text(path, ""),
    }
}

/// What a task's directory says of itself, where that can be relied on.
fn noted(dir: &Path, task: &Task) -> Result<Option<Noted>, Failure> {
    let file = match File::options().read(true).append(true).open(dir.join(WRITTEN)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = [0; WRITTEN_BYTES_MAX];
    let read = file.read_at(&mut bytes, file.metadata()?.len().saturating_sub(WRITTEN_BYTES_MAX as u64))?;
    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default());
    let words: Vec<&str> = text.rsplit('\n').next().unwrap_or_default().split(' ').collect();
    let [count, list_bytes, run, boot] = words[..] else { return Ok(None) };
    let (Ok(count), Ok(list_bytes)) = (count.parse::<usize>(), list_bytes.parse()) else { return Ok(None) };
    let Some(last) = RunId::new(run).ok().filter(|_| boot == boot_id()) else { return Ok(None) };
    let list = open_to_add(&dir.join(LIST))?;
    // One that is shorter is another one.
    let is_whole = list.metadata()?.len() >= list_bytes;
    Ok(Some(Noted { file, list, count, last, list_bytes }).filter(|noted| is_whole && noted.is_of(task)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn silence_is_one_file_with_many_names() {
        let dir = tempfile::tempdir().unwrap();
        let of = |stage: &str| dir.path().join(format!("{stage}.txt"));
        for stage in ["a", "b", "a"] {
            write_silence(dir.path(), &of(stage)).unwrap();
        }
        let silence = fs::metadata(dir.path().join(SILENCE)).unwrap();
        assert_eq!((silence.nlink(), silence.mode() & 0o777, silence.len()), (3, 0o444, 0));
        // What was said before is not said any more, and the other way round.
        write_text(&of("c"), "words").unwrap();
        write_silence(dir.path(), &of("c")).unwrap();
        write_text(&of("b"), "words").unwrap();
        assert_eq!(
            (text(&of("a")), text(&of("b")), text(&of("c"))),
            (String::new(), "words".to_owned(), String::new())
        );
    }

    #[test]
    fn silence_that_was_written_to_serves_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let of = |stage: &str| dir.path().join(format!("{stage}.txt"));
        write_silence(dir.path(), &of("a")).unwrap();
        fs::set_permissions(of("a"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        fs::write(of("a"), "mine").unwrap();
        write_silence(dir.path(), &of("b")).unwrap();
        assert_eq!((text(&of("a")), text(&of("b"))), ("mine".to_owned(), String::new()));
        fs::remove_file(dir.path().join(SILENCE)).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(SILENCE)).unwrap();
        write_silence(dir.path(), &of("c")).unwrap();
        assert!(fs::symlink_metadata(of("c")).unwrap().is_file());
    }
}
