//! Power cuts: a file system of its own is shut down under a process that adds tasks, or under a monitor whose hosts run
//! commands, and mounted anew. What was acknowledged before the cut has to be there, no command may begin twice, and what the
//! commands of a task wrote in a worktree is on its branch and on no other. Opt-in, for it needs root, loop devices and the
//! tools of the file systems:
//! `PIPELINE_POWER_CUTS=1000 cargo test --test e2e power -- --nocapture`. Then a tool that is missing is a failure.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::{Disk, end_all_on, must, pipeline, tell, wanted};
use super::rig::{Watch, program, say};

/// Runs a program whose syncs do nothing.
const UNSYNCED: &str = "strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:retval=0";

fn make_repository(repository: &Path) {
    let make = "mkdir -p \"$1\" && cd \"$1\" && git init -q -b main . && git -c user.name=R -c user.email=r@example.org commit -qm base --allow-empty && sync";
    must("make a repository", "sh", &["-c", make, "sh", &repository.display().to_string()]);
    assert!(
        pipeline(repository)
            .args(["init", "--agent", "demo", "--yes"])
            .stdout(Stdio::null())
            .status()
            .expect("init")
            .success()
    );
}

/// Cuts the power `cuts` times, each time a little later; how many acknowledged tasks there were in the end. Without
/// `synced` the program's syncs are taken from it.
fn cut(file_system: &str, cuts: usize, synced: bool) -> Result<usize, String> {
    let disk = Disk::new(file_system);
    let repository = disk.place.join("r");
    make_repository(&repository);
    must("sync", "sync", &[]);
    let mut known: Vec<String> = Vec::new();
    for round in 0..cuts {
        // Acknowledgements are read as they come; the cut comes after so many of them, and not at their end.
        let wrapper = if synced { "" } else { UNSYNCED };
        let script = format!("while :; do {wrapper} \"$1\" -C \"$2\" task add one 2>/dev/null || exit; done");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program()).arg(&repository).env("GIT_CONFIG_NOSYSTEM", "1");
        let mut writer =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a writer");
        let mut lines = BufReader::new(writer.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let acknowledged: Vec<String> = lines.by_ref().take(1 + round % 3).collect();
        disk.cut();
        known.extend(acknowledged);
        writer.wait().expect("the writer's end");
        drop(lines);
        disk.attach_anew();
        let mut list = pipeline(&repository);
        let listed = list.args(["task", "list", "--json"]).stderr(Stdio::piped()).output().expect("a list");
        let (text, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
        let tasks: HashSet<&str> = text.split('"').collect();
        if let Some(task) = known.iter().find(|task| !tasks.contains(task.as_str())) {
            let start = text.get(..300).unwrap_or(&text);
            return Err(format!("{file_system}, cut {round}: {task} was acknowledged and is gone: {said}{start}"));
        }
        let state = fs::read_to_string(repository.join(".pipeline/state/state.json")).unwrap_or_default();
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&state) {
            return Err(format!("{file_system}, cut {round}: state.json: {error}: {state:?}"));
        }
        tell(file_system, "under commands that add", round);
    }
    Ok(known.len())
}

/// Where commands run, and how many tasks are added before each cut.
#[derive(Clone, Copy)]
enum Place {
    Repository,
    Worktree,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Worktree => "worktree",
        }
    }

    /// The workflows of the tasks that are added each time.
    fn tasks(self) -> &'static [&'static str] {
        match self {
            Self::Repository => &["chain"],
            // What leaves nothing hands its worktree on in another way.
            Self::Worktree => &["chain", "chain", "nothing", "nothing", "chain", "nothing", "nothing"],
        }
    }
}

