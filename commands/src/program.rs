//! Where this program lies, for whoever has to be told how it is called. It may be replaced by another version while it runs,
//! overnight as well; what is called then is the one that took its place.

use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What Linux adds to the path of a file that was removed, or replaced.
const REMOVED: &[u8] = b" (deleted)";

/// The path by which this program can be started.
///
/// # Errors
/// When the system does not say, or nothing is there any more.
pub(crate) fn path() -> io::Result<PathBuf> {
    let said = std::env::current_exe()?;
    let path = in_place(&said);
    match path.try_exists()? {
        true => Ok(path),
        false => Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is gone", path.display()))),
    }
}

/// What lies where a program was that the system says is removed.
fn in_place(said: &Path) -> PathBuf {
    match said.as_os_str().as_bytes().strip_suffix(REMOVED) {
        Some(before) if !said.exists() => PathBuf::from(std::ffi::OsString::from_vec(before.to_vec())),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_the_one_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(in_place(&at("pipeline")), at("pipeline"));
        assert_eq!(in_place(&at("pipeline (deleted)")), at("pipeline"));
        std::fs::write(at("pipeline (deleted)"), "").unwrap();
        assert_eq!(in_place(&at("pipeline (deleted)")), at("pipeline (deleted)"), "one that has that name");
        assert!(path().unwrap().exists());
    }
}
