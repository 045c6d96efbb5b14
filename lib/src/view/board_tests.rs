//! The board next to one that looks at every task. The world of the scheduler's tests compares the two after each step.

use super::{Board, tone};
use crate::decide::tests::world::*;
use crate::event::{NewTask, Request};
use crate::fact::TaskEdit;
use crate::pipeline::Pipeline;
use crate::task::Task;
use crate::view::screen::Tone;

/// A column: its title, how many tasks are in it, and the first ones.
type Sketch = (String, usize, Vec<String>);

/// Cards that are compared: few, so that most columns have more.
const CARDS: usize = 3;

/// Panics if a board that followed shows something else than the tasks do.
pub(crate) fn check(board: &mut Board, p: &Pipeline) {
    board.follow(p);
    assert_eq!(sketch(board, p), naive(p));
}

fn sketch(board: &Board, p: &Pipeline) -> Vec<Sketch> {
    let columns = board.columns(p, CARDS).into_iter();
    columns.map(|c| (c.title, c.total, c.cards.iter().map(|card| card.id.to_string()).collect())).collect()
}

fn naive(p: &Pipeline) -> Vec<Sketch> {
    let tasks = p.tasks.in_order();
    let mut stages: Vec<String> = Vec::new();
    let used = |id: &str| tasks.iter().any(|t| t.workflow.as_str() == id) || (tasks.is_empty() && id == "tdd");
    for stage in p.core.workflows.values().filter(|w| used(w.id.as_str())).flat_map(|w| &w.stages) {
        if !stages.iter().any(|known| known == stage.id.as_str()) {
            stages.push(stage.id.to_string());
        }
    }
    let at = |task: &Task| task.state.stage().map(ToString::to_string).filter(|stage| stages.contains(stage));
    let column = |title: &str, belongs: &dyn Fn(&Task) -> bool| {
        let mut all: Vec<&Task> = tasks.iter().copied().filter(|task| belongs(task)).collect();
        if title == "done" {
            all.sort_by_key(|t| std::cmp::Reverse((t.finished_at, t.order)));
        } else {
            all.sort_by_key(|t| (tone(p, t) != Tone::Active, t.priority, t.order));
        }
        (title.to_owned(), all.len(), all.iter().take(CARDS).map(|t| t.id.to_string()).collect())
    };
    let mut columns = vec![column("new", &|t| !t.state.is_final() && at(t).is_none())];
    for stage in &stages {
        columns.push(column(stage, &|t| !t.state.is_final() && at(t).as_ref() == Some(stage)));
    }
    columns.push(column("done", &|t| t.state.is_final()));
    columns
}

#[test]
fn tasks_stand_in_the_column_of_their_stage_the_active_first() {
    let mut w = World::new();
    let mut board = Board::default();
    w.add_all(&["A", "B"]);
    w.add(NewTask::named("C").priority(1));
    w.tick();
    board.follow(&w.p);
    let all = board.columns(&w.p, 60);
    let titles: Vec<&str> = all.iter().map(|column| column.title.as_str()).collect();
    assert_eq!(titles, ["new", "arch", "test", "impl", "super", "done"]);
    let (new, arch) = (&all[0], &all[1]);
    assert_eq!((new.total, arch.total), (2, 1), "{all:?}");
    assert_eq!((arch.cards[0].id.as_str(), arch.cards[0].tone), ("C", Tone::Active));
}

#[test]
fn a_board_follows_edits_archiving_and_a_pipeline_that_was_read_anew() {
    let mut w = World::workers(1, |s| s.scheduler.keep_finished = 0);
    let mut board = Board::default();
    w.add_all(&["A", "B", "C", "D"]);
    check(&mut board, &w.p);
    w.edit("C", TaskEdit { priority: Some(1), ..TaskEdit::default() }).unwrap();
    w.asked(Request::Cancel { task: task("A"), reason: None });
    check(&mut board, &w.p);
    w.tick();
    assert!(w.p.task("A").is_none());
    w.add_all(&["E"]);
    check(&mut board, &w.p);
    // Slots are dealt anew where a pipeline is loaded.
    let loaded: Pipeline = serde_json::from_slice(&serde_json::to_vec(&w.p).unwrap()).unwrap();
    check(&mut board, &loaded);
}
