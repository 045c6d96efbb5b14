//! That everything that comes with the program can be used.

use pipeline_lib::workflow::together;

use super::*;

fn roles(names: &[&str]) -> BTreeSet<Role> {
    names.iter().map(|name| Role::new(name).unwrap()).collect()
}

#[test]
fn every_workflow_is_read_without_a_warning_and_they_fit_together() {
    let mut all = Vec::new();
    for (id, text) in WORKFLOWS {
        let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{id}: {error}"));
        let (workflow, warnings) =
            parse::parse(&document, None).unwrap_or_else(|problems| panic!("{id}: {problems:#?}"));
        assert_eq!(warnings, [], "{id}");
        assert_eq!(workflow.id.as_str(), id);
        for key in ["name", "version", "category", "description"] {
            assert!(document[key].as_str().is_some_and(|text| !text.is_empty()), "{id} has no {key}");
        }
        assert!(!workflow.success_criteria.is_empty(), "{id}");
        let described = workflow.stages.iter().all(|stage| !stage.description.is_empty());
        assert!(described, "{id} has a stage without a description");
        all.push(std::sync::Arc::new(workflow));
    }
    let found = together::check(&all, |_| false);
    assert_eq!(found, []);
    let sorted: BTreeSet<&str> = ids().collect();
    assert_eq!(sorted.into_iter().collect::<Vec<_>>(), ids().collect::<Vec<_>>());
}

#[test]
fn a_role_that_nobody_has_is_done_by_another_or_named() {
    let usual = roles(&["architect", "test", "implementation", "supervisor"]);
    for id in ids() {
        let (_, missing) = workflow(id, &usual).unwrap();
        assert_eq!(missing, [""; 0], "{id}");
        let (_, missing) = workflow(id, &BTreeSet::new()).unwrap();
        assert_eq!(missing, [""; 0], "{id}");
    }
    let (fix, _) = workflow("pool-bug-fix", &usual).unwrap();
    let analyze = &fix.stages[0];
    assert_eq!((analyze.role.as_str(), acts_as(analyze)), ("architect", Some("task_planner")));
    let (fix, _) = workflow("pool-bug-fix", &roles(&["task_planner", "architect"])).unwrap();
    assert_eq!((fix.stages[0].role.as_str(), acts_as(&fix.stages[0])), ("task_planner", None));
    let (_, missing) = workflow("pool-bug-fix", &roles(&["architect"])).unwrap();
    assert!(missing.iter().any(|stage| stage.contains("task_executor or implementation")), "{missing:?}");
}

#[test]
fn every_role_has_a_prompt() {
    for (name, text) in AGENTS {
        let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(document["name"], name);
        assert!(prompt([name]).is_some_and(|prompt| prompt.len() > 100), "{name}");
    }
    for (id, text) in WORKFLOWS {
        let document: Value = serde_json::from_str(text).unwrap();
        for stage in document["stages"].as_array().unwrap() {
            let Some(role) = stage["agent"].as_str() else { continue };
            assert!(prompt([role]).is_some(), "{id}: nobody is told what {role} does");
        }
    }
    assert_eq!(prompt(["nobody"]), None);
}

#[test]
fn the_packs_are_read_without_a_warning() {
    for pack in PACKS {
        for (name, text) in pack.files.iter().filter(|(name, _)| name.starts_with("workflows/")) {
            let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (_, warnings) =
                parse::parse(&document, None).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
            assert_eq!(warnings, [], "{name}");
        }
    }
}

#[test]
fn the_scripts_are_written_once_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let folder = scripts(dir.path()).unwrap();
    let (name, text) = SCRIPTS[0];
    fs::write(folder.join(name), "cut").unwrap();
    assert_eq!(scripts(dir.path()).unwrap(), folder);
    assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), text);
}
