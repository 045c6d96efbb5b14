//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct Explain {}
/// stub
pub fn run(_call: &Call, _args: &Explain) -> Result<u8> { Err(CommandError::failed("stub")) }
