//! What of a program's wishes reaches the emulator: the list below and nothing else. The clipboard, links, the icon of
//! the mouse and coloured underlines are not in it. Wishes about keys are kept beside the emulator, which knows more of
//! them than we have encodings for.
//!
//! It also bounds what the emulator keeps without a bound: characters upon one cell, and titles.

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, KeyboardModes, KeyboardModesApplyBehavior,
    LineClearMode, Mode, ModifyOtherKeys, PrivateMode, Rgb, StandardCharset, TabulationClearMode,
};
use pipeline_lib::{terminal, text};

use super::keyboard::Keyboard;

/// Combining characters that one cell keeps.
const COMBINING_MAX: usize = 4;
/// Characters of a title.
const TITLE_CHARS_MAX: usize = 200;

/// The emulator, asked only for what it may do.
pub(super) struct Guard<'a, T: EventListener> {
    pub(super) term: &'a mut Term<T>,
    pub(super) keyboard: &'a mut Keyboard,
    /// Where answers go that are not the emulator's.
    pub(super) events: &'a T,
}

impl<T: EventListener> Guard<'_, T> {
    fn on_alternate(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// Whether the cell that a combining character would join has room for it.
    fn has_room(&self) -> bool {
        let grid = self.term.grid();
        let line = &grid[grid.cursor.point.line];
        let mut column = grid.cursor.point.column;
        if !grid.cursor.input_needs_wrap {
            column.0 = column.0.saturating_sub(1);
        }
        if line[column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column.0 = column.0.saturating_sub(1);
        }
        line[column].zerowidth().is_none_or(|there| there.len() < COMBINING_MAX)
    }

    #[inline(never)]
    fn input_beyond_ascii(&mut self, c: char) {
        let columns = terminal::columns_of(c);
        let hidden = text::is_hidden(c) && !text::is_joiner(c);
        match (hidden, columns) {
            (false, 0) if !self.has_room() => {}
            (true, 0) => {}
            // The place that the program counts on stays taken.
            (true, _) => (0..columns).for_each(|_| Handler::input(self.term, char::REPLACEMENT_CHARACTER)),
            (false, _) => Handler::input(self.term, c),
        }
    }
}

/// Passes the named wishes on as they are.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(
            #[inline]
            fn $name(&mut self, $($argument: $kind),*) {
                Handler::$name(self.term, $($argument),*);
            }
        )*
    };
}

impl<T: EventListener> Handler for Guard<'_, T> {
    #[inline]
    fn input(&mut self, c: char) {
        if c.is_ascii() {
            Handler::input(self.term, c);
        } else {
            self.input_beyond_ascii(c);
        }
    }

    fn set_title(&mut self, title: Option<String>) {
        Handler::set_title(self.term, title.map(|title| text::one_line(&title, TITLE_CHARS_MAX)));
    }

    fn terminal_attribute(&mut self, attribute: Attr) {
        if !matches!(attribute, Attr::UnderlineColor(_)) {
            Handler::terminal_attribute(self.term, attribute);
        }
    }

    fn move_backward_tabs(&mut self, count: u16) {
        // Without this bound a few bytes take seconds, where there is no tab stop left.
        Handler::move_backward_tabs(self.term, count.min(terminal::COLUMNS_MAX));
    }

    fn reset_state(&mut self) {
        *self.keyboard = Keyboard::default();
        Handler::reset_state(self.term);
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        self.keyboard.push(self.on_alternate(), mode);
    }

    fn pop_keyboard_modes(&mut self, to_pop: u16) {
        self.keyboard.pop(self.on_alternate(), to_pop);
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, behavior: KeyboardModesApplyBehavior) {
        self.keyboard.set(self.on_alternate(), mode, behavior);
    }

    fn report_keyboard_mode(&mut self) {
        self.events.send_event(Event::PtyWrite(self.keyboard.answer(self.on_alternate())));
    }

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.keyboard.set_other_keys(mode);
    }

    fn report_modify_other_keys(&mut self) {
        self.events.send_event(Event::PtyWrite(self.keyboard.answer_other_keys()));
    }

    pass_on! {
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, column: usize);
        goto_line(line: i32);
        goto_col(column: usize);
        insert_blank(count: usize);
        move_up(count: usize);
        move_down(count: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(what: usize);
        move_forward(count: usize);
        move_backward(count: usize);
        move_down_and_cr(count: usize);
        move_up_and_cr(count: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        linefeed();
        set_horizontal_tabstop();
        scroll_up(count: usize);
        scroll_down(count: usize);
        insert_blank_lines(count: usize);
        delete_lines(count: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        move_forward_tabs(count: u16);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        clear_screen(mode: ClearMode);
        clear_tabs(mode: TabulationClearMode);
        reverse_index();
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        set_private_mode(mode: PrivateMode);
        unset_private_mode(mode: PrivateMode);
        report_private_mode(mode: PrivateMode);
        set_scrolling_region(top: usize, bottom: Option<usize>);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        set_active_charset(index: CharsetIndex);
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, colour: Rgb);
        dynamic_color_sequence(prefix: String, index: usize, terminator: &str);
        reset_color(index: usize);
        decaln();
        push_title();
        pop_title();
        text_area_size_pixels();
        text_area_size_chars();
    }
}
