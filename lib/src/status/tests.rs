//! Every moment that is kept as a file, and how hooks are read.

use jiff::tz::TimeZone;

use super::fixture::Fixture;
use super::hooks::{Moment, follow, read};
use super::{Dialog, Doing, screen};
use crate::agents::preset::Preset;

const FIXTURES: [(&str, &str); 61] = [
    ("01-dialog-dismissed", include_str!("fixtures/01-dialog-dismissed.json")),
    ("01-interrupted", include_str!("fixtures/01-interrupted.json")),
    ("01-interrupted-codex", include_str!("fixtures/01-interrupted-codex.json")),
    ("02-login-lost", include_str!("fixtures/02-login-lost.json")),
    ("02-login-lost-said", include_str!("fixtures/02-login-lost-said.json")),
    ("03-end-lost", include_str!("fixtures/03-end-lost.json")),
    ("04-reminder", include_str!("fixtures/04-reminder.json")),
    ("05-background", include_str!("fixtures/05-background.json")),
    ("05-background-over", include_str!("fixtures/05-background-over.json")),
    ("06-part-asks", include_str!("fixtures/06-part-asks.json")),
    ("06-part-ends", include_str!("fixtures/06-part-ends.json")),
    ("07-long-tool", include_str!("fixtures/07-long-tool.json")),
    ("07-thinking", include_str!("fixtures/07-thinking.json")),
    ("08-dialog-at-once", include_str!("fixtures/08-dialog-at-once.json")),
    ("08-spinner-gap", include_str!("fixtures/08-spinner-gap.json")),
    ("09-quoted", include_str!("fixtures/09-quoted.json")),
    ("09-quoted-spinner", include_str!("fixtures/09-quoted-spinner.json")),
    ("10-banner", include_str!("fixtures/10-banner.json")),
    ("11-one-look", include_str!("fixtures/11-one-look.json")),
    ("12-end-only", include_str!("fixtures/12-end-only.json")),
    ("13-shell-left", include_str!("fixtures/13-shell-left.json")),
    ("14-comes-back", include_str!("fixtures/14-comes-back.json")),
    ("16-child", include_str!("fixtures/16-child.json")),
    ("17-bypass", include_str!("fixtures/17-bypass.json")),
    ("17-trust", include_str!("fixtures/17-trust.json")),
    ("17-trust-codex", include_str!("fixtures/17-trust-codex.json")),
    ("17-trust-codex-folder", include_str!("fixtures/17-trust-codex-folder.json")),
    ("17-unknown-dialog", include_str!("fixtures/17-unknown-dialog.json")),
    ("18-just-started", include_str!("fixtures/18-just-started.json")),
    ("18-nothing-shown", include_str!("fixtures/18-nothing-shown.json")),
    ("19-long-quiet", include_str!("fixtures/19-long-quiet.json")),
    ("19-screen-only", include_str!("fixtures/19-screen-only.json")),
    ("19-waiting-is-not-stuck", include_str!("fixtures/19-waiting-is-not-stuck.json")),
    ("20-limit", include_str!("fixtures/20-limit.json")),
    ("21-permission-codex", include_str!("fixtures/21-permission-codex.json")),
    ("22-aider-asks", include_str!("fixtures/22-aider-asks.json")),
    ("22-aider-open", include_str!("fixtures/22-aider-open.json")),
    ("24-flicker", include_str!("fixtures/24-flicker.json")),
    ("25-said", include_str!("fixtures/25-said.json")),
    ("25-said-and-over", include_str!("fixtures/25-said-and-over.json")),
    ("26-plain", include_str!("fixtures/26-plain.json")),
    ("26-plain-stuck", include_str!("fixtures/26-plain-stuck.json")),
    ("26-plain-unread", include_str!("fixtures/26-plain-unread.json")),
    ("27-aider-works", include_str!("fixtures/27-aider-works.json")),
    ("27-aider-open", include_str!("fixtures/27-aider-open.json")),
    ("27-aider-creates", include_str!("fixtures/27-aider-creates.json")),
    ("27-aider-retries", include_str!("fixtures/27-aider-retries.json")),
    ("28-gemini-trust", include_str!("fixtures/28-gemini-trust.json")),
    ("28-gemini-open", include_str!("fixtures/28-gemini-open.json")),
    ("28-gemini-works", include_str!("fixtures/28-gemini-works.json")),
    ("28-gemini-permission", include_str!("fixtures/28-gemini-permission.json")),
    ("28-gemini-limit-dialog", include_str!("fixtures/28-gemini-limit-dialog.json")),
    ("28-gemini-limit", include_str!("fixtures/28-gemini-limit.json")),
    ("28-gemini-key", include_str!("fixtures/28-gemini-key.json")),
    ("28-gemini-login", include_str!("fixtures/28-gemini-login.json")),
    ("29-opencode-start", include_str!("fixtures/29-opencode-start.json")),
    ("29-opencode-works", include_str!("fixtures/29-opencode-works.json")),
    ("29-opencode-open", include_str!("fixtures/29-opencode-open.json")),
    ("29-opencode-permission", include_str!("fixtures/29-opencode-permission.json")),
    ("29-opencode-limit", include_str!("fixtures/29-opencode-limit.json")),
    ("29-opencode-key", include_str!("fixtures/29-opencode-key.json")),
];

