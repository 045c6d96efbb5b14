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

pub(crate) fn put_on(s: &Sandbox, id: &str, workflow: &str, params: &[String]) {
    let params = params.iter().flat_map(|param| ["--param", param.as_str()]);
    let args: Vec<&str> = ["--workflow", workflow].into_iter().chain(params).collect();
    s.add(id, &args);
}

/// Puts a task on a workflow and sees how it ends.
pub(crate) fn travel(s: &Sandbox, id: &str, workflow: &str, params: &[String], end: &str) -> Vec<String> {
    put_on(s, id, workflow, params);
    s.tick_to(id, end);
    way(s, id)
}

pub(crate) fn given(params: &[&str]) -> Vec<String> {
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
    s.run(["workflow", "show", "deployment-pipeline"]).ok().says(&["package: a text, default", "rollback-pipeline"]);
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
        // What lies above the sandbox is nobody's workspace.
        s.commit("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
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
        // Of another length: Python takes a file of the same length and second for the one that it compiled.
        s.commit("test_sum.py", &test.replace("3)", "44)"));
        travel(&s, "WRONG", "unit-test-pipeline", &[], "failed");
    }
}

/// Projects of every kind are recognised by their files, whether or not their tools are there.
#[test]
fn kinds_of_projects_are_recognised() {
    let s = Sandbox::ready();
    travel(&s, "H", "health-check-pipeline", &[], "completed");
    let kinds: [(&[&str], &str, &str); 22] = [
        (&["Cargo.toml"], "rust", "cargo test"),
        (&["package.json"], "node", "npm test"),
        (&["package.json", "yarn.lock"], "node", "yarn test"),
        (&["package.json", "pnpm-lock.yaml"], "node", "pnpm test"),
        (&["package.json", "bun.lockb"], "node", "bun test"),
        (&["package.json", "bun.lock"], "node", "bun test"),
        (&["web/package.json"], "node", "(cd 'web' && npm test)"),
        (&["it's/package.json"], "node", "(cd 'it'\\''s' && npm test)"),
        (&["pyproject.toml"], "python", "python3 -m "),
        (&["setup.py"], "python", "python3 -m "),
        (&["setup.cfg"], "python", "python3 -m "),
        (&["Pipfile"], "python", "python3 -m "),
        (&["go.mod"], "go", "go test ./..."),
        (&["server/go.mod"], "go", "(cd 'server' && go test ./...)"),
        (&["server/go.mod", "web/package.json"], "go+node", "(cd 'server' && go test ./...) && (cd 'web' && npm test)"),
        (&["app.csproj"], "dotnet", "dotnet test"),
        (&["app.fsproj"], "dotnet", "dotnet test"),
        (&["app.slnx"], "dotnet", "dotnet test"),
        (&["src/App/App.csproj"], "dotnet", "find . -name '*.[cfv][sb]proj'"),
        (&["Makefile"], "make", "make test"),
        (&["docs/package.json", "node_modules/package.json"], "unknown", ""),
        (&["README"], "unknown", ""),
    ];
    for (at, (files, language, test)) in kinds.iter().enumerate() {
        for file in *files {
            let text = if file.ends_with("package.json") { "{\"scripts\":{\"build\":\"x\"}}" } else { "" };
            s.write(&format!("kinds/{at}/{file}"), text);
        }
        let detect = format!(
            "cd kinds/{at} && S=$(ls -d $OLDPWD/.pipeline/logs/scripts-*) && PIPELINE_ROOT=$OLDPWD PIPELINE_SHIPPED=$S sh $S/project.sh detect"
        );
        let said = s.shell(&detect).ok().stdout;
        assert!(said.contains(&format!("language={language}\n")), "{files:?}: {said}");
        assert!(said.lines().any(|line| line.starts_with(&format!("test={test}"))), "{files:?}: {said}");
    }
}

