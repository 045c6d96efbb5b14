//! The scratch repository: a small real code base, a pipeline in production over it, and the tasks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline_lib::event::{NewTask, Request};
use pipeline_lib::ids::TaskId;

use super::agent::{PACE_VARIABLE, git, write};
use super::plays::{BASE, BEGINNING, PLAYS, VERIFY};
use crate::context::Globals;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result};
use crate::output::Output;
use crate::verbs::init;

/// The agents: names and roles. Two share a role, so that implementations run beside each other.
const AGENTS: [(&str, &str); 5] = [
    ("architect", "architect"),
    ("test", "test"),
    ("implementation", "implementation"),
    ("implementation-2", "implementation"),
    ("supervisor", "supervisor"),
];
/// Who commits where no agent does.
const NOBODY: &str = "pipeline demo";
/// Whatever the person's own git is set to do, nothing of it should happen here: no hook, no signature, no changed line
/// ends, no other kind of merge, no housekeeping in the background.
const GIT_SETTINGS: [(&str, &str); 10] = [
    ("user.name", NOBODY),
    ("user.email", "pipeline-demo@pipeline.invalid"),
    ("commit.gpgsign", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.fsmonitor", "false"),
    ("merge.ff", "true"),
    ("merge.conflictStyle", "merge"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
];

/// Makes the repository in an empty directory and puts the tasks into its queue. Nothing is started.
///
/// # Errors
/// When git is missing or something cannot be written.
pub(super) fn make(call: &Call, dir: &Path, pace: Duration) -> Result<Call> {
    git(dir, NOBODY, &["init", "--quiet", "--template=", "-b", BASE])?.or_fail("git init")?;
    for (key, value) in GIT_SETTINGS {
        git(dir, NOBODY, &["config", "--local", key, value])?.or_fail("git config")?;
    }
    for (path, content) in BEGINNING {
        write(dir, path, content)?;
    }
    git(dir, NOBODY, &["add", "--all"])?.or_fail("git add")?;
    git(dir, NOBODY, &["commit", "--quiet", "-m", "A small toolkit"])?.or_fail("git commit")?;
    write(dir, ".pipeline/config.toml", &config(pace))?;
    let inside = inside(call, dir);
    let quiet = Call { output: Output::captured().0, interactive: false, ..inside.clone() };
    let args = init::Init {
        agent: Some("demo".to_owned()),
        verify: Some(VERIFY.to_owned()),
        rollout: Some("production".to_owned()),
        yes: true,
        reset: false,
    };
    init::run(&quiet, args)?;
    git(dir, NOBODY, &["add", "--all"])?.or_fail("git add")?;
    git(dir, NOBODY, &["commit", "--quiet", "-m", "A pipeline for the toolkit"])?.or_fail("git commit")?;
    let context = quiet.context()?;
    Engine::open(&context)?.ask(&context, "demo", Request::AddTasks(tasks()?))?;
    Ok(inside)
}

/// The same call, in the scratch repository: with nothing that was said about another one.
fn inside(call: &Call, dir: &Path) -> Call {
    let mut environment = call.globals.environment.clone();
    environment.retain(|name, _| !name.starts_with("PIPELINE_") && !name.starts_with("GIT_") && name != PACE_VARIABLE);
    let globals = Globals {
        dir: dir.to_owned(),
        config_file: None,
        overrides: std::collections::BTreeMap::new(),
        environment,
        command: call.globals.command.clone(),
    };
    Call { globals, ..call.clone() }
}

/// Written in full where the demonstration depends on it, because a person's own settings lie beneath it.
fn config(pace: Duration) -> String {
    let mut text = format!(
        "# The demonstration's pipeline. Its agents are scripts; no model is asked.\n\
         [project]\nbase = \"{BASE}\"\nverify = \"{VERIFY}\"    # the gate: a claim counts only if this passes\n\n\
         [scheduler]\nretries = 2\nbackoff = \"300ms\"\nbackoff_max = \"2s\"\nstage_timeout = \"1m\"\n\
         verify_timeout = \"1m\"\nmax_parallel = 0\n"
    );
    for (name, role) in AGENTS {
        text.push_str(&format!("\n[[agents]]\nname = \"{name}\"\nrole = \"{role}\"\npreset = \"demo\"\n"));
        if !pace.is_zero() {
            text.push_str(&format!("env = {{ {PACE_VARIABLE} = \"{}\" }}\n", pace.as_millis()));
        }
    }
    text
}

fn tasks() -> Result<Vec<NewTask>> {
    PLAYS
        .iter()
        .map(|play| {
            let after = play.after.iter().map(|id| TaskId::new(id));
            Ok(NewTask {
                id: Some(TaskId::new(play.id)?),
                body: play.body.to_owned(),
                priority: play.priority,
                depends_on: after.collect::<std::result::Result<_, _>>()?,
                ..NewTask::titled(play.title)
            })
        })
        .collect()
}

/// A directory that may become the scratch repository: empty, made if it is not there.
///
/// # Errors
/// When there is something in it, or it cannot be made.
pub(super) fn empty_dir(dir: PathBuf) -> Result<PathBuf> {
    let unusable = |error: std::io::Error| {
        let error = CommandError::from(error);
        let message = format!("cannot use {} as a directory: {}", dir.display(), error.message);
        CommandError { message, ..error }.hint("Name an empty or a new directory, or leave `--dir` out.")
    };
    fs::create_dir_all(&dir).map_err(unusable)?;
    if fs::read_dir(&dir).map_err(unusable)?.next().is_some() {
        return Err(CommandError::failed(format!("{} is not empty", dir.display()))
            .hint("Name an empty or a new directory, or leave `--dir` out."));
    }
    Ok(dir.canonicalize()?)
}
