//! Who asks and who agrees: the person as the operating system knows them. An agent is none, and never agrees to anything.

use std::collections::BTreeMap;

use pipeline_lib::text::one_line;

use crate::context::Context;
use crate::error::{CommandError, Result, exit};

/// Names the person where several act through one account, as a bot that passes on what people said does.
const ACTOR: &str = "PIPELINE_ACTOR";
/// Set in the environment of everything that we run.
const RUN: &str = "PIPELINE_RUN_ID";
/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// Who asks for a task; nobody where one of our own runs does.
pub(crate) fn asking(context: &Context) -> Option<String> {
    named(context.environment(), &account())
}

/// Who agrees to something.
///
/// # Errors
/// Where it is one of our own runs: what an agent did is agreed to by somebody else.
pub(crate) fn approving(context: &Context) -> Result<String> {
    named(context.environment(), &account()).ok_or_else(|| {
        CommandError::new(exit::FAILED, "agent", "an agent cannot approve anything")
            .hint("A person runs `pipeline task approve` outside of any run.")
    })
}

fn named(environment: &BTreeMap<String, String>, account: &str) -> Option<String> {
    let set = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    if set(RUN).is_some() {
        return None;
    }
    Some(match set(ACTOR) {
        Some(actor) => format!("{} (through {account})", one_line(actor, NAME_CHARS_MAX)),
        None => account.to_owned(),
    })
}

/// The name of the account that this process runs under, whatever the environment says; its number where it has no name.
fn account() -> String {
    let id = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    account_of(id, &known)
}

fn account_of(id: u32, known: &str) -> String {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| one_line(name, NAME_CHARS_MAX))
    };
    known.lines().find_map(of).unwrap_or_else(|| format!("user {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_who_the_system_says_and_an_agent_is_nobody() {
        let passwd = "root:x:0:0::/:\nann:x:1000:1000::/:\n";
        assert_eq!((account_of(1000, passwd), account_of(7, passwd)), ("ann".to_owned(), "user 7".to_owned()));
        let named = |pairs: &[(&str, &str)]| {
            named(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), "ann")
        };
        assert_eq!(named(&[("USER", "eve")]).as_deref(), Some("ann"));
        assert_eq!(named(&[(ACTOR, "bob")]).as_deref(), Some("bob (through ann)"));
        assert_eq!(named(&[(ACTOR, "bob"), (RUN, "R1")]), None);
    }
}
