//! Reads values out of a located tree and collects what is wrong with them. It knows kinds of values, not what any
//! single key means.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use pipeline_lib::ids::Role;
use pipeline_lib::text;

use super::bindings;
use super::keys::{self, Kind};
use super::node::{self, Field, Node, Table, Value};
use super::problem::{LocatedProblem, Place};
use crate::duration;

/// So much of a name that is wrong is shown, in characters.
const ACTION_CHARS_MAX: usize = 40;

const SIZE_HINT: &str = "Write sizes like \"500MB\", \"1GB\" or \"0\".";

/// So many bytes: a number and its unit, in powers of ten or, as `GiB`, of two.
fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" if number == 0.0 => 1.0,
        "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * scale;
    // Beyond this a float no longer counts single bytes, and no disk is that large.
    (bytes.is_finite() && bytes < 9e15).then_some(bytes as u64)
}

/// A value that is one of a few words.
pub(crate) trait Word: Copy + 'static {
    /// Every word with what it stands for.
    const ALL: &'static [(&'static str, Self)];
}

/// One table of the tree and the name of its section.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'static str,
    pub(crate) table: Option<&'a Table>,
}

impl<'a> Section<'a> {
    pub(crate) fn field(&self, name: &str) -> Option<&'a Field> {
        self.table?.get(name)
    }

    pub(crate) fn node(&self, name: &str) -> Option<&'a Node> {
        self.field(name).map(|field| &field.node)
    }
}

/// Collects problems while values are read. A getter returns nothing both for a key that is not there and for one that
/// is wrong; the caller goes on with the default and fails at the end.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<LocatedProblem>,
}

impl Reader {
    pub(crate) fn error(&mut self, at: &Place, message: impl AsRef<str>, hint: Option<&str>) {
        self.problems.push(LocatedProblem::new(at, message, hint.map(str::to_owned)));
    }

    pub(crate) fn warn(&mut self, at: &Place, message: impl AsRef<str>, hint: Option<&str>) {
        self.problems.push(LocatedProblem::new(at, message, hint.map(str::to_owned)).into_warning());
    }

    /// A section of the document, with its unknown keys reported.
    pub(crate) fn section<'a>(&mut self, root: &'a Node, name: &'static str) -> Section<'a> {
        let node = root.table().and_then(|table| table.get(name)).map(|field| &field.node);
        if let Some(node) = node.filter(|node| node.table().is_none()) {
            let hint = format!("Write `[{name}]` on a line of its own, and its keys below.");
            self.error(&node.at, format!("`{name}` is a table, not {}", node.kind()), Some(&hint));
        }
        let section = Section { name, table: node.and_then(Node::table) };
        self.unknown(section);
        section
    }

    /// Reports the keys that a section does not have.
    pub(crate) fn unknown(&mut self, section: Section<'_>) {
        for (name, field) in section.table.into_iter().flatten() {
            if keys::find(section.name, name).is_none() {
                let hint = keys::unknown_key_hint(section.name, name);
                self.error(&field.key, format!("unknown key `{name}`"), Some(&hint));
            }
        }
    }

    fn wrong(&mut self, node: &Node, name: &str, wanted: &str, hint: Option<&str>) {
        self.error(&node.at, format!("`{name}` must be {wanted}, not {}", node.kind()), hint);
    }

