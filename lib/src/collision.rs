//! Collisions: two tasks in flight whose branches will not both merge onto base, or one whose branch no longer merges onto
//! it. That is tried out in memory before any of them is merged; here is what is known of it, and what follows.
//!
//! * Nobody waits because of it: of equally urgent ready tasks, one that gives way to another is started last. It does so
//!   again with each stage, as long as the other one goes first. With time it becomes more urgent than those that came
//!   later, so that it is not put off for ever.
//! * Of two that collide, the one goes first whose merge has begun, else the more urgent, else the older. One that waits for
//!   a person is given way to by nobody.
//! * Once the first is merged, the other one collides with base. Its agent is then told at the beginning of its next stage
//!   to bring base in, and not only when its own merge comes to the decision `conflict`; a stage that has a connection for
//!   that decision leaves it to where that leads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::mode::Orchestration;
use crate::pipeline::Pipeline;
use crate::task::{Step, Task, TaskState};
use crate::workflow::{CONFLICT, Next};

/// So many files of a collision are remembered.
pub(crate) const FILES_MAX: usize = 20;
/// So many of them are named in one line.
const FILES_NAMED: usize = 3;

/// What was found when two merges were tried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The task.
    pub task: TaskId,
    /// The other one; none for base alone.
    pub with: Option<TaskId>,
    /// The files in conflict; none where both merge.
    pub files: Vec<String>,
}

/// A collision of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collision {
    /// With this task; none for base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<TaskId>,
    /// In these files, the first of them.
    pub files: Vec<String>,
}

/// All collisions that are known. Those of two tasks are kept with each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Collisions(BTreeMap<TaskId, Vec<Collision>>);

impl Collisions {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a task: with base first, then by name.
    #[must_use]
    pub fn of(&self, task: &TaskId) -> &[Collision] {
        self.0.get(task).map_or(&[], Vec::as_slice)
    }

    /// The files in which two collide; none where they do not.
    #[must_use]
    pub fn files(&self, task: &TaskId, with: Option<&TaskId>) -> Option<&[String]> {
        self.of(task).iter().find(|known| known.with.as_ref() == with).map(|known| known.files.as_slice())
    }

    /// Each of them once.
    pub fn all(&self) -> impl Iterator<Item = (&TaskId, Option<&TaskId>)> {
        let each = self.0.iter().flat_map(|(task, list)| list.iter().map(move |known| (task, known.with.as_ref())));
        each.filter(|(task, with)| with.is_none_or(|with| *task < with))
    }

    /// Takes over what became true; no files: they collide no longer.
    pub(crate) fn set(&mut self, task: &TaskId, with: Option<&TaskId>, files: Option<&[String]>) {
        self.set_one(task, with, files);
        if let Some(other) = with {
            self.set_one(other, Some(task), files);
        }
    }

    fn set_one(&mut self, task: &TaskId, with: Option<&TaskId>, files: Option<&[String]>) {
        let list = self.0.entry(task.clone()).or_default();
        list.retain(|known| known.with.as_ref() != with);
        if let Some(files) = files {
            list.push(Collision { with: with.cloned(), files: files.to_vec() });
            list.sort_by(|a, b| a.with.cmp(&b.with));
        }
        if list.is_empty() {
            self.0.remove(task);
        }
    }
}

impl Pipeline {
    /// The task that this one gives way to, where it waits to be started.
    #[must_use]
    pub fn gives_way_to(&self, task: &Task) -> Option<&Task> {
        let known = self.core.collisions.of(&task.id);
        let waits = matches!(task.state, TaskState::Ready { .. });
        if known.is_empty() || !waits || self.core.mode.orchestration == Orchestration::Sequential {
            return None;
        }
        let others = known.iter().filter_map(|known| self.task(known.with.as_ref()?.as_str()));
        others.filter(|other| goes_on(other)).find(|other| rank(other) < rank(task))
    }

    /// The same in words.
    #[must_use]
    pub fn gives_way_in_words(&self, task: &Task) -> Option<String> {
        let first = &self.gives_way_to(task)?.id;
        let files = self.core.collisions.files(&task.id, Some(first)).unwrap_or_default();
        Some(format!("gives way to {first}: they would collide in {}", named(files)))
    }

    /// What a task collides with, a line each.
    #[must_use]
    pub fn collisions_in_words(&self, task: &Task) -> Vec<String> {
        let words = |known: &Collision| match &known.with {
            Some(other) => format!("would collide with {other} in {}", named(&known.files)),
            None => format!("no longer merges into {}: {}", self.core.settings.base, named(&known.files)),
        };
        self.core.collisions.of(&task.id).iter().map(words).collect()
    }

    /// What the agent of a task's next stage is told, so that the merge will not come to a conflict; none where its branch
    /// merges, or where the decision `conflict` leads to somebody who sees to it.
    #[must_use]
    pub fn brings_base_in(&self, task: &Task) -> Option<String> {
        let files = self.core.collisions.files(&task.id, None)?;
        let stage = self.stage_of(task)?;
        let handled = self.workflow_of(task)?.next(&stage.id, CONFLICT);
        (handled == Next::Nowhere).then(|| conflict_advice(&self.core.settings.base, files))
    }
}

/// What an agent is told whose branch does not merge.
pub(crate) fn conflict_advice(base: &str, files: &[String]) -> String {
    let list = files.iter().map(|f| format!("- {f}")).collect::<Vec<_>>().join("\n");
    format!(
        "The branch no longer merges into {base}: these files conflict.\n{list}\n\
         Run `git merge {base}` here, resolve the conflicts, and commit."
    )
}

/// Whether a task moves on without a person.
fn goes_on(task: &Task) -> bool {
    match &task.state {
        TaskState::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. } => false,
        TaskState::Ready { .. }
        | TaskState::Working { .. }
        | TaskState::Waiting { .. }
        | TaskState::Verifying { .. } => task.in_flight(),
        TaskState::Unassigned
        | TaskState::Paused { .. }
        | TaskState::AwaitingApproval { .. }
        | TaskState::Blocked { .. }
        | TaskState::Failed
        | TaskState::Completed
        | TaskState::Cancelled
        | TaskState::RolledBack => false,
    }
}

/// Of two tasks that collide, the lower one goes first.
fn rank(task: &Task) -> (bool, u8, u64) {
    let merges = matches!(
        &task.state,
        TaskState::Verifying {
            step: Step::Merge | Step::Gate { onto: Some(_), .. } | Step::Advance { .. } | Step::TakeBack { .. },
            ..
        }
    );
    (!merges, task.priority, task.order)
}

/// The first of some files.
fn named(files: &[String]) -> String {
    let mut words = files.iter().take(FILES_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if files.len() > FILES_NAMED {
        words.push_str(&format!(" and {} more", files.len() - FILES_NAMED));
    }
    words
}
