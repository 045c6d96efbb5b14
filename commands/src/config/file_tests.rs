//! Workflow files, agent definitions, and edits of config.toml.

use std::collections::BTreeSet;
use std::fs;

use super::*;

fn roles(names: &[&str]) -> BTreeSet<Role> {
    names.iter().map(|name| Role::new(name).unwrap()).collect()
}

fn folder(kind: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".pipeline").join(kind);
    fs::create_dir_all(&path).unwrap();
    for (name, text) in files {
        fs::write(path.join(name), text).unwrap();
    }
    (dir, path)
}

fn workflows(files: &[(&str, &str)], of: &[&str]) -> WorkflowSet {
    let (_dir, path) = folder("workflows", files);
    load_workflows(&path, &roles(of))
}

fn ids(set: &WorkflowSet) -> Vec<&str> {
    set.workflows.iter().map(|workflow| workflow.id.as_str()).collect()
}

fn lines(problems: &[LocatedProblem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

const GOOD: &str = r#"{"id": "good", "stages": [{"id": "a", "agent": "dev"}]}"#;

#[test]
fn the_built_in_workflow_is_there_unless_a_file_takes_its_place() {
    assert_eq!(ids(&load_workflows(Path::new("/nowhere/at/all"), &roles(&[]))), ["tdd"]);
    assert_eq!(ids(&workflows(&[("x.json", GOOD)], &[])), ["good", "tdd"]);
    let own = GOOD.replace("good", "tdd");
    let set = workflows(&[("mine.json", &own)], &[]);
    assert_eq!((ids(&set).len(), set.workflows[0].stages.len()), (1, 1));
    assert_eq!(ids(&workflows(&[("tdd.json", "{")], &[])), [""; 0]);
}

#[test]
fn a_broken_file_leaves_the_others_alone() {
    let set = workflows(
        &[
            ("a-syntax.json", "{\n  \"id\": \"x\",\n  \"stages\": [],\n}\n"),
            ("b-comment.json", "// no\n{}"),
            ("c-yaml.json", "id: x\nstages:\n"),
            ("d-empty.json", ""),
            ("e.yaml", "id: x\n"),
            ("f-good.json", GOOD),
            ("g-again.json", GOOD),
            ("notes.md", "x"),
        ],
        &["dev"],
    );
    assert_eq!(ids(&set), ["good", "tdd"]);
    assert_eq!(
        lines(&set.problems),
        [
            ".pipeline/workflows/e.yaml: workflows are JSON; YAML is not read",
            ".pipeline/workflows/a-syntax.json:4:1: trailing comma",
            ".pipeline/workflows/b-comment.json:1:1: JSON has no comments",
            ".pipeline/workflows/c-yaml.json:1:1: this is YAML, which is not read",
            ".pipeline/workflows/d-empty.json:1:1: this file is empty",
            ".pipeline/workflows/g-again.json:1:8: workflow `good` is already defined in .pipeline/workflows/f-good.json",
        ]
    );
    assert!(set.has_errors());
    insta::assert_snapshot!(render_all(&set.problems[..4], false), @r#"
    error: workflows are JSON; YAML is not read
    --> .pipeline/workflows/e.yaml
     = help: Convert it, and save it as .pipeline/workflows/e.json.

    error: trailing comma
     --> .pipeline/workflows/a-syntax.json:4:1
      |
    4 | }
      | ^
      |
      = help: Remove the comma before the closing bracket.

    error: JSON has no comments
     --> .pipeline/workflows/b-comment.json:1:1
      |
    1 | // no
      | ^^
      |
      = help: Remove them; what is to be said can stand in a "description".

    error: this is YAML, which is not read
     --> .pipeline/workflows/c-yaml.json:1:1
      |
    1 | id: x
      | ^
      |
      = help: Workflows are JSON; convert this file, or begin with {.
    "#);
}

#[test]
fn fields_that_stand_twice_are_told_and_shown() {
    let stage = r#"{ "id": "twice", "_": 1, "_": 2, "note": 1, "note": 2,
  "stages": [{ "id": "a", "run": "echo first",
    "run": "echo second" }, { "id": "b", "run": "true", "run": "true" }] }"#;
    let set = workflows(&[("twice.json", stage)], &[]);
    assert_eq!(ids(&set), ["tdd"]);
    let warnings: Vec<bool> = set.problems.iter().map(|problem| problem.warning).collect();
    assert_eq!(warnings, [true, false, true]);
    assert_eq!(
        lines(&set.problems),
        [
            ".pipeline/workflows/twice.json:1:45: `note` stands twice in one object, and only this one counts",
            ".pipeline/workflows/twice.json:3:5: `run` stands twice in one object, and only this one counts",
            ".pipeline/workflows/twice.json:3:57: `run` stands twice in one object, and only this one counts",
        ]
    );
}

#[test]
fn a_file_with_mistakes_is_told_of_other_workflows_as_well() {
    let broken =
        r#"{ "id": "broken", "on_failure": "roll", "stages": [{ "id": "a", "workflow": "tddd", "retries": "2" }] }"#;
    let set = workflows(&[("broken.json", broken)], &[]);
    assert_eq!(
        lines(&set.problems),
        [
            ".pipeline/workflows/broken.json:1:33: there is no workflow `roll`",
            ".pipeline/workflows/broken.json:1:77: there is no workflow `tddd`",
            ".pipeline/workflows/broken.json:1:96: `retries` is a whole number from 0",
        ]
    );
}

#[test]
fn problems_of_meaning_point_at_their_place() {
    let text = r#"{
  "id": "review", "stages": [
    { "id": "write", "agent": "dev", "decisions": ["success"] },
    { "id": "check", "agent": "reviewr", "timeout": "soon", "decisions": ["success"] }
  ],
  "connections": [
    { "from": "write", "to": "chek", "condition": "success" }
  ]
}"#;
    let set = workflows(&[("review.json", text)], &["dev", "reviewer"]);
    assert_eq!(ids(&set), ["tdd"]);
    insta::assert_snapshot!(render_all(&set.problems, false), @r#"
    error: no agent has the role `reviewr`
     --> .pipeline/workflows/review.json:4:31
      |
    4 |     { "id": "check", "agent": "reviewr", "timeout": "soon", "decisions": ["success"] }
      |                               ^^^^^^^^^
      |
      = help: Did you mean `reviewer`? Use one of the roles of config.toml (dev, reviewer), or add an agent.

    error: `timeout` is not a duration
     --> .pipeline/workflows/review.json:4:53
      |
    4 |     { "id": "check", "agent": "reviewr", "timeout": "soon", "decisions": ["success"] }
      |                                                     ^^^^^^
      |
      = help: Write durations like "30s", "5m" or "1h30m".

    error: there is no stage `chek`
     --> .pipeline/workflows/review.json:7:30
      |
    7 |     { "from": "write", "to": "chek", "condition": "success" }
      |                              ^^^^^^
      |
      = help: Did you mean `check`?
    "#);
}

#[test]
fn the_digest_does_not_depend_on_file_names_or_the_order_of_keys() {
    let two = r#"{"stages": [{"agent": "dev", "id": "a"}], "x": {"b": 1, "a": 2}, "id": "two"}"#;
    let again = r#"{"id": "two", "x": {"a": 2, "b": 1}, "stages": [{"id": "a", "agent": "dev"}]}"#;
    let one = workflows(&[("1.json", GOOD), ("2.json", two)], &[]);
    let other = workflows(&[("1.json", again), ("2.json", GOOD)], &[]);
    let digest = |set: &WorkflowSet| digest(&pipeline_lib::settings::Settings::default(), &set.workflows);
    assert_eq!(digest(&one), digest(&other));
    assert_ne!(digest(&one), digest(&workflows(&[], &[])));
}

fn large(stages: usize, agent: &str) -> String {
    let list: Vec<String> = (0..stages).map(|n| format!("{{\"id\": \"s{n}\", \"agent\": \"{agent}\"}}")).collect();
    format!("{{\"id\": \"large\", \"stages\": [\n{}\n]}}", list.join(",\n"))
}

#[test]
fn ten_thousand_stages_are_read_and_of_ten_thousand_problems_the_first_are_told() {
    let set = workflows(&[("large.json", &large(10_000, "dev"))], &["dev"]);
    assert_eq!(ids(&set), ["large", "tdd"], "{:?}", set.problems);
    let set = workflows(&[("large.json", &large(10_000, "nobody"))], &["dev"]);
    assert_eq!(set.problems.len(), 201);
    assert_eq!(set.problems[199].line, 201);
}

#[test]
fn workflows_that_do_not_fit_together_are_taken_out() {
    let deploy = r#"{"id": "deploy", "params": {"to": {"required": true}}, "stages": [{"id": "s", "run": "true"}]}"#;
    let release = "{\n\"id\": \"release\", \"stages\": [\n{\"id\": \"s\", \"workflow\": \"deploy\"},\n{\"id\": \"t\", \"workflow\": \"absent\"}]}";
    let outer = r#"{"id": "outer", "stages": [{"id": "s", "workflow": {"id": "release"}}]}"#;
    let ring = r#"{"id": "ring", "stages": [{"id": "s", "workflow": "ring"}]}"#;
    let files = [("deploy.json", deploy), ("outer.json", outer), ("release.json", release), ("ring.json", ring)];
    let set = workflows(&files, &["dev"]);
    assert_eq!(ids(&set), ["deploy", "tdd"]);
    assert_eq!(
        lines(&set.problems),
        [
            ".pipeline/workflows/release.json:3:25: workflow `deploy` needs parameter `to`",
            ".pipeline/workflows/release.json:4:25: there is no workflow `absent`",
            ".pipeline/workflows/ring.json:1:51: workflow `ring` contains itself",
            ".pipeline/workflows/outer.json:1:59: workflow `release` cannot be used",
        ]
    );
    assert!(!set.problems_of("outer").is_empty());
    // Files by themselves: what they name may be elsewhere, or in the project.
    let (_dir, folder) = folder("workflows", &files);
    let alone = [folder.join("release.json"), folder.join("deploy.json")];
    let Checked { valid, problems, .. } = check_workflow_files(&alone, &roles(&[]), None);
    assert_eq!(valid.iter().map(pipeline_lib::ids::WorkflowId::as_str).collect::<Vec<_>>(), ["deploy"]);
    assert_eq!(problems.iter().map(|problem| problem.warning).collect::<Vec<_>>(), [false, true]);
    let Checked { problems, .. } = check_workflow_files(&[folder.join("outer.json")], &roles(&[]), Some(&set));
    assert_eq!(lines(&problems).len(), 1);
}

#[test]
fn files_that_are_too_large_are_refused() {
    let text = format!("{{\"id\": \"x\", \"pad\": \"{}\"}}", " ".repeat(4 * 1024 * 1024));
    let set = workflows(&[("large.json", &text)], &[]);
    assert_eq!(lines(&set.problems), [".pipeline/workflows/large.json: is larger than 4 MiB"]);
}

fn definitions(files: &[(&str, &str)]) -> Definitions {
    let (_dir, path) = folder("agents", files);
    load_definitions(&path)
}

#[test]
fn definitions_give_prompts_and_agents() {
    let found = definitions(&[
        ("arch.json", r#"{"name": "architect", "system_prompt": "Design.", "skills": ["rust"], "tools": [1]}"#),
        (
            "dev.json",
            r#"{"id": "dev-1", "name": "The Developer", "role": "implementation", "systemPrompt": "Build.", "preset": "demo"}"#,
        ),
        (
            "lines.json",
            r#"{"id": "lines", "name": "Of Lines", "systemPrompt": ["One.", "Two {x}."], "temperature": 0.2}"#,
        ),
        ("prose.json", r#"{"name": "tester", "role": "You test things.", "system_prompt_template": "Test {{x}}."}"#),
    ]);
    let name = |text: &str| AgentName::new(text).unwrap();
    let role = |text: &str| Role::new(text).unwrap();
    assert_eq!(found.prompt_for(&name("a"), &role("architect")), Some("Design."));
    assert_eq!(found.prompt_for(&name("a"), &role("implementation")), Some("Build."));
    assert_eq!(found.prompt_for(&name("tester"), &role("x")), Some("Test {{x}}."));
    assert_eq!(found.prompt_for(&name("a"), &role("lines")), Some("One.\nTwo {x}."));
    assert_eq!(found.prompt_for(&name("a"), &role("x")), None);
    assert!(found.all[0].extra.contains_key("tools") && found.all[0].skills == ["rust"]);
    // A role that is a sentence is none, and nothing to complain of.
    assert_eq!(lines(&found.problems), [""; 0]);
    let mut loaded = load(&Sources::default()).unwrap();
    loaded.add_definitions(&found);
    loaded.add_definitions(&found);
    assert_eq!(loaded.config.agents.len(), 1);
    assert_eq!(loaded.config.agents[0].preset, Preset::Demo);
    assert_eq!(loaded.origins["agents.dev-1.preset"].to_string(), ".pipeline/agents/dev.json:1");
}

#[test]
fn a_definition_that_is_only_a_prompt_borrows_the_program_of_the_default_agent() {
    let found = definitions(&[
        (
            "a.json",
            r#"{"name": "planner", "role": "You plan.", "system_prompt": "Plan {goal} for {who}, see {task.id}."}"#,
        ),
        ("b.json", r#"{"name": "builder", "role": "implementation", "system_prompt": "Build {\"x\": 1}."}"#),
    ]);
    let config = |more: &str| {
        let text =
            format!("[project]\n{more}\n[[agents]]\nname = \"dev\"\nrole = \"implementation\"\npreset = \"demo\"\n");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        load(&Sources { project_file: Some(dir.path().join("config.toml")), ..Sources::default() })
    };
    let mut loaded = config("default_agent = \"dev\"").unwrap();
    loaded.add_definitions(&found);
    let names: Vec<&str> = loaded.config.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["dev", "planner"], "whose role is served gets no agent of its own");
    assert_eq!(loaded.config.agents[1].preset, Preset::Demo);
    assert!(config("default_agent = \"devv\"").unwrap_err().problems[0].suggestion.as_ref().unwrap().contains("dev"));
    // Without one, that is said; and so is what nothing fills in.
    let mut loaded = config("").unwrap();
    loaded.add_definitions(&found);
    let said = lines(&found.unused(&loaded.config.roles(), &BTreeSet::from(["goal"])));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("planner") && said[1].contains("`{who}`"), "{said:?}");
}

#[test]
fn mistakes_in_definitions_are_located() {
    let found = definitions(&[
        ("a.json", "[]"),
        ("b.json", "{}"),
        ("c.json", "{\n  \"name\": \"c d\"\n}"),
        ("d.json", "{\n  \"name\": \"d\",\n  \"system_prompt\": 1\n}"),
        ("e.json", "{\n  \"name\": \"e\",\n  \"preset\": \"cluade\"\n}"),
        ("f.json", "{\n  \"name\": \"f\",\n  \"command\": \"x y\"\n}"),
        ("g.json", "{\"name\": \"g\",}"),
        ("h.json", "{\"name\": \"ok\"}"),
        ("i.json", "{\"name\": \"ok\"}"),
    ]);
    assert_eq!(found.all.len(), 1);
    assert_eq!(
        lines(&found.problems),
        [
            ".pipeline/agents/a.json:1:1: an agent definition is a JSON object, not a list",
            ".pipeline/agents/b.json:1:1: `name` is missing",
            ".pipeline/agents/c.json:2:11: `c d` is not a valid agent name: only ASCII letters, digits, `-`, `_` and `.` are allowed",
            ".pipeline/agents/d.json:3:20: `system_prompt` must be a text, not a whole number",
            ".pipeline/agents/e.json:3:13: `preset` cannot be \"cluade\"",
            ".pipeline/agents/f.json:3:14: `command` must be a list of texts, not a text",
            ".pipeline/agents/g.json:1:14: trailing comma",
            ".pipeline/agents/i.json:1:10: `ok` is already defined in .pipeline/agents/h.json",
        ]
    );
}

fn agent(name: &str) -> AgentConfig {
    AgentConfig::new(AgentName::new(name).unwrap(), Role::new("r").unwrap(), Preset::Demo)
}

const TWO: &str = "# top\n[project]\nbase = \"main\"   # odd   spacing\nverify = '''\n[[agents]]\n'''\n\n# the agents\n[[agents]]\nname = \"a\" # x\nrole = \"r\"\npreset = \"demo\"\n  [agents.env]\n  K = \"v\"\n\n# the second one\n[[agents]]\nname = \"b\"\nrole = \"r\"\npreset = \"demo\"\n\n# the rest\n[logs]\nkeep = 3\n";

#[test]
fn blocks_are_added_behind_the_last_one() {
    let block = "[[agents]]\nname = \"c\"\nrole = \"r\"\npreset = \"demo\"\n";
    let added = add_agent(TWO, &agent("c")).unwrap();
    assert_eq!(added, TWO.replace("\n# the rest", &format!("\n{block}\n# the rest")));
    assert_eq!(remove_agent(&added, "c").unwrap(), TWO);
    assert_eq!(add_agent("", &agent("c")).unwrap(), block);
    assert_eq!(add_agent("[ui]", &agent("c")).unwrap(), format!("[ui]\n\n{block}"));
    assert_eq!(add_agent("[ui]\r\n", &agent("c")).unwrap(), format!("[ui]\n\n{block}").replace('\n', "\r\n"));
    assert_eq!(add_agent(block, &agent("d")).unwrap(), format!("{block}\n{}", block.replace("\"c\"", "\"d\"")));
}

#[test]
fn blocks_are_removed_with_their_comments_and_nothing_else() {
    let without_b = remove_agent(TWO, "b").unwrap();
    assert_eq!(
        without_b,
        TWO.replace("# the second one\n[[agents]]\nname = \"b\"\nrole = \"r\"\npreset = \"demo\"\n\n", "")
    );
    let without_a = remove_agent(TWO, "a").unwrap();
    assert_eq!(
        without_a,
        TWO.replace(
            "[[agents]]\nname = \"a\" # x\nrole = \"r\"\npreset = \"demo\"\n  [agents.env]\n  K = \"v\"\n\n",
            ""
        )
    );
    let windows = remove_agent(&TWO.replace('\n', "\r\n"), "b").unwrap();
    assert_eq!(windows, without_b.replace('\n', "\r\n"));
    let none = remove_agent(&remove_agent(TWO, "a").unwrap(), "b").unwrap();
    assert_eq!(remove_agent(&none, "b"), Err(EditError::Missing("b".into())));
    assert!(none.contains("# the agents\n"));
}

#[test]
fn edits_that_cannot_be_done_are_refused() {
    assert_eq!(add_agent(TWO, &agent("B")), Err(EditError::Exists("B".into())));
    assert_eq!(remove_agent(TWO, "z"), Err(EditError::Missing("z".into())));
    for text in ["agents = [{ name = \"a\" }]\n", "agents = []\n", "[agents]\nname = \"a\"\n"] {
        assert_eq!(add_agent(text, &agent("c")), Err(EditError::NotBlocks), "{text}");
    }
    assert!(matches!(add_agent("[x", &agent("c")), Err(EditError::Invalid(_))));
}