/// Only a number that was measured is a figure.
#[test]
fn coverage_that_was_not_measured_is_not_made_up() {
    let s = Sandbox::ready();
    let params = |command: &str, more: &[&str]| {
        let all = ["build_command=true", "test_command=true", &format!("coverage_command={command}")];
        given(&[&all[..], more].concat())
    };
    travel(&s, "A", "unit-test-pipeline", &params("echo 'all files | Unknown |'", &[]), "completed");
    assert!(s.show("A").to_string().contains("coverage was not measured"), "{}", s.show("A"));
    let report = s.run(["workflow", "report", "--json"]).ok().json();
    assert_eq!(report["workflows"][0]["coverage_percent"], Value::Null, "{report}");
    let needed = params("echo 'TOTAL 9 0 -'", &["coverage_required=true"]);
    let way = travel(&s, "B", "unit-test-pipeline", &needed, "failed");
    assert_eq!(way.last().map(String::as_str), Some("validate failed"));
    // What failed says why, in the words of the command.
    s.run(["task", "show", "B"]).ok().says(&["validate failed", "error: coverage was not measured, and has to be"]);
    let cobertura = "mkdir -p r && echo '<coverage line-rate=\"0.1\" lines-covered=\"3\" lines-valid=\"4\">' > r/coverage.cobertura.xml";
    travel(&s, "C", "unit-test-pipeline", &params(cobertura, &["coverage_threshold=76"]), "failed");
    assert!(s.show("C").to_string().contains("coverage is 75.00%, less than 76%"), "{}", s.show("C"));
    let report = s.run(["workflow", "report", "--json"]).ok().json();
    assert_eq!(report["workflows"][0]["coverage_percent"], 75.0, "{report}");
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

/// Loops that lead nowhere come to an end, and a person is asked.
#[test]
fn what_is_tried_too_often_waits_for_a_person() {
    let s = Sandbox::ready();
    s.commit("prd.md", "# Wanted\n- a door\n");
    s.plan("plan", "put tasks.json '[{\"titel\":\"x\"}]'; marker COMPLETED");
    put_on(&s, "P", "prd-import", &given(&["file=prd.md"]));
    put_on(&s, "C", "claudito-chain", &given(&["test_command=false"]));
    s.tick_to("C", "blocked");
    s.tick_to("P", "blocked");
    assert_eq!((s.calls("C.fixer"), s.calls("P.plan")), (5, 4));
    for (id, why) in [("C", "stage fixer was entered 5 times"), ("P", "stage plan was entered 4 times")] {
        assert!(s.show(id)["reason"].as_str().unwrap().contains(why), "{}", s.show(id));
    }
}

/// Every chain, with real commands and scripted agents, all at the same time. What is built is what is deployed, by the
/// names that people know the parameters by.
#[test]
fn every_chain_runs_to_its_end() {
    let s = Sandbox::ready();
    s.commit("tests/a.sh", "true\n");
    for id in ["HOT", "BUG"] {
        s.plan(&format!("{id}.pool-bug-fix.analyze"), "decision bug_identified; marker COMPLETED");
        let test = format!("put tests/{id}.sh 'test -e {id}'; commit test; marker COMPLETED");
        s.plan(&format!("{id}.pool-bug-fix.reproduce"), &test);
        s.plan(&format!("{id}.pool-bug-fix.implement_fix"), &format!("work {id}; marker COMPLETED"));
    }
    for (stage, decision) in [("final_verification", "approved"), ("review", "approved"), ("quality", "approved")] {
        s.plan(stage, &format!("decision {decision}; marker COMPLETED"));
    }
    let tests = given(&[TESTS, "integration_command=true"]);
    let with = |more: &[&str]| [&tests[..], &given(more)].concat();
    let packaged = ["build_command=true", "files=README.md"];
    let chains = [
        (
            "HOT",
            "hotfix_deployment",
            with(&[&packaged[..], &["bug_report=x", "target_environment=production"]].concat()),
        ),
        (
            "MAJOR",
            "major_release",
            with(
                &[
                    &packaged[..],
                    &[
                        "build_version=2.0.0",
                        "target_environment=staging",
                        "benchmark_command=echo figure: 1",
                        "runs=1",
                    ],
                ]
                .concat(),
            ),
        ),
        ("RELEASE", "release_workflow", with(&[&packaged[..], &["environment=test"]].concat())),
        ("STANDARD", "standard_development", with(&["feature_name=x", "build_command=true"])),
        (
            "WHOLE",
            "complete_feature_workflow",
            with(&["build_command=true", "benchmark_command=echo figure: 1", "runs=1"]),
        ),
        ("BUG", "bug_fix_workflow", with(&["bug_report=x", "build_command=true"])),
        ("QUALITY", "code_quality", with(&["refactoring_target=tests", "build_command=true"])),
    ];
    for (id, workflow, params) in &chains {
        put_on(&s, id, workflow, params);
    }
    for (id, _, _) in &chains {
        s.tick_to(id, "completed");
    }
    for environment in ["production", "staging", "test"] {
        assert!(s.path(&format!("repo.deployments/{environment}/README.md")).exists(), "{environment}");
    }
    let deployed = s.read(".pipeline/logs/workflows/MAJOR.deployment-pipeline/deployed");
    assert!(deployed.ends_with("-2.0.0.tar.gz\n"), "{deployed}");
    // By itself a deployment takes what was built last, and says so.
    travel(&s, "LAST", "deployment-pipeline", &given(&["target_environment=last"]), "completed");
    assert!(s.show("LAST").to_string().contains("deployed "), "{}", s.show("LAST"));
    let backup = s.shell("ls -d ../repo.deployments/last.backups/*/*").ok().stdout;
    let back = format!("backup_location={}", s.repo().join(backup.trim()).display());
    travel(&s, "BACK", "rollback-pipeline", &[back], "completed");
    assert!(!s.path("repo.deployments/last").exists(), "there was nothing before");
}

/// A template that is not there is the workflow of its name, and that is said.
#[test]
fn a_template_that_is_not_there_is_the_workflow_of_its_name() {
    let s = Sandbox::ready();
    s.commit("tests/a.sh", "true\n");
    let args =
        ["execute-pipeline", "--template", "templates/unit-test-pipeline.json", "--param", "test_filter=Category=Unit"];
    s.run(args.into_iter().chain(["--param", "build_command=true", "--param", TESTS]))
        .ok()
        .says(&["there is no file templates/unit-test-pipeline.json", "`unit-test-pipeline` is run"]);
    s.run(["execute-pipeline", "--template", "templates/no-such.json"]).code(5).says(&["there is no file"]);
    s.run(["execute-pipeline", "--template", "templates/unit-test-pipeline.txt"]).code(5).says(&["there is no file"]);
    // Names that are not taken are listed so that they can be read, the closest first.
    let wrong =
        s.run(["execute-workflow", "--workflow", "major_release", "--param", "the_environment=x", "--dry-run"]).code(1);
    let lines: Vec<&str> = wrong.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.len() <= 120), "{}", wrong.stderr);
    assert!(lines.iter().any(|line| line.trim_start().starts_with("environment")), "{}", wrong.stderr);
}

