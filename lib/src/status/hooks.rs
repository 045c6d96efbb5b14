//! What agent programs say of themselves by calling a command at certain moments, and what follows from the sequence of
//! it. The programs hand a JSON document to the command; each names its moments in its own way, and all of them are one
//! small language here. Nothing in a document but its kind, its session and a few counts is believed or kept.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Doing;
use crate::agents::stream::{Failure, classify};
use crate::text;

/// The longest document that is read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// The longest text that is kept of one, in characters.
const WORDS_MAX: usize = 200;
/// The longest path that is kept.
const PATH_BYTES_MAX: usize = 4_096;
/// The longest name of a session.
const SESSION_BYTES_MAX: usize = 80;

/// One thing that a hook said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it was heard.
    pub at: Timestamp,
    /// What.
    pub moment: Moment,
    /// In which session of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether it is about a part of the agent that works for the main one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subagent: bool,
    /// Things that go on in the background, as it says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub background: u32,
    /// What it says about it, made safe and cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// The file in which the program keeps the session, where the session or a turn of it begins or ends, or it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

/// A moment that a hook is called at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A session began.
    SessionStarted,
    /// It was given something to do.
    Prompted,
    /// It uses a tool.
    ToolStarted,
    /// It has used a tool.
    ToolEnded,
    /// It asks for a permission.
    PermissionAsked,
    /// It asks something else.
    QuestionAsked,
    /// What it had asked has been answered.
    Answered,
    /// It says that nobody has answered for a while.
    Reminded,
    /// Its turn is over.
    TurnEnded,
    /// Its turn is over because something failed; the words say what.
    TurnFailed,
    /// Its service turned it down, and it waits to try again by itself; the words say why and for how long.
    Retrying,
    /// A part that worked for it is over.
    SubagentEnded,
    /// The session is over.
    SessionEnded,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Reads what a program hands to its hook. None for a moment that says nothing about what it does.
#[must_use]
pub fn read(document: &[u8], named: Option<&str>, at: Timestamp) -> Option<Hook> {
    let document: Value = if document.len() > DOCUMENT_BYTES_MAX {
        Value::Null
    } else {
        serde_json::from_slice(document).unwrap_or_default()
    };
    let text = |keys: &[&str]| keys.iter().find_map(|key| document.get(key)?.as_str());
    let name = named.or_else(|| text(&["hook_event_name", "hookEventName", "event", "type"]))?;
    let kind = text(&["notification_type", "matcher", "notificationType"]).unwrap_or_default();
    let message = text(&["message", "error", "reason", "last_assistant_message", "title"]).unwrap_or_default();
    let subagent = text(&["agent_id", "agentId", "parent_tool_use_id"]).is_some() || is_aside(&document);
    let moment = match name {
        "SessionStart" | "session.created" => Moment::SessionStarted,
        "UserPromptSubmit" | "BeforeAgent" => Moment::Prompted,
        "PreToolUse" | "BeforeTool" | "tool.execute.before" => match text(&["tool_name", "toolName", "tool"]) {
            Some("AskUserQuestion" | "ExitPlanMode" | "ask_user") => Moment::QuestionAsked,
            _ => Moment::ToolStarted,
        },
        "PostToolUse" | "PostToolUseFailure" | "AfterTool" | "tool.execute.after" => Moment::ToolEnded,
        "PermissionRequest" | "permission.asked" | "permission.updated" => Moment::PermissionAsked,
        "question.asked" => Moment::QuestionAsked,
        "permission.replied" | "question.replied" | "question.rejected" => Moment::Answered,
        "session.status" => match text(&["status"]) {
            Some("busy") => Moment::Prompted,
            Some("retry") => Moment::Retrying,
            _ => return None,
        },
        // Gemini calls everything that it shows a dialog for a permission.
        "Notification" if matches!(part(&document, "/details/type"), Some("ask_user" | "exit_plan_mode")) => {
            Moment::QuestionAsked
        }
        "Notification" => match kind {
            "permission_prompt" | "ToolPermission" => Moment::PermissionAsked,
            "elicitation_dialog" => Moment::QuestionAsked,
            "idle_prompt" | "agent_needs_input" => Moment::Reminded,
            // Older programs say in words only which it is.
            _ if message.contains("permission") => Moment::PermissionAsked,
            _ if message.contains("waiting for your input") => Moment::Reminded,
            _ => return None,
        },
        "Stop" | "AfterAgent" | "agent-turn-complete" | "session.idle" => Moment::TurnEnded,
        "StopFailure" | "session.error" => Moment::TurnFailed,
        "SubagentStop" => Moment::SubagentEnded,
        "SessionEnd" => Moment::SessionEnded,
        _ => return None,
    };
    let count = |key: &str| {
        document.get(key).and_then(Value::as_array).map_or(0, |list| list.iter().filter(|task| lives(task)).count())
    };
    Some(Hook {
        at,
        moment,
        session: text(&["session_id", "sessionId", "thread-id"]).filter(|id| is_session(id)).map(str::to_owned),
        subagent: subagent && moment != Moment::SubagentEnded,
        background: u32::try_from(count("background_tasks") + count("session_crons")).unwrap_or(u32::MAX),
        words: text::one_line(message, WORDS_MAX),
        transcript: text(&["transcript_path", "transcriptPath"])
            .filter(|path| path.starts_with('/') && path.len() <= PATH_BYTES_MAX)
            .filter(|_| names_transcript(moment))
            .map(str::to_owned),
    })
}

