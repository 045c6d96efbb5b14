//! From a parsed command line to a verb, and from an error to what is printed and the exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, PoisonError};

use clap::Parser;
use pipeline_lib::text::is_hidden;
use pipeline_lib::view::SCHEMA_VERSION;

use crate::cli::{Cli, Global, Verb};
use crate::context::{Context, Globals};
use crate::error::{CommandError, Result, exit};
use crate::live::Answer;
use crate::logging;
use crate::output::{ColorChoice, Output};
use crate::verbs;

/// What a verb is given before it has looked for a repository.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was said before or behind the verb.
    pub globals: Globals,
    /// How to speak to the person.
    pub output: Output,
    /// Whether a person may be asked: both ends are a terminal.
    pub interactive: bool,
    /// Whether the mouse is left to the terminal.
    pub no_mouse: bool,
    /// `--log-level`, or what `--debug` means.
    pub log_level: Option<String>,
    /// How often `-v` was said.
    pub verbose: u8,
}

impl Call {
    /// A call from the command line.
    #[must_use]
    pub fn new(global: &Global, environment: BTreeMap<String, String>, interactive: bool, command: String) -> Self {
        let no_color = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let output = Output::standard(global.json, global.quiet, global.color, no_color);
        let globals = Globals {
            dir: global.dir.clone(),
            config_file: global.config.clone(),
            overrides: BTreeMap::new(),
            environment,
            command,
        };
        let log_level = global.log_level.clone().or_else(|| global.debug.then(|| "debug".to_owned()));
        Self { globals, output, interactive, no_mouse: global.no_mouse, log_level, verbose: global.verbose }
    }

    /// The repository with its configuration.
    ///
    /// # Errors
    /// When there is no repository, no pipeline in it, or the configuration is invalid.
    pub fn context(&self) -> Result<Context> {
        Context::open(&self.globals, &self.output)
    }
}

/// Reads the command line. What is printed instead, be it help or what is wrong, leaves only its exit code.
///
/// # Errors
/// The exit code, when nothing is left to be done.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Cli::try_parse_from(&arguments).map_err(|error| {
        // What could not be read may still have asked for JSON.
        let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
        if json && error.use_stderr() {
            let text = error.render().to_string();
            let (message, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
            let message = message.strip_prefix("error: ").unwrap_or(message).trim_end();
            let output = Output::standard(true, true, ColorChoice::Never, true);
            return report(&output, &CommandError::usage(message).hint(rest.trim()));
        }
        // A stream that is gone has no reader to be told anything.
        drop(error.print());
        u8::try_from(error.exit_code()).unwrap_or(exit::USAGE)
    })
}

/// Does what was asked; the answer is the exit code.
///
/// # Errors
/// When it fails.
pub fn run(call: &Call, verb: Verb) -> Result<u8> {
    verbs::within::refuse_for_agents(call, &verb)?;
    // A process that ticks logs into files and starts its log itself.
    let ticks = verb.ticks();
    let level = call.log_level.as_deref();
    let verbose = call.verbose.max(u8::from(level.is_some()));
    let default = if call.verbose > 1 { "debug" } else { "info" };
    let log = logging::Settings { dir: None, level: level.unwrap_or(default), keep: 1, verbose };
    if verbose > 0 && !ticks {
        logging::start(log)?;
    }
    match verb {
        Verb::Init(args) => verbs::init::run(call, args),
        Verb::Demo(args) => verbs::demo::run(call, &args),
        Verb::Monitor(args) => verbs::monitor::run(call, &args),
        Verb::Status(args) => verbs::status::run(call, &args),
        Verb::Explain(args) => verbs::explain::run(call, &args),
        Verb::Mode(args) => verbs::mode::run(call, &args),
        Verb::Pilot(args) => verbs::pilot::run(call, &args),
        Verb::Rollout(args) => verbs::rollout::run(call, &args),
        Verb::Task(args) => verbs::task::run(call, args),
        Verb::Agent(args) => verbs::agent::run(call, &args),
        Verb::Done(args) => verbs::done::run(call, &args),
        Verb::Logs(args) => verbs::logs::run(call, &args),
        Verb::Event(args) => verbs::event::run(call, &args),
        Verb::Events(args) => verbs::events::run(call, &args),
        Verb::Wait(args) => verbs::wait::run(call, &args),
        Verb::Simulate(args) => verbs::simulate::run(call, &args),
        Verb::Run(args) => verbs::run::run(call, &args),
        Verb::ExecutePipeline(args) => verbs::run::execute_pipeline(call, &args),
        Verb::ExecuteWorkflow(args) => verbs::run::by_name(call, &args.workflow, &args.options),
        Verb::Workflow(args) => verbs::workflow::run(call, &args),
        Verb::Undo(args) => verbs::undo::run(call, &args),
        Verb::Trash(args) => verbs::trash::run(call, &args),
        Verb::Doctor(args) => verbs::doctor::run(call, &args),
        Verb::Config(args) => verbs::config::run(call, &args),
        Verb::Schema(args) => verbs::schema::run(call, &args),
        Verb::Completions(args) => verbs::completions::run(call, &args),
        Verb::Man(args) => verbs::completions::man(call, &args),
        Verb::Hook(args) => verbs::hook::run(call, &args),
        Verb::DemoAgent(args) => verbs::demo::agent(call, &args),
    }
}

