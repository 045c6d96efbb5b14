//! The pages besides the overview: how a person looks at each, and what keys do there. Pure, as `update.rs`. What they look
//! like is in the view; what they show comes with the picture.

pub(super) mod graph;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod panes;
pub(super) mod task;
pub(super) mod timeline;
