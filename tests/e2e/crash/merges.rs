//! Power cuts under agents whose work is merged. What counts as completed has to be in base, base and every branch have to
//! be whole, and work goes on afterwards without anybody's help. Asked for in the same way as the other power cuts. The
//! short form looks at the order of system calls instead.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disk::{Disk, end_all_on, must, pipeline, tell, wanted};
use super::moments::strace_is_there;
use super::rig::{Rig, program, say};

/// Some work is committed by the agent, and some is left for the supervisor to commit.
const AGENT: &str = r#"
for n in 1 2 3; do echo "$PIPELINE_RUN_ID $n" > "$PIPELINE_TASK_ID.$n"; done
git add -A && git -c user.name=A -c user.email=a@example.org commit -qm work || exit 1
echo "$PIPELINE_RUN_ID" > "$PIPELINE_TASK_ID.left"
"#;

const WORKFLOW: &str = r#"{ "id": "make", "stages": [
    { "id": "make", "agent": "maker", "verify": "true", "merge": true, "retries": 1000 } ] }"#;

/// Runs a program that does not sync what git holds, nor do its agents. The journal is synced by another call.
const UNSYNCED: &str = "strace -f -qq -o /dev/null -e trace=fsync,syncfs -e inject=fsync,syncfs:retval=0";

/// What base has to hold of a completed task.
const MADE: [&str; 4] = ["1", "2", "3", "left"];

