//! `pipeline agent send`: gives text to a live session as if a person had pasted it, and says what came of it.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::status::screen::{Choice, Reading};
use pipeline_lib::status::{Dialog, Doing};
use pipeline_lib::terminal::{Frame, Input, Key, KeyCode};
use pipeline_worktrees::process::Table;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::SendArgs;
use crate::attach::{self, Asked, Link, Session};
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::live::{PaneAnswer, PaneRequest};
use crate::supervisor::session;

/// How long it may take until the terminal is seen.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// How long the host may take to say whether the program takes it.
const TAKEN_WAIT: Duration = Duration::from_secs(5);
/// How long the screen may take to change.
const CHANGE_WAIT: Duration = Duration::from_secs(3);
/// Enter is pressed so long after typing: sooner, programs take both for something pasted.
const ENTER_AFTER_TEXT: Duration = Duration::from_millis(150);
/// The longest text, in bytes.
const TEXT_BYTES_MAX: u64 = 512 * 1024;
/// The longest command of the program itself that is typed, in bytes.
const COMMAND_BYTES_MAX: usize = 200;

pub(super) fn run(call: &Call, args: &SendArgs) -> Result<u8> {
    let text = text(&args.text)?;
    if text.is_empty() && args.no_enter {
        return Err(CommandError::usage("there is nothing to send").hint("Give a text, or leave `--no-enter` out."));
    }
    let session = attach::open(call, &args.name, args.run.as_deref(), None)?;
    let shown = shown(call, &session)?;
    let inputs = match &args.answer {
        Some(answer) => answering(&session, shown.as_ref(), answer)?,
        None => {
            if !args.force {
                no_dialog(&session, shown.as_ref())?;
            }
            inputs(&text, !args.no_enter)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut changed = runtime.block_on(send(&session, inputs.clone()))?;
    if let Some(before) = shown.filter(|before| args.answer.is_some() && before.wants_enter) {
        // Only where the very dialog still stands there, with its cursor on what was wanted.
        let after = self::shown(call, &session)?;
        if after.is_some_and(|after| rests_on(&before, &after, &inputs)) {
            changed = runtime.block_on(send(&session, vec![press(KeyCode::Enter)]))?;
        }
    }
    let (agent, run) = (&session.agent, &session.run);
    if call.output.json {
        call.output.json(&serde_json::json!({
            "schema_version": 1, "agent": agent, "run": run, "taken": true, "screen_changed": changed,
        }))?;
    } else {
        let seen = if changed { "its screen changed" } else { "its screen has not changed yet" };
        call.output.line(&format!("sent to {agent}; {seen}"))?;
    }
    Ok(exit::OK)
}

/// What the screen of a session shows, as far as it is known how its program draws.
fn shown(call: &Call, session: &Session) -> Result<Option<Reading>> {
    let context = call.context()?.not_configuring();
    let engine = Engine::open(&context)?;
    let pipeline = engine.pipeline();
    let run = pipeline.core.runs.get(&session.run);
    let sight = run.and_then(|run| session::look(&context, pipeline, run, &Table::default()));
    Ok(sight.and_then(|sight| sight.observed.screen))
}

/// Nothing is typed into a dialog by accident: what is meant for the agent would choose something.
fn no_dialog(session: &Session, shown: Option<&Reading>) -> Result<()> {
    let Some(doing @ (Doing::Permission | Doing::Question | Doing::Dialog(_))) = shown.and_then(|s| s.doing.as_ref())
    else {
        return Ok(());
    };
    let agent = &session.agent;
    Err(CommandError { kind: "dialog", ..CommandError::failed(format!("nothing was sent to {agent}: {}", doing.words())) }
        .hint(format!(
            "`pipeline agent send {agent} --answer yes` (or no, or the number of a choice) answers it, `pipeline agent attach {agent}` \
             shows it, and `--force` types all the same."
        )))
}

/// Whether a dialog is the one that was typed into, and its cursor stands on the choice that was typed.
fn rests_on(before: &Reading, after: &Reading, typed: &[Input]) -> bool {
    let names = |reading: &Reading| reading.choices.iter().map(|c| (c.key.clone(), c.text.clone())).collect::<Vec<_>>();
    let is_typed = |choice: &Choice| choice.key.chars().map(|c| press(KeyCode::Char(c))).eq(typed.iter().cloned());
    let same = (&before.doing, &before.line) == (&after.doing, &after.line) && names(before) == names(after);
    same && after.choices.iter().any(|choice| choice.chosen && is_typed(choice))
}

fn press(code: KeyCode) -> Input {
    Input::Key(Key { code, shift: false, alt: false, control: false })
}

/// What answers the dialog that is shown.
fn answering(session: &Session, shown: Option<&Reading>, answer: &str) -> Result<Vec<Input>> {
    let agent = &session.agent;
    let failed = |why: String| CommandError {
        kind: "dialog",
        ..CommandError::failed(format!("nothing was sent to {agent}: {why}"))
    };
    let hint = format!("`pipeline agent attach {agent}` shows what it asks.");
    let key = |c: char| press(KeyCode::Char(c));
    let Some(reading) = shown.filter(|shown| shown.doing.is_some()) else {
        return Err(failed("its screen shows no dialog that is known".to_owned()).hint(hint));
    };
    let known = matches!(reading.doing, Some(Doing::Permission | Doing::Question | Doing::Dialog(_)));
    let is_unknown = matches!(reading.doing, Some(Doing::Dialog(Dialog::Unknown)));
    let number = answer.bytes().all(|byte| byte.is_ascii_digit());
    if !known || (is_unknown && !number) {
        return Err(failed("its screen shows no dialog that is known".to_owned()).hint(hint));
    }
    let wanted = |choice: &&Choice| match answer {
        "yes" => !choice.refuses,
        "no" => choice.refuses,
        number => choice.key == number,
    };
    if let Some(choice) = reading.choices.iter().find(wanted) {
        return Ok(choice.key.chars().map(key).collect());
    }
    // Buttons are pressed; a question in one line is answered by a letter.
    match answer {
        "yes" if reading.buttons => Ok(vec![press(KeyCode::Enter)]),
        "no" if reading.buttons => Ok(vec![press(KeyCode::Escape)]),
        "yes" | "no" if reading.choices.is_empty() => {
            Ok(vec![key(answer.chars().next().unwrap_or('n')), press(KeyCode::Enter)])
        }
        _ => {
            let choices: Vec<String> = reading.choices.iter().map(|c| format!("{} {}", c.key, c.text)).collect();
            Err(failed(format!("`{answer}` is none of its choices: {}", choices.join(", "))).hint(hint))
        }
    }
}

/// What is to be sent, without the line end that shells and editors put behind it.
fn text(given: &str) -> Result<String> {
    let text = match given {
        "-" => {
            let mut text = String::new();
            std::io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
            text
        }
        given => given.to_owned(),
    };
    if text.len() as u64 > TEXT_BYTES_MAX {
        let most = TEXT_BYTES_MAX / 1024;
        return Err(CommandError::usage(format!("the text is longer than {most} KiB"))
            .hint("Write it into a file of the worktree and send the file's name."));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// What a person would do. Programs look for their own commands only in what is typed, not in what is pasted.
fn inputs(text: &str, submit: bool) -> Vec<Input> {
    let is_command = text.starts_with('/') && text.len() <= COMMAND_BYTES_MAX && !text.contains(['\n', '\r']);
    if !is_command && !text.is_empty() {
        return vec![Input::Paste { text: text.to_owned(), submit }];
    }
    let typed = text.chars().map(|c| press(KeyCode::Char(c)));
    typed.chain(submit.then(|| press(KeyCode::Enter))).collect()
}

fn is_enter(input: &Input) -> bool {
    matches!(input, Input::Key(Key { code: KeyCode::Enter, .. }))
}

/// Sends, and says whether the screen changed afterwards.
async fn send(session: &Session, inputs: Vec<Input>) -> Result<bool> {
    let unreachable = |why: &str| {
        let message = format!("the terminal of {} cannot be reached: {why}", session.agent);
        CommandError { kind: "no_terminal", ..CommandError::failed(message) }.hint(
            "Nothing was sent. `pipeline agent list` shows how it is; a session that has just begun may need a moment.",
        )
    };
    let mut link = session.link.clone();
    match timeout(OPEN_WAIT, link.wait_for(|link| *link != Link::Opening)).await {
        Ok(Ok(link)) => match &*link {
            Link::Open | Link::Opening => {}
            Link::Silent => return Err(unreachable("its host does not answer")),
            Link::Ended => return Err(unreachable("its session has ended")),
            Link::Lost(why) => return Err(unreachable(why)),
        },
        Ok(Err(_)) | Err(_) => return Err(unreachable("its host does not answer")),
    }
    let mut frames = session.frames.clone();
    let before = Arc::clone(&frames.borrow_and_update());
    for (number, input) in inputs.into_iter().enumerate() {
        if number > 0 && is_enter(&input) {
            sleep_until(Instant::now() + ENTER_AFTER_TEXT).await;
        }
        take(session, input).await?;
    }
    Ok(changes(&mut frames, &before).await)
}

async fn take(session: &Session, input: Input) -> Result<()> {
    let failed = |why: &str| {
        CommandError { kind: "not_taken", ..CommandError::failed(format!("{} did not take it: {why}", session.agent)) }
            .hint(format!("`pipeline agent attach {}` shows what it does.", session.agent))
    };
    let (answer, answered) = oneshot::channel();
    let ask = Asked { ask: PaneRequest::Input(input), answer };
    if session.asks.send(ask).await.is_err() {
        return Err(failed("its session has ended"));
    }
    match timeout(TAKEN_WAIT, answered).await {
        Ok(Ok(PaneAnswer::Taken)) => Ok(()),
        Ok(Ok(PaneAnswer::Refused(why))) => Err(failed(&why)),
        Ok(Ok(PaneAnswer::Found(_) | PaneAnswer::Text(_))) => Err(failed("its host answers something else")),
        Ok(Err(_)) => Err(failed("its session has ended")),
        Err(_) => Err(failed("its host does not answer")),
    }
}

/// Whether the screen shows something else, soon.
async fn changes(frames: &mut watch::Receiver<Arc<Frame>>, before: &Frame) -> bool {
    let other = frames.wait_for(|frame| frame.lines != before.lines || frame.cursor != before.cursor);
    matches!(timeout(CHANGE_WAIT, other).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_pasted_and_a_programs_own_command_is_typed() {
        assert_eq!(inputs("do it", true), [Input::Paste { text: "do it".to_owned(), submit: true }]);
        assert_eq!(inputs("/usr/bin\nx", false), [Input::Paste { text: "/usr/bin\nx".to_owned(), submit: false }]);
        let typed = inputs("/é", true);
        assert_eq!(typed.len(), 3);
        assert!(matches!(typed[1], Input::Key(Key { code: KeyCode::Char('é'), .. })));
        assert!(is_enter(&typed[2]) && !is_enter(&typed[1]));
        assert_eq!(inputs("/c", false).len(), 2);
        assert!(is_enter(&inputs("", true)[0]));
        assert_eq!(inputs("", false), []);
    }

    #[test]
    fn enter_follows_a_number_only_where_the_cursor_came_to_it() {
        let reading = |chosen: &str, line: &str| Reading {
            doing: Some(Doing::Dialog(Dialog::Trust)),
            composer: false,
            line: line.to_owned(),
            choices: ["1", "2"]
                .map(|key| Choice {
                    key: key.to_owned(),
                    text: format!("choice {key}"),
                    refuses: key == "2",
                    chosen: key == chosen,
                })
                .to_vec(),
            wants_enter: true,
            buttons: false,
            unchanged_since: jiff::Timestamp::UNIX_EPOCH,
        };
        let one = [press(KeyCode::Char('1'))];
        assert!(rests_on(&reading("2", "Trust?"), &reading("1", "Trust?"), &one));
        assert!(!rests_on(&reading("1", "Trust?"), &reading("2", "Trust?"), &one));
        assert!(!rests_on(&reading("1", "Trust?"), &reading("1", "Run it?"), &one));
    }

    #[test]
    fn the_line_end_behind_a_text_is_not_part_of_it() {
        assert_eq!(text("a\nb\r\n\n").unwrap(), "a\nb");
        assert_eq!(text(&"x".repeat(600 * 1024)).unwrap_err().code, exit::USAGE);
    }
}