#[test]
fn every_moment_that_was_recorded_is_read_as_a_person_reads_it() {
    let now = "2026-11-02T10:00:00Z".parse().unwrap();
    for (name, text) in FIXTURES {
        let fixture: Fixture = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = fixture.derive(now);
        if let Doing::RateLimited { until } = &mut found.doing {
            *until = None;
        }
        assert_eq!(found.doing, fixture.expect, "{name}: {} {:#?}", fixture.about, found);
        assert!((0.0..=1.0).contains(&found.confidence) && !found.reasons.is_empty(), "{name}");
        assert!(found.since <= now, "{name}");
    }
}

#[test]
fn what_contradicts_the_answer_is_said() {
    let now = "2026-11-02T10:00:00Z".parse().unwrap();
    for (name, contradicted) in
        [("01-interrupted", true), ("12-end-only", true), ("06-part-ends", false), ("08-spinner-gap", false)]
    {
        let (_, text) = FIXTURES.iter().find(|(known, _)| *known == name).unwrap();
        let fixture: Fixture = serde_json::from_str(text).unwrap();
        assert_eq!(!fixture.derive(now).conflicts.is_empty(), contradicted, "{name}");
    }
}

#[test]
fn a_moment_that_was_recorded_says_the_same_again() {
    let now = "2026-11-02T10:00:00Z".parse().unwrap();
    for (name, text) in FIXTURES {
        let fixture: Fixture = serde_json::from_str(text).unwrap();
        let again: Fixture = serde_json::from_str(&serde_json::to_string(&fixture).unwrap()).unwrap();
        assert_eq!(again.derive(now), fixture.derive(now), "{name}");
    }
}

#[test]
fn every_program_with_rules_says_when_they_were_compared() {
    for preset in [Preset::Claude, Preset::Codex, Preset::Aider, Preset::Gemini, Preset::Opencode] {
        let rules = screen::rules(preset).unwrap_or_else(|| panic!("the rules for {preset} cannot be read"));
        assert!(rules.dated.starts_with("20"), "{preset}: {}", rules.dated);
    }
    assert!(screen::rules(Preset::Custom).is_none());
}

