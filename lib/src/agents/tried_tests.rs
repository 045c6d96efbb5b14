//! What Aider 0.86.2, OpenCode 1.18.33 and Gemini CLI 0.61.0 printed when they were run in November 2026 against a scripted
//! model on loopback, shortened, with what must be read from it.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::failure_in_errors;
use super::stream::{Activity, Failure, Format, Summary, Tokens, summarize};

fn now() -> Zoned {
    "2026-11-29T17:25:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC)
}

fn read(format: Format, output: &str) -> Summary {
    summarize(format, output, &now())
}

/// The kind of a failure, and when a limit ends.
fn kind(failure: Option<&Failure>) -> String {
    match failure {
        None => "none".to_owned(),
        Some(Failure::RateLimited { until, .. }) => {
            format!("limit {}", until.map_or_else(|| "?".to_owned(), |until| until.to_string()))
        }
        Some(Failure::Auth { .. }) => "auth".to_owned(),
        Some(Failure::Unreachable { .. }) => "unreachable".to_owned(),
        Some(Failure::ContextFull { .. }) => "context".to_owned(),
        Some(Failure::Refused { .. }) => "refused".to_owned(),
        Some(Failure::Other { text }) => format!("other {text}"),
    }
}

const AIDER_START: &str = "\
Warning for openai/lab: Unknown context window size and costs, using sane \ndefaults.
You can skip this check with --no-show-model-warnings

https://aider.chat/docs/llms/warnings.html

Aider v0.86.2
Model: openai/lab with whole edit format
Git repo: .git with 2 files
Repo-map: using 1024 tokens, auto refresh
Added TASK-001.md to the chat (read-only).

";
const AIDER_DONE: &str = "\
I will add the file.

work.txt

```
hello

```

Tokens: 1.2k sent, 40 received.

work.txt
Applied edit to work.txt
Commit b2fca07 feat: add work file
";

#[test]
fn a_run_of_aider_is_read() {
    let it = read(Format::Aider, &format!("{AIDER_START}{AIDER_DONE}"));
    assert_eq!(it.tokens, Some(Tokens { input: 1_200, output: 40, cached: 0 }));
    assert_eq!((kind(it.failure.as_ref()).as_str(), it.cost_usd), ("none", None));
    assert_eq!(it.last_line, "Commit b2fca07 feat: add work file");
    let broken = "Tokens: 2.4k sent, 3.1k cache hit, 133 received. Cost: $0.0412 message, $0.0412 \nsession.\n";
    let it = read(Format::Aider, broken);
    assert_eq!((it.tokens.unwrap().cached, it.cost_usd), (3_100, Some(0.0412)), "the line is broken at 80 columns");
    let apart =
        "Tokens: 12k sent, 1k cache write, 3k cache hit, 90 received.\nCost: $0.02 message, $0.10 session.\n\na.rs\n";
    let it = read(Format::Aider, apart);
    assert_eq!((it.tokens.unwrap().input, it.cost_usd), (16_000, Some(0.10)));
}

