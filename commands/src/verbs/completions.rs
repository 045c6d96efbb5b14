//! `pipeline completions` and `pipeline man`: what a shell and a reader of manuals want to know of the command line. Both
//! are made of the same definitions as `--help`; nothing is said here that is not said there.

use clap::CommandFactory;
use clap_complete::Shell;
use pipeline_lib::view::SCHEMA_VERSION;

use crate::cli::Cli;
use crate::dispatch::Call;
use crate::error::{CommandError, Result, exit};

/// The program's name.
const NAME: &str = "pipeline";

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Print the manual page.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The page of this verb instead of the overview
    #[arg(value_name = "VERB", num_args = 0..)]
    pub verb: Vec<String>,
}

/// Prints a completion script.
///
/// # Errors
/// When it cannot be written.
pub fn run(call: &Call, args: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut for_people(), NAME, &mut script);
    print(call, "script", &script)
}

/// The command line without the verbs that are not for people: some shells would offer them all the same.
fn for_people() -> clap::Command {
    let all = Cli::command();
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    let shown = clap::Command::new(NAME).about(all.get_about().cloned().unwrap_or_default());
    shown.version(env!("CARGO_PKG_VERSION")).args(all.get_arguments()).subcommands(verbs)
}

/// Prints a manual page.
///
/// # Errors
/// When there is no such verb, or it cannot be written.
pub fn man(call: &Call, args: &Man) -> Result<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command_of(&args.verb)?).render(&mut page)?;
    print(call, "page", &page)
}

/// The definition of a verb, with the names that its page needs.
fn command_of(verb: &[String]) -> Result<clap::Command> {
    let mut command = Cli::command();
    command.build();
    for word in verb {
        let found = command.find_subcommand(word).filter(|found| !found.is_hide_set()).cloned();
        command = found.ok_or_else(|| {
            CommandError::not_found(format!("there is no verb `{word}`")).hint("`pipeline --help` lists the verbs.")
        })?;
    }
    Ok(command)
}

fn print(call: &Call, field: &str, text: &[u8]) -> Result<u8> {
    let text = String::from_utf8_lossy(text);
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": SCHEMA_VERSION, field: text }))?;
    } else {
        call.output.raw(&text)?;
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_verb_has_a_page() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let mut page = Vec::new();
            let command = command_of(&[verb.get_name().to_owned()]).unwrap();
            clap_mangen::Man::new(command).render(&mut page).unwrap();
            let page = String::from_utf8(page).unwrap();
            let name = verb.get_name().replace('-', "\\-");
            assert!(page.contains(&format!("pipeline\\-{name}")), "{page}");
        }
    }

    #[test]
    fn hidden_and_unknown_verbs_have_no_page() {
        for verb in ["demo-agent", "nonsense"] {
            assert_eq!(command_of(&[verb.to_owned()]).unwrap_err().code, exit::NOT_FOUND, "{verb}");
        }
    }
}
