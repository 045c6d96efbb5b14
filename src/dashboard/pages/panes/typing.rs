//! Keys that go to an agent, and those behind the prefix. What is typed reaches the session that was chosen, or nobody.

use crossterm::event::KeyCode;
use pipeline_commands::live::PaneRequest;
use pipeline_lib::terminal;
use pipeline_lib::view::pane::Pane;
use pipeline_lib::view::screen::{AgentRow, Tone};

use super::{Side, Typing, lay_out, scroll, select, selected, step, takes_keys, turn, zoom};
use crate::dashboard::keys::Action;
use crate::dashboard::message::{Intent, Key};
use crate::dashboard::model::{Model, Overlay, Page};
use crate::dashboard::update::{go, toast};

/// Keys go to the selected agent from here on, if it takes any.
pub(super) fn begin(model: &mut Model) {
    match target(model) {
        Ok(typing) => {
            model.panes.scrolled.remove(&typing.agent);
            model.panes.typing = Some(typing);
        }
        Err(why) => {
            model.panes.typing = None;
            toast(model, why, Tone::Attention);
        }
    }
}

/// Who would be typed into, or why nobody can be.
fn target(model: &Model) -> Result<Typing, String> {
    let Some((_, row)) = model.agent() else { return Err("there is no agent to type into".to_owned()) };
    let (name, run) = (&row.name, row.run.as_ref());
    // A picture that is still on its way says nothing against it.
    let session = run.is_some_and(|run| run.live && run.interactive);
    if picture(model, row).map_or(session, takes_keys) {
        return Ok(Typing { agent: name.clone(), run: run.map(|run| run.id.clone()) });
    }
    Err(match run {
        Some(run) if run.live && run.interactive => format!("the terminal of {name} cannot be reached"),
        Some(run) if run.live => format!("{name} is headless; with mode = \"interactive\" it takes keys"),
        Some(_) => format!("{name} has no live run; only a live session takes keys"),
        None => format!("{name} has no run yet; only a live session takes keys"),
    })
}

/// What is shown of an agent's present run. A picture of the run before, or of none, says nothing of this one.
fn picture<'a>(model: &'a Model, row: &AgentRow) -> Option<&'a Pane> {
    let run = row.run.as_ref().map(|run| &run.id);
    model.shown.get(&row.name).filter(|pane| pane.run.as_ref() == run)
}

/// Ends the typing where what was typed into is over.
pub(super) fn check(model: &mut Model) {
    let Some(typing) = &model.panes.typing else { return };
    let row = model.screen.agents.iter().find(|row| row.name == typing.agent);
    let run = row.and_then(|row| row.run.as_ref()).map(|run| run.id.clone());
    let chosen = selected(model).as_ref() == Some(&typing.agent);
    let pane = row.and_then(|row| picture(model, row));
    if chosen && run == typing.run && pane.is_none_or(takes_keys) {
        return;
    }
    let words = format!("the session of {} is over, nothing more is typed into it", typing.agent);
    model.panes.typing = None;
    toast(model, words, Tone::Attention);
}

/// A key while an agent is typed into.
pub(super) fn typed(model: &mut Model, key: Key) -> Vec<Intent> {
    if key.ctrl && key.code == KeyCode::Char('q') {
        model.panes.typing = None;
        return Vec::new();
    }
    if is_prefix(model, key) {
        model.panes.prefix = true;
        return Vec::new();
    }
    send(model, key)
}

fn send(model: &mut Model, key: Key) -> Vec<Intent> {
    check(model);
    let Some(typing) = &model.panes.typing else { return Vec::new() };
    let agent = typing.agent.clone();
    model.panes.scrolled.remove(&agent);
    let key = key.for_terminal().map(|key| PaneRequest::Input(terminal::Input::Key(key)));
    key.map(|key| Intent::Pane(agent, key)).into_iter().collect()
}

/// Text that is pasted while an agent is typed into.
pub(super) fn pasted(model: &mut Model, text: &str) -> Vec<Intent> {
    check(model);
    let Some(typing) = &model.panes.typing else { return Vec::new() };
    let agent = typing.agent.clone();
    model.panes.scrolled.remove(&agent);
    let input = terminal::Input::Paste { text: text.to_owned(), submit: false };
    vec![Intent::Pane(agent, PaneRequest::Input(input))]
}

/// Whether a key is the prefix while typing, where one that types a character never is.
fn is_prefix(model: &Model, key: Key) -> bool {
    key.typed().is_none() && model.keys.action(model.place(), key) == Some(Action::Prefix)
}

/// The key behind the prefix.
pub(super) fn behind_prefix(model: &mut Model, key: Key) -> Vec<Intent> {
    model.panes.prefix = false;
    let typing = model.panes.typing.is_some();
    if model.keys.action(model.place(), key) == Some(Action::Prefix) {
        if typing {
            return send(model, key);
        }
        toast(model, "nobody is typed into; i begins to".to_owned(), Tone::Attention);
        return Vec::new();
    }
    let name = key.to_string();
    // On another page the prefix leads to the panes; what means nothing there leads nowhere.
    let leads = |name: &str| !matches!(name, "d" | "?" | "<esc>") && (is_pane_key(name) || name.parse::<u8>().is_ok());
    if model.page != Page::Panes && leads(&name) {
        drop(go(model, Page::Panes));
    }
    match name.as_str() {
        "d" if typing => model.panes.typing = None,
        "d" => drop(go(model, Page::Overview)),
        "<up>" | "k" => step(model, Side::Up),
        "<down>" | "j" => step(model, Side::Down),
        "<left>" | "h" => step(model, Side::Left),
        "<right>" | "l" => step(model, Side::Right),
        "o" | "n" | "<tab>" => turn(model, true),
        "p" | ";" | "<s-tab>" => turn(model, false),
        "z" => zoom(model),
        "<space>" => lay_out(model),
        "[" => scroll::begin(model),
        "<pageup>" => scroll::back(model),
        "?" => model.overlay = Some(Overlay::Help(0)),
        "<esc>" => {}
        other => match other.parse::<usize>().ok().and_then(|number| number.checked_sub(1)) {
            Some(at) if at < model.screen.agents.len() => select(model, at),
            _ => toast(model, format!("{other} behind the prefix means nothing; ? shows the keys"), Tone::Attention),
        },
    }
    Vec::new()
}

/// Whether a key behind the prefix is about the panes.
fn is_pane_key(name: &str) -> bool {
    const KEYS: [&str; 17] = [
        "<up>", "k", "<down>", "j", "<left>", "h", "<right>", "l", "o", "n", "<tab>", "p", ";", "<s-tab>", "z",
        "<space>", "[",
    ];
    KEYS.contains(&name) || name == "<pageup>"
}
