//! What a person sees of `pipeline` in a terminal. The verbs themselves are in `commands`; nothing here decides anything.

pub mod attach;
pub mod dashboard;
pub mod interactive;
