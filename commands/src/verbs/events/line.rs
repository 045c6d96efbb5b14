//! The shape of one event. What it is about (task, run, agent, stage) is lifted out of the fact's own data, so that a
//! reader can filter every type in the same way; what only the claim of a run said is remembered and joined.

use std::collections::HashMap;

use jiff::Timestamp;
use pipeline_lib::fact::Fact;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::Run;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_state::Record;
use serde_json::{Map, Value};

use super::words::{sentence_about, text};

/// What an event is about, in the order in which it is looked for.
const ABOUT: [&str; 4] = ["task", "run", "agent", "stage"];

/// The kind of run it is about: `agent`, `command`, `probe`, `gate` or `setup`.
const WORK: &str = "work";

/// What earlier events said about runs that are not settled yet.
#[derive(Debug, Clone, Default)]
pub struct Known {
    runs: HashMap<String, Claimed>,
}

/// What the claim of a run said.
#[derive(Debug, Clone, Default)]
struct Claimed {
    task: Option<String>,
    agent: Option<String>,
    stage: Option<String>,
    work: Option<String>,
}

impl Claimed {
    fn of(run: &Run) -> Self {
        Self {
            task: run.task.as_ref().map(ToString::to_string),
            agent: Some(run.agent.to_string()),
            stage: run.stage.as_ref().map(ToString::to_string),
            work: Some(run.work.word().to_owned()),
        }
    }

    fn parts(&self) -> [(&'static str, Option<&String>); 4] {
        let Self { task, agent, stage, work } = self;
        [("task", task.as_ref()), ("agent", agent.as_ref()), ("stage", stage.as_ref()), (WORK, work.as_ref())]
    }

    fn about(&self) -> About<'_> {
        let [task, agent, stage, work] = self.parts().map(|(_, value)| value.map_or("", String::as_str));
        About { task, agent, stage, work }
    }
}

/// What an event is about, empty where it is not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) task: &'a str,
    pub(super) agent: &'a str,
    pub(super) stage: &'a str,
    /// The kind of run.
    pub(super) work: &'a str,
}

impl<'a> About<'a> {
    /// Of an event that was lifted out of its fact.
    pub(super) fn of(event: &'a Map<String, Value>) -> Self {
        let [task, agent, stage, work] = ["task", "agent", "stage", WORK].map(|key| text(event, key));
        Self { task, agent, stage, work }
    }
}

impl Known {
    /// What the claims of live runs said, for a reader that does not begin at the beginning.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        Self { runs: pipeline.core.runs.values().map(|run| (run.id.to_string(), Claimed::of(run))).collect() }
    }

    /// The words of a fact that is not read from the journal, with what earlier ones said about its run; as
    /// [`super::sentence`] of its event.
    pub fn sentence_of(&mut self, fact: &Fact) -> String {
        let none = Claimed::default();
        // What there is most of is looked up where it stands.
        match fact {
            Fact::RunClaimed { run } => {
                self.runs.insert(run.id.to_string(), Claimed::of(run));
                sentence_about(fact, About::default())
            }
            Fact::RunStarted { run, .. } | Fact::RunEnded { run, .. } => {
                sentence_about(fact, self.runs.get(run.as_str()).unwrap_or(&none).about())
            }
            Fact::RunClosed { run, .. } => sentence_about(fact, self.runs.remove(run.as_str()).unwrap_or(none).about()),
            Fact::TaskMoved { task, .. } => sentence_about(fact, About { task: task.as_str(), ..About::default() }),
            Fact::StageDone { task, output } => {
                let about = About { task: task.as_str(), stage: output.stage.as_str(), ..About::default() };
                sentence_about(fact, about)
            }
            other => {
                let fact = serde_json::to_value(other).unwrap_or_default();
                let record = Record { seq: 0, at: Timestamp::UNIX_EPOCH, actor: String::new(), fact };
                sentence_about(other, About::of(&self.event(record)))
            }
        }
    }

    /// The event of a record, with what earlier ones said about its run. Records are given in order.
    pub fn event(&mut self, record: Record<Value>) -> Map<String, Value> {
        let mut event = lift(record);
        let Some(run) = event.get("run").and_then(Value::as_str).map(str::to_owned) else { return event };
        let is = |event: &Map<String, Value>, kind: &str| event.get("type").is_some_and(|found| found == kind);
        if is(&event, "run_claimed") {
            let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
            let claimed = Claimed { task: text("task"), agent: text("agent"), stage: text("stage"), work: text(WORK) };
            self.runs.insert(run, claimed);
            return event;
        }
        for (key, value) in self.runs.get(&run).into_iter().flat_map(Claimed::parts) {
            if let Some(value) = value {
                event.entry(key).or_insert_with(|| value.as_str().into());
            }
        }
        if is(&event, "run_closed") {
            self.runs.remove(&run);
        }
        event
    }
}

/// The event of a record by itself. A fact of a shape we do not know is kept whole under `data`.
#[must_use]
pub fn lift(record: Record<Value>) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    event.insert("seq".to_owned(), record.seq.into());
    event.insert("at".to_owned(), record.at.to_string().into());
    let (kind, data) = split(record.fact);
    event.insert("type".to_owned(), kind.into());
    event.insert("actor".to_owned(), record.actor.into());
    for key in ABOUT {
        if let Some(value) = find(key, &data) {
            event.insert(key.to_owned(), value.into());
        }
    }
    if let Some(work) = work(&data) {
        event.insert(WORK.to_owned(), work.into());
    }
    event.insert("data".to_owned(), data);
    event
}

