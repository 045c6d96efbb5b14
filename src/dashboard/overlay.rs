//! What keys do in menus, questions, input lines and texts, and what the menus offer. How they look is in the view.

use crossterm::event::KeyCode;
use pipeline_lib::mode::{Mode, Rollout};
use pipeline_lib::text;
use pipeline_lib::view::screen::Tone;

use super::hand_over;
use super::message::{Intent, Key};
use super::model::{Confirm, Input, Menu, Model, Overlay, Purpose};
use super::palette;
use super::questions::{self, What};
use super::update::{toast, words};

/// The rows of the mode menu: what is typed, and what it means.
pub(super) const MODES: [(&str, &str); 6] = [
    ("traditional", "one task at a time, on every task"),
    ("pipeline", "all free agents work, on every task"),
    ("test", "all free agents work, on the pilot's tasks"),
    ("sequential", "one task at a time; the rollout stays"),
    ("parallel", "all free agents work; the rollout stays"),
    ("hybrid", "one task of each group; the rollout stays"),
];

/// The rows of the rollout menu. The last one only looks.
pub(super) const ROLLOUTS: [(&str, &str); 4] = [
    ("shadow", "records what it would do and starts nothing"),
    ("pilot", "acts on the pilot's tasks only"),
    ("production", "acts on every task"),
    ("check", "does the evidence allow the next step?"),
];

/// The longest line that can be typed, in characters.
const INPUT_CHARS_MAX: usize = 200;
/// How far a page goes in a text.
const PAGE_ROWS: isize = 10;

/// Gives a key to an overlay, which was taken out of the model and is put back unless it is done.
pub(super) fn on_key(model: &mut Model, over: Overlay, key: Key) -> Vec<Intent> {
    if key.code == KeyCode::Esc {
        if matches!(&over, Overlay::Input(input) if input.purpose == Purpose::Filter) {
            model.filter_mut().clear();
        }
        return Vec::new();
    }
    match over {
        Overlay::Help(_) | Overlay::Message(_) => read(model, over, key),
        Overlay::Input(input) => type_into(model, input, key),
        Overlay::Palette(palette) => palette::on_key(model, palette, key),
        Overlay::Confirm(confirm) => match key.typed() {
            Some('y') => vec![Intent::Verb(confirm.argv)],
            Some('n' | 'q') => Vec::new(),
            _ if key.code == KeyCode::Enter => vec![Intent::Verb(confirm.argv)],
            Some(c) if confirm.other.as_ref().is_some_and(|other| other.key == c) => {
                confirm.other.into_iter().map(|other| Intent::Verb(other.argv)).collect()
            }
            _ => {
                model.overlay = Some(Overlay::Confirm(confirm));
                Vec::new()
            }
        },
        Overlay::ModeMenu(menu) => choose(model, menu, key, true),
        Overlay::RolloutMenu(menu) => choose(model, menu, key, false),
        Overlay::AgentMenu(task, row) => hand_over::choose(model, task, row, key),
    }
}

fn read(model: &mut Model, over: Overlay, key: Key) -> Vec<Intent> {
    let by = match key.to_string().as_str() {
        "j" | "<down>" => 1,
        "k" | "<up>" => -1,
        "<space>" | "<pagedown>" | "<c-d>" => PAGE_ROWS,
        "<pageup>" | "<c-u>" => -PAGE_ROWS,
        "g" | "<home>" => isize::MIN,
        "<enter>" | "q" | "?" => return Vec::new(),
        _ => 0,
    };
    model.overlay = Some(scrolled(over, by));
    Vec::new()
}

/// A text moved by rows. The last line stays in sight.
pub(super) fn scrolled(over: Overlay, by: isize) -> Overlay {
    match over {
        Overlay::Help(at) => Overlay::Help(at.saturating_add_signed(by).min(super::keys::KEYS.len())),
        Overlay::Message(mut note) => {
            note.scroll = note.scroll.saturating_add_signed(by).min(note.lines.len().saturating_sub(1));
            Overlay::Message(note)
        }
        other => other,
    }
}