/// Whether the end of a turn is not of what was asked for. Codex 0.169 has a model write a title for each session, in a thread
/// of its own that nobody sees and that ends long before the turn does, and tells of it as of any other.
fn is_aside(document: &Value) -> bool {
    let asked = part(document, "/input-messages/0").unwrap_or_default();
    asked.starts_with("Generate a concise") && asked.lines().next().is_some_and(|line| line.contains(" title "))
}

/// The session in which an agent works: the first that was heard of, but for those of parts that work for it.
#[must_use]
pub fn session(hooks: &[Hook]) -> Option<&str> {
    hooks.iter().filter(|hook| !hook.subagent).find_map(|hook| hook.session.as_deref())
}

/// Whether this may be the name of a session. It comes back on a command line, where it must be nothing else.
fn is_session(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.len() <= SESSION_BYTES_MAX
        && id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && id.bytes().all(is_plain)
}

/// Whether the file of the session is kept with a moment. Once a turn is often enough, and where it waits for somebody.
fn names_transcript(moment: Moment) -> bool {
    let turn = matches!(moment, Moment::SessionStarted | Moment::Prompted | Moment::TurnEnded);
    turn || matches!(moment, Moment::PermissionAsked | Moment::QuestionAsked)
}

fn part<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer)?.as_str()
}

/// Whether an entry of the list of things in the background is one that ends. A team mate within the process stays in
/// the list as running for ever and says nothing.
fn lives(task: &Value) -> bool {
    let field = |key: &str| task.get(key).and_then(Value::as_str);
    let over = matches!(field("status"), Some("completed" | "failed" | "killed" | "stopped"));
    let mate = matches!(field("type"), Some("in_process_teammate" | "teammate"));
    !over && !mate
}

/// What a sequence of hooks says an agent does, since when, and in which words of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// What.
    pub doing: Doing,
    /// Since when.
    pub since: Timestamp,
    /// When a hook was heard last.
    pub heard_at: Timestamp,
    /// The words that came with it.
    pub words: String,
}

