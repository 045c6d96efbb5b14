//! The parameters that a workflow file asks for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::escape;
use super::slips::PARAM;
use super::{Reader, text_of};
use crate::workflow::{Param, ParamKind, params};

/// Names that templates have anyway.
const TAKEN: [&str; 6] = ["params", "matrix", "task", "stage", "base", "outputs"];

impl Reader<'_> {
    pub(super) fn params(&mut self, object: &Map<String, Value>) -> BTreeMap<String, Param> {
        let mut all = BTreeMap::new();
        let Some((at, value)) =
            ["params", "parameters"].iter().find_map(|key| Some((format!("/{key}"), object.get(*key)?)))
        else {
            return all;
        };
        match value {
            Value::Null => {}
            Value::Object(table) => {
                for (name, value) in table {
                    let pointer = format!("{at}/{}", escape(name));
                    let param = self.param(value, &pointer);
                    self.add_param(&mut all, name, param, &pointer);
                }
            }
            Value::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let pointer = format!("{at}/{index}");
                    match (item.as_str(), item.get("name").and_then(Value::as_str)) {
                        (Some(name), _) => self.add_param(&mut all, name, Param::default(), &pointer),
                        (None, Some(name)) => {
                            let param = self.param(item, &pointer);
                            self.add_param(&mut all, name, param, &pointer);
                        }
                        (None, None) => {
                            self.lost.params = true;
                            let suggestion = Some("Write { \"name\": \"target\", \"required\": true }.".to_owned());
                            self.error(&pointer, "a parameter needs a `name`", suggestion);
                        }
                    }
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.lost.params = true;
                let suggestion = Some("Write { \"target\": { \"required\": true } }.".to_owned());
                self.error(&at, "`params` is an object of parameters", suggestion);
            }
        }
        all
    }

    fn add_param(&mut self, all: &mut BTreeMap<String, Param>, name: &str, param: Param, pointer: &str) {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let suggestion = Some("Use letters, digits and `_`, such as target_environment.".to_owned());
            self.error(pointer, format!("`{name}` cannot be the name of a parameter"), suggestion);
        } else if TAKEN.contains(&name) {
            let suggestion = Some(format!("In templates write {{{{ params.{name} }}}}."));
            self.warn(pointer, format!("`{{{{ {name} }}}}` means something else in templates"), suggestion);
        }
        if all.insert(name.to_owned(), param).is_some() {
            self.error(pointer, format!("there are two parameters `{name}`"), None);
        }
    }

    fn param(&mut self, value: &Value, at: &str) -> Param {
        // An object with no field of a parameter is a default value.
        let declared = value
            .as_object()
            .filter(|object| object.is_empty() || object.keys().any(|key| PARAM.read.contains(&key.as_str())));
        let Some(object) = declared else {
            // A bare value is the default.
            let default = Some(value.clone()).filter(|value| !value.is_null());
            return Param { kind: kind_of(value), default, ..Param::default() };
        };
        self.slips(object, at, &PARAM);
        let default = object.get("default").filter(|value| !value.is_null()).cloned();
        let mut param = Param {
            description: text_of(object, "description"),
            required: self.flag(object, at, "required").unwrap_or(false),
            kind: default.as_ref().map_or(ParamKind::Text, kind_of),
            default,
            choices: Vec::new(),
            aliases: self.texts(object, at, "aliases"),
        };
        if let Some(written) = object.get("type") {
            match written.as_str().and_then(kind_named) {
                Some(kind) => param.kind = kind,
                None => {
                    let suggestion = "Write \"text\", \"number\", \"integer\", \"boolean\", \"list\" or \"object\".";
                    let message = format!("`type` is {written}, which no parameter is");
                    self.error(&format!("{at}/type"), message, Some(suggestion.to_owned()));
                }
            }
        }
        for key in ["choices", "enum"] {
            match object.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Array(choices)) if !choices.is_empty() => param.choices.clone_from(choices),
                Some(_) => self.error(&format!("{at}/{key}"), format!("`{key}` is a list of values"), None),
            }
        }
        if let Some(default) = &param.default {
            match params::accept(&param, default) {
                Ok(default) => param.default = Some(default),
                Err(problem) => self.error(&format!("{at}/default"), format!("`default` {problem}"), None),
            }
        }
        param
    }
}

fn kind_of(value: &Value) -> ParamKind {
    match value {
        Value::Bool(_) => ParamKind::Boolean,
        Value::Number(number) if number.is_f64() => ParamKind::Number,
        Value::Number(_) => ParamKind::Integer,
        Value::Array(_) => ParamKind::List,
        Value::Object(_) => ParamKind::Object,
        Value::String(_) | Value::Null => ParamKind::Text,
    }
}

fn kind_named(word: &str) -> Option<ParamKind> {
    Some(match word.to_ascii_lowercase().as_str() {
        "text" | "string" | "str" | "choice" | "enum" | "path" | "file" | "url" => ParamKind::Text,
        "number" | "float" => ParamKind::Number,
        "integer" | "int" => ParamKind::Integer,
        "boolean" | "bool" => ParamKind::Boolean,
        "list" | "array" => ParamKind::List,
        "object" | "map" | "dict" => ParamKind::Object,
        _ => return None,
    })
}
