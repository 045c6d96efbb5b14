//! A workflow that is asked for on stdin, by a block in whatever text stands around it.

use std::io::Read as _;

use pipeline_lib::text::{listed, one_line};
use pipeline_lib::workflow::execute_block::{self, Execute};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::supervisor::working_directory;

/// The longest text that is read.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the block on stdin.
///
/// # Errors
/// When there is none or more than one, it cannot be read, or it names a directory outside this repository.
pub(super) fn read(context: &Context) -> Result<Execute> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(CommandError::usage("what stands on stdin is longer than 1 MiB"));
    }
    let form = format!(
        "Write {} {{ \"pipelineName\": \"NAME\", \"userPrompt\": \"TEXT\", \"workingDirectory\": \"DIR\" }} {}.",
        execute_block::OPEN,
        execute_block::CLOSE
    );
    let text = String::from_utf8(bytes)
        .map_err(|_| CommandError::usage("what stands on stdin is no text in UTF-8").hint(form.clone()))?;
    let asked =
        execute_block::parse(&text).map_err(|error| CommandError::usage(error.to_string()).hint(form.clone()))?;
    let asked = asked
        .ok_or_else(|| CommandError::usage(format!("there is no {} block on stdin", execute_block::OPEN)).hint(form))?;
    let unread = execute_block::unread(&text);
    if !unread.is_empty() {
        let names = listed(unread.iter().map(String::as_str));
        context.note(&format!("nothing reads {names} of the block; give parameters as `--param NAME=VALUE`"));
    }
    if let Some(directory) = &asked.directory {
        check(context, directory)?;
    }
    Ok(asked)
}

/// The directory has to be the repository or in it: a block must not lead a supervisor somewhere else.
fn check(context: &Context, directory: &str) -> Result<()> {
    let refused = |why: &str| {
        CommandError::usage(format!("the working directory {} {why}", one_line(directory, 200)))
            .hint(format!("This repository is {}; name another one with `-C DIR`.", context.root().display()))
    };
    working_directory(context, directory).map_err(|why| refused(&why))
}
