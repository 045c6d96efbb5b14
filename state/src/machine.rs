//! What is stored, seen from the store: a value that facts change, one fact at a time. Nothing here knows which value;
//! the meaning of a fact, and whether it is legal, is decided before it reaches this crate.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A value that facts change. `Default` is the value before the first fact; replay calls only [`Machine::apply`].
///
/// A foreign type joins by a local newtype with `#[serde(transparent)]`.
pub trait Machine: Clone + Serialize + DeserializeOwned + Default {
    /// What the journal keeps.
    type Fact: Serialize + DeserializeOwned + Clone;

    /// Applies one fact. It must not fail and must depend on nothing but its arguments, or replay would differ from
    /// what happened.
    fn apply(&mut self, record: &Record<Self::Fact>);

    /// Whether the value could be read from these bytes. To be overridden where that is found out without making a second
    /// whole one.
    ///
    /// # Errors
    /// Those of reading it.
    fn check(bytes: &[u8]) -> serde_json::Result<()> {
        serde_json::from_slice::<Self>(bytes).map(drop)
    }
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<F> {
    /// Counts from 1, without gaps, over the whole history.
    pub seq: u64,
    /// When the fact was decided.
    pub at: Timestamp,
    /// Who decided it: a verb, a person, the supervisor.
    pub actor: String,
    /// What happened.
    pub fact: F,
}

impl Record<Value> {
    /// The record as the object that an event line prints: the fact's fields stand beside `seq`, `at` and `actor`.
    /// A fact that is no object, or whose fields would hide one of these, stays under `fact`.
    pub fn into_event(self) -> Map<String, Value> {
        let mut event = Map::new();
        event.insert("seq".to_owned(), self.seq.into());
        event.insert("at".to_owned(), self.at.to_string().into());
        event.insert("actor".to_owned(), self.actor.into());
        match self.fact {
            Value::Object(fields) if !fields.keys().any(|key| event.contains_key(key)) => event.extend(fields),
            other => {
                event.insert("fact".to_owned(), other);
            }
        }
        event
    }
}

/// A record as it lies in a frame: the sequence number stands once, in the frame's header, so that two copies of it
/// cannot disagree.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body<F> {
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) fact: F,
}

impl<F> Body<F> {
    pub(crate) fn with_seq(self, seq: u64) -> Record<F> {
        Record { seq, at: self.at, actor: self.actor, fact: self.fact }
    }
}

/// The same, borrowed, for writing.
#[derive(Debug, Serialize)]
pub(crate) struct BodyRef<'a, F> {
    at: Timestamp,
    actor: &'a str,
    fact: &'a F,
}

impl<'a, F> From<&'a Record<F>> for BodyRef<'a, F> {
    fn from(record: &'a Record<F>) -> Self {
        BodyRef { at: record.at, actor: &record.actor, fact: &record.fact }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(fact: Value) -> Value {
        let record = Record { seq: 7, at: Timestamp::UNIX_EPOCH, actor: "a".to_owned(), fact };
        Value::Object(record.into_event())
    }

    #[test]
    fn a_fact_stands_beside_the_record_fields_unless_it_would_hide_one() {
        assert_eq!(
            line(json!({"kind": "x"})),
            json!({"seq": 7, "at": "1970-01-01T00:00:00Z", "actor": "a", "kind": "x"})
        );
        assert_eq!(line(json!({"actor": "b"}))["fact"]["actor"], "b");
        assert_eq!(line(json!("plain"))["fact"], "plain");
    }
}
