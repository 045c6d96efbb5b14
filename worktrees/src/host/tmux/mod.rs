//! Runs whose terminal tmux has. Their host is the process of a pane, in a session of its own on a server that belongs to
//! one repository alone; the agent has the pane's terminal. Everything else about a run is as it is without tmux: its
//! host claims, watches, stops and records it, and what happened is read from the run's directory.
//!
//! A server may die, and every terminal on it dies then. Nothing is concluded from what tmux says: the hosts notice the
//! loss of their terminals and write down how their runs ended.

mod client;
mod pane;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::client::{Pane, Shown, pane, version};
pub(super) use self::pane::{Inside, Tty, VARIABLES, leave};
pub(super) use self::start::start;

/// The oldest tmux that has everything we ask of it.
pub const VERSION_MIN: (u32, u32) = (3, 2);

/// What the server and those who talk to it need of an environment. The rest is nobody's business there, and neither the
/// host nor the agent takes theirs from it.
const ENVIRONMENT: [&str; 7] = ["PATH", "HOME", "USER", "SHELL", "LANG", "LC_ALL", "LC_CTYPE"];
/// Where the sockets are, unless it is `/tmp`.
const SOCKETS: &str = "TMUX_TMPDIR";
/// Bytes of the digest of a path that make the name of a server.
const NAME_BYTES: usize = 6;

/// The tmux server that a run's terminal is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multiplexer {
    /// The program. Without a slash it is looked up in the `PATH` of `env`.
    pub program: PathBuf,
    /// The name of the server's socket, as `tmux -L` takes it.
    pub server: String,
    /// The complete environment of the server and of those who talk to it.
    pub env: BTreeMap<String, String>,
    /// Whose session it is, for whoever attaches to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub whose: String,
}

impl Multiplexer {
    /// The server of the repository in this directory, as a process with this environment finds it.
    #[must_use]
    pub fn of_repository(root: &Path, environment: &BTreeMap<String, String>) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let wanted = ENVIRONMENT.iter().chain([&SOCKETS]);
        let env = wanted.filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone()))).collect();
        Self { program: PathBuf::from("tmux"), server: format!("pipeline-{name}"), env, whose: String::new() }
    }
}

/// The name of a run's session: what tmux takes as it is.
fn session_name(run: &str) -> String {
    run.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_repositories_have_two_servers_and_one_has_one() {
        let environment = BTreeMap::from([
            ("PATH".to_owned(), "/bin".to_owned()),
            ("TMUX".to_owned(), "/tmp/tmux-0/default,1,0".to_owned()),
            ("SECRET".to_owned(), "x".to_owned()),
        ]);
        let of = |root: &str| Multiplexer::of_repository(Path::new(root), &environment);
        assert_eq!(of("/one"), of("/one"));
        assert_ne!(of("/one").server, of("/two").server);
        assert_eq!(of("/one").server.len(), "pipeline-".len() + 2 * NAME_BYTES);
        assert_eq!(of("/one").env.keys().collect::<Vec<_>>(), ["PATH"]);
    }

    #[test]
    fn a_session_has_a_name_that_means_nothing_to_tmux() {
        assert_eq!(session_name("R-0a_b.c:d=%1"), "R-0a_b_c_d__1");
    }
}