/// Three commands, each of which writes down on another disk, which has power, that it began, and goes on as long as `hold` is
/// there. In a worktree each leaves a file, if it is not of those that leave nothing.
fn workflow(id: &str, ledger: &Path, hold: &Path, place: Place) -> String {
    let leave = match place {
        Place::Worktree if id == "chain" => "echo it > \"$PIPELINE_TASK_ID.$PIPELINE_STAGE\"; ",
        Place::Worktree | Place::Repository => "",
    };
    let stage = |id: &str| {
        let (ledger, hold) = (ledger.display(), hold.display());
        let run =
            format!("{leave}echo \"$PIPELINE_RUN_ID\" >> '{ledger}'; while test -e '{hold}'; do sleep 0.01; done");
        serde_json::json!({ "id": id, "run": run, "place": place.word(), "merge": false, "retries": 20, "backoff": "1s" })
    };
    let stages = ["a", "b", "c"].map(stage);
    serde_json::json!({ "id": id, "stages": stages }).to_string()
}

fn begun(ledger: &Path) -> Vec<String> {
    fs::read_to_string(ledger).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Cuts the power under a monitor `cuts` times, each time after some commands more; how many began. Without `synced` the
/// syncs are taken from it and its hosts.
fn cut_under_commands(file_system: &str, cuts: usize, synced: bool, place: Place) -> Result<usize, String> {
    let disk = Disk::new(file_system);
    let elsewhere = tempfile::tempdir().expect("a scratch directory");
    let (ledger, hold) = (elsewhere.path().join("ledger"), elsewhere.path().join("hold"));
    let repository = disk.place.join("r");
    make_repository(&repository);
    let folder = repository.join(".pipeline/workflows");
    fs::create_dir_all(&folder).expect("a directory");
    for id in ["chain", "nothing"] {
        fs::write(folder.join(format!("{id}.json")), workflow(id, &ledger, &hold, place)).expect("a workflow");
    }
    let must_do = |words: &[&str]| {
        let done = pipeline(&repository).args(words).stderr(Stdio::piped()).output().expect("the program");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{words:?}: {}: {err}{out:.2000}", done.status);
        done.stdout
    };
    must_do(&["mode", "pipeline", "--yes"]);
    must("sync", "sync", &[]);
    let monitor = |synced: bool| {
        let script = format!("{} \"$1\" -C \"$2\" monitor --headless", if synced { "exec" } else { UNSYNCED });
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program()).arg(&repository).env("GIT_CONFIG_NOSYSTEM", "1");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the monitor starts")
    };
    let watch = Watch::of([elsewhere.path().to_owned()]);
    let mut completed: Vec<String> = Vec::new();
    for round in 0..cuts {
        for workflow in place.tasks() {
            must_do(&["task", "add", "three commands", "--workflow", workflow]);
        }
        // Every other time it meets commands at their work, and else whatever comes.
        let held = round % 2 == 1;
        if held {
            fs::write(&hold, "").expect("a file");
        }
        let mut ticking = monitor(synced);
        let enough = begun(&ledger).len() + if held { 1 } else { 1 + round % 3 };
        let deadline = Instant::now() + Duration::from_secs(120);
        while begun(&ledger).len() < enough {
            let report = || String::from_utf8_lossy(&must_do(&["status"])).into_owned();
            assert!(Instant::now() < deadline, "{file_system}, cut {round}: nothing more began:\n{}", report());
            watch.wait(Duration::from_millis(40));
        }
        disk.cut();
        ticking.kill().expect("the monitor's end");
        ticking.wait().expect("the monitor's end");
        end_all_on(&disk.place);
        if held {
            fs::remove_file(&hold).expect("it is there");
        }
        disk.attach_anew();
        let status = must_do(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status).expect("a document");
        let tasks = status["tasks"].as_object().expect("tasks");
        let is_completed = |task: &str| tasks.get(task).is_some_and(|task| task["status"] == "completed");
        if let Some(task) = completed.iter().find(|task| !is_completed(task)) {
            return Err(format!("{file_system}, cut {round}: {task} was completed"));
        }
        completed = tasks.keys().filter(|task| is_completed(task)).cloned().collect();
        let told = must_do(&["events"]);
        let told = String::from_utf8_lossy(&told);
        let told: HashSet<&str> = told.split('"').collect();
        if let Some(run) = begun(&ledger).iter().find(|run| !told.contains(run.as_str())) {
            return Err(format!("{file_system}, cut {round}: the command of {run} began, and nothing knows of it"));
        }
        tell(file_system, "under a monitor", round);
    }
    let mut ticking = monitor(true);
    must_do(&["wait", "--for", "idle", "--timeout", "300s"]);
    ticking.kill().expect("the monitor's end");
    ticking.wait().expect("the monitor's end");
    end_all_on(&disk.place);
    let all = begun(&ledger);
    let mut runs = all.clone();
    runs.sort();
    runs.dedup();
    if runs.len() < all.len() {
        return Err(format!("{file_system}: a command began twice in one run: {all:?}"));
    }
    if matches!(place, Place::Worktree) {
        is_on_its_branch(&repository, &place.tasks().repeat(cuts))?;
    }
    Ok(all.len())
}

