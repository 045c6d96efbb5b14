//! Proof of the dashboard without a terminal, a clock or a pipeline: what keys do, what frames look like, and that
//! nothing hostile comes through.

mod fixture;
mod hostile;
mod keys;
mod looks;
mod pages;
mod panes;
mod seen;
mod task;
mod verbs;

use std::sync::Arc;

use crossterm::event::KeyCode;
use jiff::Timestamp;
use pipeline_lib::view::screen::Screen;
use ratatui::buffer::{Buffer, CellWidth};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::message::{Intent, Key, Message};
use super::model::Model;
use super::theme::{Depth, Theme};
use super::update::update;
use super::view;

/// A model of this picture at a size.
fn model_at(screen: Arc<Screen>, size: (u16, u16)) -> Model {
    let shown = fixture::shown(&screen);
    let mut model = Model::new(screen, Theme::default(), size, fixture::now());
    model.shown = shown;
    model.verbs = Arc::new(pipeline_commands::dispatch::verbs());
    model
}

/// A model at the size most terminals begin with.
fn model(screen: Arc<Screen>) -> Model {
    model_at(screen, (80, 24))
}

/// Presses keys written as in the key table, such as `jj<enter>`, and gathers what they ask for.
fn press(model: &mut Model, script: &str) -> Vec<Intent> {
    let mut intents = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let name = match rest.split_once('>') {
            Some((name, _)) if c == '<' && name.len() > 1 => &rest[..=name.len()],
            _ => &rest[..c.len_utf8()],
        };
        rest = &rest[name.len()..];
        intents.extend(update(model, Message::Key(key(name))));
    }
    intents
}

pub(super) fn key(name: &str) -> Key {
    let plain = |code| Key { code, ctrl: false, alt: false, shift: false };
    match name {
        "<enter>" => plain(KeyCode::Enter),
        "<esc>" => plain(KeyCode::Esc),
        "<tab>" => plain(KeyCode::Tab),
        "<s-tab>" => plain(KeyCode::BackTab),
        "<backspace>" => plain(KeyCode::Backspace),
        "<delete>" => plain(KeyCode::Delete),
        "<up>" => plain(KeyCode::Up),
        "<down>" => plain(KeyCode::Down),
        "<left>" => plain(KeyCode::Left),
        "<right>" => plain(KeyCode::Right),
        "<home>" => plain(KeyCode::Home),
        "<end>" => plain(KeyCode::End),
        "<pagedown>" => plain(KeyCode::PageDown),
        "<pageup>" => plain(KeyCode::PageUp),
        "<space>" => plain(KeyCode::Char(' ')),
        "<lt>" => plain(KeyCode::Char('<')),
        control if control.starts_with("<c-") => {
            Key { code: KeyCode::Char(control.chars().nth(3).unwrap()), ctrl: true, alt: false, shift: false }
        }
        other if other.chars().count() == 1 => plain(KeyCode::Char(other.chars().next().unwrap())),
        other => panic!("no such key: {other}"),
    }
}

fn draw(model: &Model) -> (Buffer, Option<Timestamp>) {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let mut buffer = Buffer::empty(area);
    let changes_at = view::render(model, area, &mut buffer);
    (buffer, changes_at)
}

/// The lines of a frame as a person reads them.
fn lines(model: &Model) -> Vec<String> {
    let (buffer, _) = draw(model);
    (0..buffer.area.height).map(|y| line(&buffer, y)).collect()
}

pub(super) fn line(buffer: &Buffer, y: u16) -> String {
    let (mut out, mut x) = (String::new(), 0);
    while x < buffer.area.width {
        let cell = &buffer[(x, y)];
        out.push_str(cell.symbol());
        x += cell.symbol().cell_width().max(1);
    }
    out.trim_end().to_owned()
}

/// A frame as text, and below it the same place for place with a letter for each style.
fn dump(model: &Model) -> String {
    let (buffer, _) = draw(model);
    let mut known: Vec<Style> = Vec::new();
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..buffer.area.height {
        text.push_str(&line(&buffer, y));
        text.push('\n');
        let letters: String = (0..buffer.area.width).map(|x| letter(&mut known, buffer[(x, y)].style())).collect();
        styles.push_str(letters.trim_end_matches('.'));
        styles.push('\n');
    }
    let legend: String =
        known.iter().enumerate().map(|(at, style)| format!("{} {}\n", nth(at), said(*style))).collect();
    format!("{text}{}\n{styles}{}\n{legend}", "=".repeat(20), "=".repeat(20))
}

fn nth(at: usize) -> char {
    char::from(b"abcdefghijklmnopqrstuvwxyz"[at])
}

fn letter(known: &mut Vec<Style>, style: Style) -> char {
    if said(style).is_empty() {
        return '.';
    }
    let at = known.iter().position(|other| *other == style).unwrap_or_else(|| {
        known.push(style);
        known.len() - 1
    });
    nth(at)
}

fn said(style: Style) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(style.fg.filter(|c| *c != ratatui::style::Color::Reset).map(|c| c.to_string().to_lowercase()));
    words.extend(style.bg.filter(|c| *c != ratatui::style::Color::Reset).map(|c| format!("on {c}").to_lowercase()));
    for (modifier, word) in [
        (Modifier::BOLD, "bold"),
        (Modifier::DIM, "dim"),
        (Modifier::REVERSED, "reversed"),
        (Modifier::UNDERLINED, "underlined"),
    ] {
        if style.add_modifier.contains(modifier) {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}
