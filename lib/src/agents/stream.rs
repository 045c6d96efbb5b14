//! What an agent's standard output says: its last words, what it is doing, what it used, and why it stopped.
//!
//! The formats are those of the programs themselves. A limit or a lost login is taken from an event that reports an error,
//! never from what the agent writes: agents write about rate limits all day. Lines that are not JSON, fields that are
//! missing and events that are new are passed over. The text may be the end of a longer one.

use std::collections::BTreeMap;

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{aider, errors, outage, reset, text_stream};
use crate::text;

/// How much of the output is looked at: its end, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of the last message is kept: its end, in bytes.
pub const FINAL_TEXT_BYTES_MAX: usize = 256 * 1024;
/// How long the texts of failures and last lines may be, in characters.
pub const LINE_CHARS_MAX: usize = 300;

/// How the output of a program is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Looks at the first events and takes the format they belong to, or plain text.
    Auto,
    /// `codex exec --json`.
    CodexJson,
    /// `claude -p --output-format stream-json`.
    ClaudeJson,
    /// `gemini --output-format stream-json` or `json`.
    GeminiJson,
    /// `opencode run --format json`.
    OpencodeJson,
    /// `goose run --output-format stream-json`.
    GooseJson,
    /// The text of `aider --no-stream --no-pretty`.
    Aider,
    /// Any text.
    Plain,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tokens {
    /// All tokens that were sent, cached ones included.
    pub input: u64,
    /// All tokens that were received.
    pub output: u64,
    /// Those of the sent ones that were read from a cache.
    pub cached: u64,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached: self.cached.saturating_add(other.cached),
        }
    }
}

/// Why the program could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// A limit of the account was reached: every agent of the same preset is concerned.
    RateLimited {
        /// When it ends, if that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
        /// The message.
        text: String,
    },
    /// The program is not logged in, or its key is not accepted.
    Auth {
        /// The message.
        text: String,
    },
    /// The service of its model cannot be reached: every agent of the same preset is concerned.
    Unreachable {
        /// The message.
        text: String,
    },
    /// The conversation no longer fits the model.
    ContextFull {
        /// The message.
        text: String,
    },
    /// The model or its provider declined to work on this.
    Refused {
        /// The message.
        text: String,
    },
    /// Anything else that the program reports as the end.
    Other {
        /// The message.
        text: String,
    },
}

/// What the agent was last seen doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Activity {
    /// Waiting for the model.
    Thinking,
    /// Using a tool.
    Tool {
        /// Which.
        name: String,
    },
    /// Writing a message.
    Message,
}

/// What an output says in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The agent's last message, as it wrote it.
    pub final_text: Option<String>,
    /// The id with which the program can continue the conversation.
    pub session: Option<String>,
    /// What was used, once the program says so.
    pub tokens: Option<Tokens>,
    /// What it cost.
    pub cost_usd: Option<f64>,
    /// Why it could not go on; while it runs, what it is retrying for.
    pub failure: Option<Failure>,
    /// What it was last seen doing.
    pub activity: Option<Activity>,
    /// The last thing it said, on one line, made safe.
    pub last_line: String,
}

/// Reads an output. The zone of `now` is that of the machine that the agent runs on.
#[must_use]
pub fn summarize(format: Format, output: &str, now: &Zoned) -> Summary {
    let output = text::tail_bytes(output, OUTPUT_BYTES_MAX);
    let mut reader = Reader::new(now);
    match format {
        Format::Auto => return summarize(sniff(output), output, now),
        Format::Aider => return aider::read(output, now),
        Format::Plain => return text_stream::plain(output, now),
        _ => reader.each(format, output),
    }
    if format == Format::GeminiJson && reader.out.session.is_none() && reader.out.final_text.is_none() {
        reader.gemini_object(output);
    }
    reader.finish(output)
}

/// Tells the format by the first event of a known one, which is among the first lines if there is any.
#[must_use]
pub fn sniff(output: &str) -> Format {
    for event in output.lines().take(50).filter_map(event) {
        let kind = str_at(&event, "type").unwrap_or("");
        if kind.starts_with("thread.") || kind.starts_with("turn.") || kind.starts_with("item.") {
            return Format::CodexJson;
        }
        if event.get("sessionID").is_some() && event.get("part").is_some() {
            return Format::OpencodeJson;
        }
        if event.get("session_id").is_some() {
            if kind == "init" {
                return Format::GeminiJson;
            }
            if matches!(kind, "system" | "assistant" | "user" | "result") {
                return Format::ClaudeJson;
            }
        }
    }
    Format::Plain
}

