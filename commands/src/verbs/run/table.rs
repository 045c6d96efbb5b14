//! The figures of a run: what was done how often, and how it came. Pure.

use pipeline_lib::ids::{StageId, TaskId};
use pipeline_lib::workflow::CONFLICT;

use super::story::{Came, Entry};

/// The figures of a run, each piece of work counted once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Total {
    pub(super) run: usize,
    pub(super) skipped: usize,
    pub(super) repeated: usize,
    pub(super) failed: usize,
    pub(super) seconds: f64,
}

/// One stage of the summary, of one task.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) label: String,
    task: TaskId,
    stage: StageId,
    pub(super) run: usize,
    pub(super) skipped: usize,
    pub(super) seconds: f64,
    pub(super) last: String,
}

/// Whether something is a piece of work of its own. A stage that was done by tasks of their own is counted by what they
/// did, unless it is what they came to that failed.
pub(super) fn is_counted(entry: &Entry) -> bool {
    match entry.came {
        Came::Void => false,
        Came::Failed => entry.work != "parts" || entry.decision.as_deref() == Some(CONFLICT),
        Came::Passed | Came::Skipped => entry.work != "parts",
    }
}

/// Stages in the order in which they were first reached. What the same task did again is repeated, however it came.
pub(super) fn table(entries: &[Entry]) -> (Vec<Row>, Total) {
    let mut rows: Vec<Row> = Vec::new();
    let mut total = Total::default();
    for entry in entries.iter().filter(|entry| is_counted(entry)) {
        let found = rows.iter().position(|row| row.task == entry.task && row.stage == entry.stage);
        let index = found.unwrap_or_else(|| {
            let (label, task, stage) = (entry.label.clone(), entry.task.clone(), entry.stage.clone());
            rows.push(Row { label, task, stage, run: 0, skipped: 0, seconds: 0.0, last: String::new() });
            rows.len() - 1
        });
        let Some(row) = rows.get_mut(index) else { continue };
        total.failed += usize::from(entry.came == Came::Failed);
        // A gate is part of the stage that it checks: it fails it, and is not counted beside it.
        if entry.work == "gate" {
            if entry.came == Came::Failed {
                entry.came.word().clone_into(&mut row.last);
            }
            continue;
        }
        match entry.came {
            Came::Skipped => {
                row.skipped += 1;
                total.skipped += 1;
            }
            Came::Passed | Came::Failed | Came::Void => {
                total.repeated += usize::from(row.run > 0);
                row.run += 1;
                total.run += 1;
            }
        }
        row.seconds += entry.seconds;
        row.last = entry.decision.clone().unwrap_or_else(|| entry.came.word().to_owned());
    }
    (rows, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(task: &str, label: &str, work: &str, came: Came, decision: Option<&str>) -> Entry {
        let stage = label.rsplit('.').next().unwrap_or(label);
        Entry {
            label: label.to_owned(),
            task: TaskId::new(task).unwrap(),
            stage: StageId::new(stage).unwrap(),
            run: None,
            work: work.to_owned(),
            attempt: 1,
            came,
            decision: decision.map(str::to_owned),
            seconds: 1.0,
            why: String::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// The label, how often it ran, and what came last, of each row; and what ran, was repeated and failed.
    fn told(entries: &[Entry]) -> (Vec<String>, [usize; 3]) {
        let (rows, total) = table(entries);
        let rows = rows.iter().map(|row| format!("{} {} {}", row.label, row.run, row.last)).collect();
        (rows, [total.run, total.repeated, total.failed])
    }

    #[test]
    fn a_stage_that_is_done_in_parts_is_counted_by_what_ran() {
        let inner = entry("T.test", "test.test", "command", Came::Passed, Some("success"));
        let whole = entry("T", "test", "parts", Came::Passed, Some("success"));
        assert_eq!(told(&[inner.clone(), whole]), (vec!["test.test 1 success".to_owned()], [1, 0, 0]));
        let clash = entry("T", "test", "parts", Came::Failed, Some("conflict"));
        assert_eq!(told(&[inner, clash]).1, [2, 0, 1], "that nobody else has failed at");
    }

    #[test]
    fn a_repeat_is_the_same_stage_of_the_same_task() {
        let one = |task: &str| entry(task, "s", "command", Came::Passed, Some("success"));
        assert_eq!(told(&[one("T.s"), one("T.s-2")]).1, [2, 0, 0]);
        assert_eq!(told(&[one("T.s"), one("T.s")]), (vec!["s 2 success".to_owned()], [2, 1, 0]));
    }

    #[test]
    fn a_gate_fails_the_stage_that_it_checks() {
        let work = entry("T", "c", "command", Came::Passed, Some("success"));
        let gate = |came| entry("T", "c", "gate", came, None);
        assert_eq!(told(&[work.clone(), gate(Came::Failed)]), (vec!["c 1 failed".to_owned()], [1, 0, 1]));
        assert_eq!(told(&[work.clone(), gate(Came::Passed)]), (vec!["c 1 success".to_owned()], [1, 0, 0]));
        let again = [work.clone(), gate(Came::Failed), work, gate(Came::Passed)];
        assert_eq!(told(&again), (vec!["c 2 success".to_owned()], [2, 1, 1]));
    }
}
