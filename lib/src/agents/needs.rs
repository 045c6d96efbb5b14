//! What the known agent programs need besides their work: variables with their keys, folders of their own, a network. A
//! name that ends with `*` stands for all that begin so. Also what they leave behind.
//!
//! Taken from the documentation of the programs; what is missing here is added in the settings.

use super::preset::Preset;

/// Whose models can be reached through one program or another.
const PROVIDERS: &[&str] = &[
    "ANTHROPIC_*",
    "OPENAI_*",
    "AZURE_OPENAI_*",
    "GEMINI_*",
    "GOOGLE_API_KEY",
    "OPENROUTER_*",
    "DEEPSEEK_*",
    "GROQ_*",
    "MISTRAL_*",
    "XAI_*",
    "OLLAMA_*",
];

/// The variables of the supervisor's environment that a program is given besides the usual ones.
#[must_use]
pub fn variables(preset: Preset) -> Vec<&'static str> {
    let own: &[&str] = match preset {
        Preset::Claude => &["ANTHROPIC_*", "CLAUDE_CODE_*", "CLAUDE_CONFIG_DIR"],
        Preset::Codex => &["OPENAI_*", "CODEX_*"],
        Preset::Gemini => &["GEMINI_*", "GOOGLE_*"],
        Preset::Aider => &["AIDER_*"],
        Preset::Goose => &["GOOSE_*"],
        Preset::Opencode => &["OPENCODE_*"],
        Preset::Demo | Preset::Custom | Preset::Command => &[],
    };
    let several = matches!(preset, Preset::Aider | Preset::Goose | Preset::Opencode);
    own.iter().chain(PROVIDERS.iter().filter(|_| several)).copied().collect()
}

/// The folders and files in a person's home that a program keeps for itself, and has to change to work at all.
#[must_use]
pub fn folders(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Claude => &[".claude", ".claude.json", ".cache/claude", ".cache/claude-cli-nodejs"],
        Preset::Codex => &[".codex"],
        Preset::Aider => &[".aider", ".cache/litellm"],
        Preset::Goose => &[".config/goose", ".local/share/goose", ".local/state/goose"],
        Preset::Gemini => &[".gemini"],
        Preset::Opencode => &[
            ".config/opencode",
            ".local/share/opencode",
            ".local/share/opentui",
            ".local/state/opencode",
            ".cache/opencode",
        ],
        Preset::Demo | Preset::Custom | Preset::Command => &[],
    }
}

/// What a program leaves in the folder that it works in and that is no part of the work, as lines of an ignore file.
#[must_use]
pub fn leavings(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Aider => {
            &["/.aider.chat.history.md", "/.aider.input.history", "/.aider.llm.history", "/.aider.tags.cache.v*/"]
        }
        Preset::Claude
        | Preset::Codex
        | Preset::Goose
        | Preset::Gemini
        | Preset::Opencode
        | Preset::Demo
        | Preset::Custom
        | Preset::Command => &[],
    }
}

/// Whether a program talks to its model over the network.
#[must_use]
pub fn network(preset: Preset) -> bool {
    !matches!(preset, Preset::Demo | Preset::Custom | Preset::Command)
}

/// Whether a name is one of those that are listed.
#[must_use]
pub fn is_among(name: &str, listed: &[impl AsRef<str>]) -> bool {
    listed.iter().map(AsRef::as_ref).any(|listed| match listed.strip_suffix('*') {
        Some(start) => !start.is_empty() && name.starts_with(start),
        None => name == listed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_whole_or_by_their_beginning() {
        assert!(is_among("ANTHROPIC_API_KEY", &variables(Preset::Claude)));
        assert!(is_among("OPENAI_API_KEY", &variables(Preset::Aider)));
        assert!(!is_among("OPENAI_API_KEY", &variables(Preset::Claude)));
        assert!(!is_among("GOOGLE_API_KEYS", &variables(Preset::Aider)));
        assert!(!is_among("ANYTHING", &["*"]), "everything is not a list");
        assert!(variables(Preset::Custom).is_empty());
    }
}
