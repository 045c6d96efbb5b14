//! The agent programs that can be named instead of described: how each is started and read.
//!
//! What a user writes in the settings overrides a preset; nothing here looks whether a program exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::stream::Format;
use super::template::{closest, did_you_mean};

/// A known agent program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Aider.
    Aider,
    /// Goose.
    Goose,
    /// Gemini CLI.
    Gemini,
    /// OpenCode.
    Opencode,
    /// The scripted agent of the demonstration.
    Demo,
    /// A command from the settings.
    Custom,
    /// A shell, for the commands of workflows. No agent of the configuration is one.
    #[serde(rename = "command")]
    Command,
}

/// What is known about a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresetInfo {
    /// The program, as it is looked up on the path. Empty for a custom command.
    pub program: &'static str,
    /// The arguments, program first, for one process per run.
    pub headless: &'static [&'static str],
    /// The arguments, program first, for a session in a terminal.
    pub interactive: &'static [&'static str],
    /// The variable that names one more settings file of the program, by which a session is given hooks. Others take theirs
    /// as an argument, or have none.
    pub hooks_variable: Option<&'static str>,
    /// Whether a session takes no task on its command line, so that the prompt is pasted once it is ready for it.
    pub prompt_by_paste: bool,
    /// How its headless output is read.
    pub format: Format,
    /// Whether an exit with 0 and no claim counts as completed: the program does one thing and cannot claim.
    pub exit_is_claim: bool,
    /// Whether the templates and the reading were tried with the real program.
    pub tried: bool,
    /// What a person should know before relying on it.
    pub note: &'static str,
    /// How to get the program.
    pub install: &'static str,
}

const CLAUDE_TOOLS: &str = "Bash,Edit,Write,NotebookEdit,Read,Glob,Grep,TodoWrite";
const CODEX_ROOTS: &str = "sandbox_workspace_write.writable_roots={write_roots}";

const CLAUDE: PresetInfo = PresetInfo {
    program: "claude",
    headless: &[
        "claude",
        "-p",
        "--output-format",
        "stream-json",
        "--verbose",
        "--permission-mode",
        "acceptEdits",
        "--allowedTools",
        CLAUDE_TOOLS,
        "--model={model?}",
        "--",
        "{prompt}",
    ],
    interactive: &[
        "claude",
        "--permission-mode",
        "acceptEdits",
        "--allowedTools",
        CLAUDE_TOOLS,
        "--model={model?}",
        "--settings={hooks?}",
        "--resume={resume?}",
        "--",
        "{prompt}",
    ],
    hooks_variable: None,
    prompt_by_paste: false,
    format: Format::ClaudeJson,
    exit_is_claim: false,
    tried: true,
    note: "its shell commands are not sandboxed; the output format was tried with version 2.1",
    install: "npm install -g @anthropic-ai/claude-code",
};

const CODEX: PresetInfo = PresetInfo {
    program: "codex",
    headless: &[
        "codex",
        "exec",
        "--json",
        "--color=never",
        "--sandbox=workspace-write",
        "-c",
        "approval_policy=\"never\"",
        "-c",
        CODEX_ROOTS,
        "--model={model?}",
        "--",
        "{prompt}",
    ],
    interactive: &[
        "codex",
        "--sandbox=workspace-write",
        "-c",
        CODEX_ROOTS,
        "--config=notify={notify?}",
        "--model={model?}",
        "resume{resume+}",
        "{resume?}",
        "--",
        "{prompt}",
    ],
    hooks_variable: None,
    prompt_by_paste: false,
    format: Format::CodexJson,
    exit_is_claim: false,
    tried: true,
    note: "sandboxed to its worktree without network; to commit from a linked worktree it needs {write_roots}",
    install: "npm install -g @openai/codex",
};

const AIDER: PresetInfo = PresetInfo {
    program: "aider",
    headless: &[
        "aider",
        "--yes-always",
        "--no-stream",
        "--no-pretty",
        "--no-check-update",
        "--no-gitignore",
        "--no-suggest-shell-commands",
        "--no-detect-urls",
        // What it says only once it would open in a browser.
        "--no-show-model-warnings",
        "--no-show-release-notes",
        "--model={model?}",
        "--read",
        "{task_file}",
        "--message",
        "{prompt}",
    ],
    interactive: &[
        "aider",
        "--no-check-update",
        "--no-gitignore",
        // Questions before it begins, into which the prompt would be pasted.
        "--no-show-model-warnings",
        "--no-show-release-notes",
        "--model={model?}",
        "--read",
        "{task_file}",
    ],
    hooks_variable: None,
    prompt_by_paste: true,
    format: Format::Aider,
    exit_is_claim: true,
    tried: true,
    note: "it commits by itself, cannot run commands, and ends with 0 whatever happened; tried with version 0.86",
    install: "python -m pip install aider-install && aider-install",
};