/// It exits with 0 after every one of these.
#[test]
fn aider_says_why_its_model_did_not_answer() {
    let limit = "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for\nlab in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested \n1. Please try again in 7200s.\nThe API provider has rate limited you. Try again later or check your quotas.\n";
    for (printed, expected) in [
        (limit, "limit 2026-11-29T19:25:00Z"),
        (
            "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your \ncurrent quota, please check your plan and billing details. For more information \non this error, read the docs: \nhttps://platform.openai.com/docs/guides/error-codes/api-errors.\nThe API provider has rate limited you. Try again later or check your quotas.\nRetrying in 32.0 seconds...\n",
            "limit ?",
        ),
        (
            "litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect \nAPI key provided: dummy. You can find your API key at \nhttps://platform.openai.com/account/api-keys.\nThe API provider is not able to authenticate you. Check your API key.\n\nhttps://platform.openai.com/account/api-keys\n\n",
            "auth",
        ),
        (
            "litellm.InternalServerError: InternalServerError: OpenAIException - The server \nhad an error while processing your request. Sorry about that!\nThe API provider's servers are down or overloaded.\n",
            "unreachable",
        ),
        (
            "litellm.InternalServerError: InternalServerError: OpenAIException - Connection \nerror.\nThe API provider's servers are down or overloaded.\nRetrying in 8.0 seconds...\n",
            "unreachable",
        ),
        (
            "litellm.BadRequestError: LLM Provider NOT provided. Pass in the LLM provider you\nare trying to call. You passed model=nonsense\n Pass model as E.g. For 'Huggingface' inference endpoints pass in \n`completion(model='huggingface/starcoder',..)` Learn more: \nhttps://docs.litellm.ai/docs/providers\n\nhttps://docs.litellm.ai/docs/providers\n\n",
            "other litellm.BadRequestError: LLM Provider NOT provided. Pass in the LLM provider you are trying to call. You passed model=nonsense Pass model as E.g. For 'Huggingface' inference endpoints pass in `completion(model='huggingface/starcoder',..)` Learn more: https://docs.litellm.ai/docs/providers",
        ),
        (
            "No LLM model was specified and no API keys were provided.\nOpenRouter provides free and paid access to many LLMs.\n\nWaiting up to 5 minutes for you to finish in the browser...\nUse Control-C to interrupt.\n",
            "auth",
        ),
        ("", "other its model has not answered: Added TASK-001.md to the chat (read-only)."),
    ] {
        let it = read(Format::Aider, &format!("{AIDER_START}{printed}"));
        assert_eq!(kind(it.failure.as_ref()), expected, "{printed}");
        let it = read(Format::Aider, &format!("{AIDER_START}{printed}{AIDER_DONE}"));
        assert_eq!(kind(it.failure.as_ref()), "none", "it was answered in the end: {printed}");
        let it = read(Format::Aider, &format!("{AIDER_START}{AIDER_DONE}{printed}"));
        assert_eq!(it.failure.is_some(), !printed.is_empty(), "its second question was not: {printed}");
    }
    let written = "litellm.RateLimitError: this is what I now catch.\n\nTokens: 1.2k sent, 40 received.\n";
    assert_eq!(kind(read(Format::Aider, written).failure.as_ref()), "none", "its model writes about errors");
}

const OPENCODE: &str = r#"{"type":"step_start","timestamp":1795972441178,"sessionID":"ses_1","part":{"id":"prt_1","messageID":"msg_1","sessionID":"ses_1","snapshot":"f177","type":"step-start"}}
{"type":"tool_use","timestamp":1795972441442,"sessionID":"ses_1","part":{"type":"tool","tool":"bash","callID":"call_5","state":{"status":"completed","input":{"command":"git commit -qm work","description":"scripted step"},"output":"(no output)","metadata":{"output":"(no output)","exit":0,"truncated":false},"title":"git commit -qm work","time":{"start":1795972441161,"end":1795972441410}},"id":"prt_2","sessionID":"ses_1","messageID":"msg_1"}}
{"type":"step_finish","timestamp":1795972441533,"sessionID":"ses_1","part":{"id":"prt_3","reason":"tool-calls","snapshot":"91e2","messageID":"msg_1","sessionID":"ses_1","type":"step-finish","tokens":{"total":1240,"input":1000,"output":40,"reasoning":0,"cache":{"write":0,"read":200}},"cost":0.0012}}
{"type":"step_start","timestamp":1795972441681,"sessionID":"ses_1","part":{"id":"prt_4","messageID":"msg_2","sessionID":"ses_1","snapshot":"91e2","type":"step-start"}}
{"type":"text","timestamp":1795972441681,"sessionID":"ses_1","part":{"id":"prt_5","messageID":"msg_2","sessionID":"ses_1","type":"text","text":"Finished.\n\nDECISION: success\nREASONING: wrote and committed the work file.\n","time":{"start":1795972441664,"end":1795972441678}}}
{"type":"step_finish","timestamp":1795972441792,"sessionID":"ses_1","part":{"id":"prt_6","reason":"stop","snapshot":"91e2","messageID":"msg_2","sessionID":"ses_1","type":"step-finish","tokens":{"total":1240,"input":1000,"output":40,"reasoning":0,"cache":{"write":0,"read":200}},"cost":0.0012}}
"#;

#[test]
fn a_run_of_opencode_is_read() {
    let it = read(Format::Auto, OPENCODE);
    assert!(it.final_text.unwrap().starts_with("Finished.\n\nDECISION: success"));
    assert_eq!((it.session.as_deref(), it.failure), (Some("ses_1"), None));
    assert_eq!(it.tokens, Some(Tokens { input: 2_400, output: 80, cached: 400 }));
    assert!((it.cost_usd.unwrap() - 0.0024).abs() < 1e-9);
    let first = OPENCODE.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_eq!(read(Format::OpencodeJson, &first).activity, Some(Activity::Tool { name: "bash".to_owned() }));
}