/// The kind of the run that the data describes: a word by itself, or the name of what else is to be said about it.
fn work(data: &Value) -> Option<String> {
    let described = ["run", "summary"].iter().filter_map(|part| data.get(part)?.get(WORK)).next()?;
    match described {
        Value::String(word) => Some(word.clone()),
        Value::Object(more) => more.keys().next().cloned(),
        _ => None,
    }
}

/// The type and the data of a fact.
fn split(fact: Value) -> (String, Value) {
    match fact {
        Value::Object(mut fields) => match (fields.remove("type"), fields.remove("data")) {
            (Some(Value::String(kind)), Some(data @ Value::Object(_))) => (kind, data),
            (Some(Value::String(kind)), None) => (kind, Value::Object(fields)),
            (kind, data) => {
                fields.extend(kind.map(|kind| ("type".to_owned(), kind)));
                fields.extend(data.map(|data| ("data".to_owned(), data)));
                ("unknown".to_owned(), Value::Object(fields))
            }
        },
        other => ("unknown".to_owned(), Value::Object(Map::from_iter([("fact".to_owned(), other)]))),
    }
}

/// What the data says under this key: as a name, as something that has one, in the part that carries the details, or in
/// where a task has moved.
fn find(key: &str, data: &Value) -> Option<String> {
    let name = |value: &Value| match value {
        Value::String(name) => Some(name.clone()),
        Value::Object(thing) => thing.get("id").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    // The run of a run's summary is its `id`.
    let summary = || data.get("summary").filter(|_| key != "run").and_then(|summary| summary.get(key));
    let details = || ["run", "output"].iter().filter_map(|part| data.get(part)).find_map(|part| part.get(key));
    let moved = || data.get("to").and_then(Value::as_object).and_then(|to| to.values().next()?.get(key));
    data.get(key)
        .and_then(name)
        .or_else(|| details().and_then(name))
        .or_else(|| summary().and_then(name))
        .or_else(|| moved().and_then(name))
        .or_else(|| data.get("key")?.as_str()?.strip_prefix(key)?.strip_prefix(':').map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(seq: u64, fact: Value) -> Record<Value> {
        Record { seq, at: Timestamp::UNIX_EPOCH, actor: "monitor".to_owned(), fact }
    }

    fn about(event: &Map<String, Value>) -> [&str; 4] {
        ABOUT.map(|key| event.get(key).and_then(Value::as_str).unwrap_or("-"))
    }

    #[test]
    fn an_event_has_exactly_the_documented_shape() {
        let fact = json!({"type": "task_due", "data": {"task": "T"}});
        let expected = json!({
            "schema_version": 1, "seq": 3, "at": "1970-01-01T00:00:00Z", "type": "task_due", "actor": "monitor",
            "task": "T", "data": {"task": "T"}
        });
        assert_eq!(Value::Object(lift(record(3, fact))), expected);
    }

    #[test]
    fn what_an_event_is_about_is_found_wherever_the_fact_keeps_it() {
        let run = json!({"id": "R", "task": "T", "agent": "A", "stage": "S", "work": "agent"});
        for (fact, expected) in [
            (json!({"type": "task_added", "data": {"task": {"id": "T", "title": "t"}}}), ["T", "-", "-", "-"]),
            (json!({"type": "run_claimed", "data": {"run": run}}), ["T", "R", "A", "S"]),
            (
                json!({"type": "stage_done", "data": {"task": "T", "output": {"stage": "S", "agent": "A", "run": "R"}}}),
                ["T", "R", "A", "S"],
            ),
            (
                json!({"type": "run_closed", "data": {"run": "R", "summary": {"id": "R", "agent": "A", "stage": "S"}}}),
                ["-", "R", "A", "S"],
            ),
            (json!({"type": "run_closed", "data": {"run": "R", "summary": null}}), ["-", "R", "-", "-"]),
            (
                json!({"type": "task_moved", "data": {"task": "T", "to": {"working": {"stage": "S", "run": "R"}}}}),
                ["T", "R", "-", "S"],
            ),
            (json!({"type": "task_moved", "data": {"task": "T", "to": "completed"}}), ["T", "-", "-", "-"]),
            (json!({"type": "effect_failed", "data": {"key": "run:R", "message": "m"}}), ["-", "R", "-", "-"]),
            (json!({"type": "effect_failed", "data": {"key": "current_task", "message": "m"}}), ["-", "-", "-", "-"]),
            (json!({"type": "current_task", "data": {"task": null}}), ["-", "-", "-", "-"]),
        ] {
            assert_eq!(about(&lift(record(1, fact.clone()))), expected, "{fact}");
        }
    }

    #[test]
    fn what_the_claim_said_is_joined_until_the_run_is_closed() {
        let mut known = Known::default();
        let run = json!({"id": "R", "task": "T", "agent": "A", "stage": "S", "work": {"gate": {"command": "true"}}});
        known.event(record(1, json!({"type": "run_claimed", "data": {"run": run}})));
        let started = known.event(record(2, json!({"type": "run_started", "data": {"run": "R", "pid": 7}})));
        assert_eq!(about(&started), ["T", "R", "A", "S"]);
        assert_eq!(started["work"], "gate");
        let closed = known.event(record(3, json!({"type": "run_closed", "data": {"run": "R", "summary": null}})));
        assert_eq!(about(&closed), ["T", "R", "A", "S"]);
        assert!(known.runs.is_empty());
    }

    #[test]
    fn facts_of_unknown_shape_are_passed_on() {
        assert_eq!(lift(record(1, json!(7)))["data"], json!({"fact": 7}));
        let odd = lift(record(1, json!({"type": 5, "data": [1]})));
        assert_eq!((&odd["type"], &odd["data"]), (&json!("unknown"), &json!({"type": 5, "data": [1]})));
        assert_eq!(lift(record(1, json!({"type": "new"})))["data"], json!({}));
    }
}
