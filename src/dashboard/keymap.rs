//! The key table as it holds for this person: what the settings give another key has that key everywhere, and the footer
//! and the help say so. Which actions there are is in `keys.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// The table with the keys that the settings give to actions, by their names. The settings know which there are.
    ///
    /// # Errors
    /// When a key would mean two things in one place.
    pub fn with(chosen: &BTreeMap<String, Vec<String>>) -> Result<Self, BadKeys> {
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

/// A key as people say it: `ctrl-x`, `enter`, `j`.
fn shown(key: &str) -> String {
    let Some(name) = key.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else { return key.to_owned() };
    name.replacen("c-", "ctrl-", 1).replacen("a-", "alt-", 1).replacen("s-", "shift-", 1)
}

#[cfg(test)]
mod tests {
    use pipeline_commands::config::{ACTIONS, is_key};

    use super::*;

    fn chosen(pairs: &[(&str, &str)]) -> Result<Keymap, BadKeys> {
        let keys = |keys: &str| keys.split_whitespace().map(str::to_owned).collect();
        Keymap::with(&pairs.iter().map(|(action, of)| ((*action).to_owned(), keys(of))).collect())
    }

    #[test]
    fn a_chosen_key_takes_the_place_of_the_usual_ones() {
        let map = chosen(&[("stop", "y <c-y>")]).expect("free keys");
        let key = |code| Key { code: crossterm::event::KeyCode::Char(code), ctrl: false, alt: false, shift: false };
        assert_eq!(map.action(Place::Board, key('y')), Some(Action::Stop));
        assert_eq!(map.action(Place::Board, key('x')), None);
        let row = map.rows().find(|row| row.binding.action == Action::Stop).expect("it is there");
        assert_eq!(row.label, "y ctrl-y");
        let map = chosen(&[("retry", "<f5> <c-f12>")]).expect("free keys");
        let function = |n, ctrl| Key { code: crossterm::event::KeyCode::F(n), ctrl, alt: false, shift: false };
        assert_eq!(map.action(Place::Board, function(5, false)), Some(Action::Retry));
        assert_eq!(map.action(Place::Board, function(12, true)), Some(Action::Retry));
        assert_eq!(map.action(Place::Board, function(6, false)), None);
    }

    #[test]
    fn what_cannot_hold_is_said_with_what_would() {
        let refused = |pairs| chosen(pairs).expect_err("it cannot hold");
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
        let known: BTreeMap<&str, ()> = ACTIONS.iter().map(|name| (*name, ())).collect();
        assert_eq!(names.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>(), "the settings know the same");
    }
}
