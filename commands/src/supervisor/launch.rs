//! Preparing a worktree and starting a run's host. Everything here may be repeated: a branch, a worktree or a claim that
//! is there already is used as it is, and a second host for one run ends by itself.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_lib::agents::needs;
use pipeline_lib::agents::template::{Vars, expand, git_write_roots};
use pipeline_lib::claim::marker::{Choice, Earlier, TaskFile, render_task_file};
use pipeline_lib::decide::gate_worktree;
use pipeline_lib::event::{Event, Seen};
use pipeline_lib::ids::CommitId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Run, Work};
use pipeline_lib::settings::{Sandbox, worktree_parts};
use pipeline_lib::task::{Question, Task};
use pipeline_lib::terminal::Size;
use pipeline_lib::workflow::{Stage, render};
use pipeline_worktrees::git::{GitError, Repo};
use pipeline_worktrees::host::{self, Confinement, RunKind};

use super::begin::{claim, may_have_begun, start};
use super::held::Held;
use super::perform::Failure;
use super::secrets::Secrets;

use super::{assign, branches, clones, commands, confine, environment, hooks, trespass};
use crate::config::{AgentConfig, Mode, Runtime};
use crate::context::Context;
use crate::shipped;

/// What an agent's program is told on its command line.
const PROMPT: &str = "Your task is described in the file {task_file} in the current directory. Read it first. You are at \
stage {stage}, in the role {role}, on the branch {branch}. Do what the file asks, commit your work, and finish as the file \
says at its end.";

/// The longest notice in a task file, in characters.
const NOTICE_CHARS_MAX: usize = 500;

/// Starts a run. The answer is an event where the run has to wait for its worktree's set-up.
pub(super) fn launch(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    held: &mut Held,
) -> Result<Option<Event>, Failure> {
    if let Some(task) = run.task.as_ref().and_then(|id| pipeline.task(id.as_str()))
        && task.runs.is_empty()
        && let Some(workflow) = pipeline.workflow_of(task)
    {
        // Known before anything has been done, and not half-way.
        Secrets::needed(context, workflow)?;
    }
    match &run.work {
        Work::Agent => launch_agent(context, pipeline, run, held),
        Work::Command { command } | Work::Probe { command } => commands::launch(context, pipeline, run, command, held),
        Work::Gate { command, commit } => launch_gate(context, pipeline, run, command, commit),
        Work::Setup { command, worktree } => launch_setup(context, run, command, worktree),
    }
}

/// In a run's directory: what its agent was given.
const GIVEN: &str = "given.md";

fn launch_agent(context: &Context, pipeline: &Pipeline, run: &Run, held: &mut Held) -> Result<Option<Event>, Failure> {
    let missing = |what: &str| Failure::permanent(format!("run {} has no {what}", run.id));
    let task = run.task.as_ref().and_then(|id| pipeline.task(id.as_str())).ok_or_else(|| missing("task"))?;
    let stage = pipeline.stage_of(task).ok_or_else(|| missing("stage"))?;
    let repo = context.repo();
    let base = context.base_head()?;
    let path = context.worktree(run.agent.as_str(), Some(&task.id));
    let is_ready = held.hand_over(&path, &task.branch());
    if !is_ready {
        if prepare_worktree(context, repo, &path, &base)? {
            return Ok(Some(fresh(run, pipeline.core.settings.worktree(&run.agent, &task.id))));
        }
        repo.ensure_branch(&task.branch(), &branches::begins_at(context, pipeline, run, task, base)?)?;
    }
    assign::clear(&path, &task.id)?;
    clones::settle(context, Some(run), &path)?;
    if !is_ready {
        check_out(context, pipeline, run, &path, &task.branch())?;
        held.taken(&path);
    }
    let given = write_task_file(context, pipeline, run, task, stage, &path)?;
    let claim = agent_claim(context, run, task, stage, &path)?;
    trespass::remember(context, run)?;
    // What it was given stays as it was, whatever it makes of its own copy.
    std::fs::write(context.run_dir(&run.id).join(GIVEN), given)?;
    start(context, run, claim, &Secrets::known(context, None))?;
    Ok(None)
}

