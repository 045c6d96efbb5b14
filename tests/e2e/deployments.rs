//! Deployments and rollbacks of a small service that really runs: what they may touch, what they keep, and how they end.

use std::fs;
use std::path::Path;

use crate::shipped::{free_port, given, put_on, start_command, stop_command, travel, way};
use crate::support::{Output, Sandbox, program, word};

/// The scripts that come with the program.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/commands/src/shipped/scripts");

/// A service that is deployed for real.
struct Deployed {
    s: Sandbox,
    port: u16,
}

impl Deployed {
    fn new() -> Self {
        Self { s: Sandbox::ready(), port: free_port() }
    }

    fn package(&self, version: &str) -> String {
        self.s.write(&format!("packages/{version}/version"), version);
        let make = format!(
            "cd packages && tar -czf {version}.tar.gz -C {version} . && sha256sum {version}.tar.gz > {version}.tar.gz.sha256"
        );
        self.s.shell(&make).ok();
        format!("packages/{version}.tar.gz")
    }

    fn params(&self, more: &[&str]) -> Vec<String> {
        let (pid, log) = (self.s.path("app.pid"), self.s.path("app.log"));
        let mut params = vec![
            format!("target={}", self.s.path("app").display()),
            format!("start_command={}", start_command(self.port, &pid, &log)),
            format!("stop_command={}", stop_command(&pid)),
            format!("health_url=http://127.0.0.1:{}/", self.port),
            "health_timeout=3".to_owned(),
            format!("logs={}", log.display()),
        ];
        params.extend(given(more));
        params
    }

    fn deploy(&self, id: &str, version: &str, end: &str) -> Vec<String> {
        let package = format!("package={}", self.package(version));
        travel(&self.s, id, "deployment-pipeline", &self.params(&[&package]), end)
    }

    /// What the service answers.
    fn answer(&self) -> String {
        let ask = format!("curl -fsS --noproxy '*' --max-time 5 http://127.0.0.1:{}/", self.port);
        self.s.shell(&ask).stdout
    }
}

#[test]
fn a_bad_package_is_rolled_back_and_the_old_one_answers_again() {
    let d = Deployed::new();
    d.deploy("ONE", "one", "completed");
    assert_eq!(d.answer(), "one", "the service outlives its deployment");
    d.deploy("TWO", "two", "completed");
    assert_eq!(d.answer(), "two");
    let way = d.deploy("BAD", "bad", "failed");
    assert_eq!(way, ["validate success", "stop success", "install success", "start failed"]);
    d.s.tick_to("BAD.on-failure", "completed");
    let stages = crate::shipped::way(&d.s, "BAD.on-failure");
    assert_eq!(stages[0], "assess rollback_needed");
    assert_eq!(stages.last().map(String::as_str), Some("finalize success"));
    assert_eq!(d.answer(), "two");
    let report = d.s.read(".pipeline/logs/reports/incident-BAD.on-failure.md");
    assert!(report.contains("failed: BAD at start"), "{report}");
}

#[test]
fn a_deployment_that_changed_nothing_is_not_rolled_back() {
    let d = Deployed::new();
    d.deploy("ONE", "one", "completed");
    let package = d.package("two");
    d.s.write("packages/two.tar.gz.sha256", "0000  two.tar.gz\n");
    let params = d.params(&[&format!("package={package}")]);
    assert_eq!(travel(&d.s, "CUT", "deployment-pipeline", &params, "failed"), ["validate failed"]);
    d.s.tick_to("CUT.on-failure", "completed");
    assert_eq!(way(&d.s, "CUT.on-failure"), ["assess not_needed"]);
    assert_eq!(d.answer(), "one");
}

#[test]
fn a_backup_whose_checksum_is_wrong_is_refused() {
    let d = Deployed::new();
    d.deploy("ONE", "one", "completed");
    d.deploy("TWO", "two", "completed");
    let by_hand = d.params(&[]);
    travel(&d.s, "BACK", "rollback-pipeline", &by_hand, "completed");
    assert_eq!(d.answer(), "one", "the newest backup is of what was there before");
    d.s.shell("for f in ../app.backups/*/*/files.tar.gz; do echo x >> $f; done").ok();
    assert_eq!(travel(&d.s, "NO", "rollback-pipeline", &by_hand, "failed"), ["assess failed"]);
    assert!(d.s.show("NO").to_string().contains("refused: the checksum"), "{}", d.s.show("NO"));
    assert_eq!(d.answer(), "one", "nothing was touched");
}

