//! `pipeline agent attach` where there is no terminal to show an agent's in. The full screen is drawn elsewhere.

use super::AttachArgs;
use crate::attach;
use crate::dispatch::Call;
use crate::error::{CommandError, Result};

pub(super) fn run(call: &Call, args: &AttachArgs) -> Result<u8> {
    // What is wrong with the name comes first; the connection ends at once.
    let by_hand = attach::with_tmux(call, &args.name, args.run.as_deref(), args.read_only)?;
    let session = attach::open(call, &args.name, args.run.as_deref(), None)?;
    let agent = &session.agent;
    let error = CommandError::failed(format!("the terminal of {agent} can only be shown in a terminal"));
    let other = by_hand.map_or_else(String::new, |attach| format!(" In a terminal: {}", attach.line));
    Err(CommandError { kind: "no_terminal", ..error }.hint(format!(
        "`pipeline agent logs {agent} -f` prints what it shows, `pipeline agent send {agent} TEXT` types into it.{other}"
    )))
}