/// Prints an error where it belongs: with `--json` as a document on stdout, else on stderr.
pub fn report(output: &Output, error: &CommandError) -> u8 {
    if error.kind == "broken_pipe" {
        return exit::OK;
    }
    if output.json {
        let document = serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "error": { "code": error.kind, "message": error.message, "hint": error.hint.as_deref().unwrap_or_default() },
        });
        // An error about a stream that is gone has nobody to be told to.
        drop(output.json(&document));
    } else {
        let mut loud = output.clone();
        loud.quiet = false;
        loud.note(&format!("error: {}", visible(&error.message)));
        if let Some(hint) = &error.hint {
            loud.note(&visible(hint));
        }
    }
    error.code
}

/// Shows what a text hides. What was typed may be anything, and errors repeat it; their own colours stay.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        c if is_hidden(c) && c != '\u{1b}' => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A verb as a list of all of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerbLine {
    /// What is typed behind `pipeline`: `task add`.
    pub path: String,
    /// What it does, in a sentence.
    pub about: String,
    /// What has to follow, such as `<TITLE>`; empty where nothing has to.
    pub needs: String,
    /// Whether it can be done for a screen. The others need a terminal of their own, or do not end by themselves.
    pub answers: bool,
}

/// Every verb, in the order of the help.
#[must_use]
pub fn verbs() -> Vec<VerbLine> {
    const ALONE: [&str; 11] = [
        "demo",
        "monitor",
        "wait",
        "done",
        "completions",
        "man",
        "agent attach",
        "run",
        "execute-pipeline",
        "execute-workflow",
        "workflow run",
    ];
    fn gather(command: &clap::Command, before: &str, list: &mut Vec<VerbLine>) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            let path = format!("{before}{}", verb.get_name());
            if verb.has_subcommands() {
                gather(verb, &format!("{path} "), list);
            }
            // A verb that is only a group of others does nothing by itself.
            if verb.is_subcommand_required_set() {
                continue;
            }
            let needed = verb.get_positionals().filter(|argument| argument.is_required_set());
            let needs = needed.map(|argument| format!("<{}>", name_of(argument))).collect::<Vec<_>>().join(" ");
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let answers = !ALONE.contains(&path.as_str());
            list.push(VerbLine { path, about, needs, answers });
        }
    }
    fn name_of(argument: &clap::Arg) -> String {
        let given = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        given.unwrap_or_else(|| argument.get_id().to_string().to_uppercase())
    }
    let mut list = Vec::new();
    gather(&<Cli as clap::CommandFactory>::command(), "", &mut list);
    list
}

/// Performs a verb for a screen: nothing is printed, the answer is a text.
#[must_use]
pub fn answer(globals: &Globals, argv: &[String]) -> Answer {
    let words = std::iter::once("pipeline").chain(argv.iter().map(String::as_str));
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return Answer { code: exit::USAGE, text: error.to_string(), hint: None },
    };
    let Some(verb) = cli.verb else {
        return Answer { code: exit::USAGE, text: "no verb".to_owned(), hint: None };
    };
    let (output, text) = Output::captured();
    let call =
        Call { globals: globals.clone(), output, interactive: false, no_mouse: true, log_level: None, verbose: 0 };
    match run(&call, verb) {
        Ok(code) => Answer { code, text: take(&text), hint: None },
        Err(error) => Answer { code: error.code, text: error.message, hint: error.hint },
    }
}

fn take(text: &Arc<std::sync::Mutex<String>>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).trim_end().to_owned()
}
