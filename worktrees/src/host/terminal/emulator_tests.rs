//! The emulator alone: what is seen, what is answered, what is kept, and that nothing ends it.

use pipeline_lib::terminal::keys::{KeyForm, MouseEncoding, MouseReports};
use pipeline_lib::terminal::{Attributes, Colour, Cursor, CursorShape, Frame, Line, Size, Span, Style};
use pipeline_lib::text;
use proptest::prelude::*;

use super::emulator::{Emulator, SLICE_BYTES};

const SIZE: Size = Size { columns: 20, rows: 5 };

fn fed(text: impl AsRef<[u8]>) -> Emulator {
    let mut emulator = Emulator::new(SIZE);
    feed(&mut emulator, text);
    emulator
}

fn feed(emulator: &mut Emulator, text: impl AsRef<[u8]>) {
    text.as_ref().chunks(SLICE_BYTES).for_each(|slice| emulator.feed(slice));
}

fn rows(frame: &Frame) -> Vec<String> {
    let mut rows: Vec<String> = frame.lines.iter().map(|line| line.text()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

fn shown(text: impl AsRef<[u8]>) -> Vec<String> {
    rows(&fed(text).frame(0))
}

fn numbered(lines: std::ops::RangeInclusive<usize>) -> String {
    lines.map(|n| format!("line {n}\r\n")).collect()
}

fn answers(text: &str) -> String {
    String::from_utf8(fed(text).take_answers()).unwrap()
}

/// What holds of every frame, whatever was printed.
fn assert_sound(frame: &Frame, size: Size) {
    assert_eq!((frame.size, frame.lines.len()), (size, usize::from(size.rows)));
    for line in &frame.lines {
        assert!(line.columns() <= usize::from(size.columns), "{line:?}");
        let bad = line
            .spans
            .iter()
            .flat_map(|span| span.text.chars())
            .find(|c| (text::is_hidden(*c) && !text::is_joiner(*c)) || c.is_control());
        assert_eq!(bad, None, "{line:?}");
    }
    assert!(!frame.title.chars().any(|c| text::is_hidden(c) || c.is_control()), "{:?}", frame.title);
    assert!(frame.cursor.is_none_or(|cursor| cursor.column < size.columns && cursor.row < size.rows));
    assert!(frame.offset <= frame.history);
}

#[test]
fn text_has_its_place_and_its_look() {
    let mut emulator =
        fed("plain \x1b[1;3;4;9;31mloud\x1b[m\r\n\x1b[38;5;200;48;2;1;2;3mx\x1b[7my\x1b[m \x1b[94mz\x1b[m   ");
    let frame = emulator.frame(0);
    let all = [Attributes::BOLD, Attributes::ITALIC, Attributes::UNDERLINE, Attributes::STRIKEOUT];
    let attributes = all.into_iter().fold(Attributes::default(), Attributes::with);
    let span = |text: &str, style| Span { text: text.to_owned(), style };
    let loud = Style { foreground: Colour::Indexed(1), attributes, ..Style::default() };
    assert_eq!(*frame.lines[0], Line { spans: vec![span("plain ", Style::default()), span("loud", loud)] });
    let x =
        Style { foreground: Colour::Indexed(200), background: Colour::Rgb(1, 2, 3), attributes: Attributes::default() };
    let y = Style { attributes: Attributes::REVERSED, ..x };
    let z = Style { foreground: Colour::Indexed(12), ..Style::default() };
    let spans = vec![span("x", x), span("y", y), span(" ", Style::default()), span("z", z)];
    assert_eq!(*frame.lines[1], Line { spans });
    assert_eq!(frame.cursor, Some(Cursor { column: 7, row: 1, shape: CursorShape::Block }));
}

#[test]
fn a_colour_that_the_program_redefined_is_that_colour() {
    let mut emulator = fed("\x1b]4;1;rgb:10/20/30\x07\x1b[31mx");
    assert_eq!(emulator.frame(0).lines[0].spans[0].style.foreground, Colour::Rgb(0x10, 0x20, 0x30));
    feed(&mut emulator, "\x1b]104\x07");
    assert_eq!(emulator.frame(0).lines[0].spans[0].style.foreground, Colour::Indexed(1));
}

#[test]
fn wide_characters_take_two_columns_and_halves_of_them_none_of_others() {
    assert_eq!(shown("a界b"), ["a界b"]);
    assert_eq!(shown("e\u{301}!"), ["e\u{301}!"]);
    assert_eq!(shown("x".repeat(19) + "界"), ["x".repeat(19), "界".to_owned()]);
    // A half is overwritten, another is pushed out of its place.
    assert_eq!(shown("a界b\x1b[1;3HX"), ["a Xb"]);
    assert_eq!(shown("a界b\x1b[1;3H\x1b[P"), ["a b"]);
    let mut emulator = fed("a界b\x1b[1;3H");
    assert_eq!(emulator.frame(0).cursor.map(|cursor| cursor.column), Some(1), "on the character, not in it");
}

#[test]
fn what_steers_or_cannot_be_seen_is_not_in_a_frame() {
    assert_eq!(shown("a\u{202e}b\u{200b}c\u{2066}d\u{feff}e"), ["abcde"]);
    assert_eq!(shown("a\tb"), ["a       b"]);
    assert_eq!(shown("\x1b]52;c;aGk=\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), ["link"]);
    assert_eq!(shown(b"\xff\xc3\x28 \x9b31m"), ["\u{fffd}\u{fffd}( 31m"]);
    let mut emulator = fed("\x1b]0;  a\u{202e}b\u{9d}c\td \x07");
    assert_eq!(emulator.frame(0).title, "abcd");
    feed(&mut emulator, format!("\x1b]2;{}\x07", "é".repeat(1000)));
    assert_eq!(emulator.frame(0).title.chars().count(), 200);
    feed(&mut emulator, "\x1b]2;\x07");
    assert_eq!(emulator.frame(0).title, "");
}

#[test]
fn few_characters_combine_with_one() {
    let text = shown("e".to_owned() + &"\u{301}".repeat(10_000) + "x\x08\x08" + &"\u{302}".repeat(10_000));
    assert_eq!(text, ["e\u{301}\u{301}\u{301}\u{301}x"]);
}

#[test]
fn questions_are_answered() {
    let name = concat!("\x1bP>|pipeline ", env!("CARGO_PKG_VERSION"), "\x1b\\");
    for (question, answer) in [
        ("\x1b[3;4H\x1b[6n", "\x1b[3;4R"),
        ("\x1b[c", "\x1b[?6c"),
        ("\x1b[>c", "\x1b[>0;2600;1c"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[?2026$p", "\x1b[?2026;2$y"),
        ("\x1b[18t", "\x1b[8;5;20t"),
        ("\x1b[14t", "\x1b[4;100;200t"),
        ("\x1b]11;?\x07", "\x1b]11;rgb:1818/1818/1818\x07"),
        ("\x1b]10;?\x1b\\", "\x1b]10;rgb:d8d8/d8d8/d8d8\x1b\\"),
        ("\x1b]4;1;?\x07", "\x1b]4;1;rgb:cdcd/0000/0000\x07"),
        ("\x1b]11;#ffffff\x07\x1b]11;?\x07", "\x1b]11;rgb:ffff/ffff/ffff\x07"),
        ("\x1b[>0q\x1b[c", &format!("{name}\x1b[?6c")),
        ("\x1b]52;c;?\x07", ""),
        ("\x1b[?u", "\x1b[?0u"),
        ("\x1b[>31u\x1b[?u\x1b[<u\x1b[?u", "\x1b[?1u\x1b[?0u"),
        ("\x1b[>4;2m\x1b[?4m", "\x1b[>4;2m"),
    ] {
        assert_eq!(answers(question), answer, "{question:?}");
    }
    let flood = answers(&"\x1b[c".repeat(100_000));
    assert!(flood.len() <= 64 * 1024, "{}", flood.len());
}

#[test]
fn modes_are_told() {
    let mut emulator = fed("");
    assert_eq!(emulator.input_modes(), pipeline_lib::terminal::keys::InputModes::default());
    feed(&mut emulator, "\x1b[?1h\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?1049h");
    let modes = emulator.input_modes();
    assert!(modes.application_cursor && modes.bracketed_paste && modes.wheel_is_arrows);
    assert_eq!((modes.mouse, modes.mouse_encoding), (MouseReports::Drags, MouseEncoding::Numbers));
    let frame = emulator.frame(0);
    assert!(frame.modes.alternate && frame.modes.mouse);
    feed(&mut emulator, "\x1b[?25l");
    assert_eq!(emulator.frame(0).cursor, None);
}

#[test]
fn keys_are_told_as_the_program_asked_last_on_each_screen() {
    let mut emulator = fed("");
    let steps = [
        ("\x1b[>1u", KeyForm::Kitty),
        // The other screen has wishes of its own.
        ("\x1b[?1049h", KeyForm::Plain),
        ("\x1b[>4;1m", KeyForm::OtherKeys),
        ("\x1b[=1u", KeyForm::Kitty),
        ("\x1b[=1;3u", KeyForm::OtherKeys),
        ("\x1b[?1049l", KeyForm::Kitty),
        ("\x1b[>0u\x1b[>4m", KeyForm::Plain),
        ("\x1b[<u", KeyForm::Kitty),
        ("\x1b[<9u", KeyForm::Plain),
        // What is not offered is nothing that was asked for.
        ("\x1b[>2u", KeyForm::Plain),
        ("\x1b[>1u\x1b[>4;2m\x1bc", KeyForm::Plain),
    ];
    for (printed, form) in steps {
        feed(&mut emulator, printed);
        assert_eq!(emulator.input_modes().keys, form, "{printed:?}");
    }
    feed(&mut emulator, "\x1b[>1u".repeat(100_000));
    assert_eq!((emulator.input_modes().keys, emulator.failures()), (KeyForm::Kitty, 0));
    feed(&mut emulator, "\x1b[<16u");
    assert_eq!(emulator.input_modes().keys, KeyForm::Plain, "few are kept");
}

#[test]
fn a_synchronized_update_is_seen_as_a_whole() {
    let mut emulator = fed("old\x1b[?2026h\rnew");
    assert_eq!(rows(&emulator.frame(0)), ["old"]);
    assert!(emulator.sync_deadline().is_some());
    emulator.end_sync();
    assert_eq!((rows(&emulator.frame(0)), emulator.sync_deadline()), (vec!["new".to_owned()], None));
    feed(&mut emulator, "\x1b[?2026h\rall\x1b[?2026l");
    assert_eq!((rows(&emulator.frame(0)), emulator.sync_deadline()), (vec!["all".to_owned()], None));
}

#[test]
fn whoever_looks_further_up_sees_the_same_while_more_is_printed() {
    let mut emulator = fed(numbered(1..=100));
    let anchor = emulator.anchor(50);
    let before = rows(&emulator.frame(50));
    assert_eq!(before[0], "line 47");
    // One line at a time, many at once, and beyond the end of what is kept.
    for more in [1, 1, 30, 5_000, 4_000] {
        feed(&mut emulator, numbered(1..=more));
        let offset = emulator.offset(anchor);
        assert_eq!(rows(&emulator.frame(offset)), before, "after {more} more");
    }
    feed(&mut emulator, numbered(1..=5_000));
    assert_eq!((emulator.offset(anchor), emulator.frame(0).history), (10_000, 10_000));
    let anchor = emulator.anchor(3);
    let before = rows(&emulator.frame(3));
    feed(&mut emulator, numbered(1..=2_000));
    let offset = emulator.offset(anchor);
    assert_eq!((rows(&emulator.frame(offset)), offset), (before, 2_003));
    assert_eq!(emulator.offset(None), 0);
}

#[test]
fn whoever_looks_at_what_is_cleared_is_taken_to_the_present() {
    let mut emulator = fed(numbered(1..=100));
    let anchor = emulator.anchor(50);
    feed(&mut emulator, "\x1b[3J");
    assert_eq!(emulator.offset(anchor), 0);
    feed(&mut emulator, numbered(1..=100));
    assert_eq!(emulator.offset(anchor), 0);
    assert_eq!(emulator.frame(0).history, 100);
}

#[test]
fn the_other_screen_has_nothing_above_it_and_changes_nothing_there() {
    let mut emulator = fed(numbered(1..=100));
    let anchor = emulator.anchor(50);
    feed(&mut emulator, "\x1b[?1049h".to_owned() + &numbered(1..=100));
    assert_eq!((emulator.offset(anchor), emulator.frame(9).history, emulator.frame(9).offset), (0, 0, 0));
    emulator.resize(Size { columns: 20, rows: 9 });
    feed(&mut emulator, "x");
    emulator.resize(SIZE);
    feed(&mut emulator, "\x1b[?1049l");
    let offset = emulator.offset(anchor);
    assert_eq!((rows(&emulator.frame(offset))[0].as_str(), offset), ("line 47", 50));
}

#[test]
fn text_is_found_above_and_below_without_regard_to_case() {
    let mut emulator = fed(numbered(1..=100));
    let found = emulator.search("LINE 42", 0, false);
    assert_eq!((found, rows(&emulator.frame(55))[0].as_str()), (Some(55), "line 42"));
    assert_eq!(emulator.search("line 4", 55, false), Some(56));
    assert_eq!(emulator.search("line 4", 56, true), Some(55));
    assert_eq!(emulator.search("line 99", 55, true), Some(0), "in sight on the present screen");
    assert_eq!(emulator.search("line 42", 55, false), None);
    assert_eq!(emulator.search("", 0, false), None);
    assert_eq!(emulator.search("line 100", usize::MAX, true), Some(0));
}

#[test]
fn lines_are_named_from_the_last_one_of_the_present_screen() {
    let mut emulator = fed(numbered(1..=10));
    assert_eq!(emulator.text(3, 0, 1000), ["line 8", "line 9", "line 10", ""]);
    assert_eq!(emulator.text(usize::MAX, 9, 1000), ["line 1", "line 2"].map(str::to_owned)[..2].to_vec());
    assert_eq!(emulator.text(0, 3, 1000), emulator.text(3, 0, 1000));
    assert_eq!(emulator.text(usize::MAX, usize::MAX, 1000), Vec::<String>::new());
    assert_eq!(emulator.text(9, 0, 20), ["line 9", "line 10", ""], "the newest where it would be too long");
}

#[test]
fn sizes_are_those_that_a_terminal_can_have() {
    let mut emulator = fed("some text that is longer than a line\r\nand more");
    for (columns, rows) in [(1, 1), (0, 0), (u16::MAX, u16::MAX), (2, 500), (1000, 2), (20, 5)] {
        let wished = Size { columns, rows };
        emulator.resize(wished);
        feed(&mut emulator, "x界\x1b[9999;9999H界\x1b#8\x1b[2J");
        assert_sound(&emulator.frame(0), wished.clamped());
    }
    assert_eq!(emulator.failures(), 0);
}

#[test]
fn where_the_emulator_fails_a_new_one_begins_and_says_so() {
    let mut emulator = fed(numbered(1..=100));
    let anchor = emulator.anchor(50);
    emulator.fail();
    let frame = emulator.frame(0);
    assert!(frame.lines[0].text().starts_with("[pipeline: this term"), "{:?}", rows(&frame));
    assert_eq!(emulator.offset(anchor), 0);
    feed(&mut emulator, "goes on \x1b[c");
    assert!(rows(&emulator.frame(0)).concat().ends_with("goes on"));
    assert_eq!(emulator.take_answers(), b"\x1b[?6c");
    for _ in 0..100 {
        emulator.fail();
    }
    feed(&mut emulator, "not seen");
    assert!(!rows(&emulator.frame(0)).concat().contains("not seen"));
    assert_eq!(emulator.frame(0).size, SIZE);
}

#[test]
fn what_a_program_can_print_takes_bounded_time_and_memory() {
    // Each is short to print and was, somewhere, long to execute.
    let mut emulator = Emulator::new(Size { columns: 1000, rows: 500 });
    for text in ["\x1b[3g\x1b[1000G\x1b[65535Z", "x\x1b[65535b", "\x1b[65535S", "\x1b[65535;65535H\x1b[65535@"] {
        feed(&mut emulator, text.repeat(100));
    }
    assert_sound(&emulator.frame(0), emulator.size());
}

#[derive(Debug, Clone)]
enum Step {
    Print(Vec<u8>),
    Resize(Size),
    Look(usize),
    EndSync,
}

fn printed() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![Just(0u32), 1u32..30, Just(65535u32), Just(u32::MAX)];
    let sequence = (prop::sample::select(b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstu".to_vec()), number.clone(), number)
        .prop_map(|(letter, a, b)| format!("\x1b[{a};{b}{}", char::from(letter)).into_bytes());
    let modes = [1, 3, 6, 7, 25, 47, 1000, 1049, 2026, 4, 20];
    let mode = (prop::sample::select(modes.to_vec()), any::<bool>(), any::<bool>()).prop_map(|(mode, private, on)| {
        format!("\x1b[{}{mode}{}", if private { "?" } else { "" }, if on { 'h' } else { 'l' }).into_bytes()
    });
    let words = ["\x1bc", "\x1b7", "\x1b8", "\x1bM", "\x1bD", "\x1bE", "\x1bH", "\x1b#8", "\x1b(0", "\x0e", "\x1b[!p"];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        4 => "[a-z界é\u{301}\u{200b}\u{202e}🦀\t\r\n\u{8}]{0,60}".prop_map(String::into_bytes),
        6 => sequence,
        3 => mode,
        2 => word,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let size = (prop_oneof![0u16..5, 0u16..80], prop_oneof![0u16..5, 0u16..40]);
    prop_oneof![
        8 => printed().prop_map(Step::Print),
        2 => size.prop_map(|(columns, rows)| Step::Resize(Size { columns, rows })),
        2 => (0usize..100).prop_map(Step::Look),
        1 => Just(Step::EndSync),
    ]
}

proptest! {
    #[test]
    fn nothing_that_is_printed_breaks_a_frame(steps in prop::collection::vec(step(), 1..60)) {
        let mut emulator = Emulator::new(SIZE);
        for step in steps {
            match step {
                Step::Print(bytes) => feed(&mut emulator, &bytes),
                Step::Resize(size) => emulator.resize(size),
                Step::Look(offset) => {
                    let anchor = emulator.anchor(offset);
                    let offset = emulator.offset(anchor);
                    assert_sound(&emulator.frame(offset), emulator.size());
                }
                Step::EndSync => emulator.end_sync(),
            }
            assert_sound(&emulator.frame(0), emulator.size());
        }
        prop_assert_eq!(emulator.failures(), 0);
    }
}
