//! What others build on: schemas that fit what is printed, completions that complete, pages for every verb, and where each
//! setting comes from.

use serde_json::Value;

use crate::support::{Sandbox, texts};

/// Keywords that say nothing about validity, or only what is not looked at here.
const NOTES: [&str; 9] =
    ["$schema", "$defs", "title", "description", "default", "examples", "format", "pattern", "maxLength"];

/// The keywords of JSON Schema 2020-12 that our schemas use; one that is not known here is a failure.
struct Schema<'a> {
    root: &'a Value,
}

impl Schema<'_> {
    /// What is wrong with a document; empty if nothing is.
    fn problems(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Some(schema) = schema.as_object() else {
            return if *schema == Value::Bool(false) {
                vec![format!("{at}: nothing may stand here")]
            } else {
                Vec::new()
            };
        };
        let each = schema.iter().flat_map(|(keyword, rule)| self.keyword(schema, keyword, rule, value, at));
        each.collect()
    }

    fn keyword(
        &self,
        schema: &serde_json::Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let wrong = |holds: bool| if holds { Vec::new() } else { vec![format!("{at}: {keyword} {rule}: {value}")] };
        let list = || rule.as_array().unwrap_or_else(|| panic!("{at}: {keyword} is a list: {rule}"));
        let number = || (value.as_f64(), rule.as_f64().unwrap_or_else(|| panic!("{at}: {keyword} is a number")));
        match keyword {
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or_else(|| panic!("{rule}"));
                let target = self.root.pointer(pointer).unwrap_or_else(|| panic!("{rule} leads nowhere"));
                self.problems(target, value, at)
            }
            "type" => match rule {
                Value::Array(kinds) => wrong(kinds.iter().any(|kind| is(kind, value))),
                kind => wrong(is(kind, value)),
            },
            "const" => wrong(rule == value),
            "enum" => wrong(list().contains(value)),
            "minimum" => wrong(number().0.is_none_or(|found| found >= number().1)),
            "maximum" => wrong(number().0.is_none_or(|found| found <= number().1)),
            "minItems" => wrong(value.as_array().is_none_or(|items| items.len() as f64 >= number().1)),
            "anyOf" => wrong(list().iter().any(|one| self.problems(one, value, at).is_empty())),
            "oneOf" => wrong(list().iter().filter(|one| self.problems(one, value, at).is_empty()).count() == 1),
            "required" => {
                wrong(value.as_object().is_none_or(|fields| texts(rule).iter().all(|key| fields.contains_key(*key))))
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.flat_map(|(n, item)| self.problems(rule, item, &format!("{at}[{n}]"))).collect()
            }
            "properties" => {
                let known = rule.as_object().into_iter().flatten();
                let there = known.filter_map(|(key, rule)| Some((key, rule, value.get(key)?)));
                there.flat_map(|(key, rule, value)| self.problems(rule, value, &format!("{at}.{key}"))).collect()
            }
            "additionalProperties" if schema.contains_key("patternProperties") => Vec::new(),
            // The names are not looked at, what stands under them is.
            "additionalProperties" | "patternProperties" => {
                let rules = if keyword == "patternProperties" {
                    rule.as_object().and_then(|all| all.values().next())
                } else {
                    Some(rule)
                };
                let rule = rules.unwrap_or_else(|| panic!("{at}: {keyword} {rule}"));
                let known = |key: &String| schema.get("properties").is_some_and(|known| known.get(key).is_some());
                let others = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                others.flat_map(|(key, value)| self.problems(rule, value, &format!("{at}.{key}"))).collect()
            }
            note if NOTES.contains(&note) => Vec::new(),
            other => panic!("{at}: the keyword {other} is not known here"),
        }
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => panic!("no type: {kind}"),
    }
}

#[track_caller]
fn check(schema: &Value, document: &Value) -> Vec<String> {
    Schema { root: schema }.problems(schema, document, "$")
}

/// Every document fits its schema, whatever happens meanwhile, and one that is not right does not.
#[test]
fn schemas_fit_what_is_printed() {
    let s = Sandbox::ready();
    let schema = |name: &str| s.run(["schema", name, "--json"]).ok().json();
    let fits = |name: &str, document: &Value| {
        let problems = check(&schema(name), document);
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    };
    fits("status", &s.status());
    s.plan("A.arch", "work; marker BLOCKED 'no key'");
    s.plan("B.test", "hang");
    s.add("A", &["--paths", "src/**", "--group", "g", "--body", "text"]);
    s.add("B", &["--priority", "1"]);
    s.add("C", &["--after", "A"]);
    s.tick_until("each is somewhere else", |status| {
        status["tasks"]["A"]["status"] == "blocked" && status["tasks"]["B"]["status"] == "test_wip"
    });
    s.run(["mode", "sequential", "--drain"]).ok();
    let status = s.status();
    assert!(!status["attention"].as_array().unwrap().is_empty() && status["pending_mode"].is_object());
    fits("status", &status);
    fits("state", &s.state());
    for event in s.run(["events"]).ok().json_lines() {
        fits("events", &event);
    }
    for wrong in [&["task", "show", "NOPE"][..], &["frobnicate"], &["mode", "production", "x"]] {
        fits("error", &s.run(wrong.iter().chain(&["--json"])).json());
    }
    let workflow = s.run(["workflow", "show", "tdd", "--json"]).ok().json();
    fits("workflow", workflow.get("workflow").unwrap_or(&workflow));
    let config: toml::Table = s.read(".pipeline/config.toml").parse().unwrap();
    fits("config", &serde_json::to_value(config).unwrap());
    fits("agent", &serde_json::json!({ "name": "a", "prompt": "p", "command": ["x"], "their_own": { "b": 1 } }));
    // A schema that lets everything through would fit as well.
    let mut odd = status.clone();
    odd["tasks"]["A"]["priority"] = "high".into();
    odd["agents"]["architect"]["status"] = "sleeping".into();
    assert!(check(&schema("status"), &odd).len() >= 2);
    assert!(!check(&schema("config"), &serde_json::json!({ "scheduler": { "retrys": 2 } })).is_empty());
    assert!(!check(&schema("events"), &serde_json::json!({ "seq": 0 })).is_empty());
    assert!(!check(&schema("workflow"), &serde_json::json!({ "stages": 3 })).is_empty());
}

