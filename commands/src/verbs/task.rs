//! `pipeline task`: the queue. Adding, changing, showing, and the words of a person about a task.

mod change;
mod graph;
mod import;
mod on_workflow;
mod rollback;
mod show;

use clap::{Args, Subcommand};

pub(crate) use change::params;
pub(crate) use on_workflow::{check as check_workflow, in_a_pack};

use crate::dispatch::Call;
use crate::error::Result;

/// The queue.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// What to do with the queue
    #[command(subcommand)]
    pub verb: TaskVerb,
}

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub enum TaskVerb {
    /// Add a task and print its id
    #[command(after_help = "Example: pipeline task add \"Parse durations\" --after TASK-001 --paths 'src/time/**'")]
    Add(change::Add),
    /// List tasks
    #[command(after_help = "Example: pipeline task list --status blocked")]
    List(show::List),
    /// Show one task: its history, runs and evidence
    #[command(after_help = "Example: pipeline task show TASK-001")]
    Show(show::Show),
    /// Change a task
    #[command(after_help = "Example: pipeline task edit TASK-001 --priority 1")]
    Edit(change::Edit),
    /// Let one agent do the present stage of a task
    #[command(after_help = "Example: pipeline task assign TASK-001 architect")]
    Assign(change::Assign),
    /// Leave the choice of the agent to the scheduler again
    #[command(after_help = "Example: pipeline task unassign TASK-001")]
    Unassign(change::One),
    /// Hand a task to another agent, stopping a live run
    #[command(after_help = "Example: pipeline task reassign TASK-001 architect2")]
    Reassign(change::Assign),
    /// Start a blocked or failed task again
    #[command(after_help = "Example: pipeline task retry TASK-001 --message \"use the new parser\"")]
    Retry(change::Message),
    /// Take a task out until it is unblocked
    #[command(after_help = "Example: pipeline task block TASK-001 --reason \"waiting for the API key\"")]
    Block(change::Reason),
    /// Put a blocked task back
    #[command(after_help = "Example: pipeline task unblock TASK-001")]
    Unblock(change::Many),
    /// Give a task up; its work stays on its branch
    #[command(after_help = "Example: pipeline task cancel TASK-001")]
    Cancel(change::Reason),
    /// Agree to what was claimed
    #[command(after_help = "Example: pipeline task approve TASK-001")]
    Approve(change::Approve),
    /// Send a stage back to its agent
    #[command(after_help = "Example: pipeline task reject TASK-001 --message \"the error text is wrong\"")]
    Reject(change::Message),
    /// Revert the merge of a completed task
    #[command(after_help = "Example: pipeline task rollback TASK-001")]
    Rollback(change::One),
    /// Add the tasks of a JSON file, all or none
    #[command(after_help = "Example: pipeline task import tasks.json")]
    Import(import::Import),
    /// Draw what depends on what
    #[command(after_help = "Example: pipeline task graph --mermaid")]
    Graph(graph::Graph),
}

/// Does what was asked of the queue.
///
/// # Errors
/// When a task does not exist, the request is not legal, or the state cannot be written.
pub fn run(call: &Call, args: TaskArgs) -> Result<u8> {
    match args.verb {
        TaskVerb::Add(args) => change::add(call, args),
        TaskVerb::List(args) => show::list(call, &args),
        TaskVerb::Show(args) => show::show(call, &args),
        TaskVerb::Edit(args) => change::edit(call, args),
        TaskVerb::Assign(args) => change::assign(call, &args, false),
        TaskVerb::Unassign(args) => change::unassign(call, &args),
        TaskVerb::Reassign(args) => change::assign(call, &args, true),
        TaskVerb::Retry(args) => change::retry(call, &args),
        TaskVerb::Block(args) => change::block(call, &args),
        TaskVerb::Unblock(args) => change::unblock(call, &args),
        TaskVerb::Cancel(args) => change::cancel(call, &args),
        TaskVerb::Approve(args) => change::approve(call, &args),
        TaskVerb::Reject(args) => change::reject(call, &args),
        TaskVerb::Rollback(args) => rollback::run(call, &args),
        TaskVerb::Import(args) => import::run(call, &args),
        TaskVerb::Graph(args) => graph::run(call, &args),
    }
}