#[test]
fn an_example_of_schedules_is_written_and_names_no_workflow_twice() {
    let s = Sandbox::ready();
    s.run(["workflow", "new", "monitoring", "--from", "monitoring"]).ok().says(&[".pipeline/registry.json"]);
    let list = s.run(["workflow", "list", "--json"]).ok().json();
    assert_eq!(list["schedules"].as_array().map(Vec::len), Some(3), "{list}");
    assert!(is_listed(&list["shipped"], "health-check-pipeline"), "{list}");
    assert!(!is_listed(&list["workflows"], "health-check-pipeline"), "{list}");
    let shown = s.run(["workflow", "list"]).ok().stdout;
    let shown = shown.split("SCHEDULE").next().unwrap();
    assert_eq!(shown.lines().filter(|line| line.starts_with("health-check-pipeline ")).count(), 1, "{shown}");
    s.run(["workflow", "new", "monitoring", "--from", "monitoring"]).code(1).says(&["exists already"]);
}

/// A pack is written as files, once. Without a node it says what brings one, and downloads nothing.
#[test]
fn the_mining_pack_is_written_out() {
    let s = Sandbox::ready();
    let named = "intelligent-mining-infrastructure-setup";
    s.run(["run", named]).code(5).says(&["in the pack `mining-pool`", "workflow new mining-pool --from mining-pool"]);
    let written = s.run(["workflow", "new", "mining-pool", "--from", "mining-pool", "--json"]).ok().json();
    assert!(texts(&written["files"]).contains(&".pipeline/workflows/mining-cycle.json"), "{written}");
    s.run(["workflow", "validate"]).ok().says(&["mining-cycle", "0 errors"]);
    s.run(["workflow", "new", "mining-pool", "--from", "mining-pool"]).code(1).says(&["exists already"]);
    let pack = s.shell("cat .pipeline/mining-pool/* .pipeline/workflows/*mining*").ok().stdout;
    assert!(!pack.contains("HOME") && !pack.contains("rm -rf"), "nothing outside its own folder is touched");
    if s.shell("command -v bitcoind").code != 0 {
        assert_eq!(travel(&s, "M", "mining-cycle", &[], "failed"), ["dependencies failed"]);
        assert!(s.show("M").to_string().contains("neither bitcoind nor bcoin is there"), "{}", s.show("M"));
    }
}

