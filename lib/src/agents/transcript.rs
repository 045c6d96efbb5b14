//! An agent's standard output as a person reads it: one or a few lines for each event of a stream of JSON, and text as it
//! is, with its colours.
//!
//! Nothing is concluded from it: what an output means for a run is read in `stream`. Events that are new or say nothing to
//! a person are passed over.

use serde_json::Value;

use super::stream::{Format, count, event, sniff, str_at, text_at};
use crate::terminal::{Attributes, Colour, Line, Span, Style, sgr};
use crate::text;

/// The longest message that is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 16_000;
/// A line beyond this grows no more; what follows it begins another.
const GROWING_BYTES_MAX: usize = 64 * 1024;
/// The longest argument of a tool, in characters.
const ARGUMENT_CHARS_MAX: usize = 160;
/// The longest line of what a tool answered, in characters.
const ANSWER_CHARS_MAX: usize = 200;
/// After so many lines of JSON that belong to no known stream, an output is text.
const SNIFF_LINES_MAX: usize = 50;

/// What says best what a tool is used on, best first.
const ARGUMENTS: [&str; 12] = [
    "command",
    "cmd",
    "file_path",
    "path",
    "notebook_path",
    "pattern",
    "query",
    "url",
    "skill",
    "description",
    "prompt",
    "text",
];

/// Reads an output line by line.
#[derive(Debug, Clone)]
pub struct Transcript {
    format: Format,
    unknown: usize,
    colours: sgr::Reader,
    /// The message that comes in pieces, and the last line of it so far.
    open: Option<(String, String)>,
}

/// What a line of the output says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The first line stands in the place of the last one that was said, which has grown.
    pub grows: bool,
    /// Lines to show; often none.
    pub lines: Vec<Line>,
}

/// Whose words they are, which decides their look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Agent,
    Answer,
    Error,
    Note,
}

impl Transcript {
    /// From the beginning, or from anywhere behind a line end.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, unknown: 0, colours: sgr::Reader::default(), open: None }
    }

    /// Reads the next line, without its end.
    #[must_use]
    pub fn line(&mut self, printed: &str) -> Said {
        let is_json = printed.trim_start().starts_with('{');
        if self.format == Format::Auto && is_json {
            self.format = sniff(printed);
            if self.format == Format::Plain && self.unknown < SNIFF_LINES_MAX {
                (self.format, self.unknown) = (Format::Auto, self.unknown + 1);
            }
        }
        let read = match self.format {
            Format::Auto | Format::Aider | Format::Plain => return self.text(printed),
            Format::ClaudeJson => claude,
            Format::CodexJson => codex,
            Format::GeminiJson => gemini,
            Format::OpencodeJson => opencode,
            Format::GooseJson => goose,
        };
        if !is_json {
            return if printed.trim().is_empty() { Said::default() } else { self.text(printed) };
        }
        // One that was cut says nothing.
        let Some(event) = event(printed) else { return Said::default() };
        let mut page = Page::default();
        read(&event, &mut page);
        self.said(page)
    }

    /// Something else was shown behind what was said last: nothing of that grows any more.
    pub fn interrupt(&mut self) {
        self.open = None;
    }

    fn text(&mut self, printed: &str) -> Said {
        self.open = None;
        Said { grows: false, lines: vec![self.colours.line(printed)] }
    }

    fn said(&mut self, page: Page) -> Said {
        let Some((id, piece)) = page.piece else {
            if !page.lines.is_empty() {
                self.open = None;
            }
            return Said { grows: false, lines: page.lines };
        };
        let before = self.open.take().filter(|(open, _)| *open == id).map(|(_, last)| last);
        let grows = before.is_some();
        let whole = before.unwrap_or_default() + &text::safe(&piece, MESSAGE_CHARS_MAX);
        // A line end at the end is shown only once something follows it.
        let mut lines: Vec<Line> = whole.split('\n').map(|line| spoken(Voice::Agent, line)).collect();
        let last = whole.rsplit('\n').next().unwrap_or_default();
        self.open = (last.len() <= GROWING_BYTES_MAX).then(|| (id, last.to_owned()));
        lines.extend(page.lines);
        Said { grows, lines }
    }
}

