//! What makes an agent's program say what it does: a settings file of this run alone, which adds hooks and changes nothing
//! of the person's own settings, and the command that the hooks call. What they say is read elsewhere.
//!
//! Claude Code and Codex take it as an argument. Gemini CLI and OpenCode read one more settings file, which a variable
//! names; where a person has set that variable, or the program would not believe the file, it stays as it is, and what the
//! session does is read from its screen alone.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pipeline_lib::agents::preset::Preset;
use serde_json::{Map, Value, json};

use super::environment;
use super::launch::replace_file;
use super::perform::Failure;
use super::session::HOOKS;
use crate::config::{AgentConfig, Mode};
use crate::context::Context;

/// The variable that tells the hook of a session where to write.
pub(crate) const FILE_VARIABLE: &str = "PIPELINE_HOOKS_FILE";
/// In a run's directory: a folder with the settings that add the hooks. What loads a part of them lists its folder.
const FOLDER: &str = "hooks";
const SETTINGS: &str = "settings.json";
/// Beside them: what OpenCode loads to have any.
const PLUGIN: &str = "opencode.js";
/// In the folder: what that plug-in has seen the session use.
const USED: &str = "used.jsonl";
const OPENCODE: &str = include_str!("hooks/opencode.js");
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
/// The same as Gemini CLI calls them.
const GEMINI_MOMENTS: [&str; 7] =
    ["SessionStart", "BeforeAgent", "BeforeTool", "AfterTool", "Notification", "AfterAgent", "SessionEnd"];
/// How long a hook may take. Claude Code counts in seconds, Gemini CLI in milliseconds.
const HOOK_SECONDS: u64 = 5;
/// Names another file in the place of Gemini's settings for the whole system, beside which its defaults are.
const GEMINI_SYSTEM_VARIABLE: &str = "GEMINI_CLI_SYSTEM_SETTINGS_PATH";
const GEMINI_SYSTEM: &str = "/etc/gemini-cli/settings.json";
const GEMINI_DEFAULTS: &str = "system-defaults.json";
/// In a home: where Gemini CLI keeps that the extension is linked.
const GEMINI_EXTENSION: &str = ".gemini/extensions/pipeline";
/// Who may write in a file or folder besides its owner.
const OTHERS_WRITE: u32 = 0o022;

/// What a session is started with so that it is heard.
pub(crate) struct Hooks {
    /// The settings file.
    pub(crate) settings: PathBuf,
    /// The command for the end of a turn, as a list in JSON.
    pub(crate) notify: String,
    /// Where they are, with what they name.
    folder: PathBuf,
    /// Where what is said is written.
    file: PathBuf,
}

/// Writes what a session needs to be heard into its run's directory.
pub(crate) fn prepare(run_dir: &Path, preset: Preset) -> Result<Hooks, Failure> {
    let own = crate::program::path()?;
    let own = own.to_string_lossy();
    let (folder, file) = (run_dir.join(FOLDER), run_dir.join(HOOKS));
    let settings = folder.join(SETTINGS);
    std::fs::create_dir_all(&folder)?;
    // A rule of the kernel's is about a file that is there.
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&file)?;
    let content = match preset {
        Preset::Gemini => json!({ "hooks": of_gemini(&own, Some(&file)) }),
        Preset::Opencode => {
            replace_file(&folder.join(PLUGIN), OPENCODE.as_bytes())?;
            let used = folder.join(USED);
            let options = json!({
                "command": [own, "hook"], "file": file.to_string_lossy(), "used": used.to_string_lossy(),
            });
            json!({ "plugin": [[format!("./{PLUGIN}"), options]] })
        }
        _ => json!({ "hooks": of_claude(&own) }),
    };
    replace_file(&settings, content.to_string().as_bytes())?;
    Ok(Hooks { settings, notify: json!([own, "hook"]).to_string(), folder, file })
}

fn of_claude(own: &str) -> Map<String, Value> {
    let hook = json!([{ "type": "command", "command": format!("{} hook", quoted(own)), "timeout": HOOK_SECONDS }]);
    let of = |(name, about_tool): (&str, bool)| {
        let rule = if about_tool { json!({ "matcher": "*", "hooks": hook }) } else { json!({ "hooks": hook }) };
        (name.to_owned(), json!([rule]))
    };
    MOMENTS.into_iter().map(of).collect()
}