#[test]
fn opencode_says_why_it_ended() {
    for (data, expected) in [
        (
            r#"{"message":"Rate limit reached for lab in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.","statusCode":429,"isRetryable":true,"responseHeaders":{"retry-after":"20","server":"BaseHTTP/0.6"}}"#,
            "limit 2026-11-29T17:25:20Z",
        ),
        (
            r#"{"message":"You exceeded your current quota, please check your plan and billing details.","statusCode":429,"isRetryable":true,"responseHeaders":{"retry-after":"3600"}}"#,
            "limit 2026-11-29T18:25:00Z",
        ),
        (
            r#"{"message":"Incorrect API key provided: dummy. You can find your API key at https://platform.openai.com/account/api-keys.","statusCode":401,"isRetryable":false}"#,
            "auth",
        ),
        (
            r#"{"message":"The server had an error while processing your request. Sorry about that!","statusCode":500,"isRetryable":true}"#,
            "unreachable",
        ),
        (
            r#"{"message":"Cannot connect to API: The socket connection was closed unexpectedly. For more information, pass `verbose: true` in the second argument to fetch()","isRetryable":true}"#,
            "unreachable",
        ),
        (
            r#"{"message":"Cannot connect to API: Unable to connect. Is the computer able to access the url?","isRetryable":true}"#,
            "unreachable",
        ),
    ] {
        let printed = format!(
            r#"{{"type":"error","timestamp":1795972976504,"sessionID":"ses_1","error":{{"name":"APIError","data":{data}}}}}"#
        );
        assert_eq!(kind(read(Format::OpencodeJson, &printed).failure.as_ref()), expected, "{data}");
    }
}

/// Its standard output says nothing while it waits for as long as its service told it to.
#[test]
fn opencode_logs_what_it_waits_for() {
    let log = |at: &str, message: &str, small: bool| {
        format!(
            "timestamp={at} level=ERROR run=64ecedc0 message=\"stream error\" providerID=lab modelID=lab session.id=ses_1 small={small} agent=build mode=primary error.error=\"AI_APICallError: {message}\"\n"
        )
    };
    let errors =
        |output: &str, errors: &str| kind(failure_in_errors(Format::OpencodeJson, output, errors, &now()).as_ref());
    let models = "timestamp=2026-11-29T17:24:28.729Z level=ERROR run=64ecedc0 message=\"Failed to fetch models.dev\" cause=\"Cause([Fail(HttpClientError: Transport error (GET https://models.opencode.ai/api.json) (cause: Error: Unable to connect. Is the computer able to access the url?))])\"\n";
    assert_eq!(errors("", models), "none", "it does without them");
    let limit = log("2026-11-29T17:24:00.000Z", "Rate limit reached for lab. Please try again in 7200s.", false);
    assert_eq!(errors("", &format!("{models}{limit}")), "limit 2026-11-29T19:24:00Z", "from when it was said");
    assert_eq!(errors(OPENCODE, &limit), "limit 2026-11-29T19:24:00Z", "it is newer than what is done");
    let title = log("2026-11-29T17:24:30.000Z", "Cannot connect to API: Unable to connect.", true);
    assert_eq!(errors("", &title), "none", "a title is no work");
    let early = log("2026-11-29T17:14:01.600Z", "Rate limit reached for lab. Please try again in 3s.", false);
    assert_eq!(errors(OPENCODE, &early), "none", "it went on");
    let end = "timestamp=2026-11-29T17:24:56.865Z level=ERROR run=641bf15e message=process session.id=ses_1 messageID=msg_1 error=\"Cannot connect to API: Unable to connect. Is the computer able to access the url?\" stack=\"AI_APICallError: Cannot connect\\n    at async <anonymous>\"\n";
    assert_eq!(errors("", end), "unreachable");
    let asked = "\u{1b}[93m\u{1b}[1m! \u{1b}[0mpermission requested: bash (git commit -qm work); auto-rejecting\n";
    let stopped = OPENCODE.lines().take(3).collect::<Vec<_>>().join("\n");
    assert_eq!(errors(&stopped, asked), "other permission requested: bash (git commit -qm work); auto-rejecting");
    assert_eq!(errors(OPENCODE, asked), "none", "it went on");
}

