//! `pipeline undo`: takes back what the last command of a person changed. The journal says which that was and what was known
//! before it; whether it can be taken back, and how, is decided by `pipeline_lib`. Undoing an undo brings the command back.

use jiff::Timestamp;
use pipeline_lib::decide::undo;
use pipeline_lib::event::Refusal;
use pipeline_lib::fact::Fact;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_state::{Events, Record, Store};
use serde_json::Value;

use super::events::Known;
use crate::dispatch::Call;
use crate::engine::{Engine, Kept};
use crate::error::{CommandError, Result, exit};
use crate::table::age;

/// What the facts of an undo are recorded under.
const ACTOR: &str = "undo";
/// Who is no person, or begins what was not there before.
const MACHINES: [&str; 9] = ["", "monitor", "once", "demo", "agent", "alert", "doctor", "init", "hook"];
/// How often the journal is read again because something happened between reading it and the lock.
const ATTEMPTS: usize = 10;
/// So many lines say what a command did.
const LINES_MAX: usize = 12;

/// Take back the last command that changed the state.
#[derive(Debug, clap::Args)]
pub struct Undo {
    /// Only say what would be taken back
    #[arg(long)]
    pub dry_run: bool,
}

/// A command of a person, as the journal has it.
#[derive(Debug, Clone, PartialEq)]
struct Command {
    /// Its first record.
    seq: u64,
    at: Timestamp,
    actor: String,
    facts: Vec<Fact>,
}

/// What the journal says about the last command.
#[derive(Debug, Default)]
struct Found {
    /// The last record there was.
    seq: u64,
    command: Option<Command>,
    /// The records are not all there or not all understood, so what was known before is not either.
    partial: bool,
}

/// Takes back the last command of a person.
///
/// # Errors
/// When there is none, something has been built on it, or the journal cannot be read or written.
pub fn run(call: &Call, args: &Undo) -> Result<u8> {
    let context = call.context()?;
    for _ in 0..ATTEMPTS {
        let mut engine = Engine::open(&context)?;
        let found = last_command(engine.store())?;
        let Some(command) = found.command else {
            return Err(nothing(found.partial));
        };
        if found.partial {
            return Err(not_kept());
        }
        let Some(Kept(before)) = engine.store().at(command.seq.saturating_sub(1))? else {
            return Err(not_kept());
        };
        let inverse = |now: &Pipeline| undo(&before, command.at, &command.facts, now);
        if args.dry_run {
            if engine.store().seq() == found.seq {
                let facts = inverse(engine.pipeline())?;
                return say(call, &command, &facts, true);
            }
        } else if let Some(facts) = engine.put_back(&context, ACTOR, found.seq, inverse)? {
            return say(call, &command, &facts, false);
        }
    }
    Err(CommandError::new(exit::LOCK_BUSY, "lock_busy", "the state changes faster than it can be read")
        .hint("Nothing was changed. Repeat the command."))
}

fn not_kept() -> CommandError {
    let why = "the history before that command is no longer kept, or not readable".to_owned();
    let next = "`pipeline events` shows what is; `pipeline doctor` says whether something is damaged.".to_owned();
    Refusal::NotUndone { why, next }.into()
}

fn nothing(partial: bool) -> CommandError {
    let why =
        if partial { "there is nothing to undo in what is left of the journal" } else { "there is nothing to undo" };
    CommandError::failed(why).hint("`pipeline events` shows what has happened and who brought it about.")
}

/// The last command in a journal, looked for from its end backwards: each time twice as many segments are read, until it
/// is among them.
fn last_command(store: &Store<Kept>) -> Result<Found> {
    let starts = store.segment_starts()?;
    let mut back = 1;
    loop {
        let since = starts[starts.len().saturating_sub(back)..].first().copied().unwrap_or_default();
        let found = last_command_after(since, store.events(since))?;
        // What begins with a segment may have begun in the one before.
        if back >= starts.len() || found.command.as_ref().is_some_and(|command| command.seq > since + 1) {
            let cut = since > 0 && found.command.as_ref().is_none_or(|command| command.seq <= since + 1);
            return Ok(Found { partial: found.partial || cut, ..found });
        }
        back *= 2;
    }
}

