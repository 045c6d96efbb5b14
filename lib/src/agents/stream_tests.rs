//! Streams as the real programs printed them, shortened, with what must be read from them.

use super::*;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn now() -> Zoned {
    "2026-11-21T03:54:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC)
}

fn read(format: Format, output: &str) -> Summary {
    summarize(format, output, &now())
}

const CODEX: &str = r#"{"type":"thread.started","thread_id":"01a1fc3d-b63c-75c0-8012-1be8b2148e7a"}
{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata for `lab` not found. Defaulting to fallback metadata; this can degrade performance and cause issues."}}
{"type":"turn.started"}
{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"/bin/bash -lc 'git add work.txt && git commit -qm work'","aggregated_output":"","exit_code":null,"status":"in_progress"}}
{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"/bin/bash -lc 'git add work.txt && git commit -qm work'","aggregated_output":"Error: 429 rate limit","exit_code":0,"status":"completed"}}
{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"Finished.\n\nDECISION: success\nREASONING: wrote and committed the work file."}}
{"type":"turn.completed","usage":{"input_tokens":208,"cached_input_tokens":8,"cache_write_input_tokens":0,"output_tokens":40,"reasoning_output_tokens":0}}
"#;

const CLAUDE: &str = r#"{"type":"system","subtype":"init","cwd":"/w","session_id":"55fe11e7-46da-4ac9-9789-5842069b6dc6","tools":["Bash","Edit","Read"],"mcp_servers":[],"model":"claude-opus-4-8[1m]","permissionMode":"default","apiKeySource":"ANTHROPIC_API_KEY","claude_code_version":"2.1.197","output_style":"default","uuid":"7e662979-ea08-4b3a-b5fa-b69f27f63409"}
{"type":"assistant","message":{"id":"msg_7","type":"message","role":"assistant","model":"claude-opus-4-8","content":[{"type":"tool_use","id":"toolu_6","name":"Bash","input":{"command":"git commit -qm work","description":"scripted step"}}],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":180,"output_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}},"parent_tool_use_id":null,"session_id":"55fe11e7-46da-4ac9-9789-5842069b6dc6"}
{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_6","type":"tool_result","content":"Error: usage limit reached","is_error":false}]},"parent_tool_use_id":null,"session_id":"55fe11e7-46da-4ac9-9789-5842069b6dc6"}
{"type":"assistant","message":{"id":"msg_8","type":"message","role":"assistant","model":"claude-opus-4-8","content":[{"type":"text","text":"Finished.\n\nDECISION: success\nREASONING: wrote and committed the work file."}],"stop_reason":null,"usage":{"input_tokens":180,"output_tokens":1}},"parent_tool_use_id":null,"session_id":"55fe11e7-46da-4ac9-9789-5842069b6dc6"}
{"type":"result","subtype":"success","is_error":false,"api_error_status":null,"duration_ms":313,"num_turns":2,"result":"Finished.\n\nDECISION: success\nREASONING: wrote and committed the work file.","stop_reason":"end_turn","session_id":"55fe11e7-46da-4ac9-9789-5842069b6dc6","total_cost_usd":0.0028,"usage":{"input_tokens":360,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":40},"permission_denials":[],"terminal_reason":"completed"}
"#;

/// The same run cut after this many lines.
fn first_lines(output: &str, n: usize) -> String {
    output.lines().take(n).map(|line| line.to_owned() + "\n").collect()
}

fn tool(name: &str) -> Option<Activity> {
    Some(Activity::Tool { name: name.into() })
}

#[test]
fn a_run_of_codex_is_read() {
    for format in [Format::CodexJson, Format::Auto] {
        let read = read(format, CODEX);
        assert!(read.final_text.unwrap().ends_with("DECISION: success\nREASONING: wrote and committed the work file."));
        assert_eq!(read.session.as_deref(), Some("01a1fc3d-b63c-75c0-8012-1be8b2148e7a"));
        assert_eq!(read.tokens, Some(Tokens { input: 208, output: 40, cached: 8 }));
        assert_eq!(read.failure, None);
        assert_eq!(read.activity, Some(Activity::Message));
        assert_eq!(read.last_line, "REASONING: wrote and committed the work file.");
    }
    assert_eq!(read(Format::CodexJson, &first_lines(CODEX, 3)).activity, Some(Activity::Thinking));
    assert_eq!(read(Format::CodexJson, &first_lines(CODEX, 4)).activity, tool("shell"));
    assert_eq!(read(Format::CodexJson, &first_lines(CODEX, 5)).activity, Some(Activity::Thinking));
}

#[test]
fn a_run_of_claude_is_read() {
    for format in [Format::ClaudeJson, Format::Auto] {
        let read = read(format, CLAUDE);
        assert!(read.final_text.unwrap().starts_with("Finished."));
        assert_eq!(read.session.as_deref(), Some("55fe11e7-46da-4ac9-9789-5842069b6dc6"));
        assert_eq!(read.tokens, Some(Tokens { input: 372, output: 40, cached: 7 }));
        assert_eq!(read.cost_usd, Some(0.0028));
        assert_eq!(read.failure, None);
    }
    assert_eq!(read(Format::ClaudeJson, &first_lines(CLAUDE, 2)).activity, tool("Bash"));
    assert_eq!(read(Format::ClaudeJson, &first_lines(CLAUDE, 3)).activity, Some(Activity::Thinking));
}

/// The kind of the failure, and when the limit ends.
fn failure(read: &Summary) -> String {
    match &read.failure {
        None => "none".into(),
        Some(Failure::RateLimited { until, .. }) => {
            format!("limit {}", until.map_or("?".into(), |until| until.to_string()))
        }
        Some(Failure::Auth { .. }) => "auth".into(),
        Some(Failure::Unreachable { .. }) => "unreachable".into(),
        Some(Failure::ContextFull { .. }) => "context".into(),
        Some(Failure::Refused { .. }) => "refused".into(),
        Some(Failure::Other { text }) => format!("other {text}"),
    }
}

#[test]
fn codex_says_why_it_stopped() {
    let failed = |message: &str| {
        let message = serde_json::Value::from(message);
        format!(
            "{{\"type\":\"turn.started\"}}\n{{\"type\":\"error\",\"message\":{message}}}\n{{\"type\":\"turn.failed\",\"error\":{{\"message\":{message}}}}}\n"
        )
    };
    for (message, expected) in [
        (
            "You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at 5:55 AM.",
            "limit 2026-11-21T05:55:00Z",
        ),
        ("exceeded retry limit, last status: 429 Too Many Requests", "limit ?"),
        ("Quota exceeded. Check your plan and billing details.", "limit ?"),
        (
            "unexpected status 401 Unauthorized: Incorrect API key provided, url: http://127.0.0.1:45241/v1/responses",
            "auth",
        ),
        (
            "Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.",
            "context",
        ),
        ("This request was refused by policy.", "refused"),
        ("write failed: Disk quota exceeded", "other write failed: Disk quota exceeded"),
        ("stream disconnected before completion", "unreachable"),
        (
            "stream disconnected before completion: error sending request for url (http://127.0.0.1:9/v1/responses)",
            "unreachable",
        ),
        ("stream disconnected before completion: Rate limit reached for gpt-5", "limit ?"),
    ] {
        assert_eq!(failure(&read(Format::CodexJson, &failed(message))), expected, "{message}");
    }
    let retrying = "{\"type\":\"error\",\"message\":\"Reconnecting... 4/5 (exceeded retry limit, last status: 429 Too Many Requests)\"}\n";
    assert_eq!(failure(&read(Format::CodexJson, retrying)), "limit ?", "while it retries");
    let offline = "{\"type\":\"error\",\"message\":\"Reconnecting... waiting for network (Connection failed: error sending request)\"}\n";
    assert_eq!(failure(&read(Format::CodexJson, offline)), "unreachable", "stopped while it waited");
    assert_eq!(failure(&read(Format::CodexJson, &(offline.to_owned() + CODEX))), "none", "after it succeeded");
    let said = serde_json::json!({ "type": "item.completed", "item": { "type": "agent_message", "text": "API Error: Connection error" } });
    assert_eq!(failure(&read(Format::CodexJson, &said.to_string())), "none", "an agent writes about it");
    assert_eq!(failure(&read(Format::CodexJson, &(retrying.to_owned() + CODEX))), "none", "after it succeeded");
}

#[test]
fn claude_says_why_it_stopped() {
    let failed = |kind: &str, said: &str, rest: &str| {
        let said = serde_json::Value::from(said);
        format!(
            "{{\"type\":\"assistant\",\"message\":{{\"model\":\"<synthetic>\",\"content\":[{{\"type\":\"text\",\"text\":{said}}}]}},\"parent_tool_use_id\":null,\"session_id\":\"s\",\"error\":\"{kind}\"}}\n{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,{rest},\"result\":{said},\"session_id\":\"s\",\"total_cost_usd\":0}}\n"
        )
    };
    for (kind, said, rest, expected) in [
        (
            "rate_limit",
            "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.",
            "\"api_error_status\":429",
            "limit ?",
        ),
        (
            "rate_limit",
            "You've hit your limit · resets 7:10pm (UTC)",
            "\"api_error_status\":429",
            "limit 2026-11-21T19:10:00Z",
        ),
        ("billing_error", "Credit balance is too low", "\"api_error_status\":400", "limit ?"),
        ("authentication_failed", "Invalid API key · Please run /login", "\"api_error_status\":401", "auth"),
        (
            "invalid_request",
            "Prompt is too long · the request is ~210000 tokens (limit 200000)",
            "\"api_error_status\":400,\"terminal_reason\":\"prompt_too_long\"",
            "context",
        ),
        (
            "invalid_request",
            "API Error: Claude Code is unable to respond to this request, which appears to violate our Usage Policy",
            "\"api_error_status\":null,\"stop_reason\":\"refusal\"",
            "refused",
        ),
        (
            "server_error",
            "API Error: Unable to connect to API (ConnectionRefused)",
            "\"api_error_status\":null",
            "unreachable",
        ),
    ] {
        let read = read(Format::ClaudeJson, &failed(kind, said, rest));
        assert_eq!(failure(&read), expected, "{said}");
        assert_eq!(read.final_text, None, "an error of the program is no message of the agent");
    }
    let event = "{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"STATUS\",\"resetsAt\":1795248000,\"rateLimitType\":\"five_hour\"},\"session_id\":\"s\"}\n";
    let then = failed("rate_limit", "You've hit your limit", "\"api_error_status\":429");
    assert_eq!(
        failure(&read(Format::ClaudeJson, &(event.replace("STATUS", "rejected") + &then))),
        "limit 2026-11-21T08:00:00Z"
    );
    assert_eq!(failure(&read(Format::ClaudeJson, &(event.replace("STATUS", "allowed_warning") + CLAUDE))), "none");
    let retry = "{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":4,\"max_retries\":10,\"retry_delay_ms\":4549.9,\"error_status\":401,\"error\":\"authentication_failed\",\"session_id\":\"s\"}\n";
    assert_eq!(failure(&read(Format::ClaudeJson, retry)), "auth", "killed while it retried");
    assert_eq!(failure(&read(Format::ClaudeJson, &(retry.to_owned() + CLAUDE))), "none");
    let turns = "{\"type\":\"result\",\"subtype\":\"error_max_turns\",\"is_error\":false,\"session_id\":\"s\"}\n";
    assert_eq!(failure(&read(Format::ClaudeJson, turns)), "other error max turns");
    let inner = CLAUDE.lines().nth(3).unwrap().replace("\"parent_tool_use_id\":null", "\"parent_tool_use_id\":\"t\"");
    assert_eq!(read(Format::ClaudeJson, &inner).final_text, None, "a subagent speaks to the agent");
}

#[test]
fn agents_that_write_about_limits_are_not_limited() {
    let said = "I handle \\\"429 Too Many Requests\\\" and print: You've hit your usage limit. Try again at 5 PM.";
    let codex =
        format!("{{\"type\":\"item.completed\",\"item\":{{\"type\":\"agent_message\",\"text\":\"{said}\"}}}}\n");
    assert_eq!(read(Format::CodexJson, &codex).failure, None);
    let claude = format!(
        "{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"{said}\",\"session_id\":\"s\"}}\n"
    );
    assert_eq!(read(Format::ClaudeJson, &claude).failure, None);
    for text in [
        "I added handling of rate limits: error 429, usage limit reached.",
        "- `You've hit your limit · resets 5pm` is now shown",
        "    litellm.RateLimitError: in a test",
        "assert \"API Error: 429\" in output",
    ] {
        assert_eq!(read(Format::Plain, text).failure, None, "{text}");
    }
    let early = format!("API Error: 429\n{}", "work goes on\n".repeat(20));
    assert_eq!(read(Format::Plain, &early).failure, None, "it went on");
    assert_eq!(
        failure(&read(Format::Plain, "work\nClaude AI usage limit reached|1795248000\n")),
        "limit 2026-11-21T08:00:00Z"
    );
    assert_eq!(failure(&read(Format::Plain, "You've hit your limit · resets 5am\n")), "limit 2026-11-21T05:00:00Z");
}

#[test]
fn the_documented_formats_are_read() {
    let gemini = r#"{"type":"init","timestamp":"t","session_id":"g-1","model":"m"}
{"type":"message","role":"user","content":"do it"}
{"type":"message","role":"assistant","content":"Look","delta":true}
{"type":"tool_use","tool_name":"write_file","tool_id":"1","parameters":{}}
{"type":"tool_result","tool_id":"1","status":"success"}
{"type":"message","role":"assistant","content":"All ","delta":true}
{"type":"message","role":"assistant","content":"done","delta":true}
{"type":"result","status":"success","stats":{"total_tokens":12,"input_tokens":10,"output_tokens":2,"cached":4,"input":6}}"#;
    let it = read(Format::Auto, gemini);
    assert_eq!((it.final_text.as_deref(), it.session.as_deref()), (Some("All done"), Some("g-1")));
    assert_eq!(it.tokens, Some(Tokens { input: 10, output: 2, cached: 4 }));
    let failed = r#"{"type":"result","status":"error","error":{"type":"Error","message":"RESOURCE_EXHAUSTED: Please retry in 34.07s."}}"#;
    assert_eq!(failure(&read(Format::GeminiJson, failed)), "limit 2026-11-21T03:54:35Z");
    let object = "Loaded cached credentials.\n{\n \"session_id\": \"g-2\",\n \"response\": \"Hi\",\n \"stats\": {\"models\": {\"m\": {\"tokens\": {\"prompt\": 5, \"candidates\": 2, \"cached\": 1}}}}\n}\n";
    let it = read(Format::GeminiJson, object);
    assert_eq!((it.final_text.as_deref(), it.tokens), (Some("Hi"), Some(Tokens { input: 5, output: 2, cached: 1 })));

    let opencode = r#"{"type":"step_start","timestamp":1,"sessionID":"ses_1","part":{"type":"step-start"}}
{"type":"tool_use","timestamp":2,"sessionID":"ses_1","part":{"messageID":"m1","tool":"bash","state":{"status":"completed"}}}
{"type":"step_finish","timestamp":3,"sessionID":"ses_1","part":{"reason":"tool-calls","cost":0.01,"tokens":{"input":5,"output":1,"reasoning":1,"cache":{"read":3,"write":2}}}}
{"type":"text","timestamp":4,"sessionID":"ses_1","part":{"messageID":"m2","text":"Done. "}}
{"type":"text","timestamp":5,"sessionID":"ses_1","part":{"messageID":"m2","text":"Really."}}
{"type":"step_finish","timestamp":6,"sessionID":"ses_1","part":{"reason":"stop","cost":0.02,"tokens":{"input":1,"output":1,"reasoning":0,"cache":{"read":0,"write":0}}}}"#;
    let it = read(Format::Auto, opencode);
    assert_eq!((it.final_text.as_deref(), it.session.as_deref()), (Some("Done. Really."), Some("ses_1")));
    assert_eq!(it.tokens, Some(Tokens { input: 11, output: 3, cached: 3 }));
    assert!((it.cost_usd.unwrap() - 0.03).abs() < 1e-9);
    let failed = r#"{"type":"error","timestamp":1,"sessionID":"s","error":{"name":"APIError","data":{"message":"Too many","statusCode":429}}}"#;
    assert_eq!(failure(&read(Format::OpencodeJson, failed)), "limit ?");

    let goose = r#"{"type":"message","message":{"id":"a","role":"assistant","created":1,"content":[{"type":"toolRequest","id":"1","toolCall":{"status":"success","value":{"name":"developer__shell","arguments":{}}}}]}}
{"type":"message","message":{"id":"b","role":"assistant","created":2,"content":[{"type":"text","text":"All "}]}}
{"type":"message","message":{"id":"b","role":"assistant","created":2,"content":[{"type":"text","text":"done"}]}}
{"type":"complete","total_tokens":12}"#;
    assert_eq!(read(Format::GooseJson, goose).final_text.as_deref(), Some("All done"));
    assert_eq!(read(Format::GooseJson, &first_lines(goose, 1)).activity, tool("developer__shell"));

    let aider = "Aider v0.86\nTokens: 2.4k sent, 1k cache hit, 133 received. Cost: $0.04 message, $0.04 session.\nApplied edit to a.rs\nTokens: 12k sent, 100 received. Cost: $0.06 message, $0.10 session.\n";
    let it = read(Format::Aider, aider);
    assert_eq!((it.tokens, it.cost_usd), (Some(Tokens { input: 15_400, output: 233, cached: 1_000 }), Some(0.10)));
    assert_eq!(
        failure(&read(Format::Aider, "x\nlitellm.RateLimitError: try again in 20s\n")),
        "limit 2026-11-21T03:54:20Z"
    );
    assert_eq!(
        failure(&read(Format::Aider, &format!("litellm.RateLimitError: x\nRetrying in 0.2 seconds...\n{aider}"))),
        "none"
    );
}

#[test]
fn damage_is_passed_over() {
    let noisy = format!(
        "Reading additional input from stdin...\n{}\n{{\"type\":\nnot json\n{{}}\n[1]\n{CODEX}\u{1b}[0m",
        "{\"type\":\"turn.sta"
    );
    assert_eq!(read(Format::CodexJson, &noisy).tokens, read(Format::CodexJson, CODEX).tokens);
    for format in [
        Format::Auto,
        Format::CodexJson,
        Format::ClaudeJson,
        Format::GeminiJson,
        Format::OpencodeJson,
        Format::GooseJson,
        Format::Aider,
        Format::Plain,
    ] {
        let empty = read(format, "");
        assert_eq!(empty, Summary::default());
        let text = read(format, "just\u{1b}[31m text\n\n");
        assert_eq!(text.last_line, "just text", "{format:?}");
    }
}

#[test]
fn a_large_output_takes_little_time_and_memory() {
    let message = format!(
        "{{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"{}\",\"delta\":true}}\n",
        "x".repeat(10_000)
    );
    let output = message.repeat(2_000) + "{\"type\":\"" + &"[".repeat(1_000_000);
    let it = read(Format::GeminiJson, &output);
    assert!(it.final_text.unwrap().len() <= 2 * FINAL_TEXT_BYTES_MAX);
    let deep = format!("{{\"type\":\"turn.started\",\"x\":{}", "[".repeat(100_000));
    assert_eq!(read(Format::CodexJson, &deep).activity, None);
}

proptest! {
    #[test]
    fn no_output_makes_it_panic(
        pieces in proptest::collection::vec(prop_oneof![
            Just(CODEX.to_owned()), Just(CLAUDE.to_owned()), "\\PC{0,20}", Just("\n".to_owned()),
            "\\{\"type\":\"(result|error|message|text|system|assistant|item.completed)\",\"(item|message|part|error|result)\":(null|1|\"x\"|\\[1\\]|\\{\"type\":1\\})\\}\n",
        ], 0..5),
        cut in 0usize..400,
    ) {
        let output = pieces.concat();
        let output = text::tail_bytes(&output, output.len().saturating_sub(cut));
        for format in [Format::Auto, Format::CodexJson, Format::ClaudeJson, Format::GeminiJson, Format::OpencodeJson, Format::GooseJson, Format::Aider] {
            let it = read(format, output);
            prop_assert!(!it.last_line.contains('\n'));
        }
    }
}

#[test]
fn a_program_says_at_the_end_of_its_errors_that_it_cannot_reach_its_service() {
    let outage_in_errors = |errors: &str| crate::agents::failure_in_errors(Format::ClaudeJson, "", errors, &now());
    let refused = "Unable to connect to Anthropic services\n\nFailed to connect to api.anthropic.com: ECONNREFUSED\n";
    let text = "Failed to connect to api.anthropic.com: ECONNREFUSED".to_owned();
    assert_eq!(outage_in_errors(refused), Some(Failure::Unreachable { text }));
    assert_eq!(outage_in_errors(&(refused.to_owned() + &"went on\n".repeat(9))), None, "it was not the end");
    assert_eq!(outage_in_errors("the test expects `API Error: Connection error.`\n"), None);
    let aider = "litellm.APIConnectionError: OpenAIException - Connection error.\nRetrying in 32.0 seconds...\n";
    assert_eq!(failure(&read(Format::Aider, aider)), "unreachable");
    assert_eq!(failure(&read(Format::Aider, &format!("{aider}\nTokens: 12k sent, 100 received.\n"))), "none");
    assert_eq!(failure(&read(Format::Plain, "I saw that `API Error: Connection error` is printed\n")), "none");
}
