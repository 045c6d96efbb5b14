//! What a terminal sends to its program for something that a person does: the encodings of xterm, as the program has
//! asked for them, and for keys that these cannot tell apart those of kitty's protocol or of xterm's `modifyOtherKeys`,
//! where the program has asked for one. Nothing where there is no encoding.
//!
//! Knows nothing of the further steps of kitty's protocol, in which releases and lone modifiers are told.

use super::{Input, Key, KeyCode, MouseAction};

/// Lines that one turn of the wheel scrolls where it stands for arrow keys.
const WHEEL_LINES: usize = 3;
/// What is added to a place and to a button in the older encodings of the mouse, to make characters of them.
const MOUSE_OFFSET: u32 = 32;
/// The first place that the oldest encoding of the mouse has no byte for.
const MOUSE_PLACES: u32 = 223;

/// Which movements of the mouse a program wants to hear of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MouseReports {
    /// None.
    #[default]
    Off,
    /// Buttons that go down and come up.
    Buttons,
    /// Those, and movements while one is down.
    Drags,
}

/// How a program wants to be told where the mouse is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MouseEncoding {
    /// A byte each; there is none for places far from the top left.
    #[default]
    Bytes,
    /// A character each.
    Characters,
    /// Numbers.
    Numbers,
}

/// How a program wants to be told of keys that have no encoding of their own in the older form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyForm {
    /// As the nearest key that has one: Enter with shift is Enter.
    #[default]
    Plain,
    /// xterm's `modifyOtherKeys`: Enter and Tab say what was held.
    OtherKeys,
    /// The first step of kitty's protocol: no key looks like another one, nor like the beginning of a sequence.
    Kitty,
}

/// What a program has asked for that changes what it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputModes {
    /// Arrows, Home and End in their other form.
    pub application_cursor: bool,
    /// Pasted text between two marks.
    pub bracketed_paste: bool,
    /// The mouse.
    pub mouse: MouseReports,
    /// In which form.
    pub mouse_encoding: MouseEncoding,
    /// Whether the wheel stands for arrow keys: on the alternate screen, unless the program takes the mouse.
    pub wheel_is_arrows: bool,
    /// Keys that have no encoding of their own.
    pub keys: KeyForm,
}

/// The bytes for an input.
#[must_use]
pub fn encode(input: &Input, modes: &InputModes) -> Vec<u8> {
    match input {
        Input::Key(key) => encode_key(*key, modes),
        Input::Paste { text, .. } => encode_paste(text, modes),
        Input::Mouse { action, column, row } => encode_mouse(*action, *column, *row, modes),
    }
}

/// The bytes of the Enter key.
#[must_use]
pub fn enter() -> Vec<u8> {
    b"\r".to_vec()
}

/// The bytes for a key.
#[must_use]
pub fn encode_key(key: Key, modes: &InputModes) -> Vec<u8> {
    if let Some(bytes) = encode_apart(key, modes.keys) {
        return bytes;
    }
    match key.code {
        KeyCode::Char(c) => encode_char(c, key),
        // With shift it has no encoding in this form.
        KeyCode::Enter => with_escape(key.alt, b"\r"),
        KeyCode::Tab if key.shift => b"\x1b[Z".to_vec(),
        KeyCode::Tab => with_escape(key.alt, b"\t"),
        KeyCode::Escape => with_escape(key.alt, b"\x1b"),
        KeyCode::Backspace => with_escape(key.alt, if key.control { b"\x08" } else { b"\x7f" }),
        KeyCode::Up => lettered('A', key, modes.application_cursor),
        KeyCode::Down => lettered('B', key, modes.application_cursor),
        KeyCode::Right => lettered('C', key, modes.application_cursor),
        KeyCode::Left => lettered('D', key, modes.application_cursor),
        KeyCode::Home => lettered('H', key, modes.application_cursor),
        KeyCode::End => lettered('F', key, modes.application_cursor),
        KeyCode::Insert => numbered(2, key),
        KeyCode::Delete => numbered(3, key),
        KeyCode::PageUp => numbered(5, key),
        KeyCode::PageDown => numbered(6, key),
        KeyCode::Function(number) => encode_function(number, key),
    }
}

