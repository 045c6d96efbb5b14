//! The emulator's cells as lines that anybody can show: text with styles, each character over the columns of its cell.
//!
//! What the emulator holds is not trusted to hold together: whatever is in a row, what comes out of it is as wide as the
//! row, and holds nothing that is not to be seen.

use alacritty_terminal::grid::{Dimensions, Row};
use alacritty_terminal::index::Line as GridLine;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::color::Colors;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{Color, CursorShape as Shape, NamedColor};
use pipeline_lib::terminal::keys::{InputModes, MouseEncoding, MouseReports};
use pipeline_lib::terminal::{Attributes, Colour, Cursor, CursorShape, Line, Modes, Span, Style, columns_of};
use pipeline_lib::text;

/// The attributes that have a counterpart.
const ATTRIBUTES: [(Flags, Attributes); 7] = [
    (Flags::BOLD, Attributes::BOLD),
    (Flags::DIM, Attributes::DIM),
    (Flags::ITALIC, Attributes::ITALIC),
    (Flags::ALL_UNDERLINES, Attributes::UNDERLINE),
    (Flags::INVERSE, Attributes::REVERSED),
    (Flags::STRIKEOUT, Attributes::STRIKEOUT),
    (Flags::HIDDEN, Attributes::HIDDEN),
];

/// The row that is so many lines below the top of the present screen; above it for a negative number. Blank where there
/// is none.
pub(super) fn line<T>(term: &Term<T>, line: i32) -> Line {
    if line < term.topmost_line().0 || line > term.bottommost_line().0 {
        return Line::default();
    }
    row(&term.grid()[GridLine(line)], term.colors())
}

fn row(row: &Row<Cell>, colors: &Colors) -> Line {
    let mut styles = Styles::new(colors);
    let cells = &row[..];
    let is_spacer = |cell: &Cell| cell.flags.contains(Flags::WIDE_CHAR_SPACER);
    let used = cells.iter().rposition(|cell| {
        visible(cell.c) != ' '
            || is_spacer(cell)
            || cell.zerowidth().is_some_and(|there| !there.is_empty())
            || styles.of(cell) != Style::default()
    });
    let cells = used.and_then(|last| cells.get(..=last)).unwrap_or_default();
    let mut line = Line::default();
    let mut rest = cells.iter().peekable();
    while let Some(cell) = rest.next() {
        let c = visible(cell.c);
        let style = styles.of(cell);
        let wide = !c.is_ascii() && columns_of(c) > 1;
        let has_room = wide && rest.next_if(|next| is_spacer(next)).is_some();
        // A wide character that lost its other half is none any more, nor is a half that lost its character.
        let c = if (wide && !has_room) || is_spacer(cell) { ' ' } else { c };
        let span = match line.spans.last_mut() {
            Some(span) if span.style == style => span,
            _ => line.spans.push_mut(Span { text: String::with_capacity(rest.len() + 4), style }),
        };
        span.text.push(c);
        if let Some(combining) = cell.zerowidth().filter(|_| c != ' ') {
            let shown = |c: &&char| columns_of(**c) == 0 && (visible(**c) == **c || text::is_joiner(**c));
            span.text.extend(combining.iter().filter(shown));
        }
    }
    line
}

/// The styles of cells. Neighbours mostly have the same one, which is then not made again.
struct Styles<'a> {
    colors: &'a Colors,
    last: Option<((Color, Color, Flags), Style)>,
}

impl<'a> Styles<'a> {
    fn new(colors: &'a Colors) -> Self {
        Self { colors, last: None }
    }

    fn of(&mut self, cell: &Cell) -> Style {
        let looks = (cell.fg, cell.bg, cell.flags);
        match self.last {
            Some((last, style)) if last == looks => style,
            _ => self.last.insert((looks, style(cell, self.colors))).1,
        }
    }
}

/// A character that may be shown in its place. What steers and what cannot be seen does not come so far, except for tabs,
/// which the emulator keeps.
fn visible(c: char) -> char {
    match c {
        ' '..='~' => c,
        '\t' | '\n' => ' ',
        hidden if text::is_hidden(hidden) => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

fn style(cell: &Cell, colors: &Colors) -> Style {
    let attributes = ATTRIBUTES.iter().filter(|(flag, _)| cell.flags.intersects(*flag));
    let attributes = attributes.fold(Attributes::default(), |set, (_, attribute)| set.with(*attribute));
    Style { foreground: colour(cell.fg, colors), background: colour(cell.bg, colors), attributes }
}

/// A place of the palette stays one, so that the person's own colours are used, unless the program gave it a colour.
fn colour(color: Color, colors: &Colors) -> Colour {
    let (place, otherwise) = match color {
        Color::Spec(rgb) => return Colour::Rgb(rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => (usize::from(index), Colour::Indexed(index)),
        Color::Named(named) => (named as usize, named_colour(named)),
    };
    colors[place].map_or(otherwise, |rgb| Colour::Rgb(rgb.r, rgb.g, rgb.b))
}

fn named_colour(named: NamedColor) -> Colour {
    u8::try_from(named as usize).ok().filter(|place| *place < 16).map_or(Colour::Default, Colour::Indexed)
}

/// The cursor as seen from so many lines above the present screen.
pub(super) fn cursor<T>(term: &Term<T>, offset: usize) -> Option<Cursor> {
    let shape = match term.cursor_style().shape {
        _ if !term.mode().contains(TermMode::SHOW_CURSOR) => return None,
        Shape::Hidden => return None,
        Shape::Block | Shape::HollowBlock => CursorShape::Block,
        Shape::Underline => CursorShape::Underline,
        Shape::Beam => CursorShape::Beam,
    };
    let point = term.grid().cursor.point;
    let row = usize::try_from(point.line.0).ok()?.checked_add(offset).filter(|row| *row < term.screen_lines())?;
    let on_spacer = term.grid()[point.line][point.column].flags.contains(Flags::WIDE_CHAR_SPACER);
    let column = point.column.0.saturating_sub(usize::from(on_spacer));
    Some(Cursor { column: u16::try_from(column).ok()?, row: u16::try_from(row).ok()?, shape })
}

/// What a viewer has to know of the terminal's modes.
pub(super) fn modes(mode: TermMode) -> Modes {
    Modes { alternate: mode.contains(TermMode::ALT_SCREEN), mouse: mode.intersects(TermMode::MOUSE_MODE) }
}

/// What the encoding of input depends on, as far as the emulator knows it.
pub(super) fn input_modes(mode: TermMode) -> InputModes {
    let mouse = if mode.intersects(TermMode::MOUSE_DRAG | TermMode::MOUSE_MOTION) {
        MouseReports::Drags
    } else if mode.contains(TermMode::MOUSE_REPORT_CLICK) {
        MouseReports::Buttons
    } else {
        MouseReports::Off
    };
    let mouse_encoding = if mode.contains(TermMode::SGR_MOUSE) {
        MouseEncoding::Numbers
    } else if mode.contains(TermMode::UTF8_MOUSE) {
        MouseEncoding::Characters
    } else {
        MouseEncoding::Bytes
    };
    InputModes {
        application_cursor: mode.contains(TermMode::APP_CURSOR),
        bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
        mouse,
        mouse_encoding,
        wheel_is_arrows: mode.contains(TermMode::ALT_SCREEN | TermMode::ALTERNATE_SCROLL),
        ..InputModes::default()
    }
}
