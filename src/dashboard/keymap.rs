//! The key table as it holds for this person: what the settings give another key has that key everywhere, and the footer
//! and the help say so. Which actions there are is in `keys.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_lib::text;

use super::keys::{Action, Binding, KEYS};
use super::message::Key;
use super::model::{Page, Place};

/// A row of the table with the keys that hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it does, and where.
    pub(super) binding: &'static Binding,
    /// The keys, as the table writes them.
    pub(super) keys: Vec<String>,
    /// How they are shown.
    pub(super) label: String,
}

/// All rows. Cheap to copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Keymap(Arc<Vec<Row>>);

impl Default for Keymap {
    fn default() -> Self {
        Self(Arc::new(KEYS.iter().map(|binding| Row::of(binding, None)).collect()))
    }
}

/// Why the settings' keys cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKeys {
    /// What is wrong with them.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

impl Keymap {
    /// The table with the keys that the settings give to actions, by their names.
    ///
    /// # Errors
    /// When there is no such action or key, or a key would mean two things in one place.
    pub fn with(chosen: &BTreeMap<String, Vec<String>>) -> Result<Self, BadKeys> {
        for (name, keys) in chosen {
            if !KEYS.iter().any(|binding| binding.action.name() == name) {
                return Err(unknown(name));
            }
            if let Some(key) = keys.iter().find(|key| !is_key(key)) {
                let message = format!("`{}` is not a key, for `{name}` in [ui] keys", text::one_line(key, 40));
                let hint = "Write a character, or <enter>, <tab>, <up>, <c-x> for control, <a-x> for alt.".to_owned();
                return Err(BadKeys { message, hint });
            }
        }
        let rows = KEYS.iter().map(|binding| Row::of(binding, chosen.get(binding.action.name()))).collect();
        let this = Self(Arc::new(rows));
        match this.conflict() {
            None => Ok(this),
            Some((key, one, other)) => Err(BadKeys {
                message: format!("the key `{key}` would mean both `{}` and `{}`", one.name(), other.name()),
                hint: "Give one of them another key in [ui] keys of config.toml.".to_owned(),
            }),
        }
    }

    /// A key with two meanings in one place.
    fn conflict(&self) -> Option<(String, Action, Action)> {
        for place in Place::ALL {
            let mut seen: BTreeMap<&str, Action> = BTreeMap::new();
            for row in self.rows().filter(|row| row.binding.places.contains(&place)) {
                for key in &row.keys {
                    if let Some(other) = seen.insert(key, row.binding.action) {
                        return Some((key.clone(), other, row.binding.action));
                    }
                }
            }
        }
        None
    }

    /// Every row, in the order of the help.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter()
    }

    /// What a key does in a place; nothing for one that is not in the table.
    pub(super) fn action(&self, place: Place, key: Key) -> Option<Action> {
        let name = key.to_string();
        let found = self.rows().find(|row| row.binding.places.contains(&place) && row.keys.contains(&name));
        found.map(|row| row.binding.action)
    }

    /// How the key of an action is shown in a place; empty where it has none.
    pub(super) fn label_of(&self, place: Place, action: Action) -> &str {
        let found = self.rows().find(|row| row.binding.action == action && row.binding.places.contains(&place));
        found.map_or("", |row| row.label.as_str())
    }

    /// How the key that leads to a page is shown.
    pub(super) fn label_of_page(&self, page: Page) -> &str {
        self.rows().find(|row| row.binding.action == Action::Go(page)).map_or("", |row| row.label.as_str())
    }
}

impl Row {
    fn of(binding: &'static Binding, chosen: Option<&Vec<String>>) -> Self {
        match chosen {
            None => {
                let keys = binding.keys.iter().map(|key| (*key).to_owned()).collect();
                Self { binding, keys, label: binding.label.to_owned() }
            }
            Some(keys) => {
                let label = keys.iter().take(2).map(|key| shown(key)).collect::<Vec<_>>().join(" ");
                Self { binding, keys: keys.clone(), label }
            }
        }
    }
}

fn unknown(name: &str) -> BadKeys {
    let name = text::one_line(name, 40);
    let near = KEYS.iter().map(|binding| binding.action.name()).min_by_key(|known| text::distance(known, &name));
    let all = || {
        let mut names: Vec<&str> = KEYS.iter().map(|binding| binding.action.name()).collect();
        names.dedup();
        format!("There are: {}.", names.join(", "))
    };
    let hint = match near.filter(|near| text::distance(near, &name) <= 2) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => all(),
    };
    BadKeys { message: format!("there is no action `{name}` for a key, in [ui] keys"), hint }
}

/// Whether a text is a key as the table writes it: one character, or a name in angle brackets.
fn is_key(key: &str) -> bool {
    const NAMES: [&str; 17] = [
        "enter",
        "esc",
        "tab",
        "s-tab",
        "space",
        "backspace",
        "delete",
        "up",
        "down",
        "left",
        "right",
        "home",
        "end",
        "pageup",
        "pagedown",
        "lt",
        "insert",
    ];
    let Some(name) = key.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return key.chars().count() == 1 && !key.starts_with(['<', ' ']) && !key.chars().any(text::is_hidden);
    };
    let name = name.strip_prefix("c-").unwrap_or(name);
    let name = name.strip_prefix("a-").unwrap_or(name);
    NAMES.contains(&name) || name.chars().count() == 1
}

/// A key as people say it: `ctrl-x`, `enter`, `j`.
fn shown(key: &str) -> String {
    let Some(name) = key.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else { return key.to_owned() };
    name.replacen("c-", "ctrl-", 1).replacen("a-", "alt-", 1).replacen("s-", "shift-", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pairs: &[(&str, &str)]) -> Result<Keymap, BadKeys> {
        let keys = |keys: &str| keys.split_whitespace().map(str::to_owned).collect();
        Keymap::with(&pairs.iter().map(|(action, of)| ((*action).to_owned(), keys(of))).collect())
    }

    #[test]
    fn a_chosen_key_takes_the_place_of_the_usual_ones() {
        let map = chosen(&[("stop", "s <c-s>")]).expect("free keys");
        let key = |code| Key { code: crossterm::event::KeyCode::Char(code), ctrl: false, alt: false, shift: false };
        assert_eq!(map.action(Place::Board, key('s')), Some(Action::Stop));
        assert_eq!(map.action(Place::Board, key('x')), None);
        let row = map.rows().find(|row| row.binding.action == Action::Stop).expect("it is there");
        assert_eq!(row.label, "s ctrl-s");
    }

    #[test]
    fn what_cannot_hold_is_said_with_what_would() {
        let refused = |pairs| chosen(pairs).expect_err("it cannot hold");
        assert_eq!(refused(&[("stopp", "s")]).hint, "Did you mean `stop`?");
        assert!(refused(&[("teleport", "s")]).hint.contains("approve, "));
        assert!(refused(&[("stop", "xx")]).message.contains("`xx` is not a key"));
        assert!(refused(&[("stop", "a")]).message.contains("`approve` and `stop`"));
    }

    #[test]
    fn every_action_has_one_name() {
        let mut names: BTreeMap<&str, Action> = BTreeMap::new();
        for binding in KEYS {
            let other = names.insert(binding.action.name(), binding.action);
            assert!(other.is_none_or(|other| other == binding.action), "{}", binding.action.name());
            assert!(binding.keys.iter().all(|key| is_key(key)), "{:?}", binding.keys);
        }
    }
}
