//! The folder as its callers see it: files in, configuration or exact messages out.

use std::fs;

use super::*;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(".pipeline").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn digest_of(loaded: &Loaded) -> String {
    digest(&loaded.config.settings(""), &[])
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let project_file = Some(write(dir.path(), "config.toml", text));
    load(&Sources { project_file, ..Sources::default() })
}

fn rendered(text: &str) -> String {
    load_text(text).unwrap_err().render(false)
}

fn agent(name: &str, preset: Preset) -> AgentConfig {
    AgentConfig::new(AgentName::new(name).unwrap(), Role::new("implementation").unwrap(), preset)
}

#[test]
fn nothing_written_is_the_default() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.origins.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn the_table_of_keys_has_the_defaults_of_the_types() {
    let mut text = String::new();
    for (section, _) in keys::SECTIONS.iter().filter(|(section, _)| *section != "agents") {
        text.push_str(&format!("[{section}]\n"));
        for key in keys::KEYS.iter().filter(|key| key.section == *section && !key.default.is_empty()) {
            text.push_str(&format!("{} = {}\n", key.name, key.default));
        }
    }
    assert_eq!(load_text(&text).unwrap().config, Config::default());
}

#[test]
fn the_example_of_the_interface_is_read() {
    let text = r#"
[project]
base = "main"
verify = "cargo test"
worktrees = ".pipeline/worktrees/{agent}"
current_task_file = ".claude/current-task.txt"
setup = "npm ci"

[[agents]]
name = "architect"
role = "architect"
preset = "custom"
command = ["my-agent", "--task", "{task_file}", "{prompt}"]
mode = "headless"
runtime = "host"
env = { KEY = "value" }
sandbox = "off"

[scheduler]
retries = 2
backoff = "5s"
stage_timeout = "1h30m"
max_parallel = 4

[rollout]
min_runs = 5
min_gate_pass_rate = 1
max_rollbacks = 0

[ui]
theme = "auto"
keys = { stop = "x", quit = ["q", "Q"] }

[logs]
keep = 14
"#;
    let config = load_text(text).unwrap().config;
    assert_eq!(config.scheduler.stage_timeout, SignedDuration::from_mins(90));
    assert_eq!(config.agents[0].env, map(&[("KEY", "value")]));
    assert_eq!(config.ui.keys["quit"], ["q", "Q"]);
    let settings = config.settings("trunk");
    assert_eq!((settings.base.as_str(), settings.verify.as_deref()), ("main", Some("cargo test")));
    assert_eq!(settings.agents[0].name.as_str(), "architect");
    assert!((settings.rollout.min_gate_pass_rate - 1.0).abs() < f64::EPSILON);
    assert_eq!(Config::default().settings("trunk").base, "trunk");
}

