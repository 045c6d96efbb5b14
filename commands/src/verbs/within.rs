//! Whether a verb is asked for by what an agent started: a person decides about an agent's work, never the agent.
//!
//! Every process of a run is below its host, whatever it does to its environment or its session, unless another program
//! starts things for it. This is advice to an honest agent and a hurdle for another; what stops that one is the sandbox.

use std::path::{Path, PathBuf};

use pipeline_worktrees::host;
use pipeline_worktrees::process::{Stat, own_pid};

use crate::cli::Verb;
use crate::context::Site;
use crate::dispatch::Call;
use crate::error::{CommandError, Result};
use crate::verbs::agent::AgentVerb;
use crate::verbs::task::TaskVerb;

/// What a host calls itself.
const HOST: &str = "pipeline-host";
/// Nothing honest is deeper.
const DEPTH_MAX: usize = 256;

/// Refuses what only a person may decide, where an agent asks for it.
///
/// # Errors
/// When it is asked for from within a run of an agent.
pub(crate) fn refuse_for_agents(call: &Call, verb: &Verb) -> Result<()> {
    if !decides(verb) {
        return Ok(());
    }
    // An agent may well work on a repository of its own making.
    let Ok(site) = Site::find(&call.globals) else { return Ok(()) };
    if !is_below_an_agent(&site.folder()) {
        return Ok(());
    }
    Err(CommandError::failed("this is for a person to decide, and it is asked for by what an agent started")
        .hint("An agent says how its work went with `pipeline done`; nothing else is needed of it."))
}

fn decides(verb: &Verb) -> bool {
    match verb {
        // It may look, and propose work.
        Verb::Task(args) => {
            !matches!(args.verb, TaskVerb::List(_) | TaskVerb::Show(_) | TaskVerb::Add(_) | TaskVerb::Import(_))
        }
        Verb::Agent(args) => !matches!(args.verb, AgentVerb::List | AgentVerb::Logs(_)),
        Verb::Undo(_) | Verb::Mode(_) | Verb::Pilot(_) | Verb::Rollout(_) | Verb::Trash(_) => true,
        _ => false,
    }
}

fn is_below_an_agent(folder: &Path) -> bool {
    let mut pid = own_pid();
    for _ in 0..DEPTH_MAX {
        let Some(stat) = Stat::read(pid) else { return false };
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim_end() == HOST && pid != own_pid() && hosts_an_agent(pid, folder) {
            return true;
        }
        // The first process of all has none. That of a strict agent's own is called as a host is.
        if stat.parent < 1 {
            return false;
        }
        pid = stat.parent;
    }
    false
}

/// Whether a host has an agent, and not a command of a workflow, which is a person's own. What cannot be read counts as one.
fn hosts_an_agent(pid: i32, folder: &Path) -> bool {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let last = arguments.split(|byte| *byte == 0).rfind(|word| !word.is_empty()).unwrap_or_default();
    let dir = PathBuf::from(String::from_utf8_lossy(last).into_owned());
    if !dir.starts_with(folder) || host::is_place(&dir) {
        return false;
    }
    let claim = dir.join("claim.json");
    let claim = std::fs::read(claim).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claim.is_none_or(|claim: serde_json::Value| claim["env"]["PIPELINE_TASK_FILE"].is_string())
}