/// The bytes for a key that the older form would not tell apart from another; none where it does.
fn encode_apart(key: Key, form: KeyForm) -> Option<Vec<u8>> {
    let held = modifiers(key);
    let named = match key.code {
        KeyCode::Enter => Some(13),
        KeyCode::Tab => Some(9),
        KeyCode::Backspace => Some(127),
        _ => None,
    };
    match (form, key.code) {
        (KeyForm::Plain, _) => None,
        // As in xterm, Tab with shift alone keeps the encoding that it has.
        (KeyForm::OtherKeys, KeyCode::Tab) if held == 2 => None,
        (KeyForm::OtherKeys, KeyCode::Enter | KeyCode::Tab) if held > 1 => {
            named.map(|number| format!("\x1b[27;{held};{number}~").into_bytes())
        }
        (KeyForm::OtherKeys, _) => None,
        (KeyForm::Kitty, KeyCode::Escape) => Some(kitty(27, held)),
        (KeyForm::Kitty, KeyCode::Char(c)) if (key.control || key.alt) && !c.is_control() => {
            // The key is told by what it types without shift.
            let mut lower = c.to_lowercase();
            let base = lower.next().filter(|_| lower.next().is_none()).unwrap_or(c);
            let held = modifiers(Key { shift: key.shift || base != c, ..key });
            Some(kitty(base.into(), held))
        }
        (KeyForm::Kitty, _) => named.filter(|_| held > 1).map(|number| kitty(number, held)),
    }
}

fn kitty(number: u32, held: u8) -> Vec<u8> {
    match held {
        1 => format!("\x1b[{number}u"),
        held => format!("\x1b[{number};{held}u"),
    }
    .into_bytes()
}

fn encode_char(c: char, key: Key) -> Vec<u8> {
    // A key is not a way to send what keys are encoded with.
    if c.is_control() {
        return Vec::new();
    }
    let mut text = [0; 4];
    match control(c).filter(|_| key.control) {
        Some(byte) => with_escape(key.alt, &[byte]),
        None => with_escape(key.alt, c.encode_utf8(&mut text).as_bytes()),
    }
}

/// What a character becomes while control is held.
fn control(c: char) -> Option<u8> {
    let byte = u8::try_from(c).ok()?.to_ascii_lowercase();
    match byte {
        b'a'..=b'z' => Some(byte - b'a' + 1),
        b'@' | b' ' | b'2' => Some(0),
        b'[' | b'3' => Some(0x1b),
        b'\\' | b'4' => Some(0x1c),
        b']' | b'5' => Some(0x1d),
        b'^' | b'6' => Some(0x1e),
        b'_' | b'/' | b'7' => Some(0x1f),
        b'?' | b'8' => Some(0x7f),
        _ => None,
    }
}

fn with_escape(escape: bool, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    if escape {
        out.push(0x1b);
    }
    out.extend_from_slice(bytes);
    out
}

/// What was held, as a number; 1 for nothing.
fn modifiers(key: Key) -> u8 {
    1 + u8::from(key.shift) + 2 * u8::from(key.alt) + 4 * u8::from(key.control)
}

fn lettered(letter: char, key: Key, application: bool) -> Vec<u8> {
    match modifiers(key) {
        1 if application => format!("\x1bO{letter}"),
        1 => format!("\x1b[{letter}"),
        held => format!("\x1b[1;{held}{letter}"),
    }
    .into_bytes()
}

fn numbered(number: u8, key: Key) -> Vec<u8> {
    match modifiers(key) {
        1 => format!("\x1b[{number}~"),
        held => format!("\x1b[{number};{held}~"),
    }
    .into_bytes()
}

fn encode_function(number: u8, key: Key) -> Vec<u8> {
    match number {
        1 => lettered('P', key, true),
        2 => lettered('Q', key, true),
        3 => lettered('R', key, true),
        4 => lettered('S', key, true),
        5 => numbered(15, key),
        6..=10 => numbered(number + 11, key),
        11 | 12 => numbered(number + 12, key),
        _ => Vec::new(),
    }
}

