//! The menu of agents that a task can be handed to.

use pipeline_lib::ids::TaskId;
use ratatui::layout::Rect;

use super::overlay::{box_columns, open};
use super::paint::{Painter, columns};
use crate::dashboard::hand_over::{agents_for, role_of};
use crate::dashboard::model::Model;
use crate::dashboard::theme::status_tone;

/// The agents that a task can be handed to, with what each of them is doing.
pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect, task: &TaskId, chosen: usize) {
    let theme = painter.theme;
    let fit = agents_for(model, task);
    let inner = open(painter, area, box_columns(area), fit.len() + 2, &format!("Hand {task} to"));
    let live = fit.iter().any(|row| row.task.as_ref() == Some(task) && row.stage.is_some());
    let below = match role_of(model, task) {
        _ if live => "Its live run is stopped; the work is kept on its branch.".to_owned(),
        role => format!("All that have the role {}.", role.unwrap_or_default()),
    };
    let rows = usize::from(inner.height.saturating_sub(2)).max(1);
    let first = super::first_row(chosen, rows);
    let names = fit.iter().map(|row| columns(row.name.as_str())).max().unwrap_or(0).min(20);
    for (at, (row, y)) in fit.iter().skip(first).zip(inner.y..).take(rows).enumerate() {
        let tone = status_tone(row.status);
        painter.text(inner.x, y, 1, theme.sign(tone), theme.tone(tone));
        painter.text(inner.x + 2, y, 1, &(first + at + 1).to_string(), theme.dim());
        painter.text(inner.x + 4, y, names, row.name.as_str(), theme.text());
        let age = painter.age(row.since);
        let busy = match &row.task {
            Some(other) if other == task => "has it now".to_owned(),
            Some(other) => format!("{} for {age}: {other}", row.status.word()),
            None => format!("{} for {age}", row.status.word()),
        };
        let x = inner.x + 6 + names;
        painter.text(x, y, inner.right().saturating_sub(x), &busy, theme.dim());
        if first + at == chosen.min(fit.len().saturating_sub(1)) {
            painter.overlay(Rect { x: inner.x - 1, y, width: inner.width + 2, height: 1 }, theme.selected());
        }
    }
    painter.text(inner.x, inner.bottom() - 1, inner.width, &below, theme.dim());
}
