//! What becomes of the answer to a verb. What verbs mean is known to the program, not to this.

use pipeline_commands::live::Answer;
use pipeline_lib::text;
use pipeline_lib::view::screen::Tone;

use super::model::{Confirm, Model, Note, Overlay};
use super::pages::panes;
use super::update;

/// How many lines of an answer are kept.
const LINES_MAX: usize = 500;
/// How many characters of one of its lines are kept.
pub(super) const LINE_CHARS_MAX: usize = 500;
/// The exit code of a verb that was refused because agents are busy.
const CODE_BUSY: u8 = 4;
/// The exit code of a verb that found attention needed, or something not ready.
const CODE_NOT_READY: u8 = 3;

/// Takes an answer: a short success as a word in the footer, everything else as a text to read.
pub(super) fn take(model: &mut Model, argv: Vec<String>, answer: Answer) {
    let typed = argv.join(" ");
    if let Some(at) = model.asked.iter().position(|asked| *asked == typed) {
        model.asked.remove(at);
    }
    let lines: Vec<String> = text::safe(answer.text.trim_end(), LINES_MAX * LINE_CHARS_MAX)
        .lines()
        .take(LINES_MAX)
        .map(|line| text::safe(line, LINE_CHARS_MAX))
        .collect();
    let tone = match answer.code {
        0 => Tone::Good,
        CODE_NOT_READY => Tone::Attention,
        _ => Tone::Bad,
    };
    // Whoever is typing is not interrupted; the answer is then only announced.
    let typing = matches!(panes::mode(model), panes::Mode::Typing | panes::Mode::Searching);
    let taken = typing || matches!(model.overlay, Some(Overlay::Input(_) | Overlay::Confirm(_)));
    let short = lines.len() <= 1 && answer.hint.is_none();
    // A switch shows by itself; a text that comes later must not take the keys that are pressed meanwhile.
    let switched = argv.first().is_some_and(|verb| verb == "mode");
    if taken || (answer.code == 0 && (short || switched)) {
        let first = lines.into_iter().find(|line| !line.trim().is_empty()).unwrap_or(typed);
        return update::toast(model, first, tone);
    }
    if answer.code == CODE_BUSY
        && argv.first().is_some_and(|verb| verb == "mode")
        && !argv.iter().any(|a| a == "--drain")
    {
        let mut argv = argv;
        argv.retain(|word| word != "--force");
        argv.push("--drain".to_owned());
        let question = "Agents are busy. Switch once they are done?".to_owned();
        let kept = "Nothing new starts until then; what runs is finished and counts.".to_owned();
        let lines = lines.into_iter().take(6).chain([kept]).collect();
        model.overlay = Some(Overlay::Confirm(Confirm { question, lines, yes: "drain", argv }));
        return;
    }
    let hint = answer.hint.map(|hint| text::one_line(&hint, LINE_CHARS_MAX));
    model.overlay = Some(Overlay::Message(Note { title: typed, lines, hint, tone, scroll: 0 }));
}
