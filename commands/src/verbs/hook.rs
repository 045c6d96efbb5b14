//! `pipeline hook`: what an agent's program calls at certain moments of its session. It writes down which moment that was
//! and ends, quickly and always well: a hook that failed or took its time would hold the agent up. It opens no
//! repository and no state; where it may write its environment says.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pipeline_lib::status::hooks::{DOCUMENT_BYTES_MAX, read};

use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};
use crate::supervisor::hooks::{FILE_VARIABLE, write_gemini_extension};

/// The file grows no further; a session of so many moments is judged by its screen.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Note a moment of a session.
#[derive(Debug, clap::Args)]
pub struct HookArgs {
    /// The document, where it is not on stdin
    #[arg(value_name = "DOCUMENT")]
    pub document: Option<String>,
    /// Write an extension for Gemini CLI into this folder instead; who links it lets every session of theirs be heard
    #[arg(long, value_name = "FOLDER", conflicts_with = "document")]
    pub gemini_extension: Option<PathBuf>,
}

/// Notes a moment of a session.
///
/// # Errors
/// When an extension cannot be written. Never else: whoever calls a hook has no use for its errors.
pub fn run(call: &Call, args: &HookArgs) -> Result<u8> {
    if let Some(folder) = &args.gemini_extension {
        return extension(call, folder);
    }
    if let Err(error) = note(call, args) {
        call.output.note(&format!("the hook noted nothing: {error}"));
    }
    Ok(exit::OK)
}

fn extension(call: &Call, folder: &Path) -> Result<u8> {
    let folder = std::path::absolute(folder)?;
    write_gemini_extension(&folder).map_err(|error| {
        let message = format!("cannot write an extension in {}: {error}", folder.display());
        CommandError::new(exit::CANNOT_WRITE, "cannot_write", message)
    })?;
    call.output.note(&format!("written; to link it: gemini extensions link {}", folder.display()));
    Ok(exit::OK)
}

fn note(call: &Call, args: &HookArgs) -> std::io::Result<()> {
    let Some(file) = call.globals.environment.get(FILE_VARIABLE) else { return Ok(()) };
    let mut document = Vec::new();
    match &args.document {
        Some(given) => document.extend_from_slice(given.as_bytes()),
        None if std::io::stdin().is_terminal() => {}
        None => {
            std::io::stdin().lock().take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut document)?;
        }
    }
    let Some(hook) = read(&document, None, Timestamp::now()) else { return Ok(()) };
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(file)?;
    let data = file.metadata()?;
    if !data.is_file() || data.len() > FILE_BYTES_MAX {
        return Ok(());
    }
    // One write, so that hooks that run at the same time do not mix their lines.
    let mut line = serde_json::to_vec(&hook)?;
    line.push(b'\n');
    file.write_all(&line)
}
