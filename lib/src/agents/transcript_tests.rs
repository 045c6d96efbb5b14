//! Streams as the programs print them, and what a person is shown of them.

use proptest::prelude::*;

use super::*;

/// What a document that follows the transcript would show.
fn shown(format: Format, output: &str) -> Vec<String> {
    let mut transcript = Transcript::new(format);
    let mut all: Vec<String> = Vec::new();
    for line in output.lines() {
        let said = transcript.line(line);
        if said.grows {
            all.pop();
        }
        all.extend(said.lines.iter().map(Line::text));
    }
    all
}

#[test]
fn claude_is_read_as_a_conversation() {
    let output = r#"{"type":"system","subtype":"init","session_id":"s","model":"m-1","tools":[]}
{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"I look.\n\n- first\n"},{"type":"tool_use","name":"Bash","input":{"description":"tests","command":"cargo test\n  -p x"}}]},"parent_tool_use_id":null,"session_id":"s"}
{"type":"user","message":{"content":[{"type":"tool_result","content":[{"type":"text","text":"\nrunning 2 tests\nok\nok"}],"is_error":false}]},"session_id":"s"}
{"type":"assistant","message":{"content":[{"type":"text","text":"inner"},{"type":"tool_use","name":"Read","input":{"file_path":"/a/b.rs","limit":3}}]},"parent_tool_use_id":"t1","session_id":"s"}
{"type":"user","message":{"content":[{"type":"tool_result","content":"no such file","is_error":true}]},"session_id":"s"}
{"type":"stream_event","session_id":"s"}
{"type":"result","subtype":"success","is_error":false,"duration_ms":2313,"num_turns":2,"result":"I look.","total_cost_usd":0.0128,"session_id":"s"}
"#;
    for format in [Format::ClaudeJson, Format::Auto] {
        assert_eq!(
            shown(format, output),
            [
                "a session of m-1",
                "I look.",
                "",
                "- first",
                "● Bash(cargo test -p x)",
                "  running 2 tests (2 more lines)",
                "● Read(/a/b.rs)",
                "  no such file",
                "ended after 3 s and 2 turns, $0.01",
            ]
        );
    }
    let limit = r#"{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"You've hit your limit"}]},"session_id":"s"}"#;
    let said = Transcript::new(Format::ClaudeJson).line(limit);
    assert_eq!(said.lines[0].spans[0].style.foreground, Colour::Indexed(1));
}

