//! What is known about the agent programs of others: how each is started, and what its output says.
//!
//! All of it is data and reading. Starting programs, keeping their output and acting on their limits happens elsewhere.

mod aider;
mod errors;
pub mod meter;
pub mod needs;
mod outage;
pub mod preset;
pub mod reading;
pub mod reset;
pub mod stream;
pub mod template;
mod text_stream;
pub mod transcript;

pub use errors::failure_in_errors;
pub use preset::{Preset, PresetInfo};
pub use stream::{Activity, Failure, Format, Summary, Tokens, summarize};
pub use template::{TemplateError, Vars, expand};

#[cfg(test)]
mod tried_tests;
