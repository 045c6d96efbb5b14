//! What a message makes of the model, and what is asked for as a consequence. Pure: no clock, no terminal, no channel.
//! Keys of menus, questions and input lines are in `overlay.rs`.

use std::time::Duration;

use pipeline_lib::ids::TaskId;
use pipeline_lib::terminal::MouseAction;
use pipeline_lib::text;
use pipeline_lib::view::screen::Tone;

use super::answer;
use super::hand_over;
use super::keys::Action;
use super::message::{Intent, Key, Message, Mouse};
use super::model::{AttentionKey, Confirm, Focus, Input, Menu, Model, Note, Overlay, Page, Purpose, Toast};
use super::overlay;
use super::pages;
use super::palette;
use super::questions::{self, What};
use super::view;

/// How long good news stays.
const TOAST_SECONDS: u64 = 4;
/// How long it stays where there is something to do about it.
const WARNING_SECONDS: u64 = 8;

/// Applies a message.
pub(super) fn update(model: &mut Model, message: Message) -> Vec<Intent> {
    let is_tick = matches!(message, Message::Tick(_));
    let looked = (!is_tick).then(|| (place_of(model), model.toast.clone()));
    let mut intents = match message {
        Message::Key(key) => on_key(model, key),
        Message::Paste(text) => {
            if model.overlay.is_none()
                && let Some(intents) = pages::panes::paste(model, &text)
            {
                return intents;
            }
            overlay::paste(model, &text);
            Vec::new()
        }
        Message::Mouse(mouse) => on_mouse(model, mouse),
        Message::Resized(columns, rows) => {
            model.size = (columns, rows);
            Vec::new()
        }
        Message::Screen(screen) => {
            let known: Vec<_> = (0..model.screen.attention.len()).filter_map(|at| model.attention_key(at)).collect();
            model.adopt(screen);
            pages::adopt(model);
            questions::check(model);
            news(model, &known).into_iter().collect()
        }
        Message::Panes(panes) => {
            let before = std::mem::replace(&mut model.shown, panes);
            pages::panes::shown(model, &before);
            Vec::new()
        }
        Message::PaneAnswered { agent, ask, answer } => pages::panes::answered(model, &agent, &ask, answer),
        Message::Answered { argv, answer } => {
            answer::take(model, argv, answer);
            Vec::new()
        }
        Message::Highlighted(lit) => {
            pages::task::lit(model, lit);
            Vec::new()
        }
        Message::Tick(now) => {
            model.now = now;
            model.toast = model.toast.take().filter(|toast| toast.until > now);
            Vec::new()
        }
    };
    // What was said where the person was before is no news where they are now.
    if let Some((place, toast)) = looked
        && place != place_of(model)
        && toast == model.toast
    {
        model.toast = None;
    }
    for intent in &intents {
        if let Intent::Verb(argv) = intent {
            model.asked.push(argv.join(" "));
        }
    }
    // Time alone asks for nothing.
    if !is_tick {
        intents.extend(pages::task::light(model));
    }
    intents
}

/// The page, and what the keys do on it.
fn place_of(model: &Model) -> (Page, pages::panes::Mode) {
    (model.page, pages::panes::mode(model))
}

/// What waits now and did not before.
fn news(model: &Model, known: &[AttentionKey]) -> Option<Intent> {
    let list = &model.screen.attention;
    let is_new = |at: &usize| model.attention_key(*at).is_some_and(|key| !known.contains(&key));
    let new: Vec<usize> = (0..list.len()).filter(is_new).collect();
    let first = list.get(*new.first()?)?;
    let summary = text::one_line(&first.summary, answer::LINE_CHARS_MAX);
    let words = match new.len() {
        1 => summary,
        n => format!("{n} things wait for you; first: {summary}"),
    };
    Some(Intent::Notify(words))
}