const GOOSE: PresetInfo = PresetInfo {
    program: "goose",
    headless: &[
        "goose",
        "run",
        "--no-session",
        "--quiet",
        "--output-format",
        "stream-json",
        "--model={model?}",
        "--text={prompt}",
    ],
    interactive: &["goose", "session"],
    hooks_variable: None,
    prompt_by_paste: true,
    format: Format::GooseJson,
    exit_is_claim: false,
    tried: false,
    note: "from its documentation, not yet tried; set GOOSE_MODE=auto so that it does not ask",
    install: "see the installation page of the goose project",
};

const GEMINI: PresetInfo = PresetInfo {
    program: "gemini",
    headless: &[
        "gemini",
        "--output-format=stream-json",
        "--approval-mode=yolo",
        // Nobody is there to be asked, and in a folder that is not trusted it ends at once.
        "--skip-trust",
        "--model={model?}",
        "--prompt={prompt}",
    ],
    interactive: &[
        "gemini",
        "--approval-mode=auto_edit",
        "--model={model?}",
        "--resume={resume?}",
        "--prompt-interactive={prompt}",
    ],
    hooks_variable: Some("GEMINI_CLI_SYSTEM_DEFAULTS_PATH"),
    prompt_by_paste: false,
    format: Format::GeminiJson,
    exit_is_claim: false,
    tried: true,
    note: "headless it trusts its worktree and runs every tool without asking; a session is heard where only root can write \
           its settings, or by an extension that its owner links; tried with version 0.61",
    install: "npm install -g @google/gemini-cli",
};

const OPENCODE: PresetInfo = PresetInfo {
    program: "opencode",
    headless: &[
        "opencode",
        "run",
        "--format=json",
        // What it waits for when its service turns it down is said in its log alone.
        "--print-logs",
        "--log-level=ERROR",
        "--model={model?}",
        "--",
        "{prompt}",
    ],
    // Where it goes on in a session it passes its prompt over, so that has to be pasted.
    interactive: &["opencode", "--model={model?}", "--session={resume?}", "--prompt={prompt}{resume-}"],
    hooks_variable: Some("OPENCODE_TUI_CONFIG"),
    prompt_by_paste: false,
    format: Format::OpencodeJson,
    exit_is_claim: false,
    tried: true,
    note: "its own configuration says what it may do; what that asks about ends a headless run; tried with version 1.18",
    install: "npm install -g opencode-ai",
};

/// What an agent of the demonstration says about a task that is not the demonstration's.
pub const DEMO_DOES_NO_WORK: &str = "demo agents do no real work; configure an agent in .pipeline/config.toml";

const DEMO: PresetInfo = PresetInfo {
    program: "pipeline",
    headless: &["pipeline", "demo-agent", "{task_file}"],
    interactive: &["pipeline", "demo-agent", "{task_file}"],
    hooks_variable: None,
    prompt_by_paste: false,
    format: Format::Plain,
    exit_is_claim: false,
    tried: true,
    note: "a script that plays an agent; it needs no model",
    install: "part of this program",
};

const CUSTOM: PresetInfo = PresetInfo {
    program: "",
    headless: &[],
    interactive: &[],
    hooks_variable: None,
    prompt_by_paste: false,
    format: Format::Auto,
    exit_is_claim: true,
    tried: true,
    note: "the command comes from the settings",
    install: "",
};

const COMMAND: PresetInfo = PresetInfo {
    program: "",
    headless: &[],
    interactive: &[],
    hooks_variable: None,
    prompt_by_paste: false,
    format: Format::Auto,
    exit_is_claim: true,
    tried: true,
    note: "runs the commands of workflows",
    install: "",
};

