//! The workflows that come with the program, each on a small real project: to its success and through its failure.
//! Agents are scripted; commands, packages, services and ports are real.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use serde_json::Value;

use crate::support::{Sandbox, texts, word};

/// Names the port that this test binary serves on instead of testing.
pub(crate) const SERVE: &str = "PIPELINE_TEST_SERVE";
/// Runs every script in `tests/`.
const TESTS: &str = "test_command=for t in tests/*.sh; do sh $t || exit 1; done";

/// A small service, when this binary is started as one: it answers with the file `version` of its folder, and gives up at
/// once where that says `bad`. Otherwise there is nothing to test here.
#[test]
fn serve() {
    let Ok(port) = std::env::var(SERVE) else { return };
    let version = fs::read_to_string("version").unwrap_or_default();
    assert!(!version.starts_with("bad"), "this version does not start");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().expect("a port"))).expect("a free port");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0_u8; 1024];
        // Who only looks whether somebody listens says nothing and is gone.
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{version}", version.len());
            drop(stream.write_all(answer.as_bytes()));
        }
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A shell command that leaves that service running; its process id goes into a file.
pub(crate) fn start_command(port: u16, pid: &Path, log: &Path) -> String {
    let program = std::env::current_exe().expect("this binary");
    format!(
        "{SERVE}={port} nohup '{}' shipped::serve --exact > '{}' 2>&1 < /dev/null & echo $! > '{}'",
        program.display(),
        log.display(),
        pid.display()
    )
}

/// A shell command that ends it, and waits until it is gone.
pub(crate) fn stop_command(pid: &Path) -> String {
    let pid = pid.display();
    format!(
        "if [ -s '{pid}' ]; then kill $(cat '{pid}'); n=0; while kill -0 $(cat '{pid}') 2> /dev/null && [ $n -lt 50 ]; \
         do n=$((n + 1)); sleep 0.05; done; rm -f '{pid}'; fi"
    )
}

/// What a task was through: its stages and what was decided at each.
pub(crate) fn way(s: &Sandbox, id: &str) -> Vec<String> {
    let shown = s.show(id);
    let outputs = shown["outputs"].as_array().expect("outputs").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    outputs.map(|output| format!("{} {}", text(&output["stage"]), text(&output["decision"]))).collect()
}

fn put_on(s: &Sandbox, id: &str, workflow: &str, params: &[String]) {
    let params = params.iter().flat_map(|param| ["--param", param.as_str()]);
    let args: Vec<&str> = ["--workflow", workflow].into_iter().chain(params).collect();
    s.add(id, &args);
}

/// Puts a task on a workflow and sees how it ends.
fn travel(s: &Sandbox, id: &str, workflow: &str, params: &[String], end: &str) -> Vec<String> {
    put_on(s, id, workflow, params);
    s.tick_to(id, end);
    way(s, id)
}

fn given(params: &[&str]) -> Vec<String> {
    params.iter().map(|param| (*param).to_owned()).collect()
}

fn is_listed(list: &Value, id: &str) -> bool {
    list.as_array().expect("a list").iter().any(|workflow| workflow["id"] == id)
}