fn on_key(model: &mut Model, key: Key) -> Vec<Intent> {
    if model.overlay.is_none()
        && let Some(intents) = pages::panes::capture(model, key)
    {
        return intents;
    }
    if model.overlay.is_none()
        && let Some(intents) = pages::task::search::capture(model, key)
    {
        return intents;
    }
    // These three mean the same whatever lies over the panels.
    match key.to_string().as_str() {
        "<c-c>" => return vec![Intent::Quit],
        "<c-z>" => return vec![Intent::Suspend],
        "<c-l>" => return vec![Intent::Redraw],
        _ => {}
    }
    if let Some(over) = model.overlay.take() {
        return overlay::on_key(model, over, key);
    }
    let Some(action) = model.keys.action(model.place(), key) else { return Vec::new() };
    let shifted = std::mem::take(&mut model.shifted);
    match action {
        Action::Quit => vec![Intent::Quit],
        Action::Suspend => vec![Intent::Suspend],
        Action::Redraw => vec![Intent::Redraw],
        Action::Open if model.page == Page::Overview => open(model),
        Action::Approve => approve(model, shifted),
        Action::Retry => {
            let task = model.target_task();
            about_task(model, task, |task| words(&["task", "retry", task.as_str()]), shifted)
        }
        Action::Reject => {
            if let Some(task) = task_or_toast(model)
                && hand_over::awaited_or_toast(model, &task).is_some()
            {
                model.overlay = Some(Overlay::Input(Input::new(Purpose::Reject(task))));
            }
            Vec::new()
        }
        Action::Stop => {
            questions::stop_or_start(model);
            Vec::new()
        }
        Action::Cancel => {
            if let Some(task) = task_or_toast(model) {
                model.overlay = Some(Overlay::Confirm(questions::cancel(model, &task)));
            }
            Vec::new()
        }
        Action::Reassign | Action::Block => {
            if let Some(task) = task_or_toast(model) {
                hand_over::ask(model, task, action == Action::Block);
            }
            Vec::new()
        }
        Action::Palette => {
            palette::open(model);
            Vec::new()
        }
        Action::Go(page) => go(model, page),
        Action::NextPage => go(model, model.page.turned(1)),
        Action::PreviousPage => go(model, model.page.turned(Page::ALL.len() - 1)),
        other if on_page(model, other) => act_on_page(model, other),
        other => {
            look(model, other, key);
            Vec::new()
        }
    }
}

/// Shows a page.
pub(super) fn go(model: &mut Model, page: Page) -> Vec<Intent> {
    if page == Page::Task && model.page != Page::Task {
        let last = model.reading.last.take();
        model.reading = pages::task::Looking { task: model.target_task(), last, ..Default::default() };
    }
    if page == Page::Panes && model.page != Page::Panes {
        pages::panes::enter(model);
    }
    model.page = page;
    Vec::new()
}

/// Whether an action is the page's own business. What changes which task or agent is chosen, and what opens something
/// over the page, is everybody's.
fn on_page(model: &Model, action: Action) -> bool {
    let panes = matches!(action, Action::Zoom | Action::Type | Action::Prefix | Action::Layout | Action::Scroll);
    let task = matches!(action, Action::Diff | Action::LinesLeft | Action::LinesRight);
    let moves = matches!(
        action,
        Action::Down
            | Action::Up
            | Action::Left
            | Action::Right
            | Action::First
            | Action::Last
            | Action::PageDown
            | Action::PageUp
            | Action::NextPanel
            | Action::PreviousPanel
            | Action::Open
            | Action::Filter
    );
    // These two filter by the common line of text.
    let filters = action == Action::Filter && matches!(model.page, Page::Graph | Page::Logs);
    panes || task || (moves && model.page != Page::Overview && !filters)
}

fn act_on_page(model: &mut Model, action: Action) -> Vec<Intent> {
    if matches!(action, Action::Zoom | Action::Type) && model.page != Page::Panes {
        drop(go(model, Page::Panes));
    }
    if action == Action::Prefix {
        return pages::panes::act(model, action);
    }
    if action == Action::Diff && model.page != Page::Task {
        drop(go(model, Page::Task));
    }
    match model.page {
        Page::Overview => Vec::new(),
        Page::Panes => pages::panes::act(model, action),
        Page::Task => pages::task::act(model, action),
        Page::Graph => pages::graph::act(model, action),
        Page::Timeline => pages::timeline::act(model, action),
        Page::Schedules => pages::schedules::act(model, action),
        Page::Metrics => pages::metrics::act(model, action),
        Page::Logs => pages::logs::act(model, action),
    }
}