fn choose(model: &mut Model, mut menu: Menu, key: Key, modes: bool) -> Vec<Intent> {
    let entries: &[(&str, &str)] = if modes { &MODES } else { &ROLLOUTS };
    let last = entries.len() - 1;
    let reopen = |menu: Menu| if modes { Overlay::ModeMenu(menu) } else { Overlay::RolloutMenu(menu) };
    match key.to_string().as_str() {
        "j" | "<down>" => menu.row = (menu.row + 1).min(last),
        "k" | "<up>" => menu.row = menu.row.saturating_sub(1),
        "g" | "<home>" => menu.row = 0,
        "G" | "<end>" => menu.row = last,
        "d" if modes => menu.force = false,
        "f" if modes => menu.force = true,
        "<tab>" | "h" | "l" | "<left>" | "<right>" if modes => menu.force = !menu.force,
        "q" => return Vec::new(),
        "<enter>" => return chosen(model, menu, modes),
        typed => {
            let number = typed.parse::<usize>().ok().filter(|n| (1..=entries.len()).contains(n));
            if let Some(number) = number {
                menu.row = number - 1;
            }
        }
    }
    model.overlay = Some(reopen(menu));
    Vec::new()
}

fn chosen(model: &mut Model, menu: Menu, modes: bool) -> Vec<Intent> {
    let entries: &[(&str, &str)] = if modes { &MODES } else { &ROLLOUTS };
    let Some((word, _)) = entries.get(menu.row) else { return Vec::new() };
    let Some(target) = model.screen.mode.with_word(word) else {
        return vec![Intent::Verb(words(&["rollout", "check"]))];
    };
    let coming = model.screen.pending_mode.unwrap_or(model.screen.mode);
    if target == coming {
        toast(model, format!("{word} it is already"), Tone::Good);
        return Vec::new();
    }
    let mut argv = words(&["mode", word]);
    if modes && model.busy().next().is_some() {
        argv.push(if menu.force { "--force" } else { "--drain" }.to_owned());
    }
    if target.rollout > model.screen.mode.rollout {
        argv.push("--yes".to_owned());
        model.overlay = Some(Overlay::Confirm(promotion(model, target, argv)));
        return Vec::new();
    }
    vec![Intent::Verb(argv)]
}

/// The question before a bolder rollout, which the verb itself would refuse without recorded evidence.
fn promotion(model: &Model, target: Mode, argv: Vec<String>) -> Confirm {
    let from = model.screen.mode;
    let reach = match target.rollout {
        Rollout::Shadow => "Nothing is started.",
        Rollout::Pilot => "Agents start work on the pilot's tasks, and it is merged.",
        Rollout::Production => "Agents start work on every task, and it is merged.",
    };
    Confirm {
        question: format!("From {} to {}?", from.rollout.word(), target.rollout.word()),
        lines: vec![
            reach.to_owned(),
            "Evidence for this step may be missing; the switch does not wait for it.".to_owned(),
            "Check first: r, then check, or type: pipeline rollout check".to_owned(),
            "Going back is always allowed.".to_owned(),
        ],
        yes: "switch",
        argv,
        other: None,
        about: questions::about(model, What::Mode),
    }
}

/// Takes pasted text into the line that is being typed.
pub(super) fn paste(model: &mut Model, pasted: &str) {
    if let Some(Overlay::Palette(mut palette)) = model.overlay.take_if(|over| matches!(over, Overlay::Palette(_))) {
        palette.line.before.push_str(&text::one_line(pasted, INPUT_CHARS_MAX));
        palette::changed(model, &mut palette);
        model.overlay = Some(Overlay::Palette(palette));
    }
    let Some(Overlay::Input(input)) = &mut model.overlay else { return };
    let room = INPUT_CHARS_MAX.saturating_sub(input.text().chars().count());
    input.before.push_str(&text::one_line(pasted, room));
    if input.purpose == Purpose::Filter {
        *model.filter_mut() = input.text();
    }
}

