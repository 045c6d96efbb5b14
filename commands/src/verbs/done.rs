//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct Done {}
/// stub
pub fn run(_call: &Call, _args: &Done) -> Result<u8> { Err(CommandError::failed("stub")) }