#[test]
fn codex_is_read_as_a_conversation() {
    let output = r#"Reading additional input from stdin...
{"type":"thread.started","thread_id":"t"}
{"type":"turn.started"}
{"type":"item.started","item":{"type":"command_execution","command":"/bin/bash -lc 'git add a && git commit'","status":"in_progress"}}
{"type":"item.completed","item":{"type":"command_execution","command":"x","aggregated_output":"nothing to commit\n","exit_code":1}}
{"type":"item.completed","item":{"type":"file_change","changes":[{"path":"a.rs","kind":"update"},{"path":"b.rs","kind":"add"}]}}
{"type":"item.started","item":{"type":"mcp_tool_call","server":"docs","tool":"find","arguments":{"query":"x"}}}
{"type":"item.completed","item":{"type":"agent_message","text":"Finished.\n\nDECISION: success"}}
{"type":"turn.completed","usage":{"input_tokens":208,"output_tokens":40}}
{"type":"turn.failed","error":{"message":"no more"}}
{"type":"turn.sta"#;
    for format in [Format::CodexJson, Format::Auto] {
        assert_eq!(
            shown(format, output),
            [
                "Reading additional input from stdin...",
                "● shell(git add a && git commit)",
                "  nothing to commit",
                "  exit code 1",
                "● edit(a.rs, b.rs)",
                "● docs.find(x)",
                "Finished.",
                "",
                "DECISION: success",
                "208 tokens in, 40 out",
                "no more",
            ]
        );
    }
}

#[test]
fn messages_in_pieces_grow() {
    let gemini = r#"{"type":"init","session_id":"g","model":"m"}
{"type":"message","role":"assistant","content":"Look","delta":true}
{"type":"message","role":"assistant","content":"ing\nat ","delta":true}
{"type":"message","role":"assistant","content":"it","delta":true}
{"type":"tool_use","tool_name":"write_file","parameters":{"path":"a.txt","content":"long"}}
{"type":"tool_result","status":"success","output":""}
{"type":"message","role":"assistant","content":"Done","delta":true}
{"type":"result","status":"success","stats":{"input_tokens":10,"output_tokens":2}}"#;
    assert_eq!(
        shown(Format::Auto, gemini),
        ["a session of m", "Looking", "at it", "● write_file(a.txt)", "Done", "10 tokens in, 2 out"]
    );
    let goose = r#"{"type":"message","message":{"id":"a","role":"assistant","content":[{"type":"text","text":"All "}]}}
{"type":"message","message":{"id":"a","role":"assistant","content":[{"type":"text","text":"done"}]}}
{"type":"message","message":{"id":"b","role":"assistant","content":[{"type":"text","text":"Next"},{"type":"toolRequest","toolCall":{"status":"success","value":{"name":"shell","arguments":{"command":"ls"}}}}]}}
{"type":"message","message":{"id":"c","role":"user","content":[{"type":"toolResponse","toolResult":{"status":"success","value":[{"type":"text","text":"a\nb"}]}}]}}
{"type":"complete","total_tokens":12}"#;
    assert_eq!(
        shown(Format::GooseJson, goose),
        ["All done", "Next", "● shell(ls)", "  a (1 more line)", "ended, 12 tokens"]
    );
    let mut transcript = Transcript::new(Format::GeminiJson);
    let piece = |words: &str| format!(r#"{{"type":"message","role":"assistant","content":"{words}","delta":true}}"#);
    assert!(!transcript.line(&piece("a")).grows);
    transcript.interrupt();
    assert!(!transcript.line(&piece("b")).grows, "what stands before it is somebody else's");
    assert!(transcript.line(&piece("c")).grows);
}

#[test]
fn opencode_is_read_as_a_conversation() {
    let output = r#"{"type":"step_start","sessionID":"s","part":{"type":"step-start"}}
{"type":"tool_use","sessionID":"s","part":{"tool":"bash","state":{"status":"completed","input":{"command":"ls"},"output":"a\n"}}}
{"type":"text","sessionID":"s","part":{"messageID":"m","text":"Done."}}
{"type":"error","sessionID":"s","error":{"name":"APIError","data":{"message":"Too many"}}}"#;
    assert_eq!(shown(Format::Auto, output), ["● bash(ls)", "  a", "Done.", "Too many"]);
}

#[test]
fn text_is_text_with_its_colours() {
    let mut transcript = Transcript::new(Format::Auto);
    let said = transcript.line("\u{1b}[32mok\u{1b}[0m {\"type\":\"result\"}");
    assert_eq!(said.lines[0].spans[0].style.foreground, Colour::Indexed(2));
    assert_eq!(shown(Format::Auto, "{\"a\": 1}\n\n{"), ["{\"a\": 1}", "", "{"]);
    assert_eq!(shown(Format::ClaudeJson, "warning: x\n\n"), ["warning: x"]);
}

proptest! {
    #[test]
    fn no_output_makes_it_panic_or_show_what_steers(
        lines in proptest::collection::vec(prop_oneof![
            "\\PC{0,20}",
            "\\{\"type\":\"(result|error|message|text|system|assistant|user|item.completed|tool_use)\",\"(item|message|part|error|result|content)\":(null|1|\"\\\\u001b\\[2Jx\"|\\[1\\]|\\{\"type\":1,\"content\":\\[\\{\"type\":\"text\",\"text\":\"\\\\u202ea\\\\nb\"\\}\\]\\})\\}",
        ], 0..6),
    ) {
        for format in [Format::Auto, Format::CodexJson, Format::ClaudeJson, Format::GeminiJson, Format::OpencodeJson, Format::GooseJson, Format::Plain] {
            let mut transcript = Transcript::new(format);
            for line in &lines {
                for shown in transcript.line(line).lines {
                    prop_assert!(!shown.text().chars().any(|c| (text::is_hidden(c) && !text::is_joiner(c)) || matches!(c, '\n' | '\t')));
                }
            }
        }
    }
}
