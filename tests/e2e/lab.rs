//! The real Codex and Claude Code programs as agents, against a scripted model on loopback. Opt-in: `PIPELINE_LAB` names a
//! folder with the lab's `setup`, `agent`, `model_server.py` and `play-marker`; without it these tests say so and pass.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::screen::Screen;
use crate::support::Sandbox;

/// The scripted model, ended with the test.
struct Model(Child);

impl Drop for Model {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn lab() -> Option<PathBuf> {
    let lab = std::env::var_os("PIPELINE_LAB").map(PathBuf::from);
    if lab.is_none() {
        let words = "left out: PIPELINE_LAB is not set\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()));
    }
    lab
}

/// The scripted model and its port.
fn model(lab: &Path, sandbox: &Sandbox) -> (Model, String) {
    let set_up = Command::new(lab.join("setup")).output().expect("the lab can be set up");
    assert!(set_up.status.success(), "{}", String::from_utf8_lossy(&set_up.stderr));
    let port_file = sandbox.path("port");
    let model = Command::new(lab.join("model_server.py"))
        .arg("--script")
        .arg(lab.join("play-marker"))
        .arg("--port-file")
        .arg(&port_file)
        .stdout(Stdio::null())
        .spawn()
        .expect("the scripted model starts");
    let model = Model(model);
    sandbox.wait_for(&port_file);
    let port = fs::read_to_string(&port_file).expect("a port").trim().to_owned();
    (model, port)
}

#[test]
fn real_codex_and_claude_take_a_task_to_its_merge() {
    let Some(lab) = lab() else { return };
    let mut sandbox = Sandbox::new();
    let (_model, port) = model(&lab, &sandbox);
    let home = std::env::var("HOME").expect("a home with the lab's cache");
    fs::create_dir_all(sandbox.path("bin")).expect("a folder");
    for kind in ["codex", "claude"] {
        // The lab gives its agents a home of their own, in which git knows nobody.
        fs::create_dir_all(sandbox.path(kind)).expect("a folder");
        fs::write(sandbox.path(kind).join(".gitconfig"), "[user]\n\tname = Agent\n\temail = agent@example.org\n")
            .expect("a file");
        // The presets' own arguments end with the prompt, which is what the lab's wrapper takes.
        let script = format!(
            "#!/bin/bash\nunset XDG_CACHE_HOME\nexport HOME='{home}'\nLAB_AGENT_HOME='{}' exec '{}' {kind} {port} \"${{@: -1}}\"\n",
            sandbox.path(kind).display(),
            lab.join("agent").display()
        );
        let path = sandbox.path(&format!("bin/{kind}"));
        fs::write(&path, script).expect("a wrapper");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").expect("a path"));
    sandbox.set_env("PATH", &path);
    let agent =
        |name: &str, preset: &str| format!("[[agents]]\nname = \"{name}\"\nrole = \"{name}\"\npreset = \"{preset}\"\n");
    let config = format!(
        "[project]\nbase = \"main\"\nverify = \"test -f README.md\"\n{}{}{}{}",
        agent("architect", "codex"),
        agent("test", "claude"),
        agent("implementation", "codex"),
        agent("supervisor", "claude")
    );
    sandbox.init("production", &config);
    sandbox.add("REAL-1", &[]);
    sandbox.tick_to("REAL-1", "completed");
    let work = sandbox.git(&["show", "main:work-REAL-1.txt"]);
    assert_eq!(work.lines().count(), 4, "{work}");
    let metrics = &sandbox.status()["metrics"];
    assert!(metrics["tokens_total"].as_u64().expect("a number") > 0, "{metrics}");
    assert!(metrics["cost_usd_total"].as_f64().expect("a number") > 0.0, "{metrics}");
}

/// The screens of both programs in panes: what they ask at first is answered by keys, a message is typed into each, and the
/// work they then claim is merged.
#[test]
fn real_screens_of_codex_and_claude_are_seen_and_typed_into_in_panes() {
    let Some(lab) = lab() else { return };
    let sandbox = Sandbox::new();
    let (_model, port) = model(&lab, &sandbox);
    let home = std::env::var("HOME").expect("a home with the lab's cache");
    let agent = |name: &str, kind: &str| {
        let own = sandbox.path(kind);
        fs::create_dir_all(&own).expect("a folder");
        fs::write(own.join(".gitconfig"), "[user]\n\tname = Agent\n\temail = agent@example.org\n").expect("a file");
        let script = format!(
            "unset XDG_CACHE_HOME; HOME={home:?} LAB_AGENT_HOME={own:?} exec {:?} {kind} {port}",
            lab.join("agent")
        );
        format!(
            "[[agents]]\nname = {name:?}\nrole = {name:?}\npreset = \"custom\"\nmode = \"interactive\"\n\
             command = [\"/bin/sh\", \"-c\", {script:?}]\n"
        )
    };
    for name in ["claude", "codex"] {
        let workflow = format!(r#"{{"id":"{name}","stages":[{{"id":"work","agent":"{name}"}}]}}"#);
        sandbox.write(&format!(".pipeline/workflows/{name}.json"), &workflow);
    }
    let config =
        format!("[project]\nbase = \"main\"\n{}{}", agent("claude", "claude-tui"), agent("codex", "codex-tui"));
    sandbox.init("production", &config);
    sandbox.add("C-1", &["--workflow", "claude"]);
    sandbox.add("X-1", &["--workflow", "codex"]);
    let mut screen = Screen::open(&sandbox, &[], (200, 50));
    screen.press("p");
    // Both draw boxes, colours and wide characters, and ask the terminal what it is before they draw anything.
    screen.shows(&["Choose the text style"]);
    screen.shows(&["Trust this folder?"]);
    screen.press("i");
    screen.shows(&["TYPING INTO claude"]);
    screen.press("<enter>");
    // A home that is new is asked about the key it was given.
    screen.shows(&["Do you want to use this API key?"]);
    screen.press("<up>");
    screen.shows(&["❯ 1. Yes"]);
    screen.press("<enter>");
    screen.shows(&["Press Enter to continue"]);
    screen.press("<enter>");
    screen.shows(&["Accessing workspace"]);
    screen.press("<enter>");
    screen.shows(&["Welcome back!"]);
    screen.press("Work on it<enter>");
    screen.wait("the work of claude", |_| sandbox.status()["tasks"]["C-1"]["status"] == "completed");
    // The session has ended, and with it the typing into it.
    screen.press("l");
    screen.press("i");
    screen.shows(&["TYPING INTO codex"]);
    screen.press("<enter>");
    screen.shows(&["Ask Codex"]);
    screen.press("Work on it");
    screen.shows(&["› Work on it"]);
    // Keys that come faster than a person types are a paste to it, in which Enter is a line break.
    for _ in 0..3 {
        assert_eq!(sandbox.status()["tasks"]["X-1"]["status"], "work_wip");
    }
    screen.press("<enter>");
    screen.wait("the work of codex", |_| sandbox.status()["tasks"]["X-1"]["status"] == "completed");
    for task in ["C-1", "X-1"] {
        assert_eq!(sandbox.git(&["show", &format!("main:work-{task}.txt")]).lines().count(), 1);
    }
    screen.press("<c-q>");
    screen.press("q");
    assert_eq!(screen.code(), 0);
}

/// The presets' own sessions: the programs' hooks say what they do, the question whether the folder is trusted is known as
/// one and answered from outside, and the turn that the programs begin with is worked to its merge.
#[test]
fn real_sessions_tell_by_their_hooks_and_are_answered_from_the_inbox() {
    let Some(lab) = lab() else { return };
    let mut sandbox = Sandbox::new();
    let (_model, port) = model(&lab, &sandbox);
    let programs =
        std::env::var("HOME").expect("a home with the lab's cache") + "/.cache/pipeline-lab/node_modules/.bin";
    fs::create_dir_all(sandbox.path("bin")).expect("a folder");
    let own = sandbox.path("home");
    fs::create_dir_all(own.join(".codex")).expect("a folder");
    fs::write(own.join(".gitconfig"), "[user]\n\tname = Agent\n\temail = agent@example.org\n").expect("a file");
    // What a person has answered once before: the style of the text, and that the key is theirs.
    let known = r#"{"hasCompletedOnboarding":true,"theme":"dark","customApiKeyResponses":{"approved":["lab-dummy"],"rejected":[]}}"#;
    fs::write(own.join(".claude.json"), known).expect("a file");
    let claude = format!(
        "export ANTHROPIC_BASE_URL=http://127.0.0.1:{port} ANTHROPIC_API_KEY=lab-dummy \
         CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 DISABLE_TELEMETRY=1\nexec '{programs}/claude' \"$@\"\n"
    );
    let provider =
        format!("{{name=\"lab\",base_url=\"http://127.0.0.1:{port}/v1\",wire_api=\"responses\",env_key=\"LAB_KEY\"}}");
    let codex = format!(
        "export CODEX_HOME='{}' LAB_KEY=x\nexec '{programs}/codex' -c model_provider=lab -c 'model_providers.lab={provider}' \
         -m lab \"$@\"\n",
        own.join(".codex").display()
    );
    for (name, script) in [("claude", claude), ("codex", codex)] {
        let path = sandbox.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\nexport HOME='{}'\n{script}", own.display())).expect("a wrapper");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").expect("a path"));
    sandbox.set_env("PATH", &path);
    let mut config = "[project]\nbase = \"main\"\n".to_owned();
    for name in ["claude", "codex"] {
        config.push_str(&format!(
            "[[agents]]\nname = \"{name}\"\nrole = \"{name}\"\npreset = \"{name}\"\nmode = \"interactive\"\n"
        ));
        let workflow = format!(r#"{{"id":"{name}","stages":[{{"id":"work","agent":"{name}"}}]}}"#);
        sandbox.write(&format!(".pipeline/workflows/{name}.json"), &workflow);
    }
    sandbox.init("production", &config);
    for (name, task) in [("claude", "C-1"), ("codex", "X-1")] {
        sandbox.add(task, &["--workflow", name]);
        let asked = sandbox.tick_until("it asks", |status| {
            let list = status["attention"].as_array().expect("a list");
            list.iter().any(|one| one["kind"] == "dialog" && one["agent"] == name)
        });
        assert!(asked["attention"].to_string().contains("whether the folder is trusted"), "{asked}");
        sandbox.run(["agent", "send", name, "--answer", "yes"]).ok();
        sandbox.tick_to(task, "completed");
        assert_eq!(sandbox.git(&["show", &format!("main:work-{task}.txt")]).lines().count(), 1);
        let runs = sandbox.show(task)["runs"].clone();
        let run = runs[0]["id"].as_str().expect("a run").to_owned();
        let told = sandbox.read(&format!(".pipeline/runs/{run}/hooks.jsonl"));
        assert!(told.contains("turn_ended"), "{told}");
        assert!(used(&sandbox, task) > 0, "{told}");
    }
}

/// The tokens that the runs of a task have used, as far as they told.
fn used(sandbox: &Sandbox, task: &str) -> u64 {
    let events = sandbox.run(["events", "--task", task, "--type", "run_closed"]).ok().json_lines();
    events.iter().filter_map(|event| event["data"]["summary"]["usage"]["tokens"].as_u64()).sum()
}