/// Nothing here takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// Whether nothing is left of what a file was to hold.
fn is_void(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

struct Site {
    disk: Disk,
    elsewhere: tempfile::TempDir,
    repository: PathBuf,
    /// The commit that everything began with.
    base: String,
}

impl Site {
    fn new(file_system: &str) -> Self {
        let disk = Disk::new(file_system);
        let elsewhere = tempfile::tempdir().expect("a scratch directory");
        let repository = disk.place.join("r");
        let mut site = Self { disk, elsewhere, repository, base: String::new() };
        let agent = site.elsewhere.path().join("agent.sh");
        fs::write(&agent, AGENT).expect("the agent's script");
        let make = "git init -q -b main \"$1\" && cd \"$1\" && echo /.pipeline/ > .gitignore \
                    && for n in 1 2 3 4 5 6 7 8 9; do mkdir -p old/$n && seq 999 > old/$n/$n; done && git add -A \
                    && git -c user.name=R -c user.email=r@example.org commit -qm base";
        must("make a repository", "sh", &["-c", make, "sh", &site.repository.display().to_string()]);
        site.base = site.git(&["rev-parse", "HEAD"]).expect("a commit").trim().to_owned();
        site.must_do(&["init", "--agent", "demo", "--rollout", "production", "--yes"]);
        let mut config = "[project]\nbase = \"main\"\n[scheduler]\nmax_parallel = 0\nbackoff = \"0s\"\n".to_owned();
        for name in ["maker-1", "maker-2"] {
            config.push_str(&format!(
                "[[agents]]\nname = \"{name}\"\nrole = \"maker\"\npreset = \"custom\"\ncommand = [\"/bin/sh\", \"{}\"]\n",
                agent.display()
            ));
        }
        fs::write(site.repository.join(".pipeline/config.toml"), config).expect("the configuration");
        fs::create_dir_all(site.repository.join(".pipeline/workflows")).expect("a directory");
        fs::write(site.repository.join(".pipeline/workflows/make.json"), WORKFLOW).expect("a workflow");
        must("sync", "sync", &[]);
        site
    }

    fn must_do(&self, words: &[&str]) -> String {
        let done = pipeline(&self.repository).args(words).stderr(Stdio::piped()).output().expect("the program");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{words:?}: {}: {err}{out:.2000}", done.status);
        out.into_owned()
    }

    fn monitor(&self, wrapper: &str) -> Child {
        let script = format!("exec {wrapper} \"$1\" -C \"$2\" monitor --headless 2>>\"$3/monitor\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program()).arg(&self.repository).arg(self.elsewhere.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().expect("the monitor starts")
    }

    /// The events of the journal as they are written, from here on.
    fn events(&self) -> Receiver<String> {
        let mut command = pipeline(&self.repository);
        let mut follower = command.args(["events", "-f"]).stdout(Stdio::piped()).spawn().expect("events");
        let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (told, listen) = channel();
        std::thread::spawn(move || {
            for line in lines {
                if told.send(line).is_err() {
                    break;
                }
            }
            follower.wait()
        });
        listen
    }

    fn git(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        let done = command.arg("-C").arg(&self.repository).args(words).output().expect("git");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if done.status.success() { Ok(out.into_owned()) } else { Err(format!("git {words:?}: {err}{out:.1000}")) }
    }

    fn completed(&self) -> BTreeSet<String> {
        let status: Value = serde_json::from_str(&self.must_do(&["status", "--json"])).expect("a document");
        let tasks = status["tasks"].as_object().expect("tasks");
        tasks.iter().filter(|(_, task)| task["status"] == "completed").map(|(id, _)| id.clone()).collect()
    }

    /// Whether every object is whole, and every reference. An index of which nothing is left is made anew by whoever uses it,
    /// but git would not look at anything more.
    fn fsck(&self) -> Result<(), String> {
        let worktrees = fs::read_dir(self.repository.join(".git/worktrees")).into_iter().flatten().flatten();
        let all = worktrees.map(|entry| entry.path()).chain([self.repository.join(".git")]);
        let lost = |index: PathBuf| Some(index.clone()).zip(fs::read(index).ok().filter(|found| is_void(found)));
        let lost: Vec<(PathBuf, Vec<u8>)> = all.filter_map(|admin| lost(admin.join("index"))).collect();
        lost.iter().for_each(|(index, _)| fs::remove_file(index).expect("an index"));
        let found = self.git(&["fsck", "--no-dangling", "--no-progress"]);
        lost.iter().for_each(|(index, left)| fs::write(index, left).expect("an index"));
        found.map(drop)
    }

    /// What is wrong with the repository, if anything is.
    fn check(&self, before: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
        let completed = self.completed();
        if let Some(task) = before.iter().find(|task| !completed.contains(*task)) {
            return Err(format!("{task} was completed"));
        }
        self.fsck()?;
        let changed = self.git(&["diff", "--stat", "main", self.base.as_str(), "--", "old"])?;
        if !changed.is_empty() {
            return Err(format!("nobody changed these files: {changed}"));
        }
        let files = self.git(&["ls-tree", "--name-only", "main"])?;
        let files: BTreeSet<&str> = files.lines().collect();
        for task in &completed {
            if let Some(lost) =
                MADE.map(|part| format!("{task}.{part}")).iter().find(|file| !files.contains(file.as_str()))
            {
                return Err(format!("{task} counts as completed, and base lacks {lost}"));
            }
        }
        // What is in base once stays there.
        for task in completed.difference(before) {
            for part in MADE {
                let file = format!("{task}.{part}");
                let made = self.git(&["show", &format!("main:{file}")])?;
                let (run, rest) = made.split_once(['\n', ' ']).unwrap_or_default();
                let expected = if part == "left" { String::new() } else { format!("{part}\n") };
                if !run.starts_with('r') || rest != expected {
                    return Err(format!("{task} counts as completed, and {file} in base holds {made:?}"));
                }
            }
        }
        Ok(completed)
    }

    /// What a person would look at when work does not go on.
    fn report(&self) -> String {
        let last = |text: &str| text.lines().rev().take(30).map(|line| format!("{line:.400}\n")).collect::<String>();
        let logs = fs::read_dir(self.repository.join(".pipeline/logs")).into_iter().flatten().flatten();
        let logs: String = logs.map(|log| last(&fs::read_to_string(log.path()).unwrap_or_default())).collect();
        let said = fs::read_to_string(self.elsewhere.path().join("monitor")).unwrap_or_default();
        let (status, events) = (self.must_do(&["status"]), self.must_do(&["events"]));
        let checkout = self.in_the_checkout();
        format!("{status}\n{checkout}\nevents:\n{}\nlogs:\n{logs}\nsaid:\n{}", last(&events), last(&said))
    }

    /// What differs in the checkout of base, and what is known of where it comes from.
    fn in_the_checkout(&self) -> String {
        let git = |words: &[&str]| self.git(words).unwrap_or_else(|wrong| wrong);
        let updates = fs::read_to_string(self.repository.join(".git/pipeline-update")).unwrap_or_default();
        let changed = git(&["status", "--porcelain", "-uall"]);
        let mut told = format!("checkout:\n{changed}updates:\n{updates}");
        for file in changed.lines().filter_map(|line| line.get(3..)) {
            let there = fs::read_to_string(self.repository.join(file)).unwrap_or_default();
            let (index, log) =
                (git(&["ls-files", "-s", "--", file]), git(&["log", "--all", "--format=%h %ct %s", "--", file]));
            told += &format!("{file}: {there:?}\nindex: {index}commits:\n{log}");
            for commit in updates.split_whitespace().chain(log.lines().filter_map(|line| line.split(' ').next())) {
                told += &format!("  in {commit}: {:?}\n", self.git(&["show", &format!("{commit}:{file}")]));
            }
        }
        told
    }

    /// Why the first tasks that are not completed are where they are.
    fn explain_open(&self) -> String {
        let listed: Value = serde_json::from_str(&self.must_do(&["task", "list", "--json"])).expect("a document");
        let open = listed["tasks"].as_array().expect("tasks").iter().filter(|task| task["status"] != "completed");
        let ids = open.filter_map(|task| task["id"].as_str()).take(10);
        ids.map(|id| self.must_do(&["explain", id]) + &self.must_do(&["task", "show", id])).collect()
    }

    fn end(&self, mut monitor: Child) {
        monitor.kill().expect("the monitor's end");
        monitor.wait().expect("the monitor's end");
        end_all_on(&self.disk.place);
    }
}

/// Cuts the power `cuts` times, each time after another number of events; how many tasks were completed in the end.
fn cut_under_merges(file_system: &str, cuts: usize, wrapper: &str) -> Result<usize, String> {
    let site = Site::new(file_system);
    let mut completed = BTreeSet::new();
    for round in 0..cuts {
        for _ in 0..2 {
            site.must_do(&["task", "add", "made and merged", "--workflow", "make"]);
        }
        let listed: Value = serde_json::from_str(&site.must_do(&["task", "list", "--json"])).expect("a document");
        let listed = listed["tasks"].as_array().expect("tasks");
        let mut open = listed.iter().filter(|task| task["status"] != "completed").count();
        let events = site.events();
        let before = site.must_do(&["events"]).lines().count();
        let monitor = site.monitor(wrapper);
        // From the first claim to the last merge, so that each moment between has its turn.
        let (mut seen, enough, begun) = (0, before + 1 + (round * 7) % 31, Instant::now());
        let mut goes_on = true;
        while goes_on && seen < enough && open > 0 {
            let event = events.recv_timeout(DEADLINE.saturating_sub(begun.elapsed()));
            goes_on = event.is_ok();
            seen += 1;
            open -= usize::from(seen > before && event.is_ok_and(|event| event.contains("\"type\":\"task_merged\"")));
        }
        if !goes_on {
            let report = site.report();
            site.end(monitor);
            return Err(format!("{file_system}, cut {round}: work does not go on:\n{report}"));
        }
        site.disk.cut();
        site.end(monitor);
        drop(events);
        site.disk.attach_anew();
        completed = site.check(&completed).map_err(|wrong| format!("{file_system}, cut {round}: {wrong}"))?;
        tell(file_system, "under agents", round);
    }
    let monitor = site.monitor("");
    let ended = pipeline(&site.repository).args(["wait", "--for", "completed", "--timeout", "300s"]).output();
    if !ended.expect("the program").status.success() {
        let left = site.explain_open();
        let report = site.report();
        site.end(monitor);
        return Err(format!("{file_system}, at the end: not all is completed:\n{left}\n{report}"));
    }
    site.end(monitor);
    let completed = site.check(&completed).map_err(|wrong| format!("{file_system}, at the end: {wrong}"))?;
    let changed = site.git(&["status", "--porcelain"])?;
    assert_eq!(changed, "", "{file_system}: the checkout of base is as base is");
    assert_eq!(completed.len(), cuts * 2, "{}", site.report());
    Ok(completed.len())
}

fn merges_on(file_system: &str) {
    let Some((cuts, _turn)) = wanted() else { return };
    let merged = cut_under_merges(file_system, cuts, "").unwrap_or_else(|wrong| panic!("{wrong}"));
    let broken = cut_under_merges(file_system, cuts.min(20), UNSYNCED).expect_err("without syncs something is lost");
    say(&format!(
        "{file_system}: {cuts} power cuts under agents, {merged} tasks merged, none lost; without syncs: {broken:.200}"
    ));
}

#[test]
fn power_cuts_on_ext4_lose_no_merge() {
    merges_on("ext4");
}

#[test]
fn power_cuts_on_xfs_lose_no_merge() {
    merges_on("xfs");
}

/// What is between the angle brackets that strace puts around the file of a descriptor.
fn file_of(call: &str) -> Option<&str> {
    call.split_once('<')?.1.split_once('>').map(|(file, _)| file)
}

/// The two paths of a call that gives a file its name.
fn names_of(call: &str) -> Option<(&str, &str)> {
    let mut quoted = call.split('"').skip(1).step_by(2);
    Some((quoted.next()?, quoted.next()?))
}

/// The calls by which a task is made and merged that sync something or name something, in order.
fn calls_of_a_task() -> String {
    let rig = Rig::new();
    let task = rig.add("one");
    let trace = "trace=fsync,syncfs,rename,renameat,renameat2,link,linkat";
    let mut text = String::new();
    rig.wait_until("the end of the task", |rig| {
        let recording = rig.file_inside("recording").display().to_string();
        // It ends with the last process that was started.
        let wrapper = ["strace", "-f", "-y", "-qq", "-s", "999", "-o", &recording, "-e", trace];
        let done = rig.pipeline(&wrapper, &["monitor", "--once"]).output().expect("strace starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        text.push_str(&fs::read_to_string(&recording).expect("a recording"));
        rig.status_of(&task) == "completed"
    });
    text
}

/// Whoever finds a start finds all that it stands on: the claim, which says what was begun, and the way to both.
#[test]
fn a_claim_is_on_disk_before_the_start_has_its_name() {
    if !strace_is_there() {
        return;
    }
    let text = calls_of_a_task();
    let (mut synced, mut starts) = (BTreeSet::new(), 0);
    for call in text.lines().filter(|call| call.ends_with("= 0") || call.contains("<unfinished")) {
        if call.contains(" fsync(") {
            synced.extend(file_of(call));
        }
        let start = names_of(call).and_then(|(from, to)| Some((from, to.strip_suffix("/start.json")?)));
        let Some((from, run)) = start else { continue };
        // That of a command at a place is a copy.
        if !synced.contains(from) {
            continue;
        }
        let runs = run.rsplit_once('/').map_or("", |(runs, _)| runs);
        let claim = format!("{run}/claim.json");
        assert!(synced.contains(claim.as_str()) && synced.contains(runs), "{run} was begun too early:\n{text}");
        starts += 1;
    }
    assert!(starts >= 2, "both stages were begun:\n{text}");
}

#[test]
fn what_git_holds_is_on_disk_before_it_has_its_name() {
    if !strace_is_there() {
        return;
    }
    let text = calls_of_a_task();
    let (mut synced, mut named) = (BTreeSet::new(), BTreeSet::new());
    for call in text.lines().filter(|call| call.ends_with("= 0") || call.contains("<unfinished")) {
        if call.contains(" fsync(") {
            synced.extend(file_of(call));
        }
        let Some((from, to)) = names_of(call) else { continue };
        let (from, to) = (from.trim_start_matches("./"), to.trim_start_matches("./"));
        let is_object = to.contains("objects/") && !to.contains("/pack/") && !to.contains("/info/");
        if is_object || to.contains("refs/heads/") {
            assert!(
                synced.iter().any(|file| file.ends_with(from)),
                "{from} was not synced before it became {to}:\n{text}"
            );
            named.insert(if is_object && from.contains("git2") {
                "ours"
            } else if is_object {
                "theirs"
            } else {
                to
            });
        }
    }
    assert!(["ours", "theirs"].iter().all(|who| named.contains(who)), "{named:?}\n{text}");
    assert!(named.iter().any(|name| name.ends_with("refs/heads/main")), "{named:?}");
    assert!(text.lines().any(|call| call.contains(" syncfs(")), "the files of the checkout were synced");
}
