//! Handing a task to another agent, and taking one out until a person wants it again. Pure, as `update.rs`; how the menu
//! looks is in the view.

use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::view::screen::{AgentRow, Card, Tone};

use super::message::{Intent, Key};
use super::model::{Confirm, Input, Model, Overlay, Purpose};
use super::pages;
use super::questions::{self, What};
use super::update::{toast, words};

fn card<'a>(model: &'a Model, task: &TaskId) -> Option<&'a Card> {
    model.screen.columns.iter().flat_map(|column| &column.cards).find(|card| card.id == *task)
}

/// The role that a task needs now; none once it has ended, or where it is not in sight.
pub(super) fn role_of<'a>(model: &'a Model, task: &TaskId) -> Option<&'a str> {
    let on_page = || pages::task::detail(model).filter(|detail| detail.id == *task)?.role.as_deref();
    card(model, task).map_or_else(on_page, |card| card.role.as_deref())
}

pub(super) fn status_of<'a>(model: &'a Model, task: &TaskId) -> Option<&'a str> {
    let on_page = || Some(pages::task::detail(model).filter(|detail| detail.id == *task)?.status.as_str());
    card(model, task).map_or_else(on_page, |card| Some(card.status.as_str()))
}

/// Which answer of a person a task waits for: `approval`, `proposal`, `review` or `decision`; none where it waits for none.
pub(super) fn awaited(model: &Model, task: &TaskId) -> Option<&'static str> {
    let mut kinds = model.screen.attention.iter().filter(|item| item.task.as_ref() == Some(task)).map(|item| item.kind);
    kinds.find(|kind| matches!(*kind, "approval" | "proposal" | "review" | "decision"))
}

/// Which answer of a person a task waits for, if it waits for one; else that is said.
pub(super) fn awaited_or_toast(model: &mut Model, task: &TaskId) -> Option<&'static str> {
    let awaited = awaited(model, task);
    if awaited.is_none() {
        let kind = model.screen.attention.iter().find(|item| item.task.as_ref() == Some(task)).map(|item| item.kind);
        let but = kind.map(|kind| format!(": {}", kind.replace('_', " "))).unwrap_or_default();
        toast(model, format!("{task} does not wait for approval{but}"), Tone::Attention);
    }
    awaited
}

/// Whether a retry is what a task needs: it has come to an end without being done.
pub(super) fn can_be_retried(model: &Model, task: &TaskId) -> bool {
    matches!(status_of(model, task), Some("blocked" | "failed" | "cancelled"))
}

/// The agents that a task can be handed to now.
pub(super) fn agents_for<'a>(model: &'a Model, task: &TaskId) -> Vec<&'a AgentRow> {
    let role = role_of(model, task);
    model.screen.agents.iter().filter(|row| Some(row.role.as_str()) == role).collect()
}

/// Opens the choice of another agent, or the line for the reason of a block.
pub(super) fn ask(model: &mut Model, task: TaskId, block: bool) {
    let Some(role) = role_of(model, &task).map(str::to_owned) else {
        let what = if block { "there is nothing to block" } else { "nobody has it" };
        return toast(model, format!("{task} has ended: {what}"), Tone::Attention);
    };
    if block {
        if status_of(model, &task) == Some("blocked") {
            return toast(model, format!("{task} is blocked already; R takes it up again"), Tone::Attention);
        }
        model.overlay = Some(Overlay::Input(Input::new(Purpose::Block(task))));
        return;
    }
    let fit = agents_for(model, &task);
    if fit.is_empty() {
        return toast(model, format!("no agent has the role {role} that {task} needs now"), Tone::Attention);
    }
    let row = fit.iter().position(|row| row.task.as_ref() != Some(&task)).unwrap_or(0);
    model.overlay = Some(Overlay::AgentMenu(task, row));
}

/// Gives a key to the menu, which was taken out of the model and is put back unless it is done.
pub(super) fn choose(model: &mut Model, task: TaskId, row: usize, key: Key) -> Vec<Intent> {
    // The picture may have changed under the menu.
    let fit: Vec<AgentName> = agents_for(model, &task).iter().map(|row| row.name.clone()).collect();
    let Some(last) = fit.len().checked_sub(1) else { return Vec::new() };
    let row = match key.to_string().as_str() {
        "j" | "<down>" => row + 1,
        "k" | "<up>" => row.saturating_sub(1),
        "g" | "<home>" => 0,
        "G" | "<end>" => last,
        "q" => return Vec::new(),
        "<enter>" => return fit.get(row.min(last)).map_or_else(Vec::new, |agent| hand_to(model, &task, agent)),
        typed => typed.parse::<usize>().ok().filter(|n| (1..=fit.len()).contains(n)).map_or(row, |n| n - 1),
    };
    model.overlay = Some(Overlay::AgentMenu(task, row.min(last)));
    Vec::new()
}

/// Hands a task to an agent; asks first where that stops a live run.
fn hand_to(model: &mut Model, task: &TaskId, agent: &AgentName) -> Vec<Intent> {
    let argv = words(&["task", "reassign", task.as_str(), agent.as_str()]);
    let at_work = model.screen.agents.iter().find(|row| row.task.as_ref() == Some(task) && row.stage.is_some());
    match at_work.map(|row| row.name.clone()) {
        Some(present) if present == *agent => {
            toast(model, format!("{agent} has {task} already"), Tone::Good);
            Vec::new()
        }
        Some(present) => {
            model.overlay = Some(Overlay::Confirm(Confirm {
                question: format!("Take {task} from {present} and give it to {agent}?"),
                lines: vec![
                    format!("The live run of {present} is stopped; no attempt is counted."),
                    "Kept: its work is committed to the branch of the task.".to_owned(),
                ],
                yes: "hand it over",
                argv,
                other: None,
                about: questions::about(model, What::Agent(present)),
            }));
            Vec::new()
        }
        None => vec![Intent::Verb(argv)],
    }
}
