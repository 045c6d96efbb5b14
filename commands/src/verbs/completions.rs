//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct Completions {}
/// stub
pub fn run(_call: &Call, _args: &Completions) -> Result<u8> { Err(CommandError::failed("stub")) }
/// stub
#[derive(Debug, clap::Args)]
pub struct Man {}
/// stub
pub fn man(_call: &Call, _args: &Man) -> Result<u8> { Err(CommandError::failed("stub")) }
