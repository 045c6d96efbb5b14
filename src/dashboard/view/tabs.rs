//! The pages by name, with the keys that lead to them; the one that is shown stands out.

use ratatui::layout::Rect;

use super::paint::{Painter, columns};
use crate::dashboard::model::{Model, Page};

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    let theme = painter.theme;
    for (at, page) in places(model, area) {
        let key = model.keys.label_of_page(page);
        let word = if page == model.page { theme.strong() } else { theme.dim() };
        painter.parts(at.x, at.y, at.width, &[(key, theme.accent()), (" ", word), (page.word(), word)]);
    }
}

/// Where the names are, as far as there is room for them.
pub(super) fn places(model: &Model, area: Rect) -> impl Iterator<Item = (Rect, Page)> {
    let mut x = area.x + 1;
    Page::ALL.into_iter().map_while(move |page| {
        let width = columns(model.keys.label_of_page(page)) + 1 + columns(page.word());
        let at = Rect { x, width, ..area };
        x += width + 3;
        (area.height > 0 && at.right() <= area.right()).then_some((at, page))
    })
}