/// Sorts the message of an event that reports an error.
#[must_use]
pub fn classify(message: &str, now: &Zoned) -> Failure {
    let text = text::one_line(message, LINE_CHARS_MAX);
    let lower = text.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
    let code = |wanted: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == wanted);
    if has(&[
        "context window",
        "context length",
        "context_length",
        "prompt is too long",
        "maximum context",
        "contextoverflow",
    ]) {
        Failure::ContextFull { text }
    } else if has(&["disk quota"]) {
        // A full disk is no matter of the account.
        Failure::Other { text }
    } else if code("429")
        || has(&[
            "usage limit",
            "rate limit",
            "rate_limit",
            "ratelimit",
            "quota",
            "too many requests",
            "hit your limit",
            "limit reached",
            "credit balance",
            "insufficient credits",
            "resource_exhausted",
            "resource exhausted",
        ])
    {
        Failure::RateLimited { until: reset::from_message(message, now), text }
    } else if code("401")
        || code("403")
        || has(&[
            "unauthorized",
            "api key",
            "api_key",
            "x-api-key",
            "authentication",
            "not logged in",
            "please run /login",
            "oauth token",
            "log in again",
            "token has expired",
            "permission_denied",
        ])
    {
        Failure::Auth { text }
    } else if outage::is_reported(&lower) {
        Failure::Unreachable { text }
    } else if has(&["usage policy", "refused", "refusal", "content policy", "refused by policy", "policy violation"]) {
        Failure::Refused { text }
    } else {
        Failure::Other { text }
    }
}

pub(super) fn event(line: &str) -> Option<Value> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    serde_json::from_str(line).ok()
}

pub(super) fn str_at<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

pub(super) fn text_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

pub(super) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

