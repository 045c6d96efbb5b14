//! End-to-end tests: everything through the binary, in sandboxes, with scripted agents and real git.

mod agents;
mod done;
mod failure;
mod hybrid;
mod merge;
mod modes;
mod sequential;
mod shadow;
mod support;
mod tick;
