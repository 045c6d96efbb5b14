//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct Logs {}
/// stub
pub fn run(_call: &Call, _args: &Logs) -> Result<u8> { Err(CommandError::failed("stub")) }