fn spoken(voice: Voice, words: &str) -> Line {
    let style = match voice {
        Voice::Agent => Style::default(),
        Voice::Answer | Voice::Note => Style { attributes: Attributes::DIM, ..Style::default() },
        Voice::Error => Style { foreground: Colour::Indexed(1), ..Style::default() },
    };
    let text = words.replace('\t', "    ");
    Line { spans: if text.is_empty() { Vec::new() } else { vec![Span { text, style }] } }
}

/// What one event says.
#[derive(Debug, Default)]
struct Page {
    lines: Vec<Line>,
    /// A piece of a message, by the id of the message.
    piece: Option<(String, String)>,
}

impl Page {
    fn say(&mut self, voice: Voice, words: &str) {
        let words = text::safe(words.trim_end(), MESSAGE_CHARS_MAX);
        self.lines.extend(words.lines().map(|line| spoken(voice, line)));
    }

    /// A tool is used.
    fn uses(&mut self, tool: &str, argument: &str) {
        let bullet = Style { foreground: Colour::Indexed(6), ..Style::default() };
        let name = Style { attributes: Attributes::BOLD, ..Style::default() };
        let mut spans =
            vec![Span { text: "● ".to_owned(), style: bullet }, Span { text: text::one_line(tool, 60), style: name }];
        let argument = text::one_line(argument, ARGUMENT_CHARS_MAX);
        if !argument.is_empty() {
            spans.push(Span { text: format!("({argument})"), style: Style::default() });
        }
        self.lines.push(Line { spans });
    }

    /// What a tool answered: its first line, and how much more there is.
    fn answer(&mut self, words: &str, failed: bool) {
        let words = text::safe(words, MESSAGE_CHARS_MAX);
        let mut lines = words.lines().filter(|line| !line.trim().is_empty());
        let Some(first) = lines.next() else { return };
        let more = match lines.count() {
            0 => String::new(),
            1 => " (1 more line)".to_owned(),
            more => format!(" ({more} more lines)"),
        };
        let first = text::one_line(first, ANSWER_CHARS_MAX);
        let voice = if failed { Voice::Error } else { Voice::Answer };
        self.lines.push(spoken(voice, &format!("  {first}{more}")));
    }
}

/// What a tool is used on, in a few words.
fn argument(input: Option<&Value>) -> String {
    let words = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
        _ => None,
    };
    let Some(Value::Object(fields)) = input else { return input.and_then(words).unwrap_or_default() };
    let best = ARGUMENTS.iter().find_map(|name| fields.get(*name).and_then(words));
    best.or_else(|| fields.values().find_map(words)).unwrap_or_default()
}

/// The text of a content that is a text, or a list of blocks with texts.
fn content(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| str_at(block, "text")).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn is_true(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool) == Some(true)
}

fn claude(event: &Value, page: &mut Page) {
    match str_at(event, "type").unwrap_or("") {
        "system" => match str_at(event, "subtype").unwrap_or("") {
            "init" => page.say(Voice::Note, &format!("a session of {}", str_at(event, "model").unwrap_or("claude"))),
            "api_retry" => {
                let kind = str_at(event, "error").unwrap_or("an error");
                page.say(Voice::Error, &format!("trying again after {kind}"));
            }
            _ => {}
        },
        "rate_limit_event" if text_at(event, "/rate_limit_info/status").as_deref() == Some("rejected") => {
            page.say(Voice::Error, "usage limit reached");
        }
        "assistant" => claude_message(event, page),
        "user" => {
            for block in event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
                if str_at(block, "type") == Some("tool_result") {
                    page.answer(&content(block.get("content")), is_true(block, "is_error"));
                }
            }
        }
        "result" => {
            let subtype = str_at(event, "subtype").unwrap_or("");
            if is_true(event, "is_error") || subtype != "success" {
                let why = str_at(event, "result").map_or_else(|| subtype.replace('_', " "), str::to_owned);
                page.say(Voice::Error, &why);
            }
            let seconds = count(event, "/duration_ms").div_ceil(1_000);
            let turns = count(event, "/num_turns");
            let cost = event.get("total_cost_usd").and_then(Value::as_f64).unwrap_or_default();
            page.say(Voice::Note, &format!("ended after {seconds} s and {turns} turns, ${cost:.2}"));
        }
        _ => {}
    }
}