/// One step of a deployment by itself, as a task of this name would run it.
fn step(s: &Sandbox, task: &str, step: &str, params: &[(&str, &str)]) -> Output {
    let quoted = |text: &str| text.replace('\'', "'\\''");
    let params: String =
        params.iter().map(|(name, value)| format!("PIPELINE_PARAM_{name}='{}' ", quoted(value))).collect();
    let (root, program) = (s.repo(), program());
    s.shell(&format!(
        "PIPELINE_ROOT='{}' PIPELINE_TASK_ID={task} PIPELINE_SHIPPED='{SCRIPTS}' PIPELINE_PROGRAM='{}' {params} sh '{SCRIPTS}/deploy.sh' {step}",
        root.display(),
        program.display()
    ))
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The folder that has the backups of a target.
fn store(backups: &Path) -> std::path::PathBuf {
    backups.join(names(backups).first().expect("a folder of backups"))
}

#[test]
fn a_target_that_is_no_place_for_a_deployment_is_refused_and_left_alone() {
    let s = Sandbox::ready();
    s.write("package/version", "x");
    s.shell("ln -s repo ../link && mkdir -p ../full ../full/sub && echo mine > ../full/mine").ok();
    let text = |path: &str| s.path(path).display().to_string();
    let everything =
        || s.shell("cd .. && find . -path ./repo/.pipeline -prune -o -path ./tmp -prune -o -print | sort").ok().stdout;
    let before = everything();
    let targets = [
        ("/".to_owned(), "the target is /"),
        (text("repo"), "is the repository"),
        (text("link"), "is the repository"),
        (".".to_owned(), "is the repository"),
        ("package/../.".to_owned(), "is the repository"),
        (text(""), "is the home directory, or contains it"),
        (text("home"), "is the home directory"),
        (".git/deployed".to_owned(), "inside .git"),
        (".pipeline/deployed".to_owned(), "inside .git or .pipeline"),
        (text("repo/none/../../full"), "is no folder"),
        (text("full"), "adopt=true"),
        (text("full/mine"), "is no folder"),
    ];
    for (target, why) in &targets {
        for (step_of, more) in [("validate", ("PACKAGE", "package")), ("install", ("PACKAGE", "package"))] {
            let said = step(&s, "X", step_of, &[("TARGET", target), more]);
            assert_ne!(said.code, 0, "{target} at {step_of}");
            if step_of == "validate" {
                said.says(&["error: refused", why]);
            }
        }
    }
    for keep in ["/etc", "data ../repo", "a/../../b", ".."] {
        let params = [("TARGET", &*text("fresh")), ("PACKAGE", "package"), ("KEEP", keep)];
        step(&s, "X", "validate", &params).code(1).says(&["refused: `keep`"]);
    }
    let params = [("TARGET", &*text("fresh")), ("PACKAGE", "package"), ("BACKUPS", &*text("fresh/backups"))];
    step(&s, "X", "validate", &params).code(1).says(&["is in the target"]);
    let now = everything();
    let new: Vec<&str> = now.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    let gone: Vec<&str> = before.lines().filter(|line| !now.lines().any(|new| new == *line)).collect();
    assert_eq!((new, gone), (Vec::new(), Vec::new()));
    // The same through a task: the repository is there afterwards, with everything in it.
    let params = [format!("target={}", s.repo().display()), "package=package".to_owned()];
    travel(&s, "REPO", "deployment-pipeline", &params, "failed");
    s.tick_to("REPO.on-failure", "completed");
    assert_eq!((s.read("README.md").as_str(), s.read("package/version").as_str()), ("one\n", "x"));
    // A person's word lets it take over a folder, and everything of it is kept.
    let params = [("TARGET", &*text("full")), ("PACKAGE", "package"), ("ADOPT", "true"), ("KEEP", "sub")];
    step(&s, "Y", "validate", &params).ok();
    step(&s, "Y", "install", &params).ok().says(&["what was in"]);
    assert_eq!(names(&s.path("full")), [".pipeline-deployment", "sub", "version"]);
    s.shell("cat ../full.backups/*/*/replaced/mine && tar -xzOf ../full.backups/*/*/files.tar.gz ./mine")
        .ok()
        .says(&["mine"]);
}

#[test]
fn a_package_with_a_link_cannot_lead_out_of_its_target() {
    let s = Sandbox::ready();
    s.shell("mkdir -p package ../out ../app/data && echo theirs > ../out/file && ln -s ../../out package/data").ok();
    s.shell("echo task > ../app/.pipeline-deployment && echo new > ../app/data/file").ok();
    let target = s.path("app").display().to_string();
    let params = [("TARGET", &*target), ("PACKAGE", "package"), ("KEEP", "data/file")];
    step(&s, "X", "validate", &params).ok();
    step(&s, "X", "install", &params).code(1).says(&["refused: the package has a link"]);
    assert_eq!(fs::read_to_string(s.path("out/file")).unwrap(), "theirs\n");
}

#[test]
fn only_backups_of_this_target_are_rotated_and_never_the_new_one() {
    let s = Sandbox::ready();
    s.write("package/version", "x");
    let text = |path: &str| s.path(path).display().to_string();
    let (one, two, backups) = (text("a/app"), text("b/app"), text("backups"));
    let deploy = |task: &str, target: &str| {
        let params = [("TARGET", target), ("PACKAGE", "package"), ("BACKUPS", &*backups), ("KEEP_BACKUPS", "1")];
        for name in ["validate", "stop", "install", "start", "validate-after"] {
            step(&s, task, name, &params).ok();
        }
    };
    deploy("ONE", &one);
    let store = store(&s.path("backups"));
    // Neither is of ours; the last one has our name and nothing of ours in it.
    for name in ["zzz-mine", "20990101T000000Z-MINE"] {
        fs::create_dir(store.join(name)).unwrap();
        fs::write(store.join(name).join("file"), "mine").unwrap();
    }
    // A backup that looks newer than the clock is.
    let found = names(&store).into_iter().find(|name| name.ends_with("-ONE")).unwrap();
    fs::rename(store.join(found), store.join("20980101T000000Z-ONE")).unwrap();
    fs::create_dir(s.path("backups/keep-me")).unwrap();
    deploy("OTHER", &two);
    deploy("TWO", &one);
    let left = names(&store);
    assert!(left.iter().any(|name| name.ends_with("-TWO")), "the new one stays: {left:?}");
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&"zzz-mine".to_owned()) && left.contains(&"20990101T000000Z-MINE".to_owned()), "{left:?}");
    assert_eq!(names(&s.path("backups")).len(), 3, "two targets of one name, and what is not ours");
}

