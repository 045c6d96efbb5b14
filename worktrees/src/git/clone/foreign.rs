//! Reading in a clone that is an agent's: its references and its objects, as files and as nothing else. What they mean for
//! the repository is not decided here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::super::GitError;
use crate::beneath;

/// The longest HEAD or reference, in bytes.
pub(super) const REF_BYTES_MAX: usize = 4 * 1024;
/// The longest list of packed references.
const PACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// More references than this are not looked at.
const REFS_MAX: usize = 100_000;
/// How deep their names are.
const REFS_DEPTH_MAX: usize = 32;
/// What one run may have made, in bytes.
const OBJECTS_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Why a clone is not taken: it is not what an honest program leaves, or the machine did not do it this time.
pub(super) enum Trouble {
    Refused(String),
    Failed(GitError),
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self::Failed(error)
    }
}

/// Where HEAD and the references of a clone are.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// The full reference that HEAD names, or what it is at.
    pub(super) head: Option<Result<String, String>>,
    pub(super) all: BTreeMap<String, String>,
}

/// What reading in a clone came to, if it failed.
fn unread(name: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Refused(format!("{} cannot be read: {error}", name.display()))
}

/// Reads HEAD and the references, which are nothing but files here.
pub(super) fn read_refs(clone: &Path) -> Result<Refs, Trouble> {
    let mut refs = Refs::default();
    let is_id = |id: &str| matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let packed = match beneath::read(clone, Path::new("packed-refs"), PACKED_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        packed => packed.map_err(|error| unread(Path::new("packed-refs"), &error))?,
    };
    for line in String::from_utf8_lossy(&packed).lines() {
        // A comment, or what a tag is of.
        let Some((id, name)) = line.split_once(' ').filter(|(id, _)| is_id(id)) else { continue };
        refs.all.insert(name.trim_end().to_owned(), id.to_owned());
    }
    let mut folders = vec![(PathBuf::from("refs"), 0)];
    while let Some((below, depth)) = folders.pop() {
        let listed = beneath::list(clone, &below).map_err(|error| unread(&below, &error))?;
        for entry in listed {
            let name = below.join(&entry.name);
            if entry.kind.is_dir() && depth < REFS_DEPTH_MAX {
                folders.push((name, depth + 1));
            } else if entry.kind.is_file() && !name.to_string_lossy().ends_with(".lock") {
                let text = beneath::read(clone, &name, REF_BYTES_MAX);
                let text = text.map_err(|error| unread(&name, &error))?;
                let text = String::from_utf8_lossy(&text).trim_end().to_owned();
                if is_id(&text) {
                    refs.all.insert(name.to_string_lossy().into_owned(), text);
                }
            } else if !entry.kind.is_file() {
                return Err(Trouble::Refused(format!("{} is not a file", name.display())));
            }
            if refs.all.len() > REFS_MAX {
                return Err(Trouble::Refused(format!("it has more than {REFS_MAX} references")));
            }
        }
    }
    refs.all.retain(|name, _| name.starts_with("refs/") && git2::Reference::is_valid_name(name));
    let head =
        beneath::read(clone, Path::new("HEAD"), REF_BYTES_MAX).map_err(|error| unread(Path::new("HEAD"), &error))?;
    let head = String::from_utf8_lossy(&head).trim_end().to_owned();
    refs.head = match head.strip_prefix("ref:") {
        Some(name) => Some(Ok(name.trim().to_owned())),
        None if is_id(&head) => Some(Err(head)),
        None => return Err(Trouble::Refused("its HEAD says nothing that git would".to_owned())),
    };
    Ok(refs)
}

/// Copies the objects of a clone, whose own list of further places is left alone. Gives the packs among them.
pub(super) fn copy_objects(clone: &Path, to: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let (mut packs, mut left) = (Vec::new(), OBJECTS_BYTES_MAX);
    let hex = |name: &str, lengths: &[usize]| {
        lengths.contains(&name.len()) && name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let mut copy = |name: &Path| -> Result<PathBuf, Trouble> {
        let mut from = beneath::open(clone, &Path::new("objects").join(name)).map_err(|error| unread(name, &error))?;
        let length = from.metadata().map_err(|error| unread(name, &error))?.len();
        let too_much = || Trouble::Refused(format!("its objects are more than {} GiB", OBJECTS_BYTES_MAX >> 30));
        left = left.checked_sub(length).ok_or_else(too_much)?;
        let target = to.join(name);
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
        let mut file = fs::File::create_new(&target).map_err(GitError::io("create", &target))?;
        // It may be growing.
        std::io::copy(&mut from.by_ref().take(length), &mut file).map_err(GitError::io("write", &target))?;
        Ok(target)
    };
    let list =
        |name: &Path| beneath::list(clone, &Path::new("objects").join(name)).map_err(|error| unread(name, &error));
    for folder in list(Path::new(""))? {
        let folder = folder.name.to_string_lossy().into_owned();
        if hex(&folder, &[2]) {
            for entry in list(Path::new(&folder))? {
                if hex(&entry.name.to_string_lossy(), &[38, 62]) {
                    copy(&Path::new(&folder).join(&entry.name))?;
                }
            }
        } else if folder == "pack" {
            for entry in list(Path::new("pack"))? {
                let name = entry.name.to_string_lossy().into_owned();
                let id = name.strip_prefix("pack-").and_then(|name| name.strip_suffix(".pack"));
                if id.is_some_and(|id| hex(id, &[40, 64])) {
                    packs.push(copy(&Path::new("pack").join(&name))?);
                }
            }
        }
    }
    Ok(packs)
}
