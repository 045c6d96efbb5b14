//! What becomes of the answer to a verb. What verbs mean is known to the program, not to this.

use pipeline_commands::live::Answer;
use pipeline_lib::text;
use pipeline_lib::view::screen::Tone;

use super::model::{Confirm, Model, Note, Other, Overlay};
use super::pages::panes;
use super::questions::{self, What};
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
        let mut said = lines.into_iter().filter(|line| !line.trim().is_empty());
        let first = said.next();
        // Of a switch that is still to come the present mode is no news.
        let (last, tone) = match said.next_back().filter(|_| switched && answer.code == 0) {
            Some(last) => (Some(last), Tone::Waiting),
            None => (first, tone),
        };
        let words = last.map_or(typed, |line| if answer.code == 0 { told(&argv, &line) } else { line });
        return update::toast(model, words, tone);
    }
    if answer.code == CODE_BUSY
        && argv.first().is_some_and(|verb| verb == "mode")
        && !argv.iter().any(|a| a == "--drain")
    {
        let mut argv = argv;
        argv.retain(|word| word != "--force");
        let forced = argv.iter().cloned().chain(["--force".to_owned()]).collect();
        argv.push("--drain".to_owned());
        let question = "Agents are busy. Switch once they are done?".to_owned();
        let other = Some(Other { key: 'f', words: "force: stop them now, their work is kept", argv: forced });
        let about = questions::about(model, What::Mode);
        let kept = "Nothing new starts until then; what runs is finished and counts.".to_owned();
        let lines = lines.into_iter().take(6).chain([kept]).collect();
        model.overlay = Some(Overlay::Confirm(Confirm { question, lines, yes: "drain", argv, other, about }));
        return;
    }
    let hint = answer.hint.map(|hint| text::one_line(&hint, LINE_CHARS_MAX));
    model.overlay = Some(Overlay::Message(Note { title: typed, lines, hint, tone, scroll: 0 }));
}

/// What a verb did, in words. Verbs print for scripts what their answer is about and how that is now.
fn told(argv: &[String], line: &str) -> String {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let state = |id: &str| line.strip_prefix(id)?.trim().strip_prefix("is ").or(Some(line.strip_prefix(id)?.trim()));
    let now = |id: &str| state(id).filter(|state| !state.is_empty()).map(str::to_owned);
    let done = |what: &str, id: &str| match now(id) {
        Some(state) => format!("{id} {what}; it is {state} now"),
        None => line.to_owned(),
    };
    match words.as_slice() {
        ["task", "add", .., option, _] if option.starts_with("--") && option.len() > 2 => format!("{line} added"),
        ["task", "add", .., title] if !line.contains(' ') => format!("{line} added: {title}"),
        ["task", "approve", id, ..] => done("approved", id),
        ["task", "reject", id, ..] => done("sent back", id),
        ["task", "retry", id, ..] => done("is taken up again", id),
        ["task", "block", id, ..] => done("taken out", id),
        ["task", "cancel", id, ..] => done("cancelled", id),
        ["task", "reassign", id, agent] => done(&format!("handed to {agent}"), id),
        ["agent", "start", name] => done("takes work again", name),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verb_did_is_said_in_words() {
        for (argv, line, expected) in [
            ("task add --priority 1 Title", "TASK-007", "TASK-007 added: Title"),
            ("task approve TASK-007", "TASK-007 test_ready", "TASK-007 approved; it is test_ready now"),
            ("task retry TASK-007", "TASK-007 is arch_ready", "TASK-007 is taken up again; it is arch_ready now"),
            ("agent stop a", "a stopped", "a stopped"),
            ("undo", "undone", "undone"),
        ] {
            let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
            assert_eq!(told(&argv, line), expected);
        }
    }
}
