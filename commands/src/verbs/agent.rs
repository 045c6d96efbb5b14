//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct AgentArgs {}
/// stub
pub fn run(_call: &Call, _args: &AgentArgs) -> Result<u8> { Err(CommandError::failed("stub")) }