#[test]
fn an_unknown_key_is_shown_with_what_was_meant() {
    insta::assert_snapshot!(rendered("[scheduler]\nretrys = 3 # more\n"), @r#"
    error: unknown key `retrys`
     --> .pipeline/config.toml:2:1
      |
    2 | retrys = 3 # more
      | ^^^^^^
      |
      = help: Did you mean `retries`?
    "#);
}

#[test]
fn every_kind_of_mistake_has_its_message() {
    let agent = "[[agents]]\nname = \"a\"\nrole = \"r\"\n";
    for (text, place, message, hint) in [
        ("[scheduler\n", "1:11", "unclosed table, expected `]`", ""),
        ("[logs]\nkeep = 1\nkeep = 2\n", "3:1", "duplicate key", ""),
        ("[projct]\nbase = \"x\"\n", "1:2", "unknown section `projct`", "Did you mean `project`?"),
        ("retries = 1\n", "1:1", "unknown key `retries`", "Did you mean `retries` under `[scheduler]`?"),
        (
            "project = 1\n",
            "1:11",
            "`project` is a table, not a whole number",
            "Write `[project]` on a line of its own, and its keys below.",
        ),
        ("[project]\nbase = 1\n", "2:8", "`base` must be a text, not a whole number", "Put it in quotes."),
        (
            "[project]\nbase = \"--force\"\n",
            "2:8",
            "`base` cannot be \"--force\"",
            "Write the name of a branch, such as \"main\".",
        ),
        (
            "[project]\nworktrees = \"w\"\n",
            "2:13",
            "`worktrees` must contain {agent} or {task}, or agents would share a worktree",
            "Write a path such as \".pipeline/worktrees/{agent}\".",
        ),
        (
            "[project]\ncurrent_task_file = \"../x\"\n",
            "2:21",
            "`current_task_file` must be a path inside the repository",
            "Write it relative to the repository, such as \".claude/current-task.txt\".",
        ),
        (
            "[scheduler]\nbackoff = 5\n",
            "2:11",
            "`backoff` must be a duration, not a whole number",
            "Write the unit too: backoff = \"5s\".",
        ),
        (
            "[scheduler]\nbackoff = \"soon\"\n",
            "2:11",
            "`backoff` is not a duration",
            "Write durations like \"30s\", \"5m\" or \"1h30m\".",
        ),
        (
            "[scheduler]\nbackoff = \"-5s\"\n",
            "2:11",
            "`backoff` is negative",
            "Write durations like \"30s\", \"5m\" or \"1h30m\".",
        ),
        (
            "[scheduler]\nstage_timeout = \"0s\"\n",
            "2:17",
            "`stage_timeout` must be longer than nothing",
            "Write durations like \"30s\", \"5m\" or \"1h30m\".",
        ),
        ("[scheduler]\nretries = -1\n", "2:11", "`retries` must be a whole number from 0, not -1", ""),
        ("[scheduler]\nretries = \"2\"\n", "2:11", "`retries` must be a whole number from 0, not a text", ""),
        ("[scheduler]\nmax_visits = 0\n", "2:14", "`max_visits` must be a whole number from 1, not 0", ""),
        (
            "[scheduler]\nfailed_dependency = \"skipp\"\n",
            "2:21",
            "`failed_dependency` cannot be \"skipp\"",
            "Did you mean \"skip\"?",
        ),
        (
            "[rollout]\nmin_gate_pass_rate = 90\n",
            "2:22",
            "`min_gate_pass_rate` must be a number from 0 to 1",
            "Write 0.9 for nine of ten.",
        ),
        ("[ui]\nmouse = \"yes\"\n", "2:9", "`mouse` must be true or false, not a text", ""),
        ("[ui]\ntheme = \"zzz\"\n", "2:9", "`theme` cannot be \"zzz\"", "It is one of auto, dark, light, mono."),
        ("[ui]\nkeys = { stopp = \"s\" }\n", "2:10", "there is no action `stopp` for a key", "Did you mean `stop`?"),
        (
            "[ui]\nkeys = { stop = [\"s\", \"ss\"] }\n",
            "2:23",
            "`ss` is not a key",
            "Write a character, or <enter>, <tab>, <up>, <f5>, <c-x> for control, <a-x> for alt.",
        ),
        ("[ui]\nkeys = { stop = 1 }\n", "2:17", "`stop` must be a list of texts, not a whole number", ""),
        (
            "[agents]\nname = \"a\"\n",
            "1:1",
            "`agents` must be a list of tables, not a table",
            "Write `[[agents]]` on a line of its own, and its keys below.",
        ),
        (
            "[[agents]]\nrole = \"r\"\npreset = \"demo\"\n",
            "1:1",
            "this agent has no `name`",
            "Add a line such as: name = \"dev\".",
        ),
        (
            "[[agents]]\nname = \"a\"\npreset = \"demo\"\n",
            "1:1",
            "this agent has no `role`",
            "Add a line such as: role = \"implementation\".",
        ),
        (
            "[[agents]]\nname = \"a b\"\nrole = \"r\"\npreset = \"demo\"\n",
            "2:8",
            "`a b` is not a valid agent name: only ASCII letters, digits, `-`, `_` and `.` are allowed",
            "",
        ),
        (
            agent,
            "1:1",
            "a custom agent needs a `command`",
            "Write command = [\"my-agent\", \"{prompt}\"], or a preset such as preset = \"claude\".",
        ),
        (&format!("{agent}preset = \"cluade\"\n"), "4:10", "`preset` cannot be \"cluade\"", "Did you mean \"claude\"?"),
        (
            &format!("{agent}command = \"my-agent {{prompt}}\"\n"),
            "4:11",
            "`command` must be a list of texts, not a text",
            "Write one text for each argument: command = [\"my-agent\", \"{prompt}\"].",
        ),
        (
            &format!("{agent}command = []\n"),
            "4:11",
            "a custom agent needs a `command`",
            "Write command = [\"my-agent\", \"{prompt}\"], or a preset such as preset = \"claude\".",
        ),
        (&format!("{agent}command = [\"x\", 1]\n"), "4:17", "`command` must hold texts, not a whole number", ""),
        (
            &format!("{agent}command = [\"x\", \"{{promt}}\"]\n"),
            "4:17",
            "unknown placeholder `{promt}`",
            "Did you mean {prompt}? Write {{ for a plain brace.",
        ),
        (
            &format!("{agent}command = [\"x\", \"{{model}}\"]\n"),
            "4:17",
            "`{model}` has no value here",
            "Set model, or write {model?} to leave the argument out where it is not set.",
        ),
        (
            &format!("{agent}preset = \"demo\"\nruntime = \"agentapi\"\n"),
            "5:11",
            "`runtime = \"agentapi\"` is not supported by this version",
            "Write runtime = \"host\", or remove the line.",
        ),
        (
            &format!("{agent}preset = \"demo\"\nruntime = \"tmux\"\n"),
            "5:11",
            "tmux is for sessions, and this agent is headless",
            "Write mode = \"interactive\" as well, or runtime = \"host\".",
        ),
        (
            &format!("{agent}preset = \"claude\"\nsandbox = \"strict\"\n"),
            "5:11",
            "claude talks to its model over the network, which the strict sandbox does not have",
            "Add network = true, or write sandbox = \"basic\".",
        ),
        (
            &format!("{agent}preset = \"demo\"\nenv = {{ PORT = 1 }}\n"),
            "5:16",
            "`PORT` must be a text, not a whole number",
            "Write PORT = \"1\".",
        ),
        (
            &format!("{agent}preset = \"demo\"\nenv = {{ PIPELINE_STAGE = \"x\" }}\n"),
            "5:9",
            "`PIPELINE_STAGE` is set by pipeline itself",
            "Remove it: every run gets its own.",
        ),
        (
            &format!("{agent}preset = \"demo\"\n{agent}preset = \"demo\"\n"),
            "6:8",
            "there are two agents `a`",
            "The first one is at .pipeline/config.toml:2; give this one another name.",
        ),
    ] {
        let error = load_text(text).unwrap_err();
        let problem = &error.problems[0];
        assert_eq!(error.problems.len(), 1, "{text}: {error:?}");
        assert_eq!(problem.to_string(), format!(".pipeline/config.toml:{place}: {message}"), "{text}");
        assert_eq!(problem.suggestion.as_deref().unwrap_or_default(), hint, "{text}");
    }
}

#[test]
fn a_session_is_an_agent_like_any_other() {
    let agent = "[[agents]]\nname = \"a\"\nrole = \"r\"\nmode = \"interactive\"\nruntime = \"host\"\n";
    let loaded = load_text(&format!("{agent}preset = \"codex\"\nmodel = \"m\"\n")).unwrap();
    assert_eq!((&loaded.warnings[..], loaded.config.agents[0].mode), (&[][..], super::Mode::Interactive));
    assert_eq!(loaded.config.agents[0].template()[1], "--sandbox=workspace-write");
    assert!(loaded.config.settings("main").agents[0].interactive);
    let headless = load_text("[[agents]]\nname = \"a\"\nrole = \"r\"\npreset = \"codex\"\nmodel = \"m\"\n").unwrap();
    assert_ne!(digest_of(&headless), digest_of(&loaded), "what ends a session is decided otherwise");
    let custom = load_text(&format!("{agent}command = [\"x\", \"{{prompt}}\"]\n")).unwrap();
    assert_eq!(custom.config.agents[0].template(), ["x", "{prompt}"]);
    let error = load_text(agent).unwrap_err();
    assert_eq!(error.problems[0].message, "a custom agent needs a `command`");
    // What a session of this program is not given, its headless runs may be.
    let goose = load_text(&format!("{agent}preset = \"goose\"\nmodel = \"m\"\n")).unwrap();
    assert_eq!(goose.warnings[0].message, "`model` is not used: the command does not name {model}");
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let text = "[scheduler]\nretrys = 3\nbackoff = 5\n\n[[agents]]\nname = \"dev\"\nruntime = \"agentapi\"\n";
    insta::assert_snapshot!(rendered(text), @r#"
    error: unknown key `retrys`
     --> .pipeline/config.toml:2:1
      |
    2 | retrys = 3
      | ^^^^^^
      |
      = help: Did you mean `retries`?

    error: `backoff` must be a duration, not a whole number
     --> .pipeline/config.toml:3:11
      |
    3 | backoff = 5
      |           ^
      |
      = help: Write the unit too: backoff = "5s".

    error: this agent has no `role`
     --> .pipeline/config.toml:5:1
      |
    5 | [[agents]]
      | ^^^^^^^^^^
      |
      = help: Add a line such as: role = "implementation".

    error: a custom agent needs a `command`
     --> .pipeline/config.toml:5:1
      |
    5 | [[agents]]
      | ^^^^^^^^^^
      |
      = help: Write command = ["my-agent", "{prompt}"], or a preset such as preset = "claude".

    error: `runtime = "agentapi"` is not supported by this version
     --> .pipeline/config.toml:7:11
      |
    7 | runtime = "agentapi"
      |           ^^^^^^^^^^
      |
      = help: Write runtime = "host", or remove the line.
    "#);
    assert_eq!(
        load_text(text).unwrap_err().to_string(),
        ".pipeline/config.toml:2:1: unknown key `retrys` (and 4 more)"
    );
}

#[test]
fn strange_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".pipeline/config.toml");
    fs::create_dir_all(&path).unwrap();
    let sources = Sources { project_file: Some(path.clone()), ..Sources::default() };
    assert_eq!(load(&sources).unwrap_err().render(false), "error: is not a file\n--> .pipeline/config.toml");
    fs::remove_dir(&path).unwrap();
    assert!(load(&sources).is_ok());
    let required = Sources { project_file_required: true, ..sources.clone() };
    assert_eq!(load(&required).unwrap_err().to_string(), ".pipeline/config.toml: there is no such file");
    fs::write(&path, b"[ui]\ntheme = \"\xff\"\n").unwrap();
    assert_eq!(load(&sources).unwrap_err().to_string(), ".pipeline/config.toml:2:10: this is not UTF-8");
    fs::write(&path, "\u{feff}[ui]\r\ntheme = \"dark\"\r\n").unwrap();
    assert_eq!(load(&sources).unwrap().config.ui.theme, Theme::Dark);
    // A line that nobody wrote by hand is named and not shown.
    fs::write(&path, format!("x = \"{}\"\n", "é".repeat(5_000))).unwrap();
    assert!(load(&sources).unwrap_err().render(false).len() < 200);
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let error = load_text("[x]\n").unwrap_err();
    assert!(error.render(true).contains('\u{1b}') && !error.render(false).contains('\u{1b}'));
    let hostile = load_text("[ui]\ntheme = \"\\u001b[31m\"\n").unwrap_err();
    assert!(!hostile.render(false).contains('\u{1b}') && !hostile.to_string().contains('\u{1b}'));
}

