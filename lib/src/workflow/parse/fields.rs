//! Single fields of a workflow file: durations, counts, flags, texts and lists of texts.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::Reader;

/// Longer than this is a mistake, and would overflow a deadline sooner or later.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

impl Reader<'_> {
    pub(super) fn duration(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Option<SignedDuration> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        let parsed = match value {
            Value::String(text) => text.trim().parse::<SignedDuration>().ok(),
            Value::Number(seconds) => seconds.as_i64().map(SignedDuration::from_secs),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let pointer = || format!("{at}/{key}");
        match parsed.filter(|d| d.is_positive()) {
            None => {
                let suggestion = Some("Write durations like \"30s\", \"5m\" or \"1h30m\".".to_owned());
                self.error(&pointer(), format!("`{key}` is not a duration"), suggestion);
                None
            }
            Some(duration) if duration > LONGEST => {
                self.error(
                    &pointer(),
                    format!("`{key}` is longer than a year"),
                    Some("Write a shorter one.".to_owned()),
                );
                None
            }
            fitting => fitting,
        }
    }

    /// A whole number that is at least so large.
    pub(super) fn count(&mut self, object: &Map<String, Value>, at: &str, key: &str, least: u32) -> Option<u32> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        let parsed = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= least);
        if parsed.is_none() {
            let suggestion = Some(format!("Write \"{key}\": {}, without quotes, or leave it out.", least.max(2)));
            self.error(&format!("{at}/{key}"), format!("`{key}` is a whole number from {least}"), suggestion);
        }
        parsed
    }

    pub(super) fn flag(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Option<bool> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        if value.as_bool().is_none() {
            let suggestion = Some(format!("Write \"{key}\": true, without quotes, or leave it out."));
            self.error(&format!("{at}/{key}"), format!("`{key}` is true or false"), suggestion);
        }
        value.as_bool()
    }

    /// A shell command.
    pub(super) fn command(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Option<String> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        match value {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            // A command of several lines is easier to read as a list of them.
            Value::Array(lines) if !lines.is_empty() && lines.iter().all(Value::is_string) => {
                let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
                Some(lines.join("\n"))
            }
            _ => {
                let message = format!("`{key}` is a shell command, or a list of its lines");
                let suggestion = Some(format!("Write \"{key}\": \"make test\", or leave it out."));
                self.error(&format!("{at}/{key}"), message, suggestion);
                None
            }
        }
    }

    /// A list of texts; a single one counts as a list.
    pub(super) fn texts(&mut self, object: &Map<String, Value>, at: &str, key: &str) -> Vec<String> {
        match object.get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(list)) => {
                let mut texts = Vec::with_capacity(list.len());
                for (index, item) in list.iter().enumerate() {
                    match item.as_str() {
                        Some(text) if !text.is_empty() => texts.push(text.to_owned()),
                        _ => self.error(&format!("{at}/{key}/{index}"), format!("`{key}` is a list of texts"), None),
                    }
                }
                texts
            }
            Some(_) => {
                self.error(&format!("{at}/{key}"), format!("`{key}` is a list of texts"), None);
                Vec::new()
            }
        }
    }

    /// Environment variables: names, and what they are set to.
    pub(super) fn environment(&mut self, object: &Map<String, Value>, at: &str) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let Some(value) = object.get("env").filter(|value| !value.is_null()) else { return env };
        let Some(table) = value.as_object() else {
            let suggestion = Some("Write { \"NAME\": \"value\" }.".to_owned());
            self.error(&format!("{at}/env"), "`env` is an object of texts", suggestion);
            return env;
        };
        for (name, value) in table {
            let pointer = format!("{at}/env/{}", escape(name));
            self.variable_name(name, &pointer);
            match value {
                Value::String(text) => drop(env.insert(name.clone(), text.clone())),
                Value::Number(_) | Value::Bool(_) => drop(env.insert(name.clone(), value.to_string())),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    self.error(&pointer, format!("`{name}` is set to a text"), None);
                }
            }
        }
        env
    }

    /// Names of secrets: they become environment variables.
    pub(super) fn secrets(&mut self, object: &Map<String, Value>, at: &str) -> Vec<String> {
        let secrets = self.texts(object, at, "secrets");
        for (index, name) in secrets.iter().enumerate() {
            self.variable_name(name, &format!("{at}/secrets/{index}"));
        }
        secrets
    }

    fn variable_name(&mut self, name: &str, pointer: &str) {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let suggestion = Some("Use letters, digits and `_`, such as API_TOKEN.".to_owned());
            self.error(pointer, format!("`{name}` cannot be the name of an environment variable"), suggestion);
        } else if name.starts_with("PIPELINE_") || name == "TRACEPARENT" {
            let suggestion = Some("Remove it: every run gets its own.".to_owned());
            self.error(pointer, format!("`{name}` is set by pipeline itself"), suggestion);
        }
    }
}

/// A key as a part of a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
