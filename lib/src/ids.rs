//! Names and identities, one type for each kind that could be confused with another.
//!
//! Parsing happens once, at the edge; inside the engine an id is already known to be well formed. Nothing here looks up
//! whether the named thing exists.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest task id, agent name, stage id or workflow id, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {problem}")]
pub struct NameError {
    /// What the text was meant to be, such as "task id".
    pub kind: &'static str,
    /// The text, cut to a printable length.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Checks a name that will be part of a file name, a branch name and an argument vector: ASCII letters, digits, `-`,
/// `_` and `.`, starting with a letter or digit, without `..` and without the endings that git refuses.
fn check_name(kind: &'static str, text: &str) -> Result<(), NameError> {
    let problem = if text.is_empty() {
        "it is empty"
    } else if text.len() > NAME_BYTES_MAX {
        "it is longer than 64 bytes"
    } else if !text.as_bytes()[0].is_ascii_alphanumeric() {
        "it must start with an ASCII letter or digit"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        "only ASCII letters, digits, `-`, `_` and `.` are allowed"
    } else if text.as_bytes().windows(2).any(|two| two == b"..") || text.ends_with('.') || text.ends_with(".lock") {
        "git refuses such a branch name"
    } else {
        return Ok(());
    };
    let text = text.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(NameError { kind, text, problem })
}

/// The role of stages that no agent does but a command. No agent of the configuration can have it.
pub const COMMAND_ROLE: &str = "command";
/// The role under which stages are queued that other tasks do. Nobody has it.
const PARTS_ROLE: &str = "parts";

/// [`COMMAND_ROLE`].
#[must_use]
pub fn command_role() -> &'static Role {
    static ROLE: LazyLock<Role> = LazyLock::new(|| Role(Arc::from(COMMAND_ROLE)));
    &ROLE
}

/// The role under which stages are queued that other tasks do.
#[must_use]
pub fn parts_role() -> &'static Role {
    static ROLE: LazyLock<Role> = LazyLock::new(|| Role(Arc::from(PARTS_ROLE)));
    &ROLE
}

/// Whether no agent of the configuration can have a role, because it is ours.
#[must_use]
pub fn is_reserved(role: &Role) -> bool {
    role == command_role() || role == parts_role()
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses and checks a name.
            ///
            /// # Errors
            /// When the text could not safely be part of a file name, a branch name and an argument vector.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name($kind, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "maxLength": NAME_BYTES_MAX,
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"
                })
            }
        }
    };
}

name_type!(
    /// Names a task, such as `TASK-001`.
    TaskId,
    "task id"
);

impl TaskId {
    /// A number below `of` that is always the same for a task and evenly spread over tasks: what a share of all tasks, or
    /// one of several agents, is chosen by.
    #[must_use]
    pub fn lot(&self, of: u64) -> u64 {
        self.lot_for(&[], of)
    }

    /// The same for one of several purposes, each with a lot of its own that says nothing about the others.
    #[must_use]
    pub fn lot_for(&self, purpose: &[&str], of: u64) -> u64 {
        // FNV-1a (Fowler, Noll, Vo; RFC 9923), whose high bits differ little between short names, and on top of it the
        // finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        // No name holds a NUL, so that different words never make the same bytes.
        let words = purpose.iter().flat_map(|word| std::iter::once(0).chain(word.bytes()));
        let mut z = self.as_str().bytes().chain(words).fold(0xcbf2_9ce4_8422_2325, fnv);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The high bits of a product instead of a remainder (Lemire: Fast random integer generation in an interval, 2019).
        let high = (u128::from(z) * u128::from(of)) >> 64;
        u64::try_from(high).unwrap_or(0)
    }
}

/// The number in an id such as `TASK-001`, or in the start of a longer one. One too large to count on from is just a name.
#[must_use]
pub fn number_of(task: &str) -> Option<u32> {
    let rest = task.strip_prefix("TASK-")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

name_type!(
    /// Names an agent, such as `architect`. Also the name of its worktree's folder.
    AgentName,
    "agent name"
);
name_type!(
    /// Names what an agent can do, such as `implementation`. Stages ask for a role.
    Role,
    "role"
);
name_type!(
    /// Names a stage of a workflow, such as `impl`.
    StageId,
    "stage id"
);
name_type!(
    /// Names a workflow, such as `tdd`.
    WorkflowId,
    "workflow id"
);
name_type!(
    /// Names a group of tasks that run one after the other in hybrid mode.
    Group,
    "group"
);
name_type!(
    /// Names one of several ways in which agents of one role are set up, which are compared.
    Variant,
    "variant"
);
name_type!(
    /// Names one attempt of one agent at one stage of one task. Never reused.
    RunId,
    "run id"
);

/// A full hexadecimal object name of git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct CommitId(Arc<str>);

impl From<String> for CommitId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl CommitId {
    /// The object name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for text in ["TASK-001", "a", "fix-login.2", "9lives", "under_score"] {
            assert_eq!(TaskId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn hostile_names_are_refused_with_the_reason() {
        let long = "x".repeat(65);
        for text in [
            "",
            "-f",
            "..",
            "a..b",
            "a.lock",
            "a/b",
            "a b",
            "$(id)",
            "a\nb",
            "é",
            "a.",
            ".hidden",
            "--upload-pack=x",
            &long,
        ] {
            let error = TaskId::new(text).unwrap_err();
            assert!(!error.to_string().contains('\n'), "{text:?} leaked a control character");
        }
    }
}
