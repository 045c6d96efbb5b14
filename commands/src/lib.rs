//! What a person or a program can ask for. Verbs, the supervisor loop that joins the state with the worktrees, and how
//! answers are printed. Draws no dashboard, decides no rule, and touches git and processes only through `worktrees`.

pub mod attach;
pub mod cli;
pub mod config;
pub mod context;
mod details;
pub mod dispatch;
pub mod duration;
pub mod engine;
pub mod error;
pub mod live;
pub mod logging;
mod multiplexer;
pub mod output;
mod panes;
mod person;
pub mod picture;
mod program;
mod shipped;
pub mod supervisor;
pub mod table;
pub mod verbs;
mod viewer;

/// The main function of a run's host: executes the run of this directory.
#[must_use]
pub fn host(run_dir: &std::path::Path) -> std::process::ExitCode {
    pipeline_worktrees::host::main(run_dir)
}

/// The main function of what stands in for a confined command: confines itself as a run says, and becomes the command or
/// stays with it. The words say how.
#[must_use]
pub fn confined(words: &[std::ffi::OsString]) -> std::process::ExitCode {
    pipeline_worktrees::host::confined_main(words)
}

/// Hides this process's memory and environment from the user's other programs, agents among them: both may hold secrets. A
/// host is not hidden: what it starts has the same values, and while that begins it has to be found by its environment.
///
/// # Errors
/// When the kernel refuses.
pub fn hide() -> std::io::Result<()> {
    pipeline_worktrees::process::hide()
}

/// Stops this process group as Ctrl-Z does at a shell. Returns when it goes on.
///
/// # Errors
/// When the system refuses.
pub fn suspend() -> std::io::Result<()> {
    rustix::process::kill_current_process_group(rustix::process::Signal::TSTP).map_err(std::io::Error::from)
}