#[test]
fn two_deployments_to_one_target_do_not_meet() {
    let s = Sandbox::ready();
    s.write("package/version", "x");
    let target = s.path("app").display().to_string();
    let params = [("TARGET", &*target), ("PACKAGE", "package")];
    s.run(["task", "add", "x", "--id", "HOLDS"]).ok();
    step(&s, "HOLDS", "validate", &params).ok();
    step(&s, "SECOND", "validate", &params).code(1).says(&["refused: HOLDS", "is at work on", "task cancel HOLDS"]);
    assert!(!s.path("app.new.SECOND").exists());
    step(&s, "HOLDS", "install", &params).ok();
    // Its task is over without having given it back.
    s.run(["task", "cancel", "HOLDS"]).ok();
    step(&s, "SECOND", "validate", &params).ok().says(&["a stale lock of HOLDS is taken over"]);
    step(&s, "HOLDS", "start", &params).code(1).says(&["does not hold the lock"]);
    for name in ["install", "validate-after"] {
        step(&s, "SECOND", name, &params).ok();
    }
    assert!(!s.path("app.deploying").exists(), "it is given back");
    // A folder of that name that is not ours is left alone.
    fs::create_dir_all(s.path("app.deploying/mine")).unwrap();
    step(&s, "THIRD", "validate", &params).code(1).says(&["no deployment made it"]);
    assert!(s.path("app.deploying/mine").exists());
}

#[test]
fn a_first_deployment_that_fails_is_taken_away_again() {
    let d = Deployed::new();
    let way_of = d.deploy("BAD", "bad", "failed");
    assert_eq!(way_of.last().map(String::as_str), Some("start failed"));
    d.s.tick_to("BAD.on-failure", "completed");
    assert_eq!(way(&d.s, "BAD.on-failure").last().map(String::as_str), Some("finalize success"));
    assert!(!d.s.path("app").exists() && !d.s.path("app.pid").exists() && !d.s.path("app.deploying").exists());
    d.s.shell("cat ../app.backups/*/*/rolled-back/version").ok().says(&["bad"]);
    // What was rolled back does not go on as if it were there.
    d.s.run(["task", "retry", "BAD"]).ok().says(&["BAD.on-failure"]);
    d.s.tick_to("BAD", "failed");
    assert!(d.s.show("BAD").to_string().contains("rolls this deployment back, or has done so"), "{}", d.s.show("BAD"));
    d.s.tick_to("BAD.on-failure-2", "completed");
    assert_eq!(way(&d.s, "BAD.on-failure-2"), ["assess not_needed"]);
    d.deploy("ONE", "one", "completed");
    assert_eq!(d.answer(), "one");
}

#[test]
fn a_deployment_that_is_cancelled_leaves_what_was_there() {
    let d = Deployed::new();
    d.deploy("ONE", "one", "completed");
    let package = format!("package={}", d.package("two"));
    // It is cancelled while it is watched, after everything was replaced.
    put_on(&d.s, "TWO", "deployment-pipeline", &d.params(&[&package, "watch=600"]));
    d.s.tick_until("it is watched", |status| word(status, "TWO") == "verify_wip");
    assert_eq!(fs::read_to_string(d.s.path("app/version")).unwrap(), "two");
    d.s.run(["task", "cancel", "TWO"]).ok();
    d.s.tick_to("TWO.on-cancel", "completed");
    assert_eq!(d.answer(), "one");
    assert!(!d.s.path("app.deploying").exists());
    d.s.shell("cat ../app.backups/*/*/cancelled/version").ok().says(&["two"]);
}
