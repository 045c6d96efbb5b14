//! Gathers all about one task. What the pipeline knows is there at once; its events and what it changes are read on
//! threads of their own, and the page says so until they are there.

mod compare;
mod history;
mod job;
mod output;

use std::sync::Arc;

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::task::{Changes, History, Part, TaskDetail, TaskLook};

use super::Wake;
use crate::context::Context;
use crate::engine::Engine;
use job::Job;

/// What is kept of a task between two looks.
#[derive(Debug)]
pub(super) struct Task {
    wake: Wake,
    compare: Option<Job<compare::Ask, compare::Answer>>,
    read: Option<Job<history::Ask, history::Answer>>,
    changes: Option<(TaskId, Changes)>,
    history: Option<(TaskId, History)>,
    output: output::Reader,
    /// What was gathered last, so that the same is not made anew.
    last: Option<Arc<TaskDetail>>,
}

impl Task {
    pub(super) fn new(wake: Wake) -> Self {
        Self {
            wake,
            compare: None,
            read: None,
            changes: None,
            history: None,
            output: output::Reader::default(),
            last: None,
        }
    }

    /// What there is to see.
    pub(super) fn gather(&mut self, context: &Context, engine: &Engine, look: &TaskLook) -> Detail {
        let pipeline = engine.pipeline();
        let Some(task) = pipeline.task(look.task.as_str()) else { return Detail::NoTask(look.task.clone()) };
        let mut detail = TaskDetail::of(pipeline, task);
        detail.changes = self.changes(context, &detail);
        match look.part {
            Part::About | Part::Flow | Part::Diff | Part::Runs | Part::Checks => {}
            Part::History => detail.history = self.history(context, &detail.id, pipeline.core.seq),
            Part::Logs => {
                let run = detail.run_shown(look.run.as_ref());
                detail.output = run.map(|run| self.output.read(&context.run_dir(&run.id), run));
            }
        }
        match &self.last {
            Some(last) if **last == detail => Detail::Task(Arc::clone(last)),
            _ => {
                let detail = Arc::new(detail);
                self.last = Some(Arc::clone(&detail));
                Detail::Task(detail)
            }
        }
    }

    /// What the task changes, as far as that is known. Asked for with every picture, because only the one who compares
    /// looks whether the branch has moved.
    fn changes(&mut self, context: &Context, detail: &TaskDetail) -> Changes {
        if self.compare.is_none() {
            let root = context.root().to_owned();
            self.compare = Job::start("compare", &self.wake, compare::worker(root)).ok();
        }
        let Some(job) = &self.compare else { return Changes::Failed("the system gives no thread".to_owned()) };
        let ask = compare::Ask {
            task: detail.id.clone(),
            branch: detail.branch.clone(),
            base: detail.base.clone(),
            merged: detail.merged.clone(),
        };
        if !job.ask(ask) {
            self.compare = None;
            return Changes::Failed("the comparison ended in the middle; it is tried again".to_owned());
        }
        while let Some(compare::Answer { task, changes }) = job.answered() {
            let before = self.changes.take().filter(|(of, _)| *of == task).map(|(_, before)| before);
            self.changes = Some((task, followed(before, changes)));
        }
        self.changes.as_ref().filter(|(of, _)| *of == detail.id).map(|(_, known)| known.clone()).unwrap_or_default()
    }

    fn history(&mut self, context: &Context, task: &TaskId, seq: u64) -> Option<History> {
        if self.read.is_none() {
            self.read = Job::start("history", &self.wake, history::worker(context.state_dir())).ok();
        }
        let job = self.read.as_ref()?;
        if !job.ask(history::Ask { task: task.clone(), seq }) {
            self.read = None;
            return None;
        }
        while let Some(history::Answer { task, history }) = job.answered() {
            self.history = Some((task, history));
        }
        self.history.as_ref().filter(|(of, _)| of == task).map(|(_, history)| history.clone())
    }
}

/// While something is compared again, what was known before stays in sight.
fn followed(before: Option<Changes>, now: Changes) -> Changes {
    match (before, now) {
        (Some(Changes::Known { diff, merged, .. }), Changes::Underway) => Changes::Known { diff, merged, stale: true },
        (_, now) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::diff::Diff;
    use pipeline_lib::ids::CommitId;

    #[test]
    fn what_was_known_stays_in_sight_until_it_is_compared_again() {
        let none = || CommitId::from(String::new());
        let diff = Arc::new(Diff { from: none(), to: none(), files: Vec::new(), files_total: 0 });
        let known = |stale| Changes::Known { diff: Arc::clone(&diff), merged: false, stale };
        assert_eq!(followed(None, Changes::Underway), Changes::Underway);
        assert_eq!(followed(Some(Changes::NoBranch), Changes::Underway), Changes::Underway);
        assert_eq!(followed(Some(known(false)), Changes::Underway), known(true));
        assert_eq!(followed(Some(known(true)), known(false)), known(false));
        assert_eq!(followed(Some(known(true)), Changes::NoBranch), Changes::NoBranch);
    }
}