const GEMINI: &str = r#"{"type":"init","timestamp":"2026-11-29T17:14:46.089Z","session_id":"5f7aff36-e878-4c31-9182-13597c10e418","model":"auto"}
{"type":"message","timestamp":"2026-11-29T17:14:46.090Z","role":"user","content":"Work on TASK-001"}
{"type":"tool_use","timestamp":"2026-11-29T17:14:46.202Z","tool_name":"run_shell_command","tool_id":"run_shell_command__1","parameters":{"command":"git commit -qm $(date)","description":"scripted step"}}
{"type":"tool_result","timestamp":"2026-11-29T17:14:46.399Z","tool_id":"run_shell_command__1","status":"success","output":"Blocked: command substitution detected in shell command."}
{"type":"message","timestamp":"2026-11-29T17:14:46.492Z","role":"assistant","content":"Finished.\n","delta":true}
{"type":"message","timestamp":"2026-11-29T17:14:46.493Z","role":"assistant","content":"\nDECISION: success\nREASONING: wrote and committed the work file.\n","delta":true}
{"type":"result","timestamp":"2026-11-29T17:14:46.510Z","status":"success","stats":{"total_tokens":3720,"input_tokens":3600,"output_tokens":120,"cached":600,"input":3000,"duration_ms":421,"tool_calls":1,"models":{"lab":{"total_tokens":3720,"input_tokens":3600,"output_tokens":120,"cached":600,"input":3000}}}}
"#;

#[test]
fn a_run_of_gemini_is_read() {
    let it = read(Format::Auto, GEMINI);
    assert!(it.final_text.unwrap().starts_with("Finished.\n\nDECISION: success"));
    assert_eq!((it.session.as_deref(), it.failure), (Some("5f7aff36-e878-4c31-9182-13597c10e418"), None));
    assert_eq!(it.tokens, Some(Tokens { input: 3_600, output: 120, cached: 600 }));
    for (message, expected) in [
        (
            r#"[API Error: {\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\"}]}}]"#,
            "auth",
        ),
        (
            r"[API Error: You have exhausted your daily quota on this model.]\nPlease wait and try again later. To increase your limits, request a quota increase through AI Studio, or switch to another /auth method",
            "limit ?",
        ),
        (
            r"[API Error: You exceeded your current quota, please check your plan and billing details. For more information on this error, head over to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 7200.0s.\nSuggested retry after 7200s.]\nPlease wait and try again later.",
            "limit 2026-11-29T19:25:00Z",
        ),
        (
            r#"[API Error: {\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try again later.\",\"status\":\"UNAVAILABLE\"}}]"#,
            "unreachable",
        ),
    ] {
        let printed = format!(
            r#"{{"type":"result","timestamp":"2026-11-29T17:27:18.250Z","status":"error","error":{{"type":"unknown","message":"{message}"}},"stats":{{"total_tokens":0}}}}"#
        );
        assert_eq!(kind(read(Format::GeminiJson, &printed).failure.as_ref()), expected, "{message}");
    }
}

/// It reports its tries on its standard error, and ends there too when it does not even begin.
#[test]
fn gemini_says_in_its_errors_what_keeps_it_from_working() {
    let begun = GEMINI.lines().take(2).collect::<Vec<_>>().join("\n");
    let trace = "    at throwErrorIfNotOK (file:///usr/lib/gemini-cli/bundle/chunk-JDPZ4CE3.js:267833:24)\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)\n";
    for (errors, expected) in [
        (
            "Attempt 1 failed: You exceeded your current quota, please check your plan and billing details. For more information on this error, head over to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 20.0s.\nSuggested retry after 20s.. Retrying after 20930ms...\n".to_owned(),
            "limit 2026-11-29T17:25:20Z",
        ),
        (
            format!("Attempt 2 failed with status 500. Retrying with backoff... _ApiError: {{\"error\":{{\"code\":500,\"message\":\"An internal error has occurred.\",\"status\":\"INTERNAL\"}}}}\n{trace}"),
            "unreachable",
        ),
        (
            format!("Attempt 3 failed. Retrying with backoff... Error: exception TypeError: fetch failed sending request\n{trace}"),
            "unreachable",
        ),
        (
            "Please set an Auth method in your /repo/.gemini/settings.json or specify one of the following environment variables before running: GEMINI_API_KEY, GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_GENAI_USE_GCA\n".to_owned(),
            "auth",
        ),
        ("Invalid auth method selected.\n".to_owned(), "auth"),
        (
            "\u{1b}[31mGemini CLI is not running in a trusted directory. To proceed, either use `--skip-trust`, or trust this directory in interactive mode.\u{1b}[0m\n".to_owned(),
            "other Gemini CLI is not running in a trusted directory. To proceed, either use `--skip-trust`, or trust this directory in interactive mode.",
        ),
        ("YOLO mode is enabled. All tool calls will be automatically approved.\n".to_owned(), "none"),
    ] {
        let found = |output: &str| kind(failure_in_errors(Format::GeminiJson, output, &errors, &now()).as_ref());
        assert_eq!(found(&begun), expected, "{errors}");
        assert_eq!(found(GEMINI), "none", "its model answered: {errors}");
    }
}