/// The last command after a record: the records of one actor at one moment that change what a person may change.
fn last_command_after(since: u64, events: Events) -> Result<Found> {
    let mut events = events;
    let mut found = Found { seq: since, ..Found::default() };
    let mut group: Option<Group> = None;
    while let Some(record) = events.next() {
        found.partial |= events.missing_before().is_some();
        let record = match record {
            Ok(record) => record,
            Err(error) if error.kind() == pipeline_state::ErrorKind::Corrupt => {
                found.partial = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        found.seq = record.seq;
        if MACHINES.contains(&record.actor.as_str()) {
            continue;
        }
        match &mut group {
            Some(open) if open.at == record.at && open.actor == record.actor => open.facts.push(record.fact),
            _ => found.close(group.replace(Group::begin(record))),
        }
    }
    found.partial |= events.missing_before().is_some();
    found.close(group);
    Ok(found)
}

#[derive(Debug)]
struct Group {
    seq: u64,
    at: Timestamp,
    actor: String,
    facts: Vec<Value>,
}

impl Group {
    fn begin(record: Record<Value>) -> Self {
        Self { seq: record.seq, at: record.at, actor: record.actor, facts: vec![record.fact] }
    }
}

impl Found {
    fn close(&mut self, group: Option<Group>) {
        let Some(Group { seq, at, actor, facts }) = group else { return };
        let facts: Result<Vec<Fact>, _> = facts.into_iter().map(serde_json::from_value).collect();
        match facts {
            Ok(facts) if is_command(&actor, &facts) => self.command = Some(Command { seq, at, actor, facts }),
            Ok(_) => {}
            // A newer program's fact.
            Err(_) => self.partial = true,
        }
    }
}

/// Whether a person asked for these facts. Verbs that wait, or that tick, also record under their name what they saw.
fn is_command(actor: &str, facts: &[Fact]) -> bool {
    let asked = |fact: &Fact| match fact {
        Fact::TaskAdded { task } => task.parent.is_none(),
        // `run` ticks, so that not every move under its name is a person's.
        Fact::TaskMoved { with, .. } => actor != "run" || with.by.is_some(),
        Fact::TaskEdited { .. }
        | Fact::TaskRestored { .. }
        | Fact::ModeChanged { .. }
        | Fact::ModePending { .. }
        | Fact::PilotChanged { .. }
        | Fact::AgentStopped { .. }
        | Fact::AgentEnabled { .. }
        | Fact::AgentBroken { .. } => true,
        _ => false,
    };
    let seen = |fact: &Fact| {
        matches!(
            fact,
            Fact::RunClaimed { .. }
                | Fact::RunStarted { .. }
                | Fact::RunEnded { .. }
                | Fact::RunClosed { .. }
                | Fact::ClaimNoted { .. }
                | Fact::ScheduleFired { .. }
        )
    };
    facts.iter().any(asked) && !facts.iter().any(seen)
}

fn say(call: &Call, command: &Command, inverse: &[Fact], dry_run: bool) -> Result<u8> {
    let words = |facts: &[Fact]| -> Vec<String> {
        let mut known = Known::default();
        facts.iter().map(|fact| known.sentence_of(fact)).filter(|words| !words.is_empty()).collect()
    };
    let done: Vec<String> = words(&command.facts);
    let out = &call.output;
    if out.json {
        out.json(&serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "dry_run": dry_run,
            "command": command.actor,
            "at": command.at,
            "seq": command.seq,
            "did": done,
            "now": words(inverse),
        }))?;
        return Ok(exit::OK);
    }
    let verb = if dry_run { "would undo" } else { "undone" };
    let name = one_line(&command.actor, 40);
    out.line(&format!("{verb}: {name}, {} ago", age(command.at, Timestamp::now())))?;
    for (mark, lines) in [("-", &done), ("+", &words(inverse))] {
        for line in lines.iter().take(LINES_MAX) {
            out.line(&format!("  {mark} {line}"))?;
        }
        if lines.len() > LINES_MAX {
            out.line(&format!("  {mark} and {} more", lines.len() - LINES_MAX))?;
        }
    }
    if dry_run {
        out.note("nothing was changed; `pipeline undo` does it");
    } else {
        out.note("`pipeline undo` once more brings it back");
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::ids::{RunId, TaskId};
    use pipeline_lib::run::StopReason;
    use pipeline_lib::task::TaskState;

    #[test]
    fn where_the_beginning_is_no_longer_kept_that_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            pipeline_state::Options { rotate_bytes: 100, keep_bytes: 0, ..pipeline_state::Options::default() };
        let mut store = pipeline_state::Store::<crate::engine::Kept>::init(dir.path(), options).unwrap();
        let mut scope = pipeline_lib::mode::PilotScope::default();
        for round in 0..20 {
            scope.patterns.insert(format!("DOC-{round}"));
            let fact = Fact::PilotChanged { scope: scope.clone() };
            store.lock().unwrap().append("pilot", Timestamp::UNIX_EPOCH, [fact]).unwrap();
            let found = last_command(&store).unwrap();
            assert_eq!((found.seq, found.command.map(|command| command.actor).as_deref()), (round + 1, Some("pilot")));
        }
        for _ in 0..2 {
            store.lock().unwrap().rotate().unwrap();
        }
        let found = last_command(&store).unwrap();
        assert_eq!((found.partial, found.command), (true, None));
    }

    #[test]
    fn a_command_is_found_behind_many_segments_and_what_was_known_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = pipeline_state::Options { rotate_bytes: 100, ..pipeline_state::Options::default() };
        let mut store = pipeline_state::Store::<Kept>::init(dir.path(), options).unwrap();
        let changed = |pattern: &str| {
            let mut scope = pipeline_lib::mode::PilotScope::default();
            scope.patterns.insert(pattern.to_owned());
            [Fact::PilotChanged { scope }]
        };
        store.lock().unwrap().append("pilot", Timestamp::UNIX_EPOCH, changed("first")).unwrap();
        let before = store.machine().0.clone();
        store.lock().unwrap().append("pilot", Timestamp::MAX, changed("second")).unwrap();
        for round in 0..20 {
            let due = Fact::TaskDue { task: TaskId::new(&format!("T-{round}")).unwrap() };
            store.lock().unwrap().append("monitor", Timestamp::UNIX_EPOCH, [due]).unwrap();
            store.lock().unwrap().rotate().unwrap();
        }
        assert!(store.segment_starts().unwrap().len() > 10);
        let found = last_command(&store).unwrap();
        let command = found.command.unwrap();
        assert_eq!((found.seq, found.partial, command.seq, command.at), (22, false, 2, Timestamp::MAX));
        assert_eq!(store.at(command.seq - 1).unwrap().unwrap().0.core.pilot, before.core.pilot);
    }

    #[test]
    fn what_a_verb_saw_while_it_waited_is_no_command() {
        let run = RunId::new("r1").unwrap();
        let moved = Fact::TaskMoved {
            task: TaskId::new("T").unwrap(),
            to: TaskState::Cancelled,
            with: pipeline_lib::fact::Move::default(),
        };
        let stopping = Fact::RunStopping { run: run.clone(), reason: StopReason::Person };
        assert!(is_command("task cancel", &[stopping.clone(), moved.clone()]));
        assert!(!is_command("agent stop", &[Fact::RunClosed { run, summary: None }, moved.clone()]));
        assert!(!is_command("run", &[moved]));
        assert!(!is_command("agent stop", &[stopping]), "there is nothing to bring back");
    }
}
