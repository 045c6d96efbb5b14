//! Every switch of the mode there was: when, by whom, from what to what, with which evidence, and the figures at that
//! moment. All of it is in the journal; nothing is kept for it beside. Below stands how the variants of agents that are
//! compared have fared.

use jiff::Timestamp;
use pipeline_lib::fact::Fact;
use pipeline_lib::mode::Mode;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_state::ErrorKind;
use serde::Serialize;

use super::super::status::{head, print_rows};
use super::variants;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{Result, exit};
use crate::table::age;

/// One switch.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Switch {
    seq: u64,
    at: Timestamp,
    actor: String,
    /// Absent where the journal no longer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Mode>,
    to: Mode,
    unready: bool,
    /// Why the rollout went back by itself, where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_itself: Option<String>,
    /// Absent where the journal no longer has everything that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

/// What had been counted at that moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Figures {
    runs: u64,
    runs_failed: u64,
    gates: u64,
    gates_failed: u64,
    rollbacks: u64,
    tasks_completed: u64,
}

/// What was known before each fact, as far as the journal goes back.
#[derive(Debug, Default)]
struct Replay {
    pipeline: Pipeline,
    /// The beginning is missing, so nothing that was counted is right.
    partial: bool,
    from: Option<Mode>,
    switches: Vec<Switch>,
}

impl Replay {
    fn take(&mut self, seq: u64, at: Timestamp, actor: &str, fact: &Fact) {
        let switch = match fact {
            Fact::ModeChanged { mode, unready } => Some((mode, *unready)),
            Fact::Demoted { mode, .. } => Some((mode, false)),
            _ => None,
        };
        if let Some((mode, unready)) = switch {
            let counted = &self.pipeline.core.metrics;
            let figures = Figures {
                runs: counted.runs,
                runs_failed: counted.runs_failed,
                gates: counted.gates,
                gates_failed: counted.gates_failed,
                rollbacks: counted.rollbacks,
                tasks_completed: counted.completed,
            };
            let before = if self.partial { self.from } else { Some(self.pipeline.core.mode) };
            self.switches.push(Switch {
                seq,
                at,
                actor: actor.to_owned(),
                from: before,
                to: *mode,
                unready,
                by_itself: match fact {
                    Fact::Demoted { why, .. } => Some(why.clone()),
                    _ => None,
                },
                figures: (!self.partial).then_some(figures),
            });
            self.from = Some(*mode);
        }
        self.pipeline.apply(at, fact);
    }
}

pub(super) fn print(call: &Call, engine: &Engine) -> Result<u8> {
    let mut events = engine.store().events(0);
    let mut replay = Replay::default();
    while let Some(record) = events.next() {
        replay.partial |= events.missing_before().is_some();
        let record = match record {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                replay.partial = true;
                call.output.note(&format!("{error}; see `pipeline doctor`"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        // A newer program's fact changes nothing that is counted here.
        if let Ok(fact) = serde_json::from_value::<Fact>(record.fact) {
            replay.take(record.seq, record.at, &record.actor, &fact);
        }
    }
    let switches = replay.switches;
    if call.output.json {
        let compared = variants::document(engine.pipeline());
        let document = serde_json::json!({
            "schema_version": SCHEMA_VERSION, "switches": switches, "by_variant": compared,
        });
        call.output.json(&document)?;
        return Ok(exit::OK);
    }
    if switches.is_empty() {
        call.output.line("the mode was never switched")?;
    } else {
        table(call, &switches)?;
    }
    variants::print(call, engine.pipeline())?;
    Ok(exit::OK)
}

fn table(call: &Call, switches: &[Switch]) -> Result<()> {
    let out = &call.output;
    let now = Timestamp::now();
    let word = |mode: Mode| format!("{} · {}", mode.orchestration.word(), mode.rollout.word());
    let mut rows = vec![head(out, &["AGE", "BY", "FROM", "TO", "EVIDENCE", "FIGURES"])];
    for switch in switches {
        let figures = switch.figures.as_ref().map_or_else(
            || "-".to_owned(),
            |f| {
                let (passed, gates) = (f.gates - f.gates_failed, f.gates);
                format!("{} runs, {passed}/{gates} gates passed, {} rolled back", f.runs, f.rollbacks)
            },
        );
        rows.push(vec![
            age(switch.at, now),
            switch.actor.clone(),
            switch.from.map_or_else(|| "-".to_owned(), word),
            word(switch.to),
            match &switch.by_itself {
                Some(why) => out.paint("33", why),
                None if switch.unready => out.paint("33", "without"),
                None => "-".to_owned(),
            },
            figures,
        ]);
    }
    print_rows(out, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::mode::{Orchestration, Rollout};

    fn switch(replay: &mut Replay, rollout: Rollout, unready: bool) {
        let mode = Mode { orchestration: Orchestration::Parallel, rollout };
        let seq = replay.switches.len() as u64 + 1;
        replay.take(seq, Timestamp::UNIX_EPOCH, "mode", &Fact::ModeChanged { mode, unready });
    }

    #[test]
    fn each_switch_says_where_it_came_from() {
        let mut replay = Replay::default();
        switch(&mut replay, Rollout::Pilot, true);
        switch(&mut replay, Rollout::Shadow, false);
        let steps: Vec<_> =
            replay.switches.iter().map(|s| (s.from.map(|m| m.rollout), s.to.rollout, s.unready)).collect();
        assert_eq!(
            steps,
            [(Some(Rollout::Shadow), Rollout::Pilot, true), (Some(Rollout::Pilot), Rollout::Shadow, false)]
        );
    }

    #[test]
    fn what_the_journal_no_longer_has_is_not_made_up() {
        let mut replay = Replay { partial: true, ..Replay::default() };
        switch(&mut replay, Rollout::Pilot, false);
        switch(&mut replay, Rollout::Production, false);
        assert_eq!((replay.switches[0].from, replay.switches[0].figures.as_ref()), (None, None));
        assert_eq!(replay.switches[1].from.map(|mode| mode.rollout), Some(Rollout::Pilot));
    }
}