/// The actions that change only what the user looks at.
fn look(model: &mut Model, action: Action, key: Key) {
    match action {
        Action::Down => step(model, 1),
        Action::Up => step(model, -1),
        Action::First => step(model, isize::MIN),
        Action::Last => step(model, isize::MAX),
        Action::Left => turn_column(model, false),
        Action::Right => turn_column(model, true),
        Action::NextPanel => model.focus = model.focus.turned(1),
        Action::PreviousPanel => model.focus = model.focus.turned(Focus::ALL.len() - 1),
        Action::Agent => {
            let number = key.typed().and_then(|c| c.to_digit(10)).unwrap_or(0) as usize;
            if let Some(row) = number.checked_sub(1).and_then(|at| model.screen.agents.get(at)) {
                model.agent = Some(row.name.clone());
                // The timeline has a row for each agent; elsewhere it is on the overview.
                if model.page != Page::Timeline {
                    model.page = Page::Overview;
                    model.focus = Focus::Agents;
                }
            }
        }
        Action::Close => {
            model.filter.clear();
            model.toast = None;
            model.page = Page::Overview;
        }
        Action::NextAttention => next_attention(model),
        Action::Filter => {
            let mut input = Input::new(Purpose::Filter);
            input.before = model.filter_here().to_owned();
            model.overlay = Some(Overlay::Input(input));
        }
        Action::NewTask => model.overlay = Some(Overlay::Input(Input::new(Purpose::NewTask))),
        Action::ModeMenu => {
            let word = model.screen.mode.orchestration.word();
            let row = overlay::MODES.iter().position(|(name, _)| *name == word).unwrap_or(0);
            model.overlay = Some(Overlay::ModeMenu(Menu { row, force: false }));
        }
        Action::RolloutMenu => {
            let word = model.screen.mode.rollout.word();
            let row = overlay::ROLLOUTS.iter().position(|(name, _)| *name == word).unwrap_or(0);
            model.overlay = Some(Overlay::RolloutMenu(Menu { row, force: false }));
        }
        Action::Help => model.overlay = Some(Overlay::Help(0)),
        // Those that ask for something, and those of a page, are handled before.
        Action::Open
        | Action::PageDown
        | Action::PageUp
        | Action::Go(_)
        | Action::NextPage
        | Action::PreviousPage
        | Action::Zoom
        | Action::Type
        | Action::Prefix
        | Action::Layout
        | Action::Scroll
        | Action::Diff
        | Action::LinesLeft
        | Action::LinesRight
        | Action::Reassign
        | Action::Block
        | Action::Palette
        | Action::Approve
        | Action::Reject
        | Action::Retry
        | Action::Stop
        | Action::Cancel
        | Action::Redraw
        | Action::Suspend
        | Action::Quit => {}
    }
}

/// Moves the selection of the focused panel by rows.
fn step(model: &mut Model, by: isize) {
    let moved = |at: usize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
    match model.focus {
        Focus::Board => {
            let Some((column, row, _)) = model.card() else { return };
            let count = model.screen.columns.get(column).map_or(0, |c| model.cards(c).len());
            model.task = model.card_at(column, moved(row, count));
        }
        Focus::Agents => {
            let Some((at, _)) = model.agent() else { return };
            let to = moved(at, model.screen.agents.len());
            model.agent = model.screen.agents.get(to).map(|row| row.name.clone());
        }
        Focus::Attention => {
            let Some((at, _)) = model.attention() else { return };
            model.waiting = model.attention_key(moved(at, model.screen.attention.len()));
        }
    }
}

/// Goes to the next column that has cards.
fn turn_column(model: &mut Model, right: bool) {
    let Some((column, row, _)) = model.card() else { return };
    let filled = |at: &usize| model.card_at(*at, 0).is_some();
    let to = if right { (column + 1..model.screen.columns.len()).find(filled) } else { (0..column).rev().find(filled) };
    if let Some(to) = to {
        model.task = model.card_at(to, row);
    }
}

fn next_attention(model: &mut Model) {
    let count = model.screen.attention.len();
    let Some((at, _)) = model.attention() else {
        return toast(model, "nothing waits for you".to_owned(), Tone::Good);
    };
    let to = if model.focus == Focus::Attention { (at + 1) % count } else { at };
    model.waiting = model.attention_key(to);
    model.focus = Focus::Attention;
    model.page = Page::Overview;
}

/// Enter on the overview: what there is to see of something, or the way to it.
fn open(model: &mut Model) -> Vec<Intent> {
    match model.focus {
        Focus::Board if model.target_task().is_some() => go(model, Page::Task),
        Focus::Agents if model.target_agent().is_some() => {
            drop(go(model, Page::Panes));
            pages::panes::act(model, Action::Zoom)
        }
        Focus::Board | Focus::Agents => Vec::new(),
        Focus::Attention => {
            go_to(model);
            Vec::new()
        }
    }
}

