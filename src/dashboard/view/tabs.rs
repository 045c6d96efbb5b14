//! The pages by name, with the keys that lead to them; the one that is shown stands out.

use ratatui::layout::Rect;

use super::paint::{Painter, columns};
use crate::dashboard::model::{Model, Page};

pub(super) fn draw(painter: &mut Painter<'_>, model: &Model, area: Rect) {
    if area.height == 0 {
        return;
    }
    let theme = painter.theme;
    let mut x = area.x + 1;
    for page in Page::ALL {
        let key = model.keys.label_of_page(page);
        let needed = columns(key) + 1 + columns(page.word());
        if x + needed > area.right() {
            break;
        }
        let here = page == model.page;
        let word = if here { theme.strong() } else { theme.dim() };
        x += painter.parts(x, area.y, needed, &[(key, theme.accent()), (" ", word), (page.word(), word)]) + 3;
    }
}
