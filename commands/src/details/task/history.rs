//! What happened to a task, read from the journal. It may be long, so it is read once from its beginning, and then only
//! what is new of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::task::History;
use pipeline_lib::view::screen::EventLine;
use pipeline_state::{ErrorKind, Events};

use crate::picture::event_tone;
use crate::verbs::events::{Known, sentence};

/// How many events are shown.
const EVENTS_MAX: usize = 2_000;

/// Whose history is wanted, as far as the pipeline has come.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) task: TaskId,
    pub(super) seq: u64,
}

/// What happened.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) task: TaskId,
    pub(super) history: History,
}

/// Reads on request. Says nothing where nothing has happened to the task since the last answer.
pub(super) fn worker(state_dir: PathBuf) -> impl FnMut(Ask, &mut dyn FnMut(Answer)) + Send + 'static {
    let mut reader: Option<Reader> = None;
    move |ask, answer| {
        let of_task = reader.take().filter(|reader| reader.task == ask.task);
        let is_new = of_task.is_none();
        let mut present = of_task.unwrap_or_else(|| Reader::new(&state_dir, ask.task));
        let has_more = present.seq < ask.seq && present.read();
        present.seq = ask.seq.max(present.seq);
        if is_new || has_more {
            answer(present.answer());
        }
        reader = Some(present);
    }
}

struct Reader {
    task: TaskId,
    events: Events,
    known: Known,
    lines: VecDeque<EventLine>,
    is_cut: bool,
    /// How far the pipeline had come when it was last read.
    seq: u64,
}

impl Reader {
    fn new(state_dir: &std::path::Path, task: TaskId) -> Self {
        let events = Events::open(state_dir, 0);
        Self { task, events, known: Known::default(), lines: VecDeque::new(), is_cut: false, seq: 0 }
    }

    /// Reads on; whether anything happened to the task.
    fn read(&mut self) -> bool {
        let mut has_more = false;
        for record in self.events.by_ref() {
            let record = match record {
                Ok(record) => record,
                // The reading goes on behind the damage; `doctor` is who complains about it.
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                Err(error) => {
                    tracing::warn!(%error, "the journal cannot be read");
                    break;
                }
            };
            let (seq, at) = (record.seq, record.at);
            let event = self.known.event(record);
            if event.get("task").is_none_or(|task| task != self.task.as_str()) {
                continue;
            }
            let text = sentence(&event);
            if text.is_empty() {
                continue;
            }
            // Whose history it is stands above it.
            let text = text.strip_prefix(self.task.as_str()).map_or(text.as_str(), str::trim_start).to_owned();
            self.lines.push_back(EventLine { seq, at, text, tone: event_tone(&event) });
            has_more = true;
        }
        while self.lines.len() > EVENTS_MAX {
            self.lines.pop_front();
            self.is_cut = true;
        }
        has_more
    }

    fn answer(&self) -> Answer {
        let is_cut = self.is_cut || self.events.missing_before().is_some();
        let history = History { lines: Arc::new(self.lines.iter().cloned().collect()), is_cut };
        Answer { task: self.task.clone(), history }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Kept;
    use jiff::Timestamp;
    use pipeline_lib::fact::Fact;
    use pipeline_lib::task::{Hold, HoldReason};
    use pipeline_state::{Options, StateError, Store};

    fn id(name: &str) -> TaskId {
        TaskId::new(name).unwrap()
    }

    fn record(store: &mut Store<Kept>, facts: Vec<Fact>) -> u64 {
        store
            .transact("test", |transaction| {
                for fact in facts {
                    transaction.record(Timestamp::UNIX_EPOCH, fact);
                }
                Ok::<_, StateError>(())
            })
            .unwrap();
        store.machine().0.core.seq
    }

    fn held(task: &str, by: &str) -> Fact {
        Fact::TaskHeld { task: id(task), hold: Hold { by: id(by), why: HoldReason::Paths } }
    }

    fn told(work: &mut impl FnMut(Ask, &mut dyn FnMut(Answer)), task: &str, seq: u64) -> Vec<Vec<String>> {
        let mut said = Vec::new();
        work(Ask { task: id(task), seq }, &mut |answer| {
            assert_eq!(answer.task, id(task));
            said.push(answer.history.lines.iter().map(|line| line.text.clone()).collect());
        });
        said
    }

    #[test]
    fn what_happened_to_a_task_is_read_once_and_then_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::<Kept>::init(dir.path(), Options::default()).unwrap();
        let mut work = worker(dir.path().to_owned());
        let seq = record(&mut store, vec![held("A", "X"), held("B", "Y"), Fact::TaskDue { task: id("A") }]);
        let first = ["waits for X", "may be tried again"].map(str::to_owned).to_vec();
        assert_eq!(told(&mut work, "A", seq), std::slice::from_ref(&first));
        assert_eq!(told(&mut work, "A", seq), [[""; 0]; 0], "nothing is new");
        let seq = record(&mut store, vec![held("B", "Z")]);
        assert_eq!(told(&mut work, "A", seq), [[""; 0]; 0], "nothing of it");
        let seq = record(&mut store, vec![held("A", "B")]);
        assert_eq!(told(&mut work, "A", seq), [[first, vec!["waits for B".to_owned()]].concat()]);
        assert_eq!(told(&mut work, "B", seq), [["waits for Y".to_owned(), "waits for Z".to_owned()]]);
        assert_eq!(told(&mut work, "C", seq), [[""; 0]], "one without a history is told too");
    }
}
