//! `pipeline hook`: what an agent's program calls at certain moments of its session. It writes down which moment that was
//! and ends, quickly and always well: a hook that failed or took its time would hold the agent up. It opens no
//! repository and no state; where it may write its environment says.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pipeline_lib::status::hooks::{DOCUMENT_BYTES_MAX, Moment, read};

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
    let Some(mut hook) = read(&document, None, Timestamp::now()) else { return Ok(()) };
    if hook.moment == Moment::TurnEnded && hook.transcript.is_none() {
        hook.transcript = hook.session.as_deref().and_then(|session| codex_file(&call.globals.environment, session));
    }
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

/// The file in which Codex keeps a session, which it does not name: in a folder for the day on which the session began, as its
/// id says.
fn codex_file(environment: &BTreeMap<String, String>, session: &str) -> Option<String> {
    let home = match environment.get("CODEX_HOME") {
        Some(own) => PathBuf::from(own),
        None => Path::new(environment.get("HOME")?).join(".codex"),
    };
    let day = began(session)?.to_zoned(TimeZone::system()).date();
    let folder = home.join("sessions").join(day.strftime("%Y/%m/%d").to_string());
    let end = format!("-{session}.jsonl");
    // The home of a confined session ends with it, and has links to what stays.
    let mut files = std::fs::read_dir(folder.canonicalize().ok()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.path().to_str().map(str::to_owned));
    files.find(|file| file.ends_with(&end))
}

/// When an id of version 7 was made: its first 48 bits are milliseconds (RFC 9562, section 5.7).
fn began(id: &str) -> Option<Timestamp> {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let is_timed = digits.len() == 32 && digits.as_bytes().get(12) == Some(&b'7');
    let millis = i64::from_str_radix(digits.get(..12).filter(|_| is_timed)?, 16).ok()?;
    Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_codex_session_is_found_by_its_id() {
        let home = tempfile::tempdir().unwrap();
        let session = "01a229cc-4660-7d02-9b2f-43890c472790";
        let began = began(session).unwrap();
        assert_eq!(began.to_string(), "2026-11-30T00:13:02.944Z");
        let day = began.to_zoned(TimeZone::system()).date();
        let folder = home.path().join(".codex/sessions").join(day.strftime("%Y/%m/%d").to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let of = |name: &str, home: &Path| {
            let environment = BTreeMap::from([(name.to_owned(), home.to_string_lossy().into_owned())]);
            codex_file(&environment, session)
        };
        assert_eq!(of("HOME", home.path()), None);
        let file = folder.join(format!("rollout-2026-11-30T00-13-02-{session}.jsonl"));
        std::fs::write(&file, "").unwrap();
        std::fs::write(folder.join("rollout-2026-11-30T00-13-02-01a229cc-474c-7920-a5fe-0da2907835ef.jsonl"), "")
            .unwrap();
        let found = file.canonicalize().unwrap().to_string_lossy().into_owned();
        assert_eq!(of("HOME", home.path()), Some(found.clone()));
        let confined = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(home.path().join(".codex"), confined.path().join(".codex")).unwrap();
        assert_eq!(of("HOME", confined.path()), Some(found.clone()), "where it stays");
        assert_eq!(of("CODEX_HOME", &home.path().join(".codex")), Some(found));
        for id in ["ses_1", "../../etc/passwd", "55fe11e7-46da-4ac9-9789-5842069b6dc6"] {
            assert_eq!(super::began(id), None, "{id}");
        }
    }
}