/// Makes sure that a worktree is there. True if it is new and has to be set up first.
pub(super) fn prepare_worktree(context: &Context, repo: &Repo, path: &Path, at: &CommitId) -> Result<bool, Failure> {
    let prepared = repo.ensure_worktree(path, at)?;
    if prepared.fresh {
        repo.copy_included(path)?;
    }
    Ok(prepared.fresh && context.config().project.setup.is_some())
}

pub(super) fn fresh(run: &Run, worktree: String) -> Event {
    Event::Run { run: run.id.clone(), seen: Seen::WorktreeFresh { worktree } }
}

/// Checks the task's branch out. What somebody left uncommitted in the worktree is set aside first; a worktree of ours
/// that still has the branch and no live run lets go of it.
pub(super) fn check_out(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    path: &Path,
    branch: &str,
) -> Result<(), Failure> {
    let repo = context.repo();
    // Whoever claimed it had made it ready, and its agent or command may be at work there by now.
    if may_have_begun(context, run) && repo.is_on(path, branch)? {
        return Ok(());
    }
    match repo.checkout_branch(path, branch) {
        Err(GitError::Dirty { .. } | GitError::InProgress { .. }) => {
            let reason = format!("uncommitted work found in the worktree of {} before run {}", run.agent, run.id);
            repo.set_aside(path, &format!("before-{}", run.id), &reason)?;
            Ok(repo.checkout_branch(path, branch)?)
        }
        Err(GitError::BranchElsewhere { path: other, branch: name }) => {
            if branches::is_in_use(context, pipeline, Some(run), &other) || !context.is_our_worktree(&other) {
                return Err(GitError::BranchElsewhere { path: other, branch: name }.into());
            }
            let id = format!("elsewhere-{}", run.id);
            repo.set_aside(&other, &id, "uncommitted work found beside a task's branch")?;
            let base = context.base_head()?;
            repo.detach(&other, &base)?;
            Ok(repo.checkout_branch(path, branch)?)
        }
        other => Ok(other?),
    }
}

fn write_task_file(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    task: &Task,
    stage: &Stage,
    path: &Path,
) -> Result<String, Failure> {
    let name = Context::task_file_name(&task.id);
    let file = path.join(&name);
    if !assign::is_ours(&file) && std::fs::symlink_metadata(&file).is_ok() {
        let message = format!("the repository has a file {name} of its own; choose another id for the task");
        return Err(Failure::permanent(message));
    }
    context.repo().exclude(&format!("/{name}"))?;
    // Nothing of what its program keeps there for itself may be committed with the work.
    let preset = pipeline.core.agents.get(&run.agent).map(|agent| agent.preset);
    for line in preset.map(needs::leavings).unwrap_or_default() {
        context.repo().exclude(line)?;
    }
    let earlier: Vec<Earlier<'_>> = task
        .outputs
        .iter()
        .filter(|output| stage.takes(&output.stage))
        .map(|output| Earlier { stage: output.stage.as_str(), outcome: &output.decision, summary: &output.summary })
        .collect();
    let decisions: Vec<Choice<'_>> = match task.question() {
        Some(question) => {
            question.offers.iter().map(|offer| Choice { word: &offer.word, description: &offer.about }).collect()
        }
        None => stage.decisions.iter().map(|c| Choice { word: &c.choice, description: &c.description }).collect(),
    };
    let instructions = instructions(context, pipeline, run, task, stage);
    let instructions = asked(&instructions, task.question());
    let notices: Vec<String> = pipeline
        .core
        .notices
        .iter()
        .filter(|notice| notice.given.as_ref() == Some(&run.id))
        .map(|notice| format!("- {}", pipeline_lib::text::one_line(&notice.text, NOTICE_CHARS_MAX)))
        .collect();
    let instructions = match notices.is_empty() {
        true => instructions,
        false => format!("{instructions}\n\nWhat your role should know:\n{}", notices.join("\n")),
    };
    let instructions = match confine::told(pipeline.core.settings.sandbox(&run.agent)) {
        Some(told) => format!("{instructions}\n\n{told}"),
        None => instructions,
    };
    let base_first = pipeline.brings_base_in(task).filter(|_| task.question().is_none());
    let instructions = match base_first.filter(|advice| !task.feedback.as_deref().unwrap_or_default().contains(advice))
    {
        Some(advice) => format!("{instructions}\n\n{advice}"),
        None => instructions,
    };
    let text = render_task_file(&TaskFile {
        run: &run.id,
        task: &task.id,
        title: &task.title,
        body: &task.body,
        stage: &stage.id,
        stage_name: &stage.name,
        instructions: &instructions,
        attempt: run.attempt,
        branch: &task.branch(),
        base: &pipeline.core.settings.base,
        earlier: &earlier,
        message: "",
        // What a hub's agent should know of failures is in its question.
        previous_failure: task.feedback.as_deref().filter(|_| task.question().is_none()).unwrap_or_default(),
        decisions: &decisions,
        session: run.interactive,
    });
    // Beside the worktree, so that a crash leaves nothing in it that would be taken for the agent's work.
    replace_file_from(&context.repo().private_dir(path)?, &file, text.as_bytes())?;
    Ok(text)
}