#[test]
fn the_nearer_layer_wins_and_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let user = dir.path().join("user.toml");
    fs::write(&user, "[scheduler]\nretries = 1\nbackoff = \"1s\"\nmax_parallel = 1\n[ui]\ntheme = \"dark\"\n").unwrap();
    let project = write(dir.path(), "config.toml", "[scheduler]\nretries = 2\nbackoff = \"2s\"\nmax_parallel = 2\n");
    let sources = Sources {
        project_file: Some(project),
        user_file: Some(user.clone()),
        environment: map(&[
            ("PIPELINE_SCHEDULER__RETRIES", "3"),
            ("PIPELINE_SCHEDULER__BACKOFF", "3s"),
            ("PIPELINE_UI__MOUSE", "0"),
            ("PIPELINE_PROJECT__BASE", "trunk"),
            ("PIPELINE_TASK_ID", "T"),
            ("PIPELINE_LAB", "x"),
            ("PIPELINE_LOG", "debug"),
            ("PIPELINE_URL", "of another program"),
            ("HOME", "/home"),
        ]),
        overrides: map(&[("scheduler.retries", "4")]),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    let scheduler = &loaded.config.scheduler;
    assert_eq!((scheduler.retries, scheduler.backoff.as_secs(), scheduler.max_parallel), (4, 3, 2));
    assert_eq!((loaded.config.ui.theme, loaded.config.ui.mouse), (Theme::Dark, false));
    assert!(loaded.warnings.is_empty());
    let user_line = format!("{}:6", user.display());
    for (key, value, origin) in [
        ("scheduler.retries", "4", "command line"),
        ("scheduler.backoff", "\"3s\"", "environment variable PIPELINE_SCHEDULER__BACKOFF"),
        ("scheduler.max_parallel", "2", ".pipeline/config.toml:4"),
        ("scheduler.ageing", "\"1h\"", "default"),
        ("ui.theme", "\"dark\"", user_line.as_str()),
        ("ui.mouse", "false", "environment variable PIPELINE_UI__MOUSE"),
        ("project.verify", "null", "default"),
    ] {
        let entry = loaded.entries().into_iter().find(|entry| entry.key == key).unwrap();
        assert_eq!((entry.value.to_string().as_str(), entry.origin.to_string().as_str()), (value, origin), "{key}");
    }
}