fn claude_message(event: &Value, page: &mut Page) {
    let error = event.get("error").is_some_and(|error| !error.is_null());
    let inner = event.get("parent_tool_use_id").is_some_and(|id| !id.is_null());
    for block in event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
        match str_at(block, "type").unwrap_or("") {
            // A subagent's words are for the agent.
            "text" if !inner => {
                let voice = if error { Voice::Error } else { Voice::Agent };
                page.say(voice, str_at(block, "text").unwrap_or(""));
            }
            "tool_use" | "server_tool_use" => {
                page.uses(str_at(block, "name").unwrap_or("tool"), &argument(block.get("input")));
            }
            _ => {}
        }
    }
}

fn codex(event: &Value, page: &mut Page) {
    match str_at(event, "type").unwrap_or("") {
        kind @ ("item.started" | "item.completed") => {
            if let Some(item) = event.get("item") {
                codex_item(item, kind == "item.completed", page);
            }
        }
        "turn.completed" => {
            let (sent, received) = (count(event, "/usage/input_tokens"), count(event, "/usage/output_tokens"));
            page.say(Voice::Note, &format!("{sent} tokens in, {received} out"));
        }
        "turn.failed" => {
            let why = text_at(event, "/error/message").unwrap_or_else(|| "the turn failed".to_owned());
            page.say(Voice::Error, &why);
        }
        "error" => page.say(Voice::Error, str_at(event, "message").unwrap_or("an error without a message")),
        _ => {}
    }
}

fn codex_item(item: &Value, done: bool, page: &mut Page) {
    match (str_at(item, "type").unwrap_or(""), done) {
        ("agent_message", true) => page.say(Voice::Agent, str_at(item, "text").unwrap_or("")),
        ("reasoning", true) => page.say(Voice::Note, str_at(item, "text").unwrap_or("")),
        ("error", true) => page.say(Voice::Note, str_at(item, "message").unwrap_or("")),
        ("command_execution", false) => page.uses("shell", shell_command(str_at(item, "command").unwrap_or(""))),
        ("command_execution", true) => {
            let code = item.get("exit_code").and_then(Value::as_i64).unwrap_or(0);
            let output = str_at(item, "aggregated_output").unwrap_or("");
            page.answer(output, code != 0);
            if code != 0 {
                page.answer(&format!("exit code {code}"), true);
            }
        }
        ("file_change", true) => {
            let changes = item.get("changes").and_then(Value::as_array).into_iter().flatten();
            let paths: Vec<&str> = changes.filter_map(|change| str_at(change, "path")).collect();
            page.uses("edit", &paths.join(", "));
        }
        ("web_search", false) => page.uses("web search", str_at(item, "query").unwrap_or("")),
        ("mcp_tool_call", false) => {
            let tool =
                format!("{}.{}", str_at(item, "server").unwrap_or("mcp"), str_at(item, "tool").unwrap_or("tool"));
            page.uses(&tool, &argument(item.get("arguments")));
        }
        ("mcp_tool_call", true) => {
            if let Some(why) = text_at(item, "/error/message") {
                page.answer(&why, true);
            }
        }
        ("collab_tool_call", false) => page.uses(str_at(item, "tool").unwrap_or("agents"), ""),
        _ => {}
    }
}