/// Whether every task has on its branch what its commands left, and nothing of others.
fn is_on_its_branch(repository: &Path, workflows: &[&str]) -> Result<(), String> {
    for (index, workflow) in workflows.iter().enumerate() {
        let task = format!("TASK-{:03}", index + 1);
        let mut git = Command::new("git");
        let listed =
            git.arg("-C").arg(repository).args(["ls-tree", "-r", "--name-only"]).arg(format!("pipeline/{task}"));
        let listed = listed.output().expect("a list");
        if !listed.status.success() {
            return Err(format!("{task}: {}", String::from_utf8_lossy(&listed.stderr)));
        }
        let listed = String::from_utf8_lossy(&listed.stdout);
        let files: Vec<&str> = listed.lines().collect();
        let stages = if *workflow == "chain" { &["a", "b", "c"][..] } else { &[] };
        let expected: Vec<String> = stages.iter().map(|stage| format!("{task}.{stage}")).collect();
        if files != expected {
            let mut git = Command::new("git");
            let told = git.arg("-C").arg(repository).args(["log", "--format=%cI %B", &format!("pipeline/{task}")]);
            let told = told.output().expect("a log");
            return Err(format!("the branch of {task} has {files:?}:\n{}", String::from_utf8_lossy(&told.stdout)));
        }
    }
    Ok(())
}

fn commands_on(file_system: &str) {
    let Some((cuts, _turn)) = wanted() else { return };
    let repository = Place::Repository;
    let began = cut_under_commands(file_system, cuts, true, repository).unwrap_or_else(|wrong| panic!("{wrong}"));
    let forgot = cut_under_commands(file_system, cuts.min(20), false, repository)
        .expect_err("without syncs something is forgotten");
    say(&format!(
        "{file_system}: {cuts} power cuts under a monitor, {began} commands began, each once and known; without syncs: {forgot}"
    ));
}

#[test]
fn power_cuts_on_ext4_begin_no_command_twice() {
    commands_on("ext4");
}

#[test]
fn power_cuts_on_xfs_begin_no_command_twice() {
    commands_on("xfs");
}

fn worktrees_on(file_system: &str) {
    let Some((cuts, _turn)) = wanted() else { return };
    let began = cut_under_commands(file_system, cuts, true, Place::Worktree).unwrap_or_else(|wrong| panic!("{wrong}"));
    say(&format!(
        "{file_system}: {cuts} power cuts under commands in worktrees, {began} began, each once and known, and all they left \
         is on the branches of their tasks"
    ));
}

#[test]
fn power_cuts_on_ext4_mix_no_branches() {
    worktrees_on("ext4");
}

#[test]
fn power_cuts_on_xfs_mix_no_branches() {
    worktrees_on("xfs");
}

fn cuts_on(file_system: &str) {
    let Some((cuts, _turn)) = wanted() else { return };
    let kept = cut(file_system, cuts, true).unwrap_or_else(|lost| panic!("{lost}"));
    let lost = cut(file_system, cuts.min(20), false).expect_err("without syncs a power cut must lose something");
    say(&format!("{file_system}: {cuts} power cuts, {kept} acknowledged tasks, none lost; without syncs: {lost:.120}"));
}

#[test]
fn power_cuts_on_ext4_lose_nothing() {
    cuts_on("ext4");
}

#[test]
fn power_cuts_on_xfs_lose_nothing() {
    cuts_on("xfs");
}
