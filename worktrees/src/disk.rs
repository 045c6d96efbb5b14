//! What is on a disk: how to wait for it, and what a power cut leaves of what nobody waited for.
//!
//! A file that was written and not synced may be there and empty, or end early. On file systems that give out blocks before
//! they are written, ext4 and XFS among them, it may also hold zeros in the place of what it was to hold. Nothing that could
//! be lost is in any of these.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// No file system has smaller blocks.
const BLOCK_BYTES: usize = 512;

/// Waits until everything that anybody wrote to the file system of a directory is on disk.
///
/// # Errors
/// When it cannot be written, or there is no such directory.
pub(crate) fn sync_all_on(dir: &Path) -> io::Result<()> {
    let dir = File::open(dir)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&dir)?;
    #[cfg(not(target_os = "linux"))]
    {
        drop(dir);
        rustix::fs::sync();
    }
    Ok(())
}

/// The same for the file systems of several directories.
///
/// # Errors
/// As above.
pub(crate) fn sync_all(dirs: &[PathBuf]) -> io::Result<()> {
    let mut synced = BTreeSet::new();
    dirs.iter().try_for_each(|dir| match synced.insert(std::fs::metadata(dir)?.dev()) {
        true => sync_all_on(dir),
        false => Ok(()),
    })
}

/// Whether nothing of what a file was to hold is there.
pub(crate) fn is_void(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether a file holds what a power cut may have left of the writing of something, and nothing else. All of it is that, too.
pub(crate) fn is_left_of(whole: &[u8], found: &[u8]) -> bool {
    let blocks = found.chunks(BLOCK_BYTES).zip(whole.chunks(BLOCK_BYTES));
    found.len() <= whole.len() && blocks.into_iter().all(|(found, whole)| is_void(found) || whole.starts_with(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cut_leaves_is_a_beginning_with_blocks_of_nothing() {
        let whole: Vec<u8> = (0..2_000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
        for len in [0, 1, 511, 512, 513, 2_000] {
            assert!(is_left_of(&whole, &whole[..len]), "{len}");
            assert!(is_left_of(&whole, &vec![0; len]), "{len}");
        }
        let mut mixed = whole.clone();
        mixed[512..1_024].fill(0);
        assert!(is_left_of(&whole, &mixed));
        mixed[3] = b'?';
        assert!(!is_left_of(&whole, &mixed), "somebody's words");
        assert!(!is_left_of(&whole, &[&whole[..], b"more"].concat()));
        assert!(!is_left_of(b"abc", b"abd") && is_left_of(b"abc", b"ab") && is_left_of(b"", b""));
    }
}