    /// A text; an empty one counts as not set, so that a layer can take back what one below it says.
    pub(crate) fn text(&mut self, section: Section<'_>, name: &str) -> Option<String> {
        let node = section.node(name)?;
        match &node.value {
            Value::Text(text) | Value::Loose(text) => {
                if text.contains('\0') {
                    self.error(&node.at, format!("`{name}` holds a zero byte"), None);
                    return None;
                }
                Some(text.clone()).filter(|text| !text.trim().is_empty())
            }
            _ => {
                self.wrong(node, name, "a text", Some("Put it in quotes."));
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, section: Section<'_>, name: &str) -> Option<SignedDuration> {
        const HINT: &str = "Write durations like \"30s\", \"5m\" or \"1h30m\".";
        let node = section.node(name)?;
        let (Value::Text(text) | Value::Loose(text)) = &node.value else {
            let hint = match &node.value {
                Value::Whole(number) => format!("Write the unit too: {name} = \"{number}s\"."),
                _ => HINT.to_owned(),
            };
            self.wrong(node, name, "a duration", Some(&hint));
            return None;
        };
        let zero = matches!(keys::find(section.name, name).map(|key| key.kind), Some(Kind::Duration { zero: true }));
        match duration::parse(text) {
            Ok(duration) if zero || duration.is_positive() => return Some(duration),
            Ok(_) => self.error(&node.at, format!("`{name}` must be longer than nothing"), Some(HINT)),
            Err(problem) => self.error(&node.at, format!("`{name}` {problem}"), Some(HINT)),
        }
        None
    }

    pub(crate) fn whole(&mut self, section: Section<'_>, name: &str) -> Option<u32> {
        let node = section.node(name)?;
        let number = match &node.value {
            Value::Whole(number) => Some(*number),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        let min = match keys::find(section.name, name).map(|key| key.kind) {
            Some(Kind::Whole { min }) => min,
            _ => 0,
        };
        let fits = number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number >= min);
        if fits.is_none() {
            match &node.value {
                Value::Whole(number) => {
                    self.error(&node.at, format!("`{name}` must be a whole number from {min}, not {number}"), None);
                }
                _ => self.wrong(node, name, &format!("a whole number from {min}"), None),
            }
        }
        fits
    }

    pub(crate) fn amount(&mut self, section: Section<'_>, name: &str) -> Option<f64> {
        let node = section.node(name)?;
        let number = match &node.value {
            Value::Real(number) => Some(*number),
            Value::Whole(number) => u32::try_from(*number).ok().map(f64::from),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        let amount = number.filter(|number| number.is_finite() && *number >= 0.0);
        if amount.is_none() {
            self.error(&node.at, format!("`{name}` must be a number from 0"), Some("Write 2.5 for two and a half."));
        }
        amount
    }

    pub(crate) fn share(&mut self, section: Section<'_>, name: &str) -> Option<f64> {
        let node = section.node(name)?;
        let number = match &node.value {
            Value::Real(number) => Some(*number),
            Value::Whole(0) => Some(0.0),
            Value::Whole(1) => Some(1.0),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            self.error(&node.at, format!("`{name}` must be a number from 0 to 1"), Some("Write 0.9 for nine of ten."));
        }
        share
    }

    pub(crate) fn flag(&mut self, section: Section<'_>, name: &str) -> Option<bool> {
        let node = section.node(name)?;
        let flag = match &node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Loose(text) => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if flag.is_none() {
            self.wrong(node, name, "true or false", None);
        }
        flag
    }

    pub(crate) fn word<T: Word>(&mut self, section: Section<'_>, name: &str) -> Option<T> {
        let node = section.node(name)?;
        let (Value::Text(text) | Value::Loose(text)) = &node.value else {
            self.wrong(node, name, "a word in quotes", None);
            return None;
        };
        let found = T::ALL.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words = || T::ALL.iter().map(|(word, _)| *word);
            let hint = match keys::nearest(text, words()) {
                Some(meant) => format!("Did you mean \"{meant}\"?"),
                None => format!("It is one of {}.", words().collect::<Vec<_>>().join(", ")),
            };
            self.error(&node.at, format!("`{name}` cannot be \"{text}\""), Some(&hint));
        }
        found
    }

    /// A list of texts, each with its place.
    pub(crate) fn words(&mut self, section: Section<'_>, name: &str) -> Option<Vec<(String, Place)>> {
        let node = section.node(name)?;
        let parsed;
        let list = match &node.value {
            Value::List(list) => list,
            Value::Loose(text) => {
                parsed = node::from_toml_value(text, &node.at).and_then(|node| match node.value {
                    Value::List(list) => Some(list),
                    _ => None,
                });
                match &parsed {
                    Some(list) => list,
                    None => {
                        self.wrong(node, name, "a list of texts", Some("Write [\"one\", \"two\"]."));
                        return None;
                    }
                }
            }
            Value::Text(text) => {
                let words: Vec<String> = text.split_whitespace().map(|word| format!("\"{word}\"")).collect();
                let hint = format!("Write one text for each argument: {name} = [{}].", words.join(", "));
                self.wrong(node, name, "a list of texts", Some(&hint));
                return None;
            }
            _ => {
                self.wrong(node, name, "a list of texts", None);
                return None;
            }
        };
        let mut words = Vec::with_capacity(list.len());
        for item in list {
            match &item.value {
                Value::Text(text) if !text.contains('\0') => words.push((text.clone(), item.at.clone())),
                _ => self.error(&item.at, format!("`{name}` must hold texts, not {}", item.kind()), None),
            }
        }
        Some(words)
    }

    /// So many bytes.
    pub(crate) fn size(&mut self, section: Section<'_>, name: &str) -> Option<u64> {
        let node = section.node(name)?;
        let (Value::Text(text) | Value::Loose(text)) = &node.value else {
            let hint = match &node.value {
                Value::Whole(0) => format!("Write {name} = \"0\"."),
                Value::Whole(number) => format!("Write the unit too: {name} = \"{number}GB\"."),
                _ => SIZE_HINT.to_owned(),
            };
            self.wrong(node, name, "a size", Some(&hint));
            return None;
        };
        let size = bytes_of(text);
        if size.is_none() {
            let shown = text::one_line(text, ACTION_CHARS_MAX);
            self.error(&node.at, format!("`{name}` is no size: \"{shown}\""), Some(SIZE_HINT));
        }
        size
    }

    /// A table of whole numbers by role.
    pub(crate) fn counts(&mut self, section: Section<'_>, name: &str) -> BTreeMap<Role, u32> {
        let mut counts = BTreeMap::new();
        let Some(node) = section.node(name) else { return counts };
        let parsed = match &node.value {
            Value::Loose(text) => node::from_toml_value(text, &node.at),
            _ => None,
        };
        let Some(table) = parsed.as_ref().unwrap_or(node).table() else {
            self.wrong(node, name, "a table", Some(&format!("Write {name} = {{ implementation = 2 }}.")));
            return counts;
        };
        for (key, field) in table {
            let count = match &field.node.value {
                Value::Whole(number) => u32::try_from(*number).ok(),
                _ => None,
            };
            match (Role::new(key), count) {
                (Ok(role), Some(count)) => drop(counts.insert(role, count)),
                (Err(_), _) => {
                    let shown = text::one_line(key, ACTION_CHARS_MAX);
                    self.error(&field.key, format!("`{shown}` cannot be a role"), None);
                }
                (_, None) => self.error(&field.node.at, format!("`{key}` must be a whole number from 0"), None),
            }
        }
        counts
    }

    /// A table of texts.
    pub(crate) fn texts(&mut self, section: Section<'_>, name: &str) -> BTreeMap<String, (String, Place)> {
        let mut texts = BTreeMap::new();
        let Some(node) = section.node(name) else { return texts };
        let Some(table) = node.table() else {
            self.wrong(node, name, "a table", Some(&format!("Write {name} = {{ NAME = \"value\" }}.")));
            return texts;
        };
        for (key, field) in table {
            match &field.node.value {
                Value::Text(text) if !text.contains('\0') => {
                    texts.insert(key.clone(), (text.clone(), field.key.clone()));
                }
                Value::Whole(number) => {
                    let hint = format!("Write {key} = \"{number}\".");
                    self.wrong(&field.node, key, "a text", Some(&hint));
                }
                _ => self.wrong(&field.node, key, "a text", None),
            }
        }
        texts
    }

    /// A table whose values are a text or a list of texts.
    pub(crate) fn keys(&mut self, section: Section<'_>, name: &'static str) -> BTreeMap<String, Vec<String>> {
        let Some(node) = section.node(name) else { return BTreeMap::new() };
        let Some(table) = node.table() else {
            self.wrong(node, name, "a table", Some("Write keys = { stop = \"x\" }."));
            return BTreeMap::new();
        };
        let inner = Section { name, table: Some(table) };
        let mut keys = BTreeMap::new();
        for (action, field) in table {
            if !bindings::is_action(action) {
                let shown = text::one_line(action, ACTION_CHARS_MAX);
                let message = format!("there is no action `{shown}` for a key");
                self.error(&field.key, message, Some(&bindings::unknown_action_hint(&shown)));
                continue;
            }
            let found = match &field.node.value {
                Value::Text(text) | Value::Loose(text) => Some(vec![(text.clone(), field.node.at.clone())]),
                _ => self.words(inner, action),
            };
            let Some(found) = found else { continue };
            for (key, at) in found.iter().filter(|(key, _)| !bindings::is_key(key)) {
                let message = format!("`{}` is not a key", text::one_line(key, ACTION_CHARS_MAX));
                self.error(at, message, Some(bindings::KEY_HINT));
            }
            keys.insert(action.clone(), found.into_iter().map(|(key, _)| key).collect());
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let read = ["1GB", " 500 mb", "1.5TB", "2GiB", "0", "0GB", "7b"].map(bytes_of);
        let wanted = [1_000_000_000, 500_000_000, 1_500_000_000_000, 2_147_483_648, 0, 0, 7].map(Some);
        assert_eq!(read, wanted);
        for text in ["", "1", "GB", "-1GB", "1 parsec", "1e9", "99999999TB", "1..2GB"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }
}