#[test]
fn mistakes_in_the_environment_and_in_options_are_located_too() {
    let environment = map(&[
        ("PIPELINE_SCHEDULER_RETRIES", "3"),
        ("PIPELINE_SCHEDULER__RETRYS", "3"),
        ("PIPELINE_UI__MOUSE", "perhaps"),
        ("PIPELINE_AGENTS", "nobody"),
    ]);
    let sources = Sources { environment, overrides: map(&[("logs.keep", "0")]), ..Sources::default() };
    let problems: Vec<String> = load(&sources).unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "environment variable PIPELINE_SCHEDULER_RETRIES: this variable is ignored: sections and keys are separated by two underscores",
            "environment variable PIPELINE_AGENTS: `agents` must be a list of tables in TOML",
            "environment variable PIPELINE_SCHEDULER__RETRYS: unknown key `retrys`",
            "environment variable PIPELINE_UI__MOUSE: `mouse` must be true or false, not a text",
            "option for logs.keep: `keep` must be a whole number from 1, not a text",
        ]
    );
}

#[test]
fn agents_can_come_from_the_environment() {
    let environment = map(&[("PIPELINE_AGENTS", "[{ name = \"a\", role = \"r\", preset = \"demo\" }]")]);
    let loaded = load(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.agents[0].preset, Preset::Demo);
}