#[test]
fn they_are_there_without_a_file_and_a_file_takes_their_place() {
    let s = Sandbox::ready();
    let list = s.run(["workflow", "list", "--json"]).ok().json();
    assert!(
        is_listed(&list["shipped"], "deployment-pipeline") && !is_listed(&list["workflows"], "deployment-pipeline")
    );
    assert!(list["shipped"].as_array().unwrap().len() >= 18);
    s.run(["workflow", "list"]).ok().says(&["SHIPPED", "rollback-pipeline"]);
    s.run(["workflow", "show", "deployment-pipeline"]).ok().says(&["package: a text, required", "rollback-pipeline"]);
    s.run(["workflow", "graph", "pool-bug-fix"]).ok().says(&["not_a_bug"]);
    // What is not given is said before anything is added.
    s.run(["task", "add", "x", "--workflow", "pool-bug-fix"]).code(1).says(&["bug_report"]);
    s.run(["task", "add", "x", "--workflow", "no-such"]).code(5).says(&["come with the program", "pool-bug-fix"]);
    // Only what is in use is recorded.
    let files = ["--param", "package=p", "--param", "target=t"];
    s.run(["task", "add", "x", "--id", "D", "--workflow", "deployment-pipeline"].into_iter().chain(files)).ok();
    let state = s.shell("cat .pipeline/state/journal* | tr -c '[:print:]' '\\n'").ok().stdout;
    assert!(state.contains("rollback-pipeline") && !state.contains("claudito-chain"));
    // A copy is a file like any other.
    s.run(["workflow", "new", "mine", "--from", "prd-import"]).ok();
    s.run(["workflow", "validate"]).ok().says(&["mine"]);
    s.write(".pipeline/workflows/own.json", r#"{"id":"prd-import","stages":[{"id":"a","run":"true"}]}"#);
    let list = s.run(["workflow", "list", "--json"]).ok().json();
    assert!(is_listed(&list["workflows"], "prd-import") && !is_listed(&list["shipped"], "prd-import"));
    // A file that is broken does not let the other one through.
    s.write(".pipeline/workflows/own.json", r#"{"id":"prd-import","stages":[]}"#);
    s.run(["task", "add", "x", "--workflow", "prd-import"]).code(78).says(&["own.json"]);
}

#[test]
fn a_role_that_nobody_has_is_said_when_it_matters() {
    let s = Sandbox::new();
    let config = s.config("", "").replace("role = \"implementation\"", "role = \"coder\"");
    s.init("production", &config);
    s.run(["workflow", "list"]).ok().says(&["warning", "pool-bug-fix", "task_executor or implementation"]);
    let report = ["--param", "bug_report=x"];
    s.run(["task", "add", "x", "--workflow", "pool-bug-fix"].into_iter().chain(report))
        .code(78)
        .says(&["task_executor or implementation", "Nothing was changed"]);
    s.run(["task", "add", "x", "--workflow", "meta-pipeline-orchestrator", "--param", "event_type=code_commit"])
        .code(78)
        .says(&["in `pool-bug-fix`"]);
    s.run(["task", "add", "x", "--workflow", "health-check-pipeline"]).ok();
}

#[test]
fn a_bug_is_reproduced_before_it_is_mended() {
    let s = Sandbox::ready();
    s.commit("sum.sh", "echo $(($1 - $2))\n");
    s.commit("tests/zero.sh", "test \"$(sh sum.sh 3 0)\" = 3\n");
    s.plan("B.analyze", "decision bug_identified; marker COMPLETED");
    s.plan("B.reproduce.2", "put tests/sum.sh 'test \"$(sh sum.sh 1 2)\" = 3'; commit test; marker COMPLETED");
    s.plan("B.implement_fix.2", "put sum.sh 'echo $(($1 + $2))'; commit fix; marker COMPLETED");
    s.plan("B.final_verification", "decision approved; marker COMPLETED");
    let params = given(&["bug_report=the sum is wrong", TESTS]);
    let way = travel(&s, "B", "pool-bug-fix", &params, "completed");
    let expected = [
        "analyze bug_identified",
        "reproduce success",
        "verify_bug not_shown",
        "reproduce success",
        "verify_bug bug_verified",
        "implement_fix success",
        "validate_fix still_broken",
        "implement_fix success",
        "validate_fix fixed",
        "regression_tests regression_passed",
        "final_verification approved",
    ];
    assert_eq!(way, expected);
    assert_eq!(s.shell("git show main:sum.sh | sh -s 1 2").ok().stdout, "3\n");
    // The role's prompt comes with the program.
    assert!(s.seen("B.analyze.1", "md").contains("You plan."), "{}", s.seen("B.analyze.1", "md"));
}

#[test]
fn what_is_not_a_bug_changes_nothing() {
    let s = Sandbox::ready();
    let before = s.git(&["rev-parse", "main"]);
    s.plan("N.analyze", "decision not_a_bug; marker COMPLETED");
    s.plan("F.analyze", "marker FAILED 'cannot read it'");
    put_on(&s, "F", "pool-bug-fix", &given(&["bug_report=x"]));
    assert_eq!(travel(&s, "N", "pool-bug-fix", &given(&["bug_report=x"]), "completed"), ["analyze not_a_bug"]);
    s.tick_to("F", "failed");
    assert_eq!(s.git(&["rev-parse", "main"]), before);
}

#[test]
fn a_feature_is_built_reviewed_and_merged() {
    let s = Sandbox::ready();
    s.commit("tests/feature.sh", "! test -e half\n");
    s.plan("implement.1", "work half; marker COMPLETED");
    s.plan("implement.2", "git rm -q half; commit whole; marker COMPLETED");
    s.plan("review.1", "decision changes_requested; marker COMPLETED");
    s.plan("review.2", "decision approved; marker COMPLETED");
    let params = given(&["user_request=x", "build_command=true", TESTS]);
    let way = travel(&s, "F", "feature-development", &params, "completed");
    assert!(
        way.contains(&"validate invalid".to_owned()) && way.contains(&"review changes_requested".to_owned()),
        "{way:?}"
    );
    assert_eq!(way.last().map(String::as_str), Some("document success"));
    assert!(!s.git(&["ls-tree", "--name-only", "main"]).contains("half"));
    s.plan("R.analyze", "decision rejected; marker COMPLETED");
    assert_eq!(travel(&s, "R", "feature-development", &[], "completed"), ["analyze rejected"]);
}

#[test]
fn a_refactoring_keeps_what_the_code_does() {
    let s = Sandbox::ready();
    s.commit("a.sh", "echo 1\n");
    s.commit("tests/a.sh", "test \"$(sh a.sh)\" = 1\n");
    s.plan("refactor.1", "put a.sh 'echo 2'; commit broken; marker COMPLETED");
    s.plan("refactor.2", "put a.sh 'one=1; echo $one'; commit good; marker COMPLETED");
    s.plan("quality", "decision approved; marker COMPLETED");
    let way = travel(&s, "R", "refactoring-pipeline", &given(&[TESTS]), "completed");
    assert_eq!(
        way[..5],
        ["baseline success", "refactor success", "validate changed", "refactor success", "validate preserved"]
    );
    assert_eq!(s.git(&["show", "main:a.sh"]), "one=1; echo $one");
    // What fails beforehand cannot be refactored safely.
    s.commit("tests/b.sh", "false\n");
    travel(&s, "X", "refactoring-pipeline", &given(&[TESTS]), "failed");
    assert_eq!(s.calls("X.refactor"), 0);
}

#[test]
fn a_chain_of_five_agents_brings_a_change_in() {
    let s = Sandbox::ready();
    s.commit("tests/a.sh", "test ! -e wrong\n");
    s.plan("fixer.1", "work wrong; marker COMPLETED");
    s.plan("fixer.2", "git rm -q wrong; commit mended; marker COMPLETED");
    let way = travel(&s, "C", "claudito-chain", &given(&[TESTS]), "completed");
    let expected = [
        "orchestrator success",
        "forensics success",
        "fixer success",
        "debugger success",
        "prove broken",
        "fixer success",
        "debugger success",
        "prove proven",
        "committer success",
    ];
    assert_eq!(way, expected);
    s.plan("N.orchestrator", "decision nothing_to_do; marker COMPLETED");
    assert_eq!(travel(&s, "N", "claudito-chain", &[], "completed"), ["orchestrator nothing_to_do"]);
}

/// Found out, not told: a Node project with a test runner that measures coverage by itself.
#[test]
fn unit_tests_of_a_project_are_found_out() {
    let s = Sandbox::ready();
    s.commit(".gitignore", "node_modules/\n");
    s.commit("package.json", r#"{"name":"x","scripts":{"test":"node --test"}}"#);
    s.commit("sum.js", "exports.sum = (a, b) => a + b;\nexports.other = () => {\n  return 1;\n};\n");
    s.commit(
        "sum.test.js",
        "const {sum} = require('./sum.js');\nrequire('node:test')('sum', () => { if (sum(1, 2) !== 3) throw 1; });\n",
    );
    if s.shell("command -v node").code != 0 {
        return travel_without_tools(&s);
    }
    travel(&s, "A", "unit-test-pipeline", &given(&["coverage_threshold=50"]), "completed");
    travel(&s, "B", "unit-test-pipeline", &given(&["coverage_threshold=100"]), "failed");
    assert_eq!(way(&s, "B").last().map(String::as_str), Some("validate failed"));
    s.commit("bad.test.js", "require('node:test')('bad', () => { throw 1; });\n");
    travel(&s, "C", "unit-test-pipeline", &[], "failed");
    assert_eq!(way(&s, "C").last().map(String::as_str), Some("test failed"));
}

/// The same with commands that are told.
fn travel_without_tools(s: &Sandbox) {
    let told = |percent: &str| {
        let command = format!("coverage_command=echo coverage: {percent}%");
        given(&["build_command=true", "test_command=true", &command])
    };
    travel(s, "A", "unit-test-pipeline", &told("81"), "completed");
    travel(s, "B", "unit-test-pipeline", &told("79"), "failed");
}

/// The same for a Rust and a Python project, where their tools are.
#[test]
fn unit_tests_of_other_projects_are_found_out() {
    let mut s = Sandbox::ready();
    let tools = option_env!("CARGO").and_then(|cargo| Path::new(cargo).parent()).map(|bin| bin.display().to_string());
    if let Some(bin) = tools {
        s.set_env("PATH", &format!("{bin}:{}", s.environment()["PATH"]));
    }
    if s.shell("command -v cargo").code == 0 {
        s.commit(".gitignore", "target/\n__pycache__/\n");
        s.commit("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        s.commit("src/lib.rs", "#[test]\nfn sum() {\n    assert_eq!(1 + 2, 3);\n}\n");
        travel(&s, "RUST", "unit-test-pipeline", &[], "completed");
        s.commit("src/lib.rs", "#[test]\nfn sum() {\n    assert_eq!(1 + 2, 4);\n}\n");
        travel(&s, "RED", "unit-test-pipeline", &[], "failed");
        assert_eq!(way(&s, "RED").last().map(String::as_str), Some("test failed"));
        s.git(&["rm", "-q", "Cargo.toml"]);
    }
    if s.shell("command -v python3").code == 0 {
        s.commit("pyproject.toml", "[project]\nname = \"x\"\n");
        let test = "import unittest\nclass T(unittest.TestCase):\n    def test_sum(self): self.assertEqual(1 + 2, 3)\n";
        s.commit("test_sum.py", test);
        travel(&s, "PYTHON", "unit-test-pipeline", &[], "completed");
        s.commit("test_sum.py", &test.replace("3)", "4)"));
        travel(&s, "WRONG", "unit-test-pipeline", &[], "failed");
    }
}

/// Projects of every kind are recognised by their files, whether or not their tools are there.
#[test]
fn kinds_of_projects_are_recognised() {
    let s = Sandbox::ready();
    travel(&s, "H", "health-check-pipeline", &[], "completed");
    let kinds = [
        ("Cargo.toml", "", "rust", "cargo test"),
        ("package.json", "{\"scripts\":{\"build\":\"x\"}}", "node", "npm test"),
        ("pyproject.toml", "", "python", "python3 -m "),
        ("setup.py", "", "python", "python3 -m "),
        ("go.mod", "module x", "go", "go test ./..."),
        ("app.csproj", "", "dotnet", "dotnet test"),
        ("src/app.csproj", "", "dotnet", "dotnet test"),
        ("Makefile", "", "make", "make test"),
        ("README", "", "unknown", ""),
    ];
    for (file, text, language, test) in kinds {
        let folder = format!("kinds/{}", file.replace('/', "-"));
        s.write(&format!("{folder}/{file}"), text);
        let detect = format!(
            "cd {folder} && S=$(ls -d $OLDPWD/.pipeline/logs/scripts-*) && PIPELINE_ROOT=$OLDPWD PIPELINE_SHIPPED=$S sh $S/project.sh detect"
        );
        let said = s.shell(&detect).ok().stdout;
        assert!(said.contains(&format!("language={language}\n")), "{file}: {said}");
        assert!(said.lines().any(|line| line.starts_with(&format!("test={test}"))), "{file}: {said}");
    }
}

#[test]
fn integration_tests_have_their_infrastructure_and_lose_it_again() {
    let s = Sandbox::ready();
    let port = free_port();
    let (pid, log) = (s.path("service.pid"), s.path("service.log"));
    let params = |command: &str| {
        vec![
            format!("setup_command={}", start_command(port, &pid, &log)),
            format!("ready_check=tcp:127.0.0.1:{port}"),
            format!("integration_command={command}"),
            format!("teardown_command={}", stop_command(&pid)),
        ]
    };
    // The service outlives the stage that starts it, and no later one.
    let alive = format!("test -s '{}' && kill -0 $(cat '{}')", pid.display(), pid.display());
    travel(&s, "A", "integration-test-pipeline", &params(&alive), "completed");
    assert!(!pid.exists());
    let way = travel(&s, "B", "integration-test-pipeline", &params("false"), "failed");
    assert_eq!(way, ["setup success", "scenarios not_passed", "cleanup failed"]);
    assert!(!pid.exists());
    let way = travel(&s, "C", "integration-test-pipeline", &given(&["setup_command=false"]), "failed");
    assert_eq!(way, ["setup failed", "cleanup failed"]);
}

#[test]
fn performance_is_held_against_a_baseline_that_is_kept() {
    let s = Sandbox::ready();
    let params = |figure: &str| given(&[&format!("benchmark_command=echo figure: {figure}"), "runs=1"]);
    travel(&s, "A", "performance-test-pipeline", &params("100"), "completed");
    travel(&s, "B", "performance-test-pipeline", &params("119"), "completed");
    let way = travel(&s, "C", "performance-test-pipeline", &params("121"), "failed");
    assert_eq!(way, ["baseline success", "stress success", "analyse failed"]);
    assert!(s.show("C").to_string().contains("regression: 121"), "{}", s.show("C"));
}

#[test]
fn a_package_is_built_checked_and_published() {
    let s = Sandbox::ready();
    s.commit("app.sh", "echo hello\n");
    let out = s.path("packages");
    let more = [format!("output={}", out.display()), format!("publish_to={}", s.path("published").display())];
    let params = |test: &str| {
        let fixed = given(&["name=app", "version=1.2.0", "build_command=true", "files=app.sh", test]);
        fixed.into_iter().chain(more.clone()).collect::<Vec<_>>()
    };
    travel(&s, "A", "build-and-package-pipeline", &params("test_command=true"), "completed");
    s.shell("cd ../published && sha256sum -c app-1.2.0.tar.gz.sha256 && tar -xzOf app-1.2.0.tar.gz ./app.sh | sh")
        .ok()
        .says(&["hello"]);
    assert!(fs::read_to_string(s.path("published/app-1.2.0.md")).unwrap().contains("app.sh"));
    let way = travel(&s, "B", "build-and-package-pipeline", &params("test_command=false"), "failed");
    assert_eq!(way, ["prepare success", "build success", "quick_test failed"]);
}

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
    let stages: Vec<String> = crate::shipped::way(&d.s, "BAD.on-failure");
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
    d.s.shell("for f in ../app.backups/*/files.tar.gz; do echo x >> $f; done").ok();
    assert_eq!(travel(&d.s, "NO", "rollback-pipeline", &by_hand, "failed"), ["assess failed"]);
    assert!(d.s.show("NO").to_string().contains("refused: the checksum"), "{}", d.s.show("NO"));
    assert_eq!(d.answer(), "one", "nothing was touched");
}

#[test]
fn health_is_checked_and_trouble_is_told() {
    let s = Sandbox::ready();
    let alert = format!("alert_command=echo \"$LEVEL $ALERT\" >> {}", s.path("alerts").display());
    let bounds = ["disk_min_mb=0", "memory_min_mb=0", "load_max=9999"];
    let params = |services: &str| given(&[services, &alert, bounds[0], bounds[1], bounds[2]]);
    let way = travel(&s, "A", "health-check-pipeline", &params("services=pool=true; git=test -d .git"), "completed");
    assert_eq!(way, ["services up", "resources healthy", "report success"]);
    assert!(!s.path("alerts").exists());
    let closed = format!("services=pool=true; stratum=tcp:127.0.0.1:{}", free_port());
    let way = travel(&s, "B", "health-check-pipeline", &params(&closed), "failed");
    assert_eq!(way, ["services down", "resources issues_detected", "investigate success", "report failed"]);
    assert!(fs::read_to_string(s.path("alerts")).unwrap().starts_with("critical stratum does not answer"));
    assert!(s.read(".pipeline/logs/reports/health-B.md").contains("stratum does not answer"));
}

#[test]
fn figures_that_become_worse_are_told() {
    let s = Sandbox::ready();
    let alert = format!("alert_command=echo \"$ALERT\" >> {}", s.path("alerts").display());
    let params = |figure: &str| given(&[&format!("metrics_command=echo response_ms={figure}"), &alert]);
    let way = travel(&s, "A", "performance-monitoring-pipeline", &params("10"), "completed");
    assert_eq!(way, ["collect success", "analyse normal", "report success"]);
    let way = travel(&s, "B", "performance-monitoring-pipeline", &params("16"), "completed");
    assert_eq!(way, ["collect success", "analyse degraded", "insights success", "report success"]);
    assert_eq!(fs::read_to_string(s.path("alerts")).unwrap(), "response_ms is 16, and was 10 on average\n");
    let way = travel(&s, "C", "performance-monitoring-pipeline", &given(&["metrics_command=false"]), "failed");
    assert_eq!(way, ["collect failed"]);
}

#[test]
fn new_errors_are_found_once() {
    let s = Sandbox::ready();
    let log = s.path("app.log");
    let alert = format!("alert_command=echo \"$LEVEL\" >> {}", s.path("alerts").display());
    let params = given(&[&format!("logs={}", log.display()), &alert]);
    fs::write(&log, "all is well\n").unwrap();
    let way = travel(&s, "A", "error-detection-pipeline", &params, "completed");
    assert_eq!(way, ["scan clean", "report success"]);
    fs::write(&log, "all is well\nFATAL connection refused by 10.0.0.1\nFATAL connection refused by 10.0.0.2\n")
        .unwrap();
    let way = travel(&s, "B", "error-detection-pipeline", &params, "completed");
    assert_eq!(way, ["scan errors_found", "analyse success", "root_cause success", "report success"]);
    let report = s.read(".pipeline/logs/reports/errors-B.md");
    assert!(report.contains("critical network") && report.contains("2 FATAL connection refused"), "{report}");
    assert_eq!(fs::read_to_string(s.path("alerts")).unwrap(), "critical\n");
    assert_eq!(travel(&s, "C", "error-detection-pipeline", &params, "completed")[0], "scan clean");
    fs::write(&log, "error again\n").unwrap();
    let broken = given(&[&params[0], "alert_command=false"]);
    let way = travel(&s, "D", "error-detection-pipeline", &broken, "failed");
    assert_eq!(way.last().map(String::as_str), Some("report failed"));
}

#[test]
fn an_event_is_routed_to_its_workflow() {
    let s = Sandbox::ready();
    let params = |event: &str| given(&[&format!("event_type={event}"), "integration_command=true"]);
    let way = travel(&s, "A", "meta-pipeline-orchestrator", &params("build_complete"), "completed");
    assert_eq!(way, ["route build_complete", "integration_test_pipeline success"]);
    let failing = given(&["event_type=build_complete", "integration_command=false"]);
    travel(&s, "B", "meta-pipeline-orchestrator", &failing, "failed");
    s.run(["task", "add", "x", "--workflow", "meta-pipeline-orchestrator", "--param", "event_type=birthday"])
        .code(1)
        .says(&["event_type", "bug_report"]);
}

#[test]
fn a_pull_request_is_validated_and_not_merged() {
    let s = Sandbox::ready();
    s.shell(
        "git checkout -q -b topic && echo x > new.txt && git add new.txt && git commit -qm new && git checkout -q main",
    )
    .ok();
    let before = s.git(&["rev-parse", "main"]);
    s.plan("review", "test -e new.txt && decision approved && marker COMPLETED");
    s.plan("NO.review", "decision changes_requested; marker COMPLETED");
    let params = |branch: &str| given(&[&format!("branch={branch}"), "build_command=true", "test_command=true"]);
    put_on(&s, "NO", "pr-validation", &params("topic"));
    let found = travel(&s, "YES", "pr-validation", &params("topic"), "completed");
    assert_eq!(found, ["fetch success", "build success", "test success", "review approved", "report success"]);
    s.tick_to("NO", "completed");
    assert_eq!(way(&s, "NO").last().map(String::as_str), Some("review changes_requested"));
    assert_eq!(s.git(&["rev-parse", "main"]), before);
    assert_eq!(travel(&s, "X", "pr-validation", &params("no-such"), "failed"), ["fetch failed"]);
}

#[test]
fn requirements_become_tasks() {
    let s = Sandbox::ready();
    s.commit("prd.md", "# Wanted\n- a door\n- a window\n");
    s.plan("P.plan.1", "put tasks.json '[{\"title\":\"a door\"},{\"titel\":\"x\"}]'; marker COMPLETED");
    s.plan("P.plan.2", "put tasks.json '[{\"id\":\"DOOR\",\"title\":\"a door\"}]'; marker COMPLETED");
    // They are there and wait: nobody is to begin with them here.
    s.plan("arch", "hang");
    let found = travel(&s, "P", "prd-import", &given(&["file=prd.md"]), "completed");
    assert_eq!(found, ["read success", "plan success", "import rejected", "plan success", "import imported"]);
    assert_ne!(word(&s.status(), "DOOR"), "unknown");
    assert_eq!(travel(&s, "X", "prd-import", &given(&["file=none.md"]), "failed"), ["read failed"]);
}

/// A pack is written as files, once; its real chain is left to machines that have one.
#[test]
fn the_mining_pack_is_written_out() {
    let s = Sandbox::ready();
    let written = s.run(["workflow", "new", "mining-pool", "--from", "mining-pool", "--json"]).ok().json();
    assert!(texts(&written["files"]).contains(&".pipeline/workflows/mining-cycle.json"), "{written}");
    s.run(["workflow", "validate"]).ok().says(&["mining-cycle", "0 errors"]);
    s.run(["workflow", "new", "mining-pool", "--from", "mining-pool"]).code(1).says(&["exists already"]);
    let there = s.shell("command -v bitcoind && command -v bitcoin-cli").code == 0;
    let end = if there { "completed" } else { "failed" };
    if !there {
        let words = "left out: bitcoind is not there, so no chain is run\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()));
    }
    let port = free_port();
    let data = format!("data_dir={}", s.path("chain").display());
    let params = given(&[&data, &format!("rpc_port={port}"), &format!("p2p_port={}", free_port())]);
    travel(&s, "M", "mining-cycle", &params, end);
    if !there {
        assert!(s.show("M").to_string().contains("bitcoind and bitcoin-cli are not there"), "{}", s.show("M"));
    }
}