/// The starter file that `init` writes fits the schema and is valid.
#[test]
fn the_starter_file_fits_its_schema() {
    let s = Sandbox::new();
    s.run(["init", "--agent", "claude", "--verify", "make test"]).ok();
    let config: toml::Table = s.read(".pipeline/config.toml").parse().unwrap();
    let schema = s.run(["schema", "config", "--json"]).ok().json();
    assert_eq!(check(&schema, &serde_json::to_value(config).unwrap()), [""; 0]);
    s.run(["config", "validate"]).ok();
}

/// The script is one that the shell can read, and it knows verbs, their verbs and their options.
#[test]
fn completions_complete() {
    let s = Sandbox::new();
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef pipeline"),
        ("fish", "complete -c pipeline"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = s.run(["completions", shell]).ok().stdout;
        assert!(script.contains(sign) && script.contains("rollout"), "{shell}: {script}");
    }
    s.run(["completions", "tcsh"]).code(2).says(&["bash"]);
    let complete = |words: &str| {
        let script = format!(
            "\"$P\" completions bash > ../completions && bash -c 'source ../completions
             COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _pipeline pipeline \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"
             printf \"%s\\n\" \"${{COMPREPLY[@]}}\"'"
        );
        s.shell(&script).ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("pipeline sta"), ["status"]);
    assert_eq!(complete("pipeline dem"), ["demo"], "what is not for people is not offered");
    assert_eq!(complete("pipeline agent rest"), ["restart"]);
    assert_eq!(complete("pipeline status --wa"), ["--watch"]);
    assert!(complete("pipeline schema s").contains(&"state".to_owned()));
}

/// A page for the program and for each verb, two levels deep.
#[test]
fn every_verb_has_a_page() {
    let s = Sandbox::new();
    let page = |words: &[&str]| s.run(["man"].iter().chain(words)).ok().stdout;
    let overview = page(&[]);
    assert!(
        overview.contains(".TH pipeline 1") && overview.contains(".SH SYNOPSIS") && overview.contains("124"),
        "{overview}"
    );
    let help = s.run(["--help"]).ok().stdout;
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split_whitespace().next())
        .collect();
    assert!(verbs.len() >= 20, "{verbs:?} in {help}");
    for verb in verbs {
        assert!(page(&[verb]).contains(&format!(".TH pipeline-{verb} 1")), "{verb}");
    }
    for words in [&["task", "add"][..], &["agent", "stop"], &["pilot", "add-pattern"], &["trash", "restore"]] {
        assert!(page(words).contains(&format!(".TH pipeline-{} 1", words.join("-"))), "{words:?}");
    }
    s.run(["man", "frobnicate"]).code(5).says(&["--help"]);
    s.run(["man", "demo-agent"]).code(5);
}

/// Each setting says where it comes from: file, line and column, a variable, or the default.
#[test]
fn where_each_setting_comes_from() {
    let mut s = Sandbox::ready();
    s.write("../home/config/pipeline/config.toml", "[ui]\ntheme = \"dark\"\n");
    s.set_env("PIPELINE_SCHEDULER__MAX_PARALLEL", "7");
    let document = s.run(["config", "show", "--origin", "--json"]).ok().json();
    let entries = document["entries"].as_array().unwrap();
    let of =
        |key: &str| entries.iter().find(|entry| entry["key"] == key).unwrap_or_else(|| panic!("{key}: {document}"));
    let verify = of("project.verify");
    assert_eq!(verify["value"], crate::support::VERIFY);
    let origin = &verify["origin"];
    let text = s.read(".pipeline/config.toml");
    let line = text.lines().position(|line| line.starts_with("verify")).unwrap() + 1;
    assert_eq!((&origin["kind"], &origin["line"]), (&"file".into(), &line.into()), "{origin}");
    assert!(origin["file"].as_str().unwrap().ends_with(".pipeline/config.toml"), "{origin}");
    assert!(of("ui.theme")["origin"]["file"].as_str().unwrap().ends_with("home/config/pipeline/config.toml"));
    let parallel = of("scheduler.max_parallel");
    assert_eq!(
        (&parallel["value"], &parallel["origin"]["name"]),
        (&7.into(), &"PIPELINE_SCHEDULER__MAX_PARALLEL".into())
    );
    assert_eq!(of("scheduler.retries")["origin"]["kind"], "default");
    assert_eq!(of("logs.keep")["value"], 14);
    let table = s.run(["config", "show", "--origin"]).ok().stdout;
    let row = table.lines().find(|row| row.starts_with("project.verify")).unwrap();
    assert!(row.ends_with(&format!("config.toml:{line}")), "{row}");
    s.set_env("PIPELINE_SCHEDULER__RETRIES", "many");
    s.run(["config", "validate"]).code(78).says(&["PIPELINE_SCHEDULER__RETRIES"]);
}