/// The command that a shell is given, without the shell.
fn shell_command(command: &str) -> &str {
    let inner = ["-lc ", "-c "].iter().find_map(|flag| command.split_once(flag).map(|(_, inner)| inner));
    let Some(inner) = inner.filter(|_| command.starts_with('/') || command.starts_with("bash")) else { return command };
    let quoted = inner.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
    quoted.or_else(|| inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'))).unwrap_or(inner)
}

fn gemini(event: &Value, page: &mut Page) {
    match str_at(event, "type").unwrap_or("") {
        "init" => page.say(Voice::Note, &format!("a session of {}", str_at(event, "model").unwrap_or("gemini"))),
        "message" if str_at(event, "role") == Some("assistant") => {
            let words = str_at(event, "content").unwrap_or("");
            if is_true(event, "delta") {
                page.piece = Some((String::new(), words.to_owned()));
            } else {
                page.say(Voice::Agent, words);
            }
        }
        "tool_use" => page.uses(str_at(event, "tool_name").unwrap_or("tool"), &argument(event.get("parameters"))),
        "tool_result" => {
            let failed = str_at(event, "status") == Some("error");
            let words = text_at(event, "/error/message").unwrap_or_else(|| content(event.get("output")));
            page.answer(&words, failed);
        }
        "error" => page.say(Voice::Error, str_at(event, "message").unwrap_or("error")),
        "result" => {
            if let Some(why) = text_at(event, "/error/message") {
                page.say(Voice::Error, &why);
            }
            let (sent, received) = (count(event, "/stats/input_tokens"), count(event, "/stats/output_tokens"));
            page.say(Voice::Note, &format!("{sent} tokens in, {received} out"));
        }
        _ => {}
    }
}

fn opencode(event: &Value, page: &mut Page) {
    let part = event.get("part").unwrap_or(&Value::Null);
    match str_at(event, "type").unwrap_or("") {
        "text" => page.say(Voice::Agent, str_at(part, "text").unwrap_or("")),
        "reasoning" => page.say(Voice::Note, str_at(part, "text").unwrap_or("")),
        "tool_use" => {
            page.uses(str_at(part, "tool").unwrap_or("tool"), &argument(part.pointer("/state/input")));
            match text_at(part, "/state/error") {
                Some(why) => page.answer(&why, true),
                None => page.answer(&text_at(part, "/state/output").unwrap_or_default(), false),
            }
        }
        "error" => {
            let message = text_at(event, "/error/data/message").or_else(|| text_at(event, "/error/message"));
            let name = text_at(event, "/error/name").unwrap_or_else(|| "error".to_owned());
            page.say(Voice::Error, &message.unwrap_or(name));
        }
        _ => {}
    }
}

fn goose(event: &Value, page: &mut Page) {
    match str_at(event, "type").unwrap_or("") {
        "message" => {
            let id = text_at(event, "/message/id").unwrap_or_default();
            let agent = text_at(event, "/message/role").as_deref() == Some("assistant");
            for block in event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
                match str_at(block, "type").unwrap_or("") {
                    "text" if agent => {
                        let words = str_at(block, "text").unwrap_or("").to_owned();
                        let before = page.piece.take().map_or_else(String::new, |(_, words)| words);
                        page.piece = Some((id.clone(), before + &words));
                    }
                    "toolRequest" => {
                        let call = block.pointer("/toolCall/value").unwrap_or(&Value::Null);
                        page.uses(str_at(call, "name").unwrap_or("tool"), &argument(call.get("arguments")));
                    }
                    "toolResponse" => {
                        let failed = block.pointer("/toolResult/status").and_then(Value::as_str) == Some("error");
                        let value = block.pointer("/toolResult/value");
                        let words = content(value.and_then(|v| v.get("content")).or(value));
                        page.answer(&words, failed);
                    }
                    _ => {}
                }
            }
        }
        "error" => page.say(Voice::Error, str_at(event, "error").unwrap_or("error")),
        "complete" => page.say(Voice::Note, &format!("ended, {} tokens", count(event, "/total_tokens"))),
        _ => {}
    }
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
