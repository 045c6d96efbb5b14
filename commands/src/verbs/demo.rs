//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct Demo {}
/// stub
pub fn run(_call: &Call, _args: &Demo) -> Result<u8> { Err(CommandError::failed("stub")) }
/// stub
#[derive(Debug, clap::Args)]
pub struct DemoAgent {}
/// stub
pub fn agent(_call: &Call, _args: &DemoAgent) -> Result<u8> { Err(CommandError::failed("stub")) }
