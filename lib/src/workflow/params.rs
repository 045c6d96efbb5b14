//! What a task on a workflow is given: checked against what the workflow asks for, with defaults filled in. Where the
//! values come from is the caller's business; texts from a command line become what is asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{distance, nearest, one_line};

/// So much of a value is quoted in a message, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// The longest line of names, in characters.
const LINE_CHARS_MAX: usize = 90;

/// What a task may be given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether a task cannot be added without it.
    #[serde(default)]
    pub required: bool,
    /// What it is where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it can be.
    #[serde(default)]
    pub kind: ParamKind,
    /// The only values it may have; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// Other names by which it may be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// What a parameter can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    /// Any text.
    #[default]
    Text,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

impl ParamKind {
    /// What it is called in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// The parameter that is meant by a name: the one of that name, else the one that has it as another name.
#[must_use]
pub fn declared<'p>(params: &'p BTreeMap<String, Param>, name: &str) -> Option<&'p str> {
    let has = |param: &Param| param.aliases.iter().any(|alias| alias == name);
    let same = params.get_key_value(name);
    same.or_else(|| params.iter().find(|(_, param)| has(param))).map(|(name, _)| name.as_str())
}

/// Every declared parameter that has a value: what was given, else the default.
///
/// # Errors
/// What is missing, unknown, of another type, or none of the choices; one sentence fragment each, in a fixed order.
pub fn check(
    params: &BTreeMap<String, Param>,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Vec<String>> {
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    let mut by_name: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
    for (said, value) in given {
        let Some(name) = declared(params, said) else { continue };
        match by_name.insert(name, (said, value)) {
            Some((other, first)) if first != value => {
                problems.push(format!("`{other}` and `{said}` both say what parameter `{name}` is"));
            }
            Some(_) | None => {}
        }
    }
    for (name, param) in params {
        match by_name.get(name.as_str()).map(|(_, value)| *value).or(param.default.as_ref()) {
            Some(value) => match accept(param, value) {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(problem) => problems.push(format!("parameter `{name}` {problem}")),
            },
            None if param.required => problems.push(match param.description.as_str() {
                "" => format!("parameter `{name}` is missing"),
                about => format!("parameter `{name}` is missing: {}", one_line(about, 200)),
            }),
            None => {}
        }
    }
    for name in given.keys().filter(|name| declared(params, name).is_none()) {
        let shown = one_line(name, SHOWN_CHARS_MAX);
        let aliases = params.values().flat_map(|param| &param.aliases);
        problems.push(match nearest(name, params.keys().chain(aliases).map(String::as_str)) {
            Some(meant) => format!("there is no parameter `{shown}`; did you mean `{meant}`?"),
            None if params.is_empty() => format!("there is no parameter `{shown}`; this workflow takes none"),
            None => format!("there is no parameter `{shown}`; there are:{}", nearest_first(name, params)),
        });
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// The names there are, those first that are most like a word; on lines of their own where there are many.
fn nearest_first(word: &str, params: &BTreeMap<String, Param>) -> String {
    let mut names: Vec<&str> = params.keys().map(String::as_str).collect();
    // Words that have a part in common are more alike than words that have about the same length.
    let parts: Vec<&str> = word.split('_').filter(|part| part.len() > 2).collect();
    let alike = |name: &str| name.split('_').filter(|part| parts.contains(part)).count();
    names.sort_by_key(|name| (std::cmp::Reverse(alike(name)), distance(word, name)));
    let mut lines = vec![String::new()];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() < LINE_CHARS_MAX => {
                line.push_str(if line.is_empty() { "" } else { ", " });
                line.push_str(name);
            }
            Some(_) | None => lines.push(name.to_owned()),
        }
    }
    match lines.as_slice() {
        [only] => format!(" {only}"),
        _ => lines.iter().map(|line| format!("\n  {line}")).collect::<Vec<_>>().join(","),
    }
}

/// A value as the parameter has it.
///
/// # Errors
/// What is wrong, as a fragment that follows the name.
pub fn accept(param: &Param, value: &Value) -> Result<Value, String> {
    let Some(value) = convert(param.kind, value) else {
        return Err(format!("is {}, not {}", shown(value), param.kind.words()));
    };
    let same = |choice: &Value| *choice == value || convert(param.kind, choice).as_ref() == Some(&value);
    if param.choices.is_empty() || param.choices.iter().any(same) {
        return Ok(value);
    }
    let choices: Vec<String> = param.choices.iter().map(shown).collect();
    Err(format!("is {}; it can be {}", shown(&value), choices.join(", ")))
}

/// The value as one of this kind; `None` where it is not and no text says that it is.
fn convert(kind: ParamKind, value: &Value) -> Option<Value> {
    match (kind, value) {
        (ParamKind::Text, Value::String(_))
        | (ParamKind::Number, Value::Number(_))
        | (ParamKind::Boolean, Value::Bool(_))
        | (ParamKind::List, Value::Array(_))
        | (ParamKind::Object, Value::Object(_)) => Some(value.clone()),
        (ParamKind::Text, Value::Number(_) | Value::Bool(_)) => Some(Value::String(value.to_string())),
        (ParamKind::Integer, Value::Number(number)) => whole(number),
        (ParamKind::Boolean, Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        (ParamKind::Number | ParamKind::Integer, Value::String(text)) => {
            let parsed = serde_json::from_str(text.trim()).ok().filter(Value::is_number)?;
            convert(kind, &parsed)
        }
        // A list is written as JSON, or with commas.
        (ParamKind::List, Value::String(text)) => match text.trim() {
            "" => Some(Value::Array(Vec::new())),
            json if json.starts_with('[') => serde_json::from_str(json).ok().filter(Value::is_array),
            words => Some(Value::Array(words.split(',').map(|word| Value::String(word.trim().to_owned())).collect())),
        },
        (ParamKind::Object, Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => None,
    }
}

/// A whole number, even where it is written with a point.
fn whole(number: &serde_json::Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(Value::Number(number.clone()));
    }
    // Beyond 2^53 a floating number does not say which whole number it is.
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0)?;
    Some(Value::from(value as i64))
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("`{}`", one_line(&text, SHOWN_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn given(values: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(values).unwrap()
    }

    fn params() -> BTreeMap<String, Param> {
        let param = |kind, default: Value| Param {
            kind,
            default: Some(default).filter(|default| !default.is_null()),
            ..Param::default()
        };
        BTreeMap::from([
            ("name".to_owned(), Param { required: true, description: "what to build".to_owned(), ..Param::default() }),
            ("count".to_owned(), param(ParamKind::Integer, json!(3))),
            ("share".to_owned(), param(ParamKind::Number, Value::Null)),
            ("fast".to_owned(), param(ParamKind::Boolean, json!(false))),
            ("paths".to_owned(), param(ParamKind::List, json!([]))),
            ("map".to_owned(), param(ParamKind::Object, json!({}))),
            (
                "target".to_owned(),
                Param {
                    choices: vec![json!("staging"), json!("production")],
                    ..param(ParamKind::Text, json!("staging"))
                },
            ),
        ])
    }

    #[test]
    fn defaults_are_filled_in_and_texts_become_what_is_asked_for() {
        let texts = json!({
            "name": "x", "count": "4", "share": "0.5", "fast": "yes", "paths": "a, b", "map": "{\"a\":1}",
            "target": "production",
        });
        assert_eq!(
            json!(check(&params(), &given(texts)).unwrap()),
            json!({
                "name": "x", "count": 4, "share": 0.5, "fast": true, "paths": ["a", "b"], "map": {"a": 1},
                "target": "production",
            })
        );
        assert_eq!(
            json!(check(&params(), &given(json!({ "name": 7 }))).unwrap()),
            json!({ "name": "7", "count": 3, "fast": false, "paths": [], "map": {}, "target": "staging" })
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let mistakes = json!({
            "count": "many", "share": true, "fast": "perhaps", "paths": "[1", "map": "[]", "target": "moon", "nmae": 1,
            "something": 1,
        });
        let problems = check(&params(), &given(mistakes)).unwrap_err();
        assert_eq!(
            problems,
            [
                "parameter `count` is `many`, not a whole number",
                "parameter `fast` is `perhaps`, not true or false",
                "parameter `map` is `[]`, not an object",
                "parameter `name` is missing: what to build",
                "parameter `paths` is `[1`, not a list",
                "parameter `share` is `true`, not a number",
                "parameter `target` is `moon`; it can be `staging`, `production`",
                "there is no parameter `nmae`; did you mean `name`?",
                "there is no parameter `something`; there are: count, name, paths, share, fast, map, target",
            ]
        );
        let none = check(&BTreeMap::new(), &given(json!({ "a": 1 }))).unwrap_err();
        assert_eq!(none, ["there is no parameter `a`; this workflow takes none"]);
    }

    #[test]
    fn another_name_is_as_good_and_two_may_not_differ() {
        let aliases = vec!["target_environment".to_owned(), "env".to_owned()];
        let params =
            BTreeMap::from([("environment".to_owned(), Param { aliases, required: true, ..Param::default() })]);
        for name in ["environment", "target_environment", "env"] {
            assert_eq!(json!(check(&params, &given(json!({ name: "x" }))).unwrap()), json!({ "environment": "x" }));
        }
        check(&params, &given(json!({ "env": "x", "environment": "x" }))).unwrap();
        let problems = check(&params, &given(json!({ "env": "x", "environment": "y" }))).unwrap_err();
        assert_eq!(problems, ["`env` and `environment` both say what parameter `environment` is"]);
        assert_eq!(declared(&params, "nothing"), None);
    }

    #[test]
    fn many_names_are_listed_in_lines_with_the_closest_first() {
        let names = (0..30).map(|n| (format!("parameter_{n}"), Param::default()));
        let params = names.chain([("target_environment".to_owned(), Param::default())]).collect();
        let problems = check(&params, &given(json!({ "where_environment": 1 }))).unwrap_err();
        let lines: Vec<&str> = problems[0].lines().collect();
        assert_eq!(lines[0], "there is no parameter `where_environment`; there are:");
        assert!(lines[1].starts_with("  target_environment, "), "{}", problems[0]);
        assert!(lines.iter().all(|line| line.len() <= 100), "{}", problems[0]);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let count = Param { kind: ParamKind::Integer, ..Param::default() };
        assert_eq!(accept(&count, &json!(2.0)), Ok(json!(2)));
        assert_eq!(accept(&count, &json!("1e3")), Ok(json!(1000)));
        assert!(accept(&count, &json!(2.5)).is_err());
        assert_eq!(accept(&count, &json!(u64::MAX)), Ok(json!(u64::MAX)));
    }

    proptest! {
        /// What was accepted once is accepted again as it is, as a task does that is read back.
        #[test]
        fn what_is_accepted_is_accepted_again(text in "\\PC{0,20}") {
            for kind in [
                ParamKind::Text, ParamKind::Number, ParamKind::Integer, ParamKind::Boolean, ParamKind::List,
                ParamKind::Object,
            ] {
                let param = Param { kind, ..Param::default() };
                if let Ok(value) = accept(&param, &Value::String(text.clone())) {
                    prop_assert_eq!(accept(&param, &value), Ok(value.clone()));
                }
            }
        }
    }
}
