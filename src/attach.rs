//! `pipeline agent attach` in a terminal: opens the session, shows it, and says afterwards what became of it. Draws
//! nothing itself.

use pipeline_commands::attach;
use pipeline_commands::dispatch::Call;
use pipeline_commands::error::{CommandError, Result, exit};
use pipeline_commands::verbs::agent::AttachArgs;

use crate::dashboard::{self, Attachment, Left};
use crate::interactive;

/// Shows the terminal of an agent's session until the person leaves it or it ends.
///
/// # Errors
/// When there is no such session, it cannot be reached, or the terminal cannot be used.
pub fn run(call: &Call, args: &AttachArgs) -> Result<u8> {
    if let Some(attach) = attach::with_tmux(call, &args.name, args.run.as_deref(), args.read_only)? {
        return hand_over(call, attach);
    }
    let context = call.context()?.not_configuring();
    let ui = context.config().ui.clone();
    drop(context);
    let (theme, keys) = interactive::looks(&ui)?;
    let how = Attachment { mouse: ui.mouse && !call.no_mouse, theme, keys, read_only: args.read_only };
    let size = if args.read_only { None } else { Some(dashboard::room()?) };
    let session = attach::open(call, &args.name, args.run.as_deref(), size)?;
    let (agent, run) = (session.agent.clone(), session.run.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(dashboard::attached(session, how))? {
        Left::Detached => {
            call.output.note(&format!("{agent} goes on. `pipeline agent attach {agent}` returns to its terminal."));
            Ok(exit::OK)
        }
        Left::Ended => {
            call.output
                .note(&format!("The session of {agent} has ended: run {run}. `pipeline explain {agent}` says more."));
            Ok(exit::OK)
        }
        Left::Lost(why) => Err(CommandError::failed(format!("the terminal of {agent} is lost: {why}"))
            .hint(format!("`pipeline explain {agent}` says what is known of its run; attaching again may help."))),
    }
}

/// Becomes the tmux that has the session.
fn hand_over(call: &Call, attach: attach::Attach) -> Result<u8> {
    use std::os::unix::process::CommandExt as _;
    let attach::Attach { agent, mut command, line, leaves } = attach;
    call.output.note(&format!("{leaves} leaves {agent}, which goes on. By hand: {line}"));
    let error = command.exec();
    Err(CommandError::failed(format!("cannot start tmux: {error}"))
        .hint("Install it; `pipeline doctor` says whether it is found."))
}
