//! What agents propose in their last words, read and checked. Nothing is started here: a person decides.

use std::path::Path;

use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::text;
use pipeline_lib::workflow::execute_block::{self, Execute};

use crate::context::Context;

/// The longest request that is taken over, in characters.
const PROMPT_CHARS_MAX: usize = 4_000;

/// A workflow that an agent asks for in its last words, or what is wrong with that. It is never started for it.
pub(super) fn read(context: &Context, text: &str) -> Option<Result<Execute, String>> {
    match execute_block::parse(text) {
        Ok(None) => None,
        Ok(Some(asked)) => match asked.directory.as_deref().map(|directory| working_directory(context, directory)) {
            Some(Err(why)) => {
                let workflow = text::one_line(&asked.workflow, 80);
                Some(Err(format!("proposes workflow {workflow}, and the working directory it names {why}")))
            }
            Some(Ok(())) | None => {
                let prompt = text::safe(&asked.prompt, PROMPT_CHARS_MAX);
                Some(Ok(Execute { workflow: text::one_line(&asked.workflow, 80), prompt, ..asked }))
            }
        },
        Err(error) => Some(Err(format!("proposes a workflow that cannot be read: {error}"))),
    }
}

/// What was proposed, for whoever reads what the run said.
pub(super) fn in_words(pipeline: &Pipeline, proposal: &Result<Execute, String>) -> String {
    match proposal {
        Ok(Execute { workflow, prompt, .. }) => {
            let prompt = text::one_line(prompt, 200);
            let prompt = if prompt.is_empty() { prompt } else { format!(": {prompt}") };
            let so = match pipeline.proposable(workflow) {
                Ok(_) => "a person decides; `pipeline status` shows what waits".to_owned(),
                Err(problem) => format!("nothing comes of it: {problem}"),
            };
            format!("proposes workflow {workflow}{prompt} ({so})")
        }
        Err(problem) => format!("{problem} (nothing comes of it)"),
    }
}

/// The directory has to be the repository or in it: a block must not lead a supervisor somewhere else. The error says what is
/// wrong with it, behind its name.
pub(crate) fn working_directory(context: &Context, directory: &str) -> Result<(), String> {
    let path = Path::new(directory);
    if !path.is_absolute() {
        return Err("is not an absolute path".to_owned());
    }
    let root = context.root().canonicalize().map_err(|error| format!("cannot be compared: {error}"))?;
    match path.canonicalize() {
        Ok(path) if path.is_dir() && path.starts_with(&root) => Ok(()),
        Ok(_) => Err("is not in this repository".to_owned()),
        Err(_) => Err("does not exist".to_owned()),
    }
}