/// The same with what the agent of a hub is asked.
fn asked(instructions: &str, question: Option<&Question>) -> String {
    let Some(question) = question else { return instructions.to_owned() };
    let mut text = format!("{instructions}\n\n{}", question.told);
    if let Some(refused) = &question.refused {
        text.push_str(&format!("\nYour last answer was not taken: {refused}\n"));
    }
    for offer in question.offers.iter().filter(|offer| !offer.also.is_empty()) {
        text.push_str(&format!("{} is understood as {} too.\n", offer.also.join(", "), offer.word));
    }
    text
}

/// What an agent is told: the prompt of its definition or of what it acts as, then what the stage asks for. Both may name
/// what the task was given.
fn instructions(context: &Context, pipeline: &Pipeline, run: &Run, task: &Task, stage: &Stage) -> String {
    let vars = pipeline.variables(task, stage);
    let asked = render::text(&stage.description, &vars).unwrap_or_else(|error| {
        tracing::warn!(stage = %stage.id, %error, "a stage's description is given to the agent as it is written");
        stage.description.clone()
    });
    let own = context.definitions().prompt_for(&run.agent, &stage.role).map(str::to_owned);
    let names = [Some(run.agent.as_str()), shipped::acts_as(stage), Some(stage.role.as_str())];
    match own.or_else(|| shipped::prompt(names.into_iter().flatten())) {
        Some(prompt) => format!("{}\n\n{asked}", render::placeholders(&prompt, &vars)),
        None => asked,
    }
}

/// Writes beside and renames, so that nobody sees half a file, not even after a power cut. It need not be the new one then:
/// it is written again.
///
/// # Errors
/// When the directory cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    write_and_rename(dir, path, bytes)
}

/// The same with the unfinished file elsewhere, if that is the same file system.
pub(super) fn replace_file_from(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match write_and_rename(dir, path, bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => replace_file(path, bytes),
        other => other,
    }
}