fn go_to(model: &mut Model) {
    let Some((_, item)) = model.attention() else { return };
    let on_board = item.task.clone().filter(|task| model.find_card(task).is_some());
    if let Some(task) = on_board {
        model.task = Some(task);
        model.focus = Focus::Board;
        return;
    }
    let note = Note {
        title: item.kind.replace('_', " "),
        lines: vec![text::one_line(&item.summary, answer::LINE_CHARS_MAX)],
        hint: (!item.command.is_empty()).then(|| format!("Type: {}", item.command)),
        tone: Tone::Attention,
        scroll: 0,
    };
    model.overlay = Some(Overlay::Message(note));
}

fn approve(model: &mut Model, shifted: bool) -> Vec<Intent> {
    let Some(task) = task_or_toast(model) else { return Vec::new() };
    match hand_over::awaited_or_toast(model, &task) {
        Some("decision") => {
            model.overlay = Some(Overlay::Input(Input::new(Purpose::Decide(task))));
            Vec::new()
        }
        Some(_) => about_task(model, Some(task), |task| words(&["task", "approve", task.as_str()]), shifted),
        None => Vec::new(),
    }
}

/// A verb about a task; as a question if the selection moved by itself since the last key.
fn about_task(
    model: &mut Model,
    task: Option<TaskId>,
    verb: impl Fn(&TaskId) -> Vec<String>,
    shifted: bool,
) -> Vec<Intent> {
    let Some(task) = task else {
        toast(model, "no task is selected".to_owned(), Tone::Attention);
        return Vec::new();
    };
    let argv = verb(&task);
    if !shifted {
        return vec![Intent::Verb(argv)];
    }
    model.overlay = Some(Overlay::Confirm(Confirm {
        question: format!("{}?", argv.join(" ")),
        lines: vec!["What was selected before has just left the list.".to_owned()],
        yes: "do it",
        argv,
        other: None,
        about: questions::about(model, What::Status(task)),
    }));
    Vec::new()
}

fn task_or_toast(model: &mut Model) -> Option<TaskId> {
    let task = model.target_task();
    if task.is_none() {
        let agent =
            if model.page == Page::Overview && model.focus == Focus::Board { None } else { model.target_agent() };
        let words = agent.map_or("no task is selected".to_owned(), |agent| format!("{agent} has no task now"));
        toast(model, words, Tone::Attention);
    }
    task
}

fn focus_at(model: &mut Model, x: u16, y: u16) {
    if let Some(focus) = view::panel_at(model, x, y) {
        model.focus = focus;
    }
}

fn on_mouse(model: &mut Model, mouse: Mouse) -> Vec<Intent> {
    let by = match mouse.action {
        MouseAction::WheelDown => 1,
        MouseAction::WheelUp => -1,
        MouseAction::Press | MouseAction::Drag | MouseAction::Release => 0,
    };
    if let Some(over) = model.overlay.take() {
        model.overlay = Some(overlay::scrolled(over, by * 3));
        return Vec::new();
    }
    if mouse.action == MouseAction::Press {
        if let Some(page) = view::page_at(model, mouse.x, mouse.y) {
            return go(model, page);
        }
        if let Some(part) = view::part_at(model, mouse.x, mouse.y) {
            pages::task::turn_to(model, part);
            return Vec::new();
        }
    }
    if let Some(intents) = pages::panes::mouse(model, mouse) {
        return intents;
    }
    if model.page != Page::Overview {
        let action = if by > 0 { Action::Down } else { Action::Up };
        return if by == 0 { Vec::new() } else { act_on_page(model, action) };
    }
    if by != 0 || mouse.action == MouseAction::Press {
        focus_at(model, mouse.x, mouse.y);
    }
    if by != 0 {
        step(model, by);
    }
    Vec::new()
}

/// Shows a short word on what just happened.
pub(super) fn toast(model: &mut Model, text: String, tone: Tone) {
    let seconds = if tone == Tone::Good { TOAST_SECONDS } else { WARNING_SECONDS };
    let until = model.now.checked_add(Duration::from_secs(seconds)).unwrap_or(model.now);
    model.toast = Some(Toast { text, tone, until });
}

/// An argument vector.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
