//! The pages besides the overview: how a person looks at each, and what keys do there. Pure, as `update.rs`. What they look
//! like is in the view; what they show comes with the picture.

pub(super) mod graph;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod panes;
pub(super) mod schedules;
pub(super) mod task;
pub(super) mod timeline;

use super::model::Model;

/// A new picture has come: what it holds for a page stays in sight while something else is looked at over it.
pub(super) fn adopt(model: &mut Model) {
    panes::adopt(model);
    task::adopt(model);
    graph::adopt(model);
    timeline::adopt(model);
    schedules::adopt(model);
    metrics::adopt(model);
    logs::adopt(model);
}
