//! All about one task: where it stands and why, what was done, what was checked, and what changed.

use crate::ids::TaskId;

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    /// Its name.
    pub id: TaskId,
}
