//! Predictions that are kept until they can be compared: one JSON document a line in `predictions.jsonl` beside the
//! journal, the latest last. They are no facts: nothing is decided by them, and losing them loses nothing else.

use std::fs;
use std::io;
use std::path::PathBuf;

use pipeline_lib::simulate::Prediction;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::supervisor::replace_file;

/// So many are kept, the latest.
const KEPT: usize = 20;

fn file(context: &Context) -> PathBuf {
    context.state_dir().join("predictions.jsonl")
}

/// Keeps a prediction; the oldest goes where there are too many.
pub(super) fn keep(context: &Context, prediction: &Prediction) -> Result<()> {
    let mut all = read(context)?;
    all.push(prediction.clone());
    let mut text = String::new();
    for prediction in all.iter().skip(all.len().saturating_sub(KEPT)) {
        text.push_str(&serde_json::to_string(prediction)?);
        text.push('\n');
    }
    let path = file(context);
    replace_file(&path, text.as_bytes())
        .map_err(|error| CommandError::cannot_write(format!("{} cannot be written: {error}", path.display())))
}

/// The predictions that are kept, the oldest first. A line that is none is passed over: it is a newer program's.
pub(super) fn read(context: &Context) -> Result<Vec<Prediction>> {
    let path = file(context);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CommandError::failed(format!("{} cannot be read: {error}", path.display()))),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