#[test]
fn the_choices_of_a_dialog_are_read() {
    let lines = ["Do you want to proceed?", "❯ 1. Yes", "  2. No, exit"].map(str::to_owned);
    let now = "2026-11-02T10:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC);
    let reading = screen::read(screen::rules(Preset::Claude), &lines, now.timestamp(), &now);
    let choices: Vec<_> = reading.choices.iter().map(|c| (c.key.as_str(), c.text.as_str(), c.refuses)).collect();
    assert_eq!(choices, [("1", "Yes", false), ("2", "No, exit", true)]);
    assert!(!reading.composer && !reading.wants_enter && reading.choices[0].chosen && !reading.choices[1].chosen);
    let lines =
        ["Trust this folder?", "  1. Trust and continue", "› 2. Back to Agent Command Center"].map(str::to_owned);
    let reading = screen::read(screen::rules(Preset::Codex), &lines, now.timestamp(), &now);
    assert!(reading.wants_enter && reading.choices[1].refuses && reading.choices[1].chosen);
}

/// What the real programs showed in November 2026: only the menu that is asked counts, buttons are pressed, and how long a
/// limit lasts is said beside it.
#[test]
fn dialogs_and_limits_of_aider_gemini_and_opencode_are_read() {
    let now = "2026-11-02T10:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC);
    let read = |preset, lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        screen::read(screen::rules(preset), &lines, now.timestamp(), &now)
    };
    let trust = read(
        Preset::Gemini,
        &[
            "Tips for getting started:",
            "1. Create GEMINI.md files to customize your interactions",
            "2. /help for more information",
            " │ Do you trust the files in this folder?            │",
            " │ ● 1. Trust folder (repo)                          │",
            " │   2. Trust parent folder (work)                   │",
            " │   3. Don't trust                                  │",
        ],
    );
    let choices: Vec<_> = trust.choices.iter().map(|c| (c.key.as_str(), c.text.as_str(), c.refuses)).collect();
    let asked =
        [("1", "Trust folder (repo)", false), ("2", "Trust parent folder (work)", false), ("3", "Don't trust", true)];
    assert_eq!(choices, asked);
    let permission = read(
        Preset::Opencode,
        &["  ┃  △ Permission required", "  ┃   Allow once   Allow always   Reject   ⇆ select  enter confirm"],
    );
    assert!(permission.buttons && permission.choices.is_empty() && !permission.composer);
    let waiting = read(
        Preset::Opencode,
        &[
            "  ┃  Build · Lab Lab",
            "   ⬝⬝■Rate⬝limit reached for lab… (click to expand) [retrying in 1h 59m attempt #1] esc",
        ],
    );
    let until = Some("2026-11-02T11:59:00Z".parse().unwrap());
    assert_eq!(waiting.doing, Some(Doing::RateLimited { until }));
    let down =
        read(Preset::Opencode, &["  ┃  Build · Lab Lab", "   ■⬝⬝ Cannot connect to API [retrying in 8s attempt #3]"]);
    assert_eq!(down.doing, Some(Doing::Working), "it goes on by itself");
    let limited = read(
        Preset::Aider,
        &[
            "     ░litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for lab on requests",
            "per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 7140s.",
            "The API provider has rate limited you. Try again later or check your quotas.",
            "Readonly: TASK-001.md",
            ">",
        ],
    );
    assert_eq!(limited.doing, Some(Doing::RateLimited { until }), "it gave up, and its input line is open");
    let quoted = read(
        Preset::Opencode,
        &["     Incorrect API key provided: is now said.", "  ┃  Build · Lab Lab", "   ctrl+p commands"],
    );
    assert_eq!(quoted.doing, Some(Doing::TurnEnded), "the agent writes about it");
}

