//! The questions before something stops or is given up: each says what is kept.

use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::Tone;

use super::hand_over;
use super::model::{Confirm, Model, Overlay};
use super::update::{toast, words};

/// What a question can be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// An agent and the task that it serves.
    Agent(AgentName),
    /// A task that has not ended.
    Task(TaskId),
    /// Just the status of a task.
    Status(TaskId),
    /// The mode.
    Mode,
}

/// What a question is about, as it was when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    what: What,
    seen: String,
}

/// Notes how something is now.
pub(super) fn about(model: &Model, what: What) -> Subject {
    let seen = seen(model, &what);
    Subject { what, seen }
}

/// As much of something as a question about it depends on.
fn seen(model: &Model, what: &What) -> String {
    match what {
        What::Agent(name) => {
            let row = model.screen.agents.iter().find(|row| row.name == *name);
            let stopped = |status| status == AgentStatus::Stopped;
            row.map_or_else(String::new, |row| {
                format!("{:?} {:?} {} {}", row.task, row.stage, stopped(row.status), row.stopping.is_some())
            })
        }
        What::Task(task) => hand_over::role_of(model, task).is_some().to_string(),
        What::Status(task) => hand_over::status_of(model, task).unwrap_or_default().to_owned(),
        What::Mode => format!("{:?} {:?}", model.screen.mode, model.screen.pending_mode),
    }
}

/// Takes a question back whose subject is no longer as it was.
pub(super) fn check(model: &mut Model) {
    let Some(Overlay::Confirm(confirm)) = &model.overlay else { return };
    let subject = &confirm.about;
    if seen(model, &subject.what) == subject.seen {
        return;
    }
    let what = match &subject.what {
        What::Agent(name) => name.to_string(),
        What::Task(task) | What::Status(task) => task.to_string(),
        What::Mode => "the mode".to_owned(),
    };
    model.overlay = None;
    toast(model, format!("{what} has changed meanwhile; nothing was done"), Tone::Attention);
}

/// Before an agent is stopped; for one that is stopped already, before it is started again.
pub(super) fn stop_or_start(model: &mut Model) {
    let agent = model.target_agent();
    let row = agent.and_then(|name| model.screen.agents.iter().find(|row| row.name == name));
    let Some(row) = row else {
        return toast(model, "no agent works on it".to_owned(), Tone::Attention);
    };
    let name = &row.name;
    if row.stopping.is_some() {
        return toast(model, format!("{name} is being stopped"), Tone::Attention);
    }
    let about = about(model, What::Agent(name.clone()));
    let confirm = if row.status == AgentStatus::Stopped {
        Confirm {
            question: format!("Start {name} again?"),
            lines: vec!["It was stopped by a person and takes work again.".to_owned()],
            yes: "start",
            argv: words(&["agent", "start", name.as_str()]),
            other: None,
            about,
        }
    } else {
        let work = row.task.as_ref().map(|task| {
            let stage = row.stage.as_deref().unwrap_or("its stage");
            format!("Kept: its work is committed to the branch of {task}, which can start {stage} again.")
        });
        Confirm {
            question: format!("Stop {name}?"),
            lines: vec![
                work.unwrap_or_else(|| "It has no live run; nothing is lost.".to_owned()),
                "No attempt is counted. It stays stopped until x starts it again.".to_owned(),
            ],
            yes: "stop",
            argv: words(&["agent", "stop", name.as_str()]),
            other: None,
            about,
        }
    };
    model.overlay = Some(Overlay::Confirm(confirm));
}

/// Before a task is given up.
pub(super) fn cancel(model: &Model, task: &TaskId) -> Confirm {
    Confirm {
        question: format!("Cancel {task}?"),
        lines: vec![
            "A live run is stopped; tasks that depend on it do not start.".to_owned(),
            "Kept: its branch with all committed work. R takes it up again.".to_owned(),
        ],
        yes: "cancel the task",
        argv: words(&["task", "cancel", task.as_str()]),
        other: None,
        about: about(model, What::Task(task.clone())),
    }
}
