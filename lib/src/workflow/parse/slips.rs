//! Fields that nothing reads and whose names are almost those of fields that something does. Unknown fields are kept, since
//! files of other tools have many; but an `aproval` that is passed over in silence lets a stage go on that should have waited.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::fields::escape;
use super::{About, Reader};
use crate::text::distance;

/// The fields of one kind of object, and what it is called.
pub(super) struct Fields {
    pub(super) what: &'static str,
    pub(super) read: &'static [&'static str],
}

pub(super) const PARAM: Fields = Fields {
    what: "a parameter",
    read: &["name", "required", "default", "type", "description", "choices", "enum", "aliases"],
};
pub(super) const CONNECTION: Fields =
    Fields { what: "a connection", read: &["from", "to", "condition", "description"] };
pub(super) const DECISION: Fields =
    Fields { what: "a decision", read: &["choice", "decision", "name", "description", "exit"] };
pub(super) const THRESHOLD: Fields = Fields { what: "a threshold", read: &["name", "from", "min", "max"] };
pub(super) const HUB: Fields =
    Fields { what: "a hub", read: &["requirements", "recovery", "validation", "warnings", "budget"] };
pub(super) const REQUIREMENT: Fields = Fields { what: "a requirement", read: &["name", "stage", "probe", "after"] };
pub(super) const SUB_WORKFLOW: Fields = Fields { what: "a workflow in a stage", read: &["id", "params"] };

/// Whether something is read by this name in an object of a workflow file, where the object is known by a name as well.
#[must_use]
pub fn is_read(around: &str, name: &str) -> bool {
    const OF_NAMES: [&str; 7] = ["params", "parameters", "env", "matrix", "thresholds", "routing", "decisions"];
    let all = [&super::FIELDS, &super::stages::FIELDS, &PARAM, &CONNECTION, &DECISION, &THRESHOLD, &HUB];
    let more = [&REQUIREMENT, &SUB_WORKFLOW];
    OF_NAMES.contains(&around) || all.into_iter().chain(more).any(|fields| fields.read.contains(&name))
}

/// What was found for names before: a file of thousands of stages has the same ones in each.
pub(super) type Slips = HashMap<(&'static str, String), Option<&'static str>>;

impl Reader<'_> {
    /// Tells of fields of an object that were hardly meant to be passed over.
    pub(super) fn slips(&mut self, object: &Map<String, Value>, at: &str, fields: &Fields) {
        for key in object.keys().filter(|key| !fields.read.contains(&key.as_str())) {
            let found = self.slips.entry((fields.what, key.clone())).or_insert_with(|| meant(key, fields.read));
            let Some(meant) = found.filter(|meant| !object.contains_key(*meant)) else { continue };
            let suggestion = Some(format!("Did you mean `{meant}`? As it is nothing reads it."));
            self.warn(&format!("{at}/{}", escape(key)), format!("{} has no `{key}`", fields.what), suggestion);
            if let Some(problem) = self.problems.last_mut() {
                problem.about = About::Name;
            }
        }
    }
}

/// The field that a name stands for: written in another way, or with a slip or two for its length.
fn meant(name: &str, read: &[&'static str]) -> Option<&'static str> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let bound = |field: &str| match field.len().max(name.len()) {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    let near = |field: &&&'static str| {
        field.len().abs_diff(name.len()) <= 2 && distance(name, field) <= bound(field) || plain(name) == plain(field)
    };
    read.iter().filter(near).min_by_key(|field| distance(name, field)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_what_others_write() {
        let stage = ["id", "name", "agent", "inputs", "place", "timeout", "retries", "approval", "max_visits", "run"];
        for (name, expected) in [
            ("retires", Some("retries")),
            ("aproval", Some("approval")),
            ("timeOut", Some("timeout")),
            ("maxVisits", Some("max_visits")),
            ("max-visits", Some("max_visits")),
            ("input", Some("inputs")),
            ("agents", Some("agent")),
            ("rnu", None),
            ("outputs", None),
            ("phase", None),
            ("type", None),
            ("routing", None),
            ("metadata", None),
            ("title", None),
            ("", None),
            ("_", None),
        ] {
            assert_eq!(meant(name, &stage), expected, "{name}");
        }
    }
}