#[test]
fn hooks_of_each_program_are_read() {
    let at = "2026-11-02T10:00:00Z".parse().unwrap();
    for (document, named, moment) in [
        (r#"{"hook_event_name":"UserPromptSubmit","session_id":"s"}"#, None, Some(Moment::Prompted)),
        (r#"{"hook_event_name":"PreToolUse","tool_name":"Bash"}"#, None, Some(Moment::ToolStarted)),
        (r#"{"hook_event_name":"PreToolUse","tool_name":"AskUserQuestion"}"#, None, Some(Moment::QuestionAsked)),
        (
            r#"{"hook_event_name":"Notification","notification_type":"permission_prompt"}"#,
            None,
            Some(Moment::PermissionAsked),
        ),
        (
            r#"{"hook_event_name":"Notification","message":"Claude needs your permission to use Bash"}"#,
            None,
            Some(Moment::PermissionAsked),
        ),
        (
            r#"{"hook_event_name":"Notification","message":"Claude is waiting for your input"}"#,
            None,
            Some(Moment::Reminded),
        ),
        (r#"{"hook_event_name":"Notification","message":"Update available"}"#, None, None),
        (r#"{"type":"agent-turn-complete","thread-id":"t"}"#, None, Some(Moment::TurnEnded)),
        (r#"{"hook_event_name":"AfterAgent"}"#, None, Some(Moment::TurnEnded)),
        ("not json", Some("Stop"), Some(Moment::TurnEnded)),
        ("not json", None, None),
        ("{}", Some("SomethingNew"), None),
    ] {
        assert_eq!(read(document.as_bytes(), named, at).map(|hook| hook.moment), moment, "{document}");
    }
    let stop = r#"{"hook_event_name":"Stop","background_tasks":[{"id":"1","status":"running"},{"id":"2","status":"completed"},{"type":"in_process_teammate","status":"running"}]}"#;
    assert_eq!(read(stop.as_bytes(), None, at).unwrap().background, 1);
    for (id, is_session) in [
        ("01a1fc3d-b63c-75c0-8012-1be8b2148e7a", true),
        ("ses_5kQ.1", true),
        ("", false),
        ("--dangerously-bypass-approvals-and-sandbox", false),
        ("a b", false),
        ("a\\u001b[2J", false),
        (&"a".repeat(81), false),
    ] {
        let document = format!(r#"{{"type":"agent-turn-complete","thread-id":"{id}"}}"#);
        let hook = read(document.as_bytes(), None, at).unwrap();
        assert_eq!(hook.session.is_some(), is_session, "{id}");
    }
    let part = r#"{"hook_event_name":"PermissionRequest","agent_id":"x"}"#;
    assert!(read(part.as_bytes(), None, at).unwrap().subagent);
}

/// Sessions as their programs told of them: lines as they were handed to the hook, and after `=>` what follows.
#[test]
fn sessions_that_were_heard_are_followed() {
    let told = [
        ("codex", include_str!("heard/codex-0.169.txt"), 5),
        ("gemini", include_str!("heard/gemini-0.61.txt"), 13),
        ("opencode", include_str!("heard/opencode-1.18.txt"), 12),
    ];
    for (name, text, expected) in told {
        let began: jiff::Timestamp = "2026-11-02T10:00:00Z".parse().unwrap();
        let (mut hooks, mut found) = (Vec::new(), 0);
        for (line, nth) in text.lines().zip(1_i64..) {
            let at = began + jiff::SignedDuration::from_secs(nth);
            if let Some(expect) = line.strip_prefix("=> ") {
                let later = began + jiff::SignedDuration::from_hours(1);
                let said = follow(&hooks, &later.to_zoned(TimeZone::UTC));
                let doing = serde_json::to_value(said.as_ref().map(|said| &said.doing)).unwrap();
                let word = doing.as_str().or_else(|| doing.as_object()?.keys().next().map(String::as_str));
                assert_eq!(word.unwrap_or("nothing"), expect, "{name}, line {nth}: {said:?}");
                if let Some(said) = said
                    && let Doing::RateLimited { until } = said.doing
                {
                    assert_eq!(
                        until,
                        Some(said.since + jiff::SignedDuration::from_secs(7_200)),
                        "from when it was said"
                    );
                }
                found += 1;
            } else if !line.starts_with('#') {
                hooks.push(read(line.as_bytes(), None, at).unwrap_or_else(|| panic!("{name}, line {nth}: {line}")));
            }
        }
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_dialog_that_is_not_known_is_none_of_those_that_are() {
    assert_eq!(serde_json::to_string(&Doing::Dialog(Dialog::Unknown)).unwrap(), r#"{"dialog":"unknown"}"#);
}