impl Preset {
    /// Every preset, in the order they are shown.
    pub const ALL: [Self; 8] =
        [Self::Claude, Self::Codex, Self::Aider, Self::Goose, Self::Gemini, Self::Opencode, Self::Demo, Self::Custom];

    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Aider => "aider",
            Self::Goose => "goose",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Demo => "demo",
            Self::Custom => "custom",
            Self::Command => "command",
        }
    }

    /// What is known about it.
    #[must_use]
    pub fn info(self) -> &'static PresetInfo {
        match self {
            Self::Claude => &CLAUDE,
            Self::Codex => &CODEX,
            Self::Aider => &AIDER,
            Self::Goose => &GOOSE,
            Self::Gemini => &GEMINI,
            Self::Opencode => &OPENCODE,
            Self::Demo => &DEMO,
            Self::Custom => &CUSTOM,
            Self::Command => &COMMAND,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No preset has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent preset `{name}`{}", did_you_mean(.suggestion))]
pub struct UnknownPreset {
    /// The name, made safe.
    pub name: String,
    /// A preset that is spelled almost so.
    pub suggestion: Option<&'static str>,
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or_else(|| {
            let name = crate::text::one_line(text, 40);
            let suggestion = closest(&name, Self::ALL.map(Self::as_str));
            UnknownPreset { name, suggestion }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::template::{Vars, expand, git_write_roots};
    use proptest::prelude::*;

    fn vars() -> Vars {
        Vars {
            prompt: "do {task} \"it\" $(id)\n--now".into(),
            task_file: "TASK-001.md".into(),
            task: "TASK-001".into(),
            write_roots: vec!["/r/.git/worktrees/a".into(), "/r \"q\"\\/.git/refs".into()],
            ..Vars::default()
        }
    }

    #[test]
    fn every_preset_has_a_name_and_templates_that_expand() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse(), Ok(preset));
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("\"{preset}\""));
            let info = preset.info();
            for template in [info.headless, info.interactive] {
                let argv = expand(template, &vars()).unwrap();
                assert_eq!(argv.first().map_or("", String::as_str), info.program);
                assert!(argv.iter().all(|argument| !argument.starts_with("--model")), "{argv:?}");
                let named = Vars { model: Some("m-1".into()), ..vars() };
                if template.iter().any(|argument| argument.contains("{model?}")) {
                    assert!(expand(template, &named).unwrap().contains(&"--model=m-1".to_owned()));
                }
            }
            assert!(preset == Preset::Custom || !info.install.is_empty());
            let told = info.interactive.iter().any(|argument| argument.contains("{prompt}"));
            let own = matches!(preset, Preset::Custom | Preset::Demo);
            assert_eq!(info.prompt_by_paste, !told && !own, "{preset}");
        }
    }

    #[test]
    fn a_session_is_gone_on_with_where_there_is_one() {
        let interactive = |preset: Preset, resume: Option<&str>| {
            let vars = Vars { resume: resume.map(str::to_owned), ..vars() };
            expand(preset.info().interactive, &vars).unwrap()
        };
        let opencode = interactive(Preset::Opencode, Some("s-1"));
        assert_eq!(opencode, ["opencode", "--session=s-1"], "its prompt is pasted");
        for (preset, way) in [
            (Preset::Claude, &["--resume=s-1"][..]),
            (Preset::Codex, &["resume", "s-1"]),
            (Preset::Gemini, &["--resume=s-1"]),
        ] {
            let anew = interactive(preset, None);
            let mut resumed = interactive(preset, Some("s-1"));
            let at = resumed.iter().position(|argument| argument == way[0]).unwrap();
            assert_eq!(resumed.drain(at..at + way.len()).collect::<Vec<_>>(), way);
            assert_eq!(resumed, anew, "{preset}");
        }
    }

    #[test]
    fn one_argument_stays_one_argument() {
        let argv = expand(Preset::Codex.info().headless, &vars()).unwrap();
        assert_eq!(argv.last().unwrap(), &vars().prompt);
        let roots =
            argv.iter().find_map(|argument| argument.strip_prefix("sandbox_workspace_write.writable_roots=")).unwrap();
        assert_eq!(serde_json::from_str::<Vec<String>>(roots).unwrap(), vars().write_roots);
    }

    #[test]
    fn braces_mean_what_is_expected() {
        for (template, expected) in [
            ("{task}", Some("TASK-001")),
            ("a{task}b{task}", Some("aTASK-001bTASK-001")),
            ("{{task}}", Some("{task}")),
            ("{model?}", None),
            ("--m={model?}", None),
            ("{task?}", Some("TASK-001")),
            ("of{task+}", Some("of")),
            ("of{model+}", None),
            ("without{task-}", None),
            ("without{model-}", Some("without")),
            ("${task}", Some("${task}")),
            ("${HOME}", Some("${HOME}")),
            ("{}", Some("{}")),
            ("{\"a\": 1}", Some("{\"a\": 1}")),
            ("{", Some("{")),
            ("}", Some("}")),
            ("{ task }", Some("{ task }")),
            ("é{task}é", Some("éTASK-001é")),
        ] {
            assert_eq!(expand(&[template], &vars()).unwrap().first().map(String::as_str), expected, "{template}");
        }
    }

    #[test]
    fn mistakes_are_named_with_a_suggestion() {
        let message = |template: &str| expand(&[template], &vars()).unwrap_err().to_string();
        assert_eq!(
            message("x={taskfile}"),
            "unknown placeholder `{taskfile}` in `x={taskfile}`, did you mean `task_file`?; write {{ for a plain brace"
        );
        assert_eq!(message("{zzzzzz}"), "unknown placeholder `{zzzzzz}` in `{zzzzzz}`; write {{ for a plain brace");
        assert!(message("{model}").contains("`{model?}`"));
        let error = "cluade".parse::<Preset>().unwrap_err();
        assert_eq!(error.to_string(), "there is no agent preset `cluade`, did you mean `claude`?");
        assert!("Claude\u{1b}".parse::<Preset>().is_err());
    }

    #[test]
    fn the_git_folders_leave_out_hooks_and_configuration() {
        let roots = git_write_roots("/r/.git/worktrees/a", "/r/.git");
        assert!(roots.iter().all(|root| root != "/r/.git" && !root.contains("hooks")));
    }

    proptest! {
        #[test]
        fn values_are_never_read_as_templates(prompt in "\\PC{0,40}", template in "[a-z{}?$ ]{0,20}") {
            let vars = Vars { prompt: prompt.clone(), ..vars() };
            prop_assert_eq!(expand(&["{prompt}"], &vars).unwrap(), vec![prompt]);
            let _ = expand(&[template], &vars).is_ok();
        }
    }
}