/// What hooks say, oldest first. Another session's, and those of parts that work for the agent, do not end its turn.
#[must_use]
pub fn follow(hooks: &[Hook], now: &Zoned) -> Option<Said> {
    let mut said: Option<Said> = None;
    let mut session = session(hooks).map(str::to_owned);
    let mut transcript: Option<&String> = None;
    let mut failed = false;
    for hook in hooks {
        // A new session of the same program takes over only by beginning anew in the same place.
        if hook.moment == Moment::SessionStarted
            && !hook.subagent
            && said.as_ref().is_none_or(|said| said.doing == Doing::Unknown)
        {
            session.clone_from(&hook.session);
        }
        // Some programs give a session another name when they go on with another model; it stays in its file.
        if hook.transcript.is_some() && hook.transcript.as_ref() == transcript {
            session.clone_from(&hook.session);
        }
        if hook.session.is_some() && hook.session != session {
            continue;
        }
        transcript = hook.transcript.as_ref().or(transcript);
        let present = said.as_ref().map(|said| &said.doing);
        // A turn that failed is over too, and some programs say that after it.
        let again = failed && hook.moment == Moment::TurnEnded && !hook.subagent;
        let Some(doing) = step(present, hook, now).filter(|_| !again) else {
            if let Some(said) = &mut said {
                said.heard_at = hook.at;
            }
            continue;
        };
        let since = match &said {
            Some(said) if said.doing == doing => said.since,
            _ => hook.at,
        };
        failed = hook.moment == Moment::TurnFailed;
        said = Some(Said { doing, since, heard_at: hook.at, words: hook.words.clone() });
    }
    said
}

/// What one hook changes; none where it says nothing about the agent itself.
fn step(present: Option<&Doing>, hook: &Hook, now: &Zoned) -> Option<Doing> {
    if hook.subagent {
        // A part of the agent that asks for a permission keeps the whole of it waiting; nothing else of it counts but
        // that the agent has not come to its end.
        return match hook.moment {
            Moment::PermissionAsked => Some(Doing::Permission),
            Moment::QuestionAsked => Some(Doing::Question),
            Moment::ToolStarted | Moment::ToolEnded if present == Some(&Doing::Permission) => Some(Doing::Working),
            Moment::Answered if matches!(present, Some(Doing::Permission | Doing::Question)) => Some(Doing::Working),
            _ => None,
        };
    }
    // A limit that ends in so many seconds ends that long after it was said.
    let failure = || classify(&hook.words, &hook.at.to_zoned(now.time_zone().clone()));
    Some(match hook.moment {
        Moment::SessionStarted => Doing::Starting,
        Moment::Prompted | Moment::ToolStarted | Moment::ToolEnded | Moment::Answered => Doing::Working,
        Moment::PermissionAsked => Doing::Permission,
        Moment::QuestionAsked => Doing::Question,
        // A reminder comes a minute after any end of a turn and is no question of its own. Behind work in the
        // background it says that the work is over too.
        Moment::Reminded => match present {
            Some(Doing::Background) | None => Doing::TurnEnded,
            Some(_) => return None,
        },
        Moment::TurnEnded if hook.background > 0 => Doing::Background,
        Moment::TurnEnded => Doing::TurnEnded,
        Moment::TurnFailed => match failure() {
            Failure::RateLimited { until, .. } => Doing::RateLimited { until },
            Failure::Auth { .. } => Doing::AuthFailed,
            _ => Doing::TurnEnded,
        },
        Moment::Retrying => match failure() {
            Failure::RateLimited { until, .. } => Doing::RateLimited { until },
            _ => Doing::Working,
        },
        Moment::SubagentEnded => return None,
        Moment::SessionEnded => Doing::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_named_where_a_session_or_a_turn_begins_or_ends() {
        let named = |event: &str, path: &str| {
            let document = serde_json::json!({ "hook_event_name": event, "session_id": "s", "transcript_path": path });
            read(document.to_string().as_bytes(), None, Timestamp::UNIX_EPOCH).and_then(|hook| hook.transcript)
        };
        for event in ["SessionStart", "UserPromptSubmit", "Stop"] {
            assert_eq!(named(event, "/t/s.jsonl").as_deref(), Some("/t/s.jsonl"), "{event}");
        }
        assert_eq!(named("PreToolUse", "/t/s.jsonl"), None, "once a turn is often enough");
        assert_eq!(named("Stop", "s.jsonl"), None, "nobody knows where that is");
        assert_eq!(named("Stop", &format!("/{}", "t".repeat(PATH_BYTES_MAX))), None);
    }
}