fn type_into(model: &mut Model, mut input: Input, key: Key) -> Vec<Intent> {
    if key.code == KeyCode::Enter {
        return entered(model, input);
    }
    edit(&mut input, key);
    if input.purpose == Purpose::Filter {
        *model.filter_mut() = input.text();
    }
    model.overlay = Some(Overlay::Input(input));
    Vec::new()
}

/// What a key does to a line that is being typed.
pub(super) fn edit(input: &mut Input, key: Key) {
    match key.to_string().as_str() {
        "<backspace>" | "<c-h>" => drop(input.before.pop()),
        "<delete>" => drop(first_removed(&mut input.after)),
        "<left>" | "<c-b>" => {
            if let Some(c) = input.before.pop() {
                input.after.insert(0, c);
            }
        }
        "<right>" | "<c-f>" => {
            if let Some(c) = first_removed(&mut input.after) {
                input.before.push(c);
            }
        }
        "<home>" | "<c-a>" => {
            input.after.insert_str(0, &input.before);
            input.before.clear();
        }
        "<end>" | "<c-e>" => {
            input.before.push_str(&input.after);
            input.after.clear();
        }
        "<c-u>" => input.before.clear(),
        "<c-k>" => input.after.clear(),
        "<c-w>" => {
            let kept = input.before.trim_end().rfind(' ').map_or(0, |at| at + 1);
            input.before.truncate(kept);
        }
        "<up>" => input.priority = input.priority.saturating_sub(1).max(pipeline_lib::task::PRIORITY_MOST_URGENT),
        "<down>" => input.priority = (input.priority + 1).min(pipeline_lib::task::PRIORITY_LEAST_URGENT),
        _ => {
            let room = input.text().chars().count() < INPUT_CHARS_MAX;
            input.before.extend(key.typed().filter(|c| room && !text::is_hidden(*c)));
        }
    }
}

fn first_removed(text: &mut String) -> Option<char> {
    if text.is_empty() { None } else { Some(text.remove(0)) }
}

fn entered(model: &mut Model, input: Input) -> Vec<Intent> {
    if input.purpose == Purpose::Search {
        super::pages::task::search::begin(model, &input.text());
        return Vec::new();
    }
    let line = input.text().trim().to_owned();
    if input.purpose == Purpose::Filter {
        *model.filter_mut() = line;
        return Vec::new();
    }
    if line.is_empty() {
        toast(model, "nothing was typed, so nothing was done".to_owned(), Tone::Attention);
        return Vec::new();
    }
    let mut argv = match &input.purpose {
        Purpose::NewTask => words(&["task", "add"]),
        Purpose::Reject(task) => {
            return vec![Intent::Verb(vec![
                "task".to_owned(),
                "reject".to_owned(),
                task.to_string(),
                // One word, so that a message that starts with a dash is not taken for an option.
                format!("--message={line}"),
            ])];
        }
        Purpose::Block(task) => {
            let reason = format!("--reason={line}");
            return vec![Intent::Verb(vec!["task".to_owned(), "block".to_owned(), task.to_string(), reason])];
        }
        Purpose::Decide(task) => {
            return vec![Intent::Verb(vec![
                "task".to_owned(),
                "approve".to_owned(),
                task.to_string(),
                format!("--decision={line}"),
            ])];
        }
        Purpose::Filter | Purpose::Search | Purpose::Command => return Vec::new(),
    };
    if input.priority != pipeline_lib::task::PRIORITY_DEFAULT {
        argv.extend(["--priority".to_owned(), input.priority.to_string()]);
    }
    if line.starts_with('-') {
        argv.push("--".to_owned());
    }
    argv.push(line);
    vec![Intent::Verb(argv)]
}