/// Gemini shows what a hook prints, and may keep its environment from it.
fn of_gemini(own: &str, file: Option<&Path>) -> Map<String, Value> {
    let file = file.map(|file| format!("{FILE_VARIABLE}={} ", quoted(&file.to_string_lossy()))).unwrap_or_default();
    let command = format!("{file}{} hook >/dev/null 2>&1 || :", quoted(own));
    let hook = json!({ "type": "command", "name": "pipeline", "command": command, "timeout": HOOK_SECONDS * 1_000 });
    GEMINI_MOMENTS.map(|name| (name.to_owned(), json!([{ "hooks": [hook] }]))).into_iter().collect()
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Hooks {
    /// Everything of it that a confined session has to reach.
    pub(super) fn places(&self) -> [PathBuf; 2] {
        [self.folder.clone(), self.file.clone()]
    }

    /// Tells a session where to write, and its program where its settings are.
    pub(super) fn tell(&self, preset: Preset, env: &mut BTreeMap<String, String>) {
        env.insert(FILE_VARIABLE.to_owned(), self.file.to_string_lossy().into_owned());
        env.extend(variable(preset, self, env));
    }
}

/// The variable that names the settings file to a program, where it reads it from there and nobody needs it for another.
fn variable(preset: Preset, hooks: &Hooks, env: &BTreeMap<String, String>) -> Option<(String, String)> {
    let name = preset.info().hooks_variable.filter(|_| !is_linked(preset, env))?;
    let dir = hooks.settings.parent()?;
    refused(preset, name, dir, env).is_none().then(|| (name.to_owned(), hooks.settings.to_string_lossy().into_owned()))
}

/// Why a session of an agent is given no hooks although its program has some.
pub(crate) fn lacking(context: &Context, agent: &AgentConfig) -> Option<String> {
    let name = agent.preset.info().hooks_variable.filter(|_| agent.mode == Mode::Interactive)?;
    let env = environment::of_agent(context, agent);
    refused(agent.preset, name, &context.runs_dir(), &env).filter(|_| !is_linked(agent.preset, &env))
}

/// Whether a person has linked the extension that does the same.
fn is_linked(preset: Preset, env: &BTreeMap<String, String>) -> bool {
    let home = || env.get("GEMINI_CLI_HOME").or_else(|| env.get("HOME"));
    preset == Preset::Gemini && home().is_some_and(|home| Path::new(home).join(GEMINI_EXTENSION).is_dir())
}

fn refused(preset: Preset, name: &str, dir: &Path, env: &BTreeMap<String, String>) -> Option<String> {
    if env.contains_key(name) {
        return Some(format!("{name} is set, and stays as it is"));
    }
    if preset != Preset::Gemini {
        return None;
    }
    let system = env.get(GEMINI_SYSTEM_VARIABLE).map_or(GEMINI_SYSTEM, String::as_str);
    let defaults = Path::new(system).with_file_name(GEMINI_DEFAULTS);
    if defaults.exists() {
        return Some(format!("{} is there, and a file of ours would take its place", defaults.display()));
    }
    let other = not_of_root(dir)?;
    Some(format!("Gemini CLI believes a file only where none but root can write, and {} is not so", other.display()))
}

/// What of the way to a file of ours somebody but root can write.
fn not_of_root(dir: &Path) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Some(dir.to_owned());
    }
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let open = |path: &&Path| {
        let of_root = path.symlink_metadata().is_ok_and(|data| data.uid() == 0);
        !of_root || !path.metadata().is_ok_and(|data| data.uid() == 0 && data.mode() & OTHERS_WRITE == 0)
    };
    dir.ancestors().chain(real.ancestors()).find(open).map(Path::to_owned)
}