/// The bytes for pasted text. No control character of it passes but tabs and ends of lines, so that it can neither end
/// the paste early nor press a key.
#[must_use]
pub fn encode_paste(text: &str, modes: &InputModes) -> Vec<u8> {
    let line_end = if modes.bracketed_paste { '\n' } else { '\r' };
    let text = text.replace("\r\n", "\n");
    let safe = text.chars().filter_map(|c| match c {
        '\n' | '\r' => Some(line_end),
        '\t' => Some(c),
        other => (!other.is_control()).then_some(other),
    });
    let safe: String = safe.collect();
    if modes.bracketed_paste && !safe.is_empty() {
        format!("\x1b[200~{safe}\x1b[201~").into_bytes()
    } else {
        safe.into_bytes()
    }
}

/// The bytes for the mouse at a cell from the top left, from 0.
#[must_use]
pub fn encode_mouse(action: MouseAction, column: u16, row: u16, modes: &InputModes) -> Vec<u8> {
    let wanted = match (modes.mouse, action) {
        (MouseReports::Off, MouseAction::WheelUp | MouseAction::WheelDown) if modes.wheel_is_arrows => {
            let code = if action == MouseAction::WheelUp { KeyCode::Up } else { KeyCode::Down };
            let key = Key { code, shift: false, alt: false, control: false };
            return encode_key(key, modes).repeat(WHEEL_LINES);
        }
        (MouseReports::Off, _) | (MouseReports::Buttons, MouseAction::Drag) => false,
        (MouseReports::Buttons | MouseReports::Drags, _) => true,
    };
    if !wanted {
        return Vec::new();
    }
    let (button, is_release) = match action {
        MouseAction::Press => (0, false),
        MouseAction::Release => (0, true),
        MouseAction::Drag => (32, false),
        MouseAction::WheelUp => (64, false),
        MouseAction::WheelDown => (65, false),
    };
    let (column, row) = (u32::from(column), u32::from(row));
    // The older encodings do not say which button came up.
    let older = if is_release { 3 } else { button };
    match modes.mouse_encoding {
        MouseEncoding::Numbers => {
            let end = if is_release { 'm' } else { 'M' };
            format!("\x1b[<{button};{};{}{end}", column + 1, row + 1).into_bytes()
        }
        MouseEncoding::Characters => {
            let place = |place: u32| char::from_u32(place + 1 + MOUSE_OFFSET);
            match (char::from_u32(older + MOUSE_OFFSET), place(column), place(row)) {
                (Some(button), Some(column), Some(row)) => format!("\x1b[M{button}{column}{row}").into_bytes(),
                _ => Vec::new(),
            }
        }
        MouseEncoding::Bytes if column >= MOUSE_PLACES || row >= MOUSE_PLACES => Vec::new(),
        MouseEncoding::Bytes => {
            let numbers = [older, column + 1, row + 1];
            let bytes = numbers.into_iter().filter_map(|number| u8::try_from(number + MOUSE_OFFSET).ok());
            b"\x1b[M".iter().copied().chain(bytes).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(code: KeyCode) -> Key {
        Key { code, shift: false, alt: false, control: false }
    }

    fn shift(code: KeyCode) -> Key {
        Key { shift: true, ..key(code) }
    }

    fn alt(code: KeyCode) -> Key {
        Key { alt: true, ..key(code) }
    }

    fn control(code: KeyCode) -> Key {
        Key { control: true, ..key(code) }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn keys_are_encoded_as_xterm_does() {
        use KeyCode::{
            Backspace, Char, Delete, Down, End, Enter, Escape, Function, Home, Insert, Left, PageDown, PageUp, Right,
            Tab, Up,
        };
        let table = [
            (key(Char('a')), "a"),
            (key(Char('ä')), "ä"),
            (key(Char('界')), "界"),
            (shift(Char('A')), "A"),
            (alt(Char('b')), "\x1bb"),
            (control(Char('a')), "\x01"),
            (control(Char('Z')), "\x1a"),
            (control(Char(' ')), "\0"),
            (control(Char('[')), "\x1b"),
            (control(Char('_')), "\x1f"),
            (control(Char('?')), "\x7f"),
            (control(Char('!')), "!"),
            (control(Char('ä')), "ä"),
            (Key { control: true, ..alt(Char('c')) }, "\x1b\x03"),
            (key(Char('\x1b')), ""),
            (key(Char('\u{9b}')), ""),
            (key(Enter), "\r"),
            (alt(Enter), "\x1b\r"),
            (shift(Enter), "\r"),
            (key(Tab), "\t"),
            (shift(Tab), "\x1b[Z"),
            (key(Escape), "\x1b"),
            (alt(Escape), "\x1b\x1b"),
            (key(Backspace), "\x7f"),
            (control(Backspace), "\x08"),
            (alt(Backspace), "\x1b\x7f"),
            (key(Up), "\x1b[A"),
            (key(Down), "\x1b[B"),
            (key(Right), "\x1b[C"),
            (key(Left), "\x1b[D"),
            (key(Home), "\x1b[H"),
            (key(End), "\x1b[F"),
            (shift(Up), "\x1b[1;2A"),
            (alt(Left), "\x1b[1;3D"),
            (control(Right), "\x1b[1;5C"),
            (Key { shift: true, alt: true, control: true, code: End }, "\x1b[1;8F"),
            (key(Insert), "\x1b[2~"),
            (key(Delete), "\x1b[3~"),
            (key(PageUp), "\x1b[5~"),
            (control(PageDown), "\x1b[6;5~"),
            (key(Function(1)), "\x1bOP"),
            (key(Function(4)), "\x1bOS"),
            (shift(Function(3)), "\x1b[1;2R"),
            (key(Function(5)), "\x1b[15~"),
            (key(Function(6)), "\x1b[17~"),
            (key(Function(10)), "\x1b[21~"),
            (key(Function(11)), "\x1b[23~"),
            (control(Function(12)), "\x1b[24;5~"),
            (key(Function(0)), ""),
            (key(Function(13)), ""),
        ];
        for (key, expected) in table {
            assert_eq!(text(encode_key(key, &InputModes::default())), expected, "{key:?}");
        }
    }

    #[test]
    fn keys_are_told_apart_as_the_program_asked() {
        use KeyCode::{Backspace, Char, Enter, Escape, Tab, Up};
        let table = [
            (key(Enter), "\r", "\r", "\r"),
            (shift(Enter), "\r", "\x1b[27;2;13~", "\x1b[13;2u"),
            (control(Enter), "\r", "\x1b[27;5;13~", "\x1b[13;5u"),
            (alt(Enter), "\x1b\r", "\x1b[27;3;13~", "\x1b[13;3u"),
            (key(Tab), "\t", "\t", "\t"),
            (shift(Tab), "\x1b[Z", "\x1b[Z", "\x1b[9;2u"),
            (control(Tab), "\t", "\x1b[27;5;9~", "\x1b[9;5u"),
            (key(Escape), "\x1b", "\x1b", "\x1b[27u"),
            (alt(Escape), "\x1b\x1b", "\x1b\x1b", "\x1b[27;3u"),
            (key(Backspace), "\x7f", "\x7f", "\x7f"),
            (alt(Backspace), "\x1b\x7f", "\x1b\x7f", "\x1b[127;3u"),
            (key(Char('a')), "a", "a", "a"),
            (shift(Char('A')), "A", "A", "A"),
            (control(Char('c')), "\x03", "\x03", "\x1b[99;5u"),
            (alt(Char('B')), "\x1bB", "\x1bB", "\x1b[98;4u"),
            (alt(Char('ß')), "\x1bß", "\x1bß", "\x1b[223;3u"),
            (control(Char('\x1b')), "", "", ""),
            (key(Up), "\x1b[A", "\x1b[A", "\x1b[A"),
            (shift(Up), "\x1b[1;2A", "\x1b[1;2A", "\x1b[1;2A"),
        ];
        for (key, plain, other_keys, kitty) in table {
            for (keys, expected) in [(KeyForm::Plain, plain), (KeyForm::OtherKeys, other_keys), (KeyForm::Kitty, kitty)]
            {
                let modes = InputModes { keys, ..InputModes::default() };
                assert_eq!(text(encode_key(key, &modes)), expected, "{key:?} {keys:?}");
            }
        }
    }

    #[test]
    fn arrows_follow_the_mode_unless_something_is_held() {
        let modes = InputModes { application_cursor: true, ..InputModes::default() };
        for (key, expected) in [
            (key(KeyCode::Up), "\x1bOA"),
            (key(KeyCode::Home), "\x1bOH"),
            (control(KeyCode::Up), "\x1b[1;5A"),
            (key(KeyCode::Delete), "\x1b[3~"),
        ] {
            assert_eq!(text(encode_key(key, &modes)), expected, "{key:?}");
        }
    }

    #[test]
    fn a_paste_is_one_piece_where_the_program_knows_how_to_take_one() {
        let bracketed = InputModes { bracketed_paste: true, ..InputModes::default() };
        for (pasted, plain, marked) in [
            ("one\ntwo", "one\rtwo", "\x1b[200~one\ntwo\x1b[201~"),
            ("a\r\nb\rc\td", "a\rb\rc\td", "\x1b[200~a\nb\nc\td\x1b[201~"),
            ("x\x1b[201~\ry", "x[201~\ry", "\x1b[200~x[201~\ny\x1b[201~"),
            ("\u{9b}201~\x03\x7f\0é", "201~é", "\x1b[200~201~é\x1b[201~"),
            ("", "", ""),
        ] {
            assert_eq!(text(encode_paste(pasted, &InputModes::default())), plain, "{pasted:?}");
            assert_eq!(text(encode_paste(pasted, &bracketed)), marked, "{pasted:?}");
        }
    }

    #[test]
    fn the_mouse_is_told_as_it_was_asked_for() {
        use MouseAction::{Drag, Press, Release, WheelDown, WheelUp};
        let modes = |mouse, mouse_encoding| InputModes { mouse, mouse_encoding, ..InputModes::default() };
        let numbers = modes(MouseReports::Drags, MouseEncoding::Numbers);
        let bytes = modes(MouseReports::Buttons, MouseEncoding::Bytes);
        let characters = modes(MouseReports::Drags, MouseEncoding::Characters);
        let arrows = InputModes { wheel_is_arrows: true, ..InputModes::default() };
        type Row = (MouseAction, (u16, u16), InputModes, &'static [u8]);
        let table: [Row; 15] = [
            (Press, (0, 0), numbers, b"\x1b[<0;1;1M"),
            (Release, (299, 9), numbers, b"\x1b[<0;300;10m"),
            (Drag, (4, 5), numbers, b"\x1b[<32;5;6M"),
            (WheelUp, (4, 5), numbers, b"\x1b[<64;5;6M"),
            (WheelDown, (4, 5), numbers, b"\x1b[<65;5;6M"),
            (Press, (0, 1), bytes, b"\x1b[M !\x22"),
            (Release, (0, 1), bytes, b"\x1b[M#!\x22"),
            (WheelUp, (222, 0), bytes, b"\x1b[M\x60\xff!"),
            (WheelUp, (223, 0), bytes, b""),
            (Drag, (0, 0), bytes, b""),
            (Press, (223, 0), characters, "\x1b[M \u{100}!".as_bytes()),
            (Press, (0, 0), arrows, b""),
            (WheelUp, (0, 0), arrows, b"\x1b[A\x1b[A\x1b[A"),
            (WheelDown, (0, 0), InputModes { application_cursor: true, ..arrows }, b"\x1bOB\x1bOB\x1bOB"),
            (WheelDown, (0, 0), InputModes::default(), b""),
        ];
        for (action, (column, row), modes, expected) in table {
            assert_eq!(encode_mouse(action, column, row, &modes), expected, "{action:?} {column} {row} {modes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_in_a_paste_ends_it(pasted in "(.|\\n|\u{1b}|\u{9b}|\u{1b}\\[201~){0,30}", bracketed_paste: bool) {
            let modes = InputModes { bracketed_paste, ..InputModes::default() };
            let sent = text(encode_paste(&pasted, &modes));
            let inner = sent.strip_prefix("\x1b[200~").and_then(|sent| sent.strip_suffix("\x1b[201~"));
            prop_assert_eq!(inner.is_some(), bracketed_paste && !sent.is_empty());
            let inner = inner.unwrap_or(&sent);
            prop_assert!(!inner.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')), "{:?}", inner);
        }
    }
}
