//! What a person in a terminal gets: the dashboard of this repository, or of the demonstration, or a word about how to
//! begin. Draws nothing itself.

use pipeline_commands::cli::Verb;
use pipeline_commands::dispatch::{self, Call};
use pipeline_commands::error::Result;
use pipeline_commands::picture;
use pipeline_commands::supervisor::Pace;
use pipeline_commands::verbs::{demo, monitor, status};

use crate::dashboard;

/// Whether this verb opens the dashboard here.
#[must_use]
pub fn wants(call: &Call, verb: &Verb) -> bool {
    match verb {
        Verb::Monitor(args) => args.wants_dashboard(call),
        Verb::Demo(args) => call.interactive && !call.output.json && !args.headless,
        _ => false,
    }
}

/// Opens the dashboard; without a terminal, prints the status.
///
/// # Errors
/// When there is no pipeline here, or the terminal cannot be used.
pub fn run(call: &Call, verb: Option<Verb>) -> Result<u8> {
    match verb {
        Some(Verb::Demo(args)) => {
            let prepared = demo::prepare(call, &args)?;
            show(&prepared.call, Pace::Adaptive)?;
            demo::finish(prepared)
        }
        Some(Verb::Monitor(args)) => show(call, args.pace()?),
        None if call.interactive && !call.output.json => show(call, Pace::Adaptive),
        None => dispatch::run(call, Verb::Status(status::Status { watch: false, check: false })),
        Some(other) => dispatch::run(call, other),
    }
}

fn show(call: &Call, pace: Pace) -> Result<u8> {
    let context = call.context()?;
    let _logging = monitor::start_logging(call, &context)?;
    let ui = &context.config().ui;
    let options = dashboard::Options { mouse: ui.mouse && !call.no_mouse, ..dashboard::Options::default() };
    drop(context);
    let live = picture::start(call, pace)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dashboard::run(live, options))?;
    Ok(0)
}
