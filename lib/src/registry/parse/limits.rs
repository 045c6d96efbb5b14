//! How many tasks of each category run at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Reader, escape};
use crate::ids::WorkflowId;
use crate::settings::Category;

const LIMITS: &str = "Write { \"testing\": 3, \"deployment\": { \"max_concurrent\": 1, \"exclusive_lock\": true } }.";
/// What others write behind the name of a category.
const SUFFIXES: [&str; 2] = ["_pipelines", "_workflows"];

/// What the limits of a file say.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) categories: BTreeMap<String, Category>,
    /// Workflows that are counted among a category there.
    pub(super) category_of: BTreeMap<WorkflowId, String>,
}

impl Reader {
    pub(super) fn limits(&mut self, at: &str, value: &Value) -> Limits {
        let mut limits = Limits::default();
        let Some(object) = value.as_object() else {
            self.error(at, "concurrency is an object: a limit for each category", Some(LIMITS));
            return limits;
        };
        for (name, value) in object {
            let at = format!("{at}/{}", escape(name));
            let category = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            let limit = match value {
                Value::Object(object) => {
                    for (index, id) in
                        object.get("pipelines").and_then(Value::as_array).into_iter().flatten().enumerate()
                    {
                        let id = self.id(&format!("{at}/pipelines/{index}"), id);
                        limits.category_of.extend(id.map(|id| (id, category.to_owned())));
                    }
                    self.group(&at, object)
                }
                limit => Category { max: self.limit(&at, limit), exclusive: false },
            };
            limits.categories.insert(category.to_owned(), limit);
        }
        limits
    }

    fn group(&mut self, at: &str, object: &Map<String, Value>) -> Category {
        let mut flag = |names: &[&str]| {
            let key = names.iter().find(|key| object.get(**key).is_some_and(|value| !value.is_null()))?;
            let flag = object[*key].as_bool();
            if flag.is_none() {
                self.error(&format!("{at}/{key}"), format!("`{key}` is true or false"), Some(LIMITS));
            }
            flag
        };
        let exclusive = flag(&["exclusive_lock", "exclusive"]).unwrap_or(false);
        let several = flag(&["allow_concurrent"]);
        let max = ["max_concurrent", "max"].into_iter().find(|key| object.contains_key(*key));
        let max_at = max.map(|key| format!("{at}/{key}"));
        let max = max.and_then(|key| self.limit(&format!("{at}/{key}"), &object[key]));
        if let (Some(false), Some(2..), Some(max_at)) = (several, max, &max_at) {
            self.say(
                max_at,
                "`allow_concurrent` is false, so one runs at a time",
                Some("Say the one or the other."),
                true,
            );
        }
        Category { max: if several == Some(false) { Some(1) } else { max }, exclusive }
    }

    fn limit(&mut self, at: &str, value: &Value) -> Option<u32> {
        match value {
            Value::Null => None,
            Value::String(word) if word.eq_ignore_ascii_case("unlimited") => None,
            number => {
                let limit = number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|limit| *limit > 0);
                if limit.is_none() {
                    self.error(at, "a limit is a number from 1, or \"unlimited\"", Some(LIMITS));
                }
                limit
            }
        }
    }
}
