//! End-to-end tests: everything through the binary, in sandboxes, with scripted agents and real git.

mod failure;
mod hybrid;
mod merge;
mod sequential;
mod support;
mod tick;