/// Writes an extension for Gemini CLI that adds the hooks to every session of the person who links it. Sessions that are
/// not ours it tells nothing.
pub(crate) fn write_gemini_extension(dir: &Path) -> std::io::Result<()> {
    let own = crate::program::path()?;
    let about = json!({ "name": "pipeline", "version": env!("CARGO_PKG_VERSION") });
    let hooks = json!({ "hooks": of_gemini(&own.to_string_lossy(), None) });
    std::fs::create_dir_all(dir.join("hooks"))?;
    replace_file(&dir.join("gemini-extension.json"), about.to_string().as_bytes())?;
    replace_file(&dir.join("hooks/hooks.json"), hooks.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(hooks: &Hooks) -> Value {
        serde_json::from_slice(&std::fs::read(&hooks.settings).unwrap()).unwrap()
    }

    #[test]
    fn every_program_gets_what_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let run = |name: &str| dir.path().join("it's").join(name);
        let claude = prepare(&run("c"), Preset::Claude).unwrap();
        let command = settings(&claude)["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().unwrap().to_owned();
        assert!(command.ends_with("' hook"), "{command}");
        let gemini = prepare(&run("g"), Preset::Gemini).unwrap();
        let said = settings(&gemini);
        let events: Vec<&String> = said["hooks"].as_object().unwrap().keys().collect();
        assert_eq!(events.len(), GEMINI_MOMENTS.len());
        let hook = &said["hooks"]["AfterAgent"][0]["hooks"][0];
        let command = hook["command"].as_str().unwrap();
        assert!(
            command.starts_with("PIPELINE_HOOKS_FILE='/") && command.contains("/it'\\''s/g/hooks.jsonl' "),
            "{command}"
        );
        assert!(command.ends_with("' hook >/dev/null 2>&1 || :") && hook["timeout"] == 5_000, "{command}");
        let opencode = prepare(&run("o"), Preset::Opencode).unwrap();
        let said = settings(&opencode);
        assert_eq!(said["plugin"][0][0], "./opencode.js");
        assert!(opencode.settings.with_file_name(PLUGIN).is_file());
        assert_eq!(said["plugin"][0][1]["file"], opencode.file.to_string_lossy().as_ref());
        let used = opencode.folder.join(USED);
        assert_eq!(said["plugin"][0][1]["used"], used.to_string_lossy().as_ref(), "where a confined session may write");
        assert_eq!(said["plugin"][0][1]["command"][1], "hook");
        for hooks in [&claude, &gemini, &opencode] {
            assert!(hooks.folder.exists() && hooks.file.exists(), "a rule of the kernel's is about what is there");
        }
        std::fs::write(&opencode.file, "heard\n").unwrap();
        prepare(&run("o"), Preset::Opencode).unwrap();
        assert_eq!(std::fs::read_to_string(&opencode.file).unwrap(), "heard\n", "what was heard stays");
    }

    #[test]
    fn a_variable_that_a_person_has_set_stays_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let none = BTreeMap::new();
        let set = |name: &str| BTreeMap::from([(name.to_owned(), "/etc/mine.json".to_owned())]);
        let opencode = prepare(dir.path(), Preset::Opencode).unwrap();
        let named = variable(Preset::Opencode, &opencode, &none).unwrap();
        assert_eq!(named, ("OPENCODE_TUI_CONFIG".to_owned(), opencode.settings.to_string_lossy().into_owned()));
        assert_eq!(variable(Preset::Opencode, &opencode, &set("OPENCODE_TUI_CONFIG")), None);
        for preset in [Preset::Claude, Preset::Codex, Preset::Aider, Preset::Custom] {
            assert_eq!(variable(preset, &opencode, &none), None, "{preset}");
        }
        let name = "GEMINI_CLI_SYSTEM_DEFAULTS_PATH";
        let why = refused(Preset::Gemini, name, dir.path(), &set(name)).unwrap();
        assert!(why.contains("stays as it is"), "{why}");
        std::fs::write(dir.path().join(GEMINI_DEFAULTS), "{}").unwrap();
        let elsewhere = dir.path().join("settings.json").to_string_lossy().into_owned();
        let env = BTreeMap::from([(GEMINI_SYSTEM_VARIABLE.to_owned(), elsewhere)]);
        let why = refused(Preset::Gemini, name, dir.path(), &env).unwrap();
        assert!(why.contains("would take its place"), "{why}");
        let at_home = BTreeMap::from([("HOME".to_owned(), dir.path().to_string_lossy().into_owned())]);
        assert!(!is_linked(Preset::Gemini, &at_home));
        write_gemini_extension(&dir.path().join(GEMINI_EXTENSION)).unwrap();
        assert!(is_linked(Preset::Gemini, &at_home) && !is_linked(Preset::Opencode, &at_home));
        let written = std::fs::read_to_string(dir.path().join(GEMINI_EXTENSION).join("hooks/hooks.json")).unwrap();
        assert!(
            written.contains("AfterAgent") && !written.contains(FILE_VARIABLE),
            "each session has its own: {written}"
        );
    }

    #[test]
    fn gemini_is_told_only_of_a_file_that_it_believes() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        std::fs::create_dir_all(open.join("run")).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let why = refused(Preset::Gemini, "V", &open.join("run"), &BTreeMap::new());
        assert!(why.is_some(), "others write on the way to it");
        assert_eq!(not_of_root(Path::new("/")).is_none(), rustix::process::geteuid().is_root());
    }
}
