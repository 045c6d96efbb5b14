//! `state.json`, the public and readable form of the machine: replaced atomically, and compared with what we wrote last, so
//! that nobody's edit is lost silently. What stands in it is the caller's choice. The journal stays the truth.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Notice, Result, StateError};
use crate::files;
use crate::layout::Layout;

const INDENTED_UP_TO: usize = 512 << 10;

/// What we know of the snapshot files we wrote, in `state.json.sum`. It is written before the snapshot and names the one
/// before as well, so that a crash between the two writes does not look like an edit.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sums {
    seq: u64,
    written: Vec<Sum>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    len: u64,
    crc: u32,
    /// The file and its time, which spare reading it when nobody touched it.
    ino: u64,
    mtime: (i64, i64),
}

impl Sum {
    fn of(bytes: &[u8], meta: &fs::Metadata) -> Sum {
        Sum { crc: crc32fast::hash(bytes), ..Sum::touched(meta) }
    }

    fn touched(meta: &fs::Metadata) -> Sum {
        Sum { len: meta.len(), crc: 0, ino: meta.ino(), mtime: (meta.mtime(), meta.mtime_nsec()) }
    }

    fn is_untouched(&self, meta: &fs::Metadata) -> bool {
        Sum { crc: 0, ..self.clone() } == Sum::touched(meta)
    }
}

/// Reads `state.json`; `None` if there is none. This is what it says, not what is true: the journal is.
pub fn read_snapshot<T: DeserializeOwned>(dir: &Path) -> Result<Option<T>> {
    let path = Layout::new(dir).snapshot();
    let Some(bytes) = files::read_optional(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(source) => Err(StateError::SnapshotInvalid { path, source }),
    }
}

/// The bytes of `state.json` if they are not what was written last: somebody edited it.
pub fn snapshot_edit(dir: &Path) -> Result<Option<Vec<u8>>> {
    let layout = Layout::new(dir);
    edit(&layout, read_sums(&layout).as_ref())
}

/// The record for which the snapshot was last written.
pub(crate) fn recorded_seq(layout: &Layout) -> Option<u64> {
    read_sums(layout).filter(|_| layout.snapshot().exists()).map(|sums| sums.seq)
}

pub(crate) fn write(layout: &Layout, seq: u64, bytes: serde_json::Result<Vec<u8>>) -> Result<Option<Notice>> {
    let path = layout.snapshot();
    let bytes = bytes.map_err(|error| StateError::Unstorable { path: path.clone(), detail: error.to_string() })?;
    let sums = read_sums(layout);
    let notice = match edit(layout, sums.as_ref())? {
        Some(edited) => {
            let copy = layout.set_aside_name(&path, "edited")?;
            files::write_tmp(&copy, &edited)?;
            Some(Notice::SnapshotEdited { copy })
        }
        None => None,
    };
    let tmp = layout.snapshot_tmp();
    let file = files::write_tmp(&tmp, &bytes)?;
    note(layout, seq, sums, &bytes, &file)?;
    files::commit_tmp(&path, &tmp)?;
    Ok(notice)
}

/// A document as the snapshot holds it: indented while a person might read it; beyond that only programs do, and
/// indentation doubles the cost.
pub fn render(document: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(document)?;
    if bytes.len() <= INDENTED_UP_TO {
        bytes = serde_json::to_vec_pretty(document)?;
    }
    bytes.push(b'\n');
    Ok(bytes)
}

fn note(layout: &Layout, seq: u64, before: Option<Sums>, bytes: &[u8], file: &File) -> Result<()> {
    let meta = file.metadata().map_err(StateError::read(&layout.snapshot_tmp()))?;
    let mut written = vec![Sum::of(bytes, &meta)];
    written.extend(before.and_then(|sums| sums.written.into_iter().next()));
    let text = serde_json::to_vec(&Sums { seq, written })
        .map_err(|error| StateError::Unstorable { path: layout.snapshot_sum(), detail: error.to_string() })?;
    let (path, tmp) = (layout.snapshot_sum(), layout.snapshot_sum_tmp());
    files::write_tmp(&tmp, &text)?;
    fs::rename(&tmp, &path).map_err(StateError::write(&path))
}

/// A snapshot of which nothing is known counts as edited: keeping a copy too many harms nobody.
fn edit(layout: &Layout, sums: Option<&Sums>) -> Result<Option<Vec<u8>>> {
    let path = layout.snapshot();
    let written = sums.map_or(&[][..], |sums| &sums.written);
    let Ok(meta) = fs::symlink_metadata(&path) else {
        return Ok(None);
    };
    if written.iter().any(|sum| sum.is_untouched(&meta)) {
        return Ok(None);
    }
    let Some(bytes) = files::read_optional(&path)? else {
        return Ok(None);
    };
    let crc = crc32fast::hash(&bytes);
    let known = written.iter().any(|sum| sum.len == bytes.len() as u64 && sum.crc == crc);
    Ok(if known { None } else { Some(bytes) })
}

fn read_sums(layout: &Layout) -> Option<Sums> {
    let bytes = files::read_optional(&layout.snapshot_sum()).ok().flatten()?;
    serde_json::from_slice(&bytes).ok()
}