fn write_and_rename(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut file, bytes)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn agent_claim(
    context: &Context,
    run: &Run,
    task: &Task,
    stage: &Stage,
    worktree: &Path,
) -> Result<host::Claim, Failure> {
    let gone = || Failure::permanent(format!("agent {} is not in config.toml any more", run.agent));
    // What was decided holds, whatever the configuration says by now.
    let mode = if run.interactive { Mode::Interactive } else { Mode::Headless };
    let agent = &AgentConfig { mode, ..context.agent(&run.agent).ok_or_else(gone)?.clone() };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let outcome = context.outcome_file(run);
    let name = Context::task_file_name(&task.id);
    let git_dir = clones::git_dir(context, agent, run, worktree)?;
    let mut write_roots: Vec<String> = match agent.sandbox {
        Sandbox::Strict => vec![text(&git_dir)],
        Sandbox::Off | Sandbox::Basic => git_write_roots(&text(&git_dir), &text(context.repo().common_dir())).into(),
    };
    confine::private_dir(&context.outcome_dir(run))?;
    write_roots.push(text(&context.outcome_dir(run)));
    if agent.sandbox != Sandbox::Strict {
        // Git makes it with its first line, for which a sandbox of the agent's own would have to let it.
        std::fs::create_dir_all(context.repo().common_dir().join("logs"))?;
    }
    write_roots.retain(|root| Path::new(root).is_dir());
    let mut vars = Vars {
        prompt: String::new(),
        task_file: name.clone(),
        worktree: text(worktree),
        task: task.id.to_string(),
        run: run.id.to_string(),
        stage: stage.id.to_string(),
        role: stage.role.to_string(),
        branch: task.branch(),
        base: context.base().to_owned(),
        model: agent.model.clone(),
        write_roots,
        hooks: None,
        notify: None,
        resume: run.resumes.clone(),
    };
    let listening = run.interactive.then(|| hooks::prepare(&context.run_dir(&run.id), agent.preset)).transpose()?;
    if let Some(hooks) = &listening {
        (vars.hooks, vars.notify) = (Some(text(&hooks.settings)), Some(hooks.notify.clone()));
    }
    vars.prompt = expand(&[PROMPT], &vars).map_err(|e| Failure::permanent(e.to_string()))?.concat();
    let argv = context.agent_argv(agent, &vars).map_err(Failure::permanent)?;
    let told = argv.iter().any(|argument| argument.contains(&vars.prompt));
    let mut env = environment::of_agent(context, agent);
    if run.interactive {
        env.retain(|name, _| agent.env.contains_key(name) || !is_about_our_terminal(name));
    }
    environment::tell_git(&mut env, &environment::SETTLED);
    let mut confinement = confine::of_agent(context, agent, run, &vars.branch, (worktree, &git_dir))?;
    if let Some(confinement) = &mut confinement {
        confinement.write.extend(listening.iter().flat_map(hooks::Hooks::places));
        confine::tell(confinement, &mut env, &agent.env);
    }
    env.extend([
        ("PIPELINE_TASK_ID".to_owned(), vars.task),
        ("PIPELINE_RUN_ID".to_owned(), vars.run),
        ("PIPELINE_STAGE".to_owned(), vars.stage),
        ("PIPELINE_ROLE".to_owned(), vars.role),
        ("PIPELINE_WORKTREE".to_owned(), vars.worktree),
        ("PIPELINE_BRANCH".to_owned(), vars.branch),
        ("PIPELINE_BASE".to_owned(), vars.base),
        ("PIPELINE_TASK_FILE".to_owned(), text(&worktree.join(name))),
        ("PIPELINE_OUTCOME_FILE".to_owned(), text(&outcome)),
        ("TRACEPARENT".to_owned(), traceparent(task, run)),
    ]);
    listening.iter().for_each(|hooks| hooks.tell(agent.preset, &mut env));
    let mut claim = claim(run, RunKind::Agent, argv, env, worktree.to_owned());
    claim.confinement = confinement;
    claim.terminal = run.interactive.then_some(Size::UNSEEN);
    let in_tmux = run.interactive && agent.runtime == Runtime::Tmux;
    let whose = run.task.as_ref().map_or_else(|| run.agent.to_string(), |task| format!("{} {task}", run.agent));
    claim.multiplexer = in_tmux.then(|| host::Multiplexer {
        whose,
        ..host::Multiplexer::of_repository(context.root(), context.environment())
    });
    let pastes = agent.preset.info().prompt_by_paste || run.resumes.is_some();
    let pasted = run.interactive && pastes && !told;
    claim.prompt = pasted.then_some(vars.prompt);
    Ok(claim)
}

