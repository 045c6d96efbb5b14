//! stub
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
/// stub
#[derive(Debug, clap::Args)]
pub struct WorkflowArgs {}
/// stub
pub fn run(_call: &Call, _args: &WorkflowArgs) -> Result<u8> { Err(CommandError::failed("stub")) }
