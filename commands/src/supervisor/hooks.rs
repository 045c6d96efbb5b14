//! What makes an agent's program say what it does: a settings file of this run alone, which adds hooks and changes nothing
//! of the person's own settings, and the command that the hooks call. What they say is read elsewhere.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::launch::replace_file;
use super::perform::Failure;
use super::session::HOOKS;

/// The variable that tells the hook of a session where to write.
pub(crate) const FILE_VARIABLE: &str = "PIPELINE_HOOKS_FILE";
/// In a run's directory: the settings that add the hooks.
const SETTINGS: &str = "hooks-settings.json";
/// The moments that are listened for, as Claude Code calls them, and whether they are about a tool.
const MOMENTS: [(&str, bool); 9] = [
    ("SessionStart", false),
    ("UserPromptSubmit", false),
    ("PreToolUse", true),
    ("PostToolUse", true),
    ("PermissionRequest", true),
    ("Notification", false),
    ("SubagentStop", false),
    ("Stop", false),
    ("SessionEnd", false),
];

/// What a session is started with so that it is heard.
pub(crate) struct Hooks {
    /// The settings file.
    pub(crate) settings: PathBuf,
    /// The command for the end of a turn, as a list in JSON.
    pub(crate) notify: String,
    /// Where what is said is written.
    pub(crate) file: PathBuf,
}

/// Writes what a session needs to be heard into its run's directory.
pub(crate) fn prepare(run_dir: &Path) -> Result<Hooks, Failure> {
    let own = std::env::current_exe()?;
    let own = own.to_string_lossy();
    let command = format!("'{}' hook", own.replace('\'', "'\\''"));
    let hook = json!([{ "type": "command", "command": command, "timeout": 5 }]);
    let of = |(name, about_tool): (&str, bool)| {
        let rule = if about_tool { json!({ "matcher": "*", "hooks": hook }) } else { json!({ "hooks": hook }) };
        (name.to_owned(), json!([rule]))
    };
    let hooks: serde_json::Map<String, Value> = MOMENTS.into_iter().map(of).collect();
    let settings = run_dir.join(SETTINGS);
    std::fs::create_dir_all(run_dir)?;
    replace_file(&settings, json!({ "hooks": hooks }).to_string().as_bytes())?;
    Ok(Hooks { settings, notify: json!([own, "hook"]).to_string(), file: run_dir.join(HOOKS) })
}
