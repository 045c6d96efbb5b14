//! The questions before something stops or is given up: each says what is kept.

use pipeline_lib::ids::TaskId;
use pipeline_lib::view::AgentStatus;
use pipeline_lib::view::screen::Tone;

use super::model::{Confirm, Model, Overlay};
use super::update::{toast, words};

/// Before an agent is stopped; for one that is stopped already, before it is started again.
pub(super) fn stop_or_start(model: &mut Model) {
    let agent = model.target_agent();
    let row = agent.and_then(|name| model.screen.agents.iter().find(|row| row.name == name));
    let Some(row) = row else {
        return toast(model, "no agent works on it".to_owned(), Tone::Attention);
    };
    let name = &row.name;
    let confirm = if row.status == AgentStatus::Stopped {
        Confirm {
            question: format!("Start {name} again?"),
            lines: vec!["It was stopped by a person and takes work again.".to_owned()],
            yes: "start",
            argv: words(&["agent", "start", name.as_str()]),
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
        }
    };
    model.overlay = Some(Overlay::Confirm(confirm));
}

/// Before a task is given up.
pub(super) fn cancel(task: &TaskId) -> Confirm {
    Confirm {
        question: format!("Cancel {task}?"),
        lines: vec![
            "A live run is stopped; tasks that depend on it do not start.".to_owned(),
            "Kept: its branch with all committed work. R takes it up again.".to_owned(),
        ],
        yes: "cancel the task",
        argv: words(&["task", "cancel", task.as_str()]),
    }
}
