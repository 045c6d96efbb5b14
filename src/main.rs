//! The program: a run's host if it was started as one, else a verb, else the dashboard.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use pipeline::interactive;
use pipeline_commands::dispatch::{self, Call};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    // A host comes first: it outlives us, and must stay small and read no configuration. So does what it starts.
    if first.as_ref().is_some_and(|first| first == "__host") {
        let dir = arguments.next().unwrap_or_default();
        return pipeline_commands::host(Path::new(&dir));
    }
    if first.is_some_and(|first| first == "__confine") {
        return pipeline_commands::confined(&arguments.collect::<Vec<_>>());
    }
    // What a run has started is found by its environment. Without hiding, a program works and is easier to look into.
    if std::env::var_os("PIPELINE_RUN_ID").is_none()
        && let Err(error) = pipeline_commands::hide()
    {
        tracing::debug!(%error, "this process cannot be hidden from the user's other programs");
    }
    let cli = match dispatch::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let call = Call::new(&cli.global, environment, terminal, command);
    let result = match cli.verb {
        Some(verb) if interactive::wants(&call, &verb) => interactive::run(&call, Some(verb)),
        Some(verb) => dispatch::run(&call, verb),
        None => interactive::run(&call, None),
    };
    ExitCode::from(result.unwrap_or_else(|error| dispatch::report(&call.output, &error)))
}
