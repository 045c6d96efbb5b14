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