/// Whether a variable describes the terminal that we were started in, which is not the one that a session gets.
fn is_about_our_terminal(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "TERM",
        "COLORTERM",
        "TERMCAP",
        "LINES",
        "COLUMNS",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "WINDOW",
        "WINDOWID",
        "VTE_VERSION",
        "WT_SESSION",
        "SSH_TTY",
    ];
    const STARTS: [&str; 7] = ["TERM_", "KITTY_", "WEZTERM_", "ITERM_", "ALACRITTY_", "GHOSTTY_", "KONSOLE_"];
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// The trace context of a run (W3C Trace Context, level 1): one trace a task, one span a run.
pub(super) fn traceparent(task: &Task, run: &Run) -> String {
    use sha2::{Digest, Sha256};
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let trace = Sha256::digest(format!("{} {}", task.id, task.created_at));
    let span = Sha256::digest(run.id.as_str());
    format!("00-{}-{}-01", hex(&trace[..16]), hex(&span[..8]))
}

fn launch_gate(
    context: &Context,
    pipeline: &Pipeline,
    run: &Run,
    command: &str,
    commit: &CommitId,
) -> Result<Option<Event>, Failure> {
    let name = gate_worktree(&run.agent);
    let path = context.worktree(&name, run.task.as_ref());
    let repo = context.repo();
    if prepare_worktree(context, repo, &path, commit)? {
        let of_task = run.task.as_ref().map(|task| pipeline.core.settings.gate_worktree(&run.agent, task));
        return Ok(Some(fresh(run, of_task.unwrap_or(name))));
    }
    detach_clean(repo, &path, commit)?;
    let confinement = confine::of_gate(context, pipeline, run, (&path, &repo.private_dir(&path)?))?;
    start_shell(context, run, RunKind::Gate, command, &path, confinement)?;
    Ok(None)
}

/// Puts a gate's worktree on a commit. What an earlier gate changed there is nobody's work.
pub(crate) fn detach_clean(repo: &Repo, path: &Path, commit: &CommitId) -> Result<(), Failure> {
    match repo.detach(path, commit) {
        Err(GitError::Dirty { .. } | GitError::InProgress { .. }) => {
            let id = format!("gate-{}", commit.short());
            if repo.set_aside(path, &id, "left behind by a gate")?.is_some() {
                repo.drop_rescue(&id)?;
            }
            Ok(repo.detach(path, commit)?)
        }
        other => Ok(other?),
    }
}

fn launch_setup(context: &Context, run: &Run, command: &str, worktree: &str) -> Result<Option<Event>, Failure> {
    let (agent, task) = worktree_parts(worktree);
    let path = context.worktree(agent, task.as_ref());
    let base = context.base_head()?;
    prepare_worktree(context, context.repo(), &path, &base)?;
    // A fresh worktree holds what is in base, and nobody's work yet.
    start_shell(context, run, RunKind::Setup, command, &path, None)?;
    Ok(None)
}

fn start_shell(
    context: &Context,
    run: &Run,
    kind: RunKind,
    command: &str,
    cwd: &Path,
    confinement: Option<Confinement>,
) -> Result<(), Failure> {
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
    let mut env = context.environment_of_commands();
    if let Some(confinement) = &confinement {
        confine::tell(confinement, &mut env, &BTreeMap::new());
    }
    env.insert("PIPELINE_RUN_ID".to_owned(), run.id.to_string());
    env.insert("PIPELINE_WORKTREE".to_owned(), cwd.to_string_lossy().into_owned());
    if let Some(task) = &run.task {
        env.insert("PIPELINE_TASK_ID".to_owned(), task.to_string());
    }
    let claim = host::Claim { confinement, ..claim(run, kind, argv, env, cwd.to_owned()) };
    start(context, run, claim, &Secrets::known(context, None))
}
