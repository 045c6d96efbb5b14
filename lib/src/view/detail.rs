//! What a page of the dashboard shows beyond the picture that is always there: made only while somebody looks at it.

pub mod estimate;
pub mod flow;
pub mod graph;
pub mod history;
pub mod logs;
pub mod metrics;
pub mod task;
pub mod timeline;

use std::sync::Arc;

use crate::decide::Start;
use crate::ids::TaskId;
use crate::mode::Mode;
use crate::view::standing::Standing;

/// What somebody looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Look {
    /// Nothing beyond the picture.
    #[default]
    Picture,
    /// All about one task.
    Task(task::TaskLook),
    /// Which task waits for which, around this one where there are many.
    Graph(Option<TaskId>),
    /// Which agent did what when.
    Timeline,
    /// What starts by itself, chains under way, and categories.
    Schedules,
    /// Figures over time.
    Metrics,
    /// What the supervisor wrote about itself.
    Logs,
    /// What another mode would start.
    Plan(Mode),
}

/// What there is to see. Each carries enough to draw it and no more.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Detail {
    /// Nothing was looked at, or it is still being gathered.
    #[default]
    Nothing,
    /// All about one task.
    Task(Arc<task::TaskDetail>),
    /// There is no such task (any more).
    NoTask(TaskId),
    /// Which task waits for which.
    Graph(Arc<graph::Graph>),
    /// Which agent did what when.
    Timeline(Arc<timeline::Timeline>),
    /// What starts by itself, chains under way, and categories.
    Schedules(Arc<Standing>),
    /// Figures over time.
    Metrics(Arc<metrics::Figures>),
    /// What the supervisor wrote about itself.
    Logs(Arc<logs::Logs>),
    /// What this mode would start at once.
    Plan(Mode, Arc<Vec<Start>>),
}
