//! The log of a run: one text file with everything in order, what happened and what was printed. It is made anew from the
//! journal and the runs' own directories whenever the run is followed again, so that a crash leaves no gap in it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pipeline_lib::ids::{RunId, TaskId};
use pipeline_lib::text;
use pipeline_worktrees::host::{self, Stream};

use super::story::{Kind, Line};
use crate::context::Context;
use crate::error::Result;

/// How much of one stream of one run is taken over; the whole of it is named.
const STREAM_BYTES_MAX: usize = 1024 * 1024;

/// The open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Begins it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn begin(context: &Context, task: &TaskId) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = context.logs_dir();
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("run-{task}.log"));
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line, and behind the end of a run what it printed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, context: &Context, line: &Line) -> Result<()> {
        writeln!(self.file, "{}  {}  {}", line.at.strftime("%FT%T%.3fZ"), line.label, line.text)?;
        if let Kind::Began { command: Some(command) } = &line.kind {
            for part in text::safe(command, usize::MAX).lines() {
                writeln!(self.file, "  $ {part}")?;
            }
        }
        if let (Kind::Ended(_), Some(run)) = (&line.kind, &line.run) {
            for (name, printed) in printed(context, run) {
                writeln!(self.file, "  --- {name}")?;
                for part in printed.lines() {
                    writeln!(self.file, "  | {part}")?;
                }
            }
        }
        Ok(())
    }
}

/// What a run printed, made safe, with a name for each stream that has anything.
pub(super) fn printed(context: &Context, run: &RunId) -> Vec<(String, String)> {
    let dir = context.run_dir(run);
    let of = |stream: Stream| {
        let printed = host::tail(&dir, stream, STREAM_BYTES_MAX).unwrap_or_default();
        let path = dir.join(stream.file_name());
        let cut = std::fs::metadata(&path).is_ok_and(|found| found.len() > STREAM_BYTES_MAX as u64)
            || dir.join(format!("{}.1", stream.file_name())).exists();
        let name = stream.file_name().trim_end_matches(".log");
        let name = if cut { format!("{name}, its end; the rest is in {}", path.display()) } else { name.to_owned() };
        (name, text::safe(&printed, usize::MAX))
    };
    [Stream::Stdout, Stream::Stderr].map(of).into_iter().filter(|(_, printed)| !printed.trim().is_empty()).collect()
}