pub(super) struct Reader<'a> {
    now: &'a Zoned,
    pub(super) out: Summary,
    /// What single messages used, by their ids, for as long as no total is told.
    pub(super) messages: BTreeMap<String, Tokens>,
    /// The last error that nothing has contradicted yet.
    error: Option<Failure>,
    /// The message that pieces are being added to, where a format sends pieces.
    message: Option<String>,
    /// When a limit ends, from an event before the one that reports the failure.
    limit: Option<Timestamp>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(now: &'a Zoned) -> Self {
        let messages = BTreeMap::new();
        Self { now, out: Summary::default(), messages, error: None, message: None, limit: None }
    }

    /// Reads the events of a stream; of a text there are none.
    pub(super) fn each(&mut self, format: Format, output: &str) {
        let read: fn(&mut Self, &Value) = match format {
            Format::CodexJson => Self::codex,
            Format::ClaudeJson => Self::claude,
            Format::GeminiJson => Self::gemini,
            Format::OpencodeJson => Self::opencode,
            Format::GooseJson => Self::goose,
            Format::Auto | Format::Aider | Format::Plain => return,
        };
        for event in output.lines().filter_map(event) {
            read(self, &event);
        }
    }

    pub(super) fn finish(mut self, output: &str) -> Summary {
        self.out.failure = self.error.take();
        self.out.tokens = self.tokens();
        let last = match (&self.out.failure, &self.out.final_text) {
            (Some(failure), _) => failure.text().to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => output.lines().rev().find(|line| is_speech(line)).unwrap_or("").to_owned(),
        };
        let line = last.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        self.out.last_line = text::one_line(line, LINE_CHARS_MAX);
        self.out
    }

    /// What was used: the total, or what the messages so far say.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        self.out.tokens.or_else(|| self.messages.values().copied().reduce(Tokens::plus))
    }

    fn session(&mut self, id: Option<&str>) {
        if let Some(id) = id
            && self.out.session.is_none()
            && !id.is_empty()
        {
            self.out.session = Some(text::one_line(id, 128));
        }
    }

    fn says(&mut self, message: &str) {
        self.out.activity = Some(Activity::Message);
        self.out.final_text = Some(text::tail_bytes(message, FINAL_TEXT_BYTES_MAX).to_owned());
    }

    /// Adds a piece to the message of the given id; a piece of another message begins anew.
    fn adds(&mut self, id: &str, piece: &str) {
        if self.message.as_deref() == Some(id)
            && let Some(text) = &mut self.out.final_text
        {
            text.push_str(piece);
            if text.len() > 2 * FINAL_TEXT_BYTES_MAX {
                *text = text::tail_bytes(text, FINAL_TEXT_BYTES_MAX).to_owned();
            }
            self.out.activity = Some(Activity::Message);
        } else {
            self.says(piece);
            self.message = Some(id.to_owned());
        }
    }

    fn uses(&mut self, tool: &str) {
        self.message = None;
        self.out.activity = Some(Activity::Tool { name: text::one_line(tool, 60) });
    }

    fn thinks(&mut self) {
        self.out.activity = Some(Activity::Thinking);
    }

    fn fails(&mut self, message: &str) {
        let mut failure = classify(message, self.now);
        if let Failure::RateLimited { until: until @ None, .. } = &mut failure {
            *until = self.limit;
        }
        self.error = Some(failure);
    }

    fn spends(&mut self, used: Tokens) {
        let so_far = self.out.tokens.get_or_insert_default();
        *so_far = so_far.plus(used);
    }

    fn costs(&mut self, usd: Option<f64>) {
        if let Some(usd) = usd.filter(|usd| usd.is_finite() && *usd >= 0.0) {
            *self.out.cost_usd.get_or_insert_default() += usd;
        }
    }

    fn codex(&mut self, event: &Value) {
        match str_at(event, "type").unwrap_or("") {
            "thread.started" => self.session(str_at(event, "thread_id")),
            "turn.started" => self.thinks(),
            "turn.completed" => {
                self.error = None;
                self.spends(Tokens {
                    input: count(event, "/usage/input_tokens"),
                    output: count(event, "/usage/output_tokens"),
                    cached: count(event, "/usage/cached_input_tokens"),
                });
            }
            "turn.failed" => self.fails(&text_at(event, "/error/message").unwrap_or_else(|| "the turn failed".into())),
            // The file of a session tells it after each answer, and again when something else of the account is told.
            "event_msg" if text_at(event, "/payload/type").as_deref() == Some("token_count") => {
                let so_far = count(event, "/payload/info/total_token_usage/total_tokens");
                if let Some(last) = event.pointer("/payload/info/last_token_usage") {
                    let used = Tokens {
                        input: count(last, "/input_tokens"),
                        output: count(last, "/output_tokens"),
                        cached: count(last, "/cached_input_tokens"),
                    };
                    self.messages.insert(so_far.to_string(), used);
                }
            }
            "error" => self.fails(str_at(event, "message").unwrap_or("an error without a message")),
            kind @ ("item.started" | "item.updated" | "item.completed") => {
                if let Some(item) = event.get("item") {
                    self.codex_item(item, kind == "item.completed");
                }
            }
            _ => {}
        }
    }

    fn codex_item(&mut self, item: &Value, done: bool) {
        let tool = match str_at(item, "type").unwrap_or("") {
            "agent_message" => {
                self.error = None;
                if let Some(message) = str_at(item, "text") {
                    self.says(message);
                }
                return;
            }
            "command_execution" => "shell".to_owned(),
            "file_change" => "edit".to_owned(),
            "web_search" => "web search".to_owned(),
            "collab_tool_call" => str_at(item, "tool").unwrap_or("agents").to_owned(),
            "mcp_tool_call" => {
                format!("{}.{}", str_at(item, "server").unwrap_or("mcp"), str_at(item, "tool").unwrap_or("tool"))
            }
            "reasoning" | "todo_list" | "plan" => return self.thinks(),
            // An item of the kind `error` is a warning that the run survives.
            _ => return,
        };
        self.error = None;
        if done {
            self.thinks();
        } else {
            self.uses(&tool);
        }
    }

    fn claude(&mut self, event: &Value) {
        self.session(str_at(event, "session_id"));
        // An event for each block of a message, and each says what the whole message used; those of subagents count.
        if let (Some(id), Some(usage)) = (text_at(event, "/message/id"), event.pointer("/message/usage")) {
            self.messages.insert(id, claude_tokens(usage));
        }
        match str_at(event, "type").unwrap_or("") {
            "system" if str_at(event, "subtype") == Some("api_retry") => {
                let kind = str_at(event, "error").unwrap_or("unknown");
                let status = event.get("error_status").map(Value::to_string).unwrap_or_default();
                self.fails(&format!("retrying after {kind} {status}"));
            }
            // Other states of a limit are information: the request was served.
            "rate_limit_event" if text_at(event, "/rate_limit_info/status").as_deref() == Some("rejected") => {
                let resets = event.pointer("/rate_limit_info/resetsAt").and_then(Value::as_f64);
                self.limit = resets.and_then(|number| reset::from_epoch(number, self.now));
                self.fails("usage limit reached");
            }
            // A subagent's words are not the agent's.
            "assistant" if event.get("parent_tool_use_id").is_none_or(Value::is_null) => self.claude_message(event),
            "user" => self.thinks(),
            "result" => self.claude_result(event),
            _ => {}
        }
    }

    fn claude_message(&mut self, event: &Value) {
        let blocks = event.pointer("/message/content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if let Some(kind) = str_at(event, "error") {
            let said: Vec<&str> = blocks.iter().filter_map(|block| str_at(block, "text")).collect();
            self.claude_error(kind, &said.join(" "));
            return;
        }
        self.error = None;
        for block in blocks {
            match str_at(block, "type").unwrap_or("") {
                "text" => self.says(str_at(block, "text").unwrap_or("")),
                "tool_use" | "server_tool_use" => self.uses(str_at(block, "name").unwrap_or("tool")),
                "thinking" | "redacted_thinking" => self.thinks(),
                _ => {}
            }
        }
    }

    /// The program names the kind of its error, which is worth more than the words around it.
    fn claude_error(&mut self, kind: &str, message: &str) {
        let text = text::one_line(message, LINE_CHARS_MAX);
        self.error = Some(match kind {
            "rate_limit" | "billing_error" => {
                Failure::RateLimited { until: reset::from_message(message, self.now).or(self.limit), text }
            }
            "authentication_failed" => Failure::Auth { text },
            _ => classify(message, self.now),
        });
    }

    fn claude_result(&mut self, event: &Value) {
        self.out.tokens = event.get("usage").map(claude_tokens);
        self.out.cost_usd = event.get("total_cost_usd").and_then(Value::as_f64);
        let result = str_at(event, "result");
        let subtype = str_at(event, "subtype").unwrap_or("");
        // A request that was turned down ends with the subtype `success` too; only the flag tells.
        if event.get("is_error").and_then(Value::as_bool) != Some(true) && subtype == "success" {
            self.error = None;
            if let Some(result) = result.filter(|result| !result.is_empty()) {
                self.says(result);
            }
            return;
        }
        let text = result.map_or_else(|| subtype.replace('_', " "), |result| text::one_line(result, LINE_CHARS_MAX));
        let status = event.get("api_error_status").and_then(Value::as_u64);
        if str_at(event, "terminal_reason") == Some("prompt_too_long") {
            self.error = Some(Failure::ContextFull { text });
        } else if str_at(event, "stop_reason") == Some("refusal") {
            self.error = Some(Failure::Refused { text });
        } else if status == Some(429) {
            self.claude_error("rate_limit", &text);
        } else if matches!(status, Some(401 | 403)) {
            self.error = Some(Failure::Auth { text });
        } else if matches!(self.error, None | Some(Failure::Other { .. })) {
            // That it tried again says less than what it ends with.
            self.error = Some(classify(&text, self.now));
        }
    }

    fn gemini(&mut self, event: &Value) {
        match str_at(event, "type").unwrap_or("") {
            "init" => self.session(str_at(event, "session_id")),
            "message" if str_at(event, "role") == Some("assistant") => {
                let piece = str_at(event, "content").unwrap_or("");
                if event.get("delta").and_then(Value::as_bool) == Some(true) {
                    self.adds("", piece);
                } else {
                    self.says(piece);
                    self.message = None;
                }
            }
            // The file of a session has its messages, each again when a tool of it has answered.
            "gemini" => {
                if let (Some(id), Some(tokens)) = (str_at(event, "id"), event.get("tokens")) {
                    let used = Tokens {
                        input: count(tokens, "/input").saturating_add(count(tokens, "/tool")),
                        output: count(tokens, "/output").saturating_add(count(tokens, "/thoughts")),
                        cached: count(tokens, "/cached"),
                    };
                    self.messages.insert(id.to_owned(), used);
                }
            }
            "tool_use" => self.uses(str_at(event, "tool_name").unwrap_or("tool")),
            "tool_result" => self.thinks(),
            "error" if str_at(event, "severity") == Some("error") => {
                self.fails(str_at(event, "message").unwrap_or("error"))
            }
            "result" => {
                self.out.tokens = event.get("stats").map(|stats| Tokens {
                    input: count(stats, "/input_tokens"),
                    output: count(stats, "/output_tokens"),
                    cached: count(stats, "/cached"),
                });
                match event.pointer("/error/message").and_then(Value::as_str) {
                    Some(message) => self.fails(message),
                    None if str_at(event, "status") == Some("success") => self.error = None,
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// The single object of `--output-format json`, which spans lines.
    fn gemini_object(&mut self, output: &str) {
        let start = if output.starts_with('{') { Some(0) } else { output.find("\n{").map(|at| at + 1) };
        let Some(text) = start.and_then(|at| output.get(at..)) else { return };
        let Some(Ok(object)) = serde_json::Deserializer::from_str(text).into_iter::<Value>().next() else { return };
        self.session(str_at(&object, "session_id"));
        if let Some(response) = str_at(&object, "response") {
            self.says(response);
        }
        for model in
            object.pointer("/stats/models").and_then(Value::as_object).into_iter().flat_map(|models| models.values())
        {
            self.spends(Tokens {
                input: count(model, "/tokens/prompt"),
                output: count(model, "/tokens/candidates"),
                cached: count(model, "/tokens/cached"),
            });
        }
        if let Some(message) = object.pointer("/error/message").and_then(Value::as_str) {
            self.fails(message);
        }
    }

    fn opencode(&mut self, event: &Value) {
        self.session(str_at(event, "sessionID"));
        let part = event.get("part").unwrap_or(&Value::Null);
        match str_at(event, "type").unwrap_or("") {
            "step_start" | "reasoning" => self.thinks(),
            "text" => {
                self.error = None;
                self.adds(str_at(part, "messageID").unwrap_or(""), str_at(part, "text").unwrap_or(""));
            }
            "tool_use" => self.uses(str_at(part, "tool").unwrap_or("tool")),
            "step_finish" => {
                let cached = count(part, "/tokens/cache/read");
                let sent = count(part, "/tokens/input").saturating_add(count(part, "/tokens/cache/write"));
                let output = count(part, "/tokens/output").saturating_add(count(part, "/tokens/reasoning"));
                self.spends(Tokens { input: sent.saturating_add(cached), output, cached });
                self.costs(part.get("cost").and_then(Value::as_f64));
            }
            "error" => {
                let error = event.get("error").unwrap_or(&Value::Null);
                self.fails(&errors::opencode_message(error));
                if str_at(error, "name") == Some("ProviderAuthError") {
                    let message = text_at(error, "/data/message").unwrap_or_default();
                    self.error = Some(Failure::Auth { text: text::one_line(&message, LINE_CHARS_MAX) });
                }
            }
            _ => {}
        }
    }

    fn goose(&mut self, event: &Value) {
        match str_at(event, "type").unwrap_or("") {
            "message" if event.pointer("/message/role").and_then(Value::as_str) == Some("assistant") => {
                let id = text_at(event, "/message/id").unwrap_or_default();
                let blocks = event.pointer("/message/content").and_then(Value::as_array);
                for block in blocks.into_iter().flatten() {
                    match str_at(block, "type").unwrap_or("") {
                        "text" => self.adds(&id, str_at(block, "text").unwrap_or("")),
                        "toolRequest" => {
                            let name = block.pointer("/toolCall/value/name").and_then(Value::as_str);
                            self.uses(name.unwrap_or("tool"));
                        }
                        "thinking" | "redactedThinking" => self.thinks(),
                        _ => {}
                    }
                }
            }
            "message" => self.thinks(),
            "error" => self.fails(str_at(event, "error").unwrap_or("error")),
            // The total is not divided into sent and received ones, so it is no use here.
            "complete" => self.error = None,
            _ => {}
        }
    }
}

fn claude_tokens(usage: &Value) -> Tokens {
    let cached = count(usage, "/cache_read_input_tokens");
    let sent = count(usage, "/input_tokens").saturating_add(count(usage, "/cache_creation_input_tokens"));
    Tokens { input: sent.saturating_add(cached), output: count(usage, "/output_tokens"), cached }
}

/// Whether a line of a JSON stream is something a person would read.
pub(super) fn is_speech(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('{')
}

impl Failure {
    /// The message, on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::RateLimited { text, .. }
            | Self::Auth { text }
            | Self::Unreachable { text }
            | Self::ContextFull { text }
            | Self::Refused { text }
            | Self::Other { text } => text,
        }
    }

    /// Whether another run of the same preset would fail in the same way until something outside changes.
    #[must_use]
    pub fn concerns_the_preset(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Auth { .. } | Self::Unreachable { .. } => true,
            Self::ContextFull { .. } | Self::Refused { .. } | Self::Other { .. } => false,
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