#[test]
fn secrets_are_not_shown() {
    let text =
        "[[agents]]\nname = \"a\"\nrole = \"r\"\npreset = \"demo\"\nenv = { API_KEY = \"s3cret\", LANG = \"C\" }\n";
    let entries = load_text(text).unwrap().entries();
    let value = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap().value.clone();
    assert_eq!(value("agents.a.env.API_KEY"), "(hidden)");
    assert_eq!(value("agents.a.env.LANG"), "C");
}

#[test]
fn what_is_likely_not_meant_is_a_warning() {
    let text =
        "[[agents]]\nname = \"a\"\nrole = \"r\"\ncommand = [\"x\"]\nmodel = \"m\"\n[scheduler]\nbackoff = \"10m\"\n";
    let warnings: Vec<String> = load_text(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            ".pipeline/config.toml:5:9: `model` is not used: the command does not name {model}",
            ".pipeline/config.toml:7:11: `backoff` is longer than `backoff_max`, which caps it",
        ]
    );
}

#[test]
fn further_arguments_stand_before_the_prompt() {
    let mut claude = agent("a", Preset::Claude);
    claude.args = vec!["--max-turns=5".into()];
    let template = claude.template();
    assert_eq!(&template[template.len() - 3..], ["--max-turns=5", "--", "{prompt}"]);
}