/// The real thing, where PIPELINE_MINING says so: bcoin from npm, a chain, a pool, a miner, and a payout on the chain.
#[test]
fn a_mining_pool_pays_out_on_a_real_chain() {
    if std::env::var_os("PIPELINE_MINING").is_none() {
        let words = "left out: the mining pool runs where PIPELINE_MINING is set; it brings bcoin from npm\n";
        drop(std::io::stderr().write_all(words.as_bytes()));
        return;
    }
    // Brought once, with the settings of the person who runs the tests.
    let bcoin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bcoin");
    if !bcoin.join("node_modules/bcoin").exists() {
        let npm = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        let brought = std::process::Command::new("npm").args(npm).arg(&bcoin).arg("bcoin@1.0.2").status();
        assert!(brought.as_ref().is_ok_and(|status| status.success()), "npm cannot bring bcoin: {brought:?}");
    }
    let mut s = Sandbox::ready();
    if let Some(path) = std::env::var_os("PATH") {
        s.set_env("PATH", &path.to_string_lossy());
    }
    s.run(["workflow", "new", "mining-pool", "--from", "mining-pool"]).ok();
    let mut params: Vec<String> =
        ["rpc_port", "p2p_port", "stratum_port"].iter().map(|name| format!("{name}={}", free_port())).collect();
    params.push(format!("bcoin={}", bcoin.display()));
    let stages = ["dependencies", "node", "wallets", "pool", "miner", "mine", "payout", "cleanup"];
    let way = travel(&s, "M", "mining-cycle", &params, "completed");
    assert_eq!(way, stages.map(|stage| format!("{stage} success")));
    let shown = s.show("M").to_string();
    assert!(shown.contains("is confirmed at height 102; the worker has 12.5"), "{shown}");
    for name in ["node", "pool", "miner"] {
        assert!(!s.path(&format!("repo/.pipeline/logs/workflows/M/chain/{name}.pid")).exists(), "{name} is stopped");
    }
    // A hub starts only what is missing, and they go on running.
    let way = travel(&s, "SETUP", "intelligent-mining-infrastructure-setup", &params, "completed");
    assert!(!way.iter().any(|stage| stage.starts_with("handle_dependencies")), "{way:?}");
    let step = |name: &str| {
        let env: String =
            params.iter().filter_map(|param| param.split_once('=')).fold(String::new(), |all, (name, value)| {
                format!("{all}PIPELINE_PARAM_{}='{value}' ", name.to_uppercase())
            });
        s.shell(&format!(
            "{env} PIPELINE_PARAM_DATA_DIR=.pipeline/logs/mining PIPELINE_ROOT=$PWD PIPELINE_SHIPPED=$(ls -d .pipeline/logs/scripts-*) sh .pipeline/mining-pool/mining.sh {name}"
        ))
    };
    step("running node").ok();
    step("running miner").ok();
    // A payout of more than there is fails, and everything is stopped all the same.
    let too_much = [&params[1..], &given(&["amount=51", &format!("rpc_port={}", free_port())])].concat();
    let too_much: Vec<String> = too_much
        .into_iter()
        .map(|param| if param.starts_with("stratum_port") { format!("stratum_port={}", free_port()) } else { param })
        .collect();
    let way = travel(&s, "MUCH", "mining-cycle", &too_much, "failed");
    assert_eq!(way[6..], ["payout failed", "cleanup failed"]);
    step("stop").ok().says(&["the miner is stopped", "the pool is stopped", "the node is stopped"]);
}
