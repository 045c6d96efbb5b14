//! End-to-end tests: everything through the binary, in sandboxes, with scripted agents and real git.

mod agents;
mod bad_input;
mod crash;
mod done;
mod failure;
mod hybrid;
mod json;
mod lab;
mod merge;
mod modes;
mod sequential;
mod setup;
mod shadow;
mod support;
mod tasks;
mod tick;
mod tidy;
mod waiting;