#[test]
fn the_starter_is_short_and_reads_back() {
    let mut custom = agent("dev", Preset::Custom);
    custom.command = vec!["my-agent".into(), "{prompt}".into(), "a \"b\" \\ \u{7f}".into()];
    custom.env = map(&[("A B", "c"), ("D", "\n")]);
    custom.model = None;
    let mut claude = agent("review", Preset::Claude);
    claude.model = Some("m".into());
    let agents = [custom, claude];
    let text = starter("release/1.0", Some("make \"test\" && x"), &agents);
    let loaded = load_text(&text).unwrap();
    let mut expected = Config { agents: agents.to_vec(), ..Config::default() };
    expected.project.base = Some("release/1.0".into());
    expected.project.verify = Some("make \"test\" && x".into());
    assert_eq!(loaded.config, expected);
    assert!(loaded.warnings.is_empty());
    assert!(text.lines().all(|line| line.chars().count() <= 132), "{text}");
    insta::assert_snapshot!(starter("main", None, &[agent("dev", Preset::Claude)]));
    // Every comment that shows a default is right: without the marks, the file says the same.
    let open: String = starter("main", Some("true"), &[])
        .lines()
        .map(|line| {
            let default = line.strip_prefix("# ").filter(|rest| {
                rest.contains(" = ")
                    && !rest.contains("\"dev\"")
                    && !rest.starts_with("name")
                    && !rest.starts_with("role =")
                    && !rest.starts_with("preset")
            });
            format!("{}\n", default.unwrap_or(line))
        })
        .collect();
    let mut expected = Config::default();
    expected.project.base = Some("main".into());
    expected.project.verify = Some("true".into());
    assert_eq!(load_text(&open).unwrap().config, expected, "{open}");
}

#[test]
fn digests_name_what_decides_and_nothing_else() {
    let digest = |text: &str| digest_of(&load_text(text).unwrap());
    let plain = digest("");
    assert_eq!(plain.len(), 16);
    assert_eq!(plain, digest("# comment\n[ui]\ntheme = \"dark\"\n[scheduler]\nretries = 2\n"));
    assert_ne!(plain, digest("[scheduler]\nretries = 3\n"));
}

#[test]
fn schemas_describe_what_is_read() {
    let schema = schema_config();
    for key in keys::KEYS {
        let base =
            if key.section == "agents" { "/properties/agents/items" } else { &format!("/properties/{}", key.section) };
        assert!(schema.pointer(&format!("{base}/properties/{}/description", key.name)).is_some(), "{}", key.name);
    }
    assert_eq!(schema.pointer("/properties/scheduler/properties/retries/default"), Some(&serde_json::json!(2)));
    for schema in [schema, schema_workflow(), schema_agent()] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}

#[test]
fn an_agent_cannot_have_the_role_of_commands() {
    let text = "[[agents]]\nname = \"a\"\nrole = \"command\"\npreset = \"demo\"\n";
    let error = load_text(text).unwrap_err().to_string();
    assert_eq!(error, ".pipeline/config.toml:3:8: `command` is the role of stages that no agent works at");
}

#[test]
fn no_worktree_is_the_checkout() {
    let text = "[project]\nworktrees = \"../{agent}\"\n[[agents]]\nname = \"shop\"\nrole = \"r\"\npreset = \"demo\"\n";
    let dir = tempfile::tempdir().unwrap();
    let in_repository = |name: &str| {
        let project_file = Some(write(&dir.path().join(name), "config.toml", text));
        load(&Sources { project_file, ..Sources::default() })
    };
    assert!(in_repository("store").is_ok());
    assert_eq!(
        in_repository("shop").unwrap_err().to_string(),
        ".pipeline/config.toml:2:13: the worktree of agent `shop` would be the repository itself"
    );
}

#[test]
fn variables_of_other_programs_do_no_harm() {
    let environment = map(&[("PIPELINE_OTHER__THING", "1")]);
    let warnings = load(&Sources { environment, ..Sources::default() }).unwrap().warnings;
    assert_eq!(warnings[0].to_string(), "environment variable PIPELINE_OTHER__THING: unknown section `other`");
}

#[test]
fn what_steers_a_terminal_is_not_shown() {
    for text in ["[ui]\ntheme = \"\u{1b}[31m\"\n", "[ui]\ntheme = \"\u{202e}x\u{9b}1m\"\n", "[ui]\nx\u{1b} = 1\n"] {
        let error = load_text(text).unwrap_err();
        for shown in [error.render(false), error.to_string()] {
            assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{shown:?}");
        }
    }
}
