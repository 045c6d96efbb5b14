//! The config.toml that `init` writes: what is set, and every other key as a comment with its default, so that the file
//! is its own manual. It parses back to the same configuration.

use super::AgentConfig;
use super::keys::{KEYS, Key, SECTIONS, find};

/// The column where comments begin, if the line is not longer.
const COMMENT_COLUMN: usize = 49;

/// The text of a new config.toml.
#[must_use]
pub fn starter(base: &str, verify: Option<&str>, agents: &[AgentConfig]) -> String {
    let mut text = String::from(
        "# How agents work on this repository. A line that is commented out shows the default.\n\
         # `pipeline config show --origin` prints what is in force; `pipeline config validate` checks this file.\n",
    );
    for (section, about) in SECTIONS {
        if *section == "agents" {
            text.push_str("\n# The agents. `pipeline agent add` and `pipeline agent remove` edit this list.\n");
            text.push_str("# presets: claude codex aider goose gemini opencode demo custom\n");
            for (index, agent) in agents.iter().enumerate() {
                if index > 0 {
                    text.push('\n');
                }
                text.push_str(&agent_block(agent));
            }
            if agents.is_empty() {
                text.push_str("# [[agents]]\n# name = \"dev\"\n# role = \"implementation\"\n# preset = \"claude\"\n");
            }
            continue;
        }
        text.push_str(&format!("\n[{section}]{}# {about}\n", pad(section.len() + 2)));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let set = match (*section, key.name) {
                ("project", "base") => Some(base),
                ("project", "verify") => verify.filter(|verify| !verify.trim().is_empty()),
                _ => None,
            };
            text.push_str(&line(key, set));
        }
    }
    text
}

fn line(key: &Key, set: Option<&str>) -> String {
    let line = match set {
        Some(value) => format!("{} = {}", key.name, quoted(value)),
        None if key.default.is_empty() => format!("# {} = \"\"", key.name),
        None => format!("# {} = {}", key.name, key.default),
    };
    format!("{line}{}# {}\n", pad(line.chars().count()), key.about)
}

fn pad(width: usize) -> String {
    " ".repeat(COMMENT_COLUMN.saturating_sub(width).max(1))
}

/// The block of one agent: what is not the default.
pub(crate) fn agent_block(agent: &AgentConfig) -> String {
    let mut text = String::from("[[agents]]\n");
    let mut set = |name: &str, value: String| {
        if find("agents", name).is_none_or(|key| key.default != value) {
            text.push_str(&format!("{name} = {value}\n"));
        }
    };
    set("name", quoted(agent.name.as_str()));
    set("role", quoted(agent.role.as_str()));
    set("preset", quoted(agent.preset.as_str()));
    set("command", list(&agent.command));
    if let Some(model) = &agent.model {
        set("model", quoted(model));
    }
    if let Some(variant) = &agent.variant {
        set("variant", quoted(variant.as_str()));
    }
    set("args", list(&agent.args));
    set("mode", quoted(agent.mode.as_str()));
    set("runtime", quoted(agent.runtime.as_str()));
    set("pass_env", list(&agent.pass_env));
    set("sandbox", quoted(agent.sandbox.as_str()));
    set("read", list(&agent.read));
    set("write", list(&agent.write));
    set("network", agent.network.to_string());
    if !agent.env.is_empty() {
        let entries = agent.env.iter().map(|(name, value)| format!("{} = {}", quoted_key(name), quoted(value)));
        set("env", format!("{{ {} }}", entries.collect::<Vec<_>>().join(", ")));
    }
    text
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

/// A text as TOML on one line. JSON's strings are TOML's basic strings, but for the one control character that only
/// TOML wants escaped.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}
