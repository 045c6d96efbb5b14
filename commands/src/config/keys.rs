//! Every key of config.toml: its kind, its default and what it is for. The reader, the starter file, the schema and the
//! suggestions for misspelled keys all come from this one table.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A duration; whether nothing at all is allowed.
    Duration { zero: bool },
    /// A whole number from here on.
    Whole { min: u32 },
    /// A number from 0 to 1.
    Share,
    /// A number from 0 on.
    Amount,
    /// True or false.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    Words,
    /// A table of texts.
    Texts,
    /// A table of whole numbers from 0.
    Counts,
    /// So many bytes: "500MB", "1GB"; "0" is none.
    Size,
    /// A table whose values are a text or a list of texts.
    Keys,
}

/// A key of config.toml.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// In TOML; empty where there is none.
    pub(crate) default: &'static str,
    /// What it is for, short enough for the end of its line.
    pub(crate) about: &'static str,
}

const fn key(section: &'static str, name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { section, name, kind, default, about }
}

const ZERO: Kind = Kind::Duration { zero: true };
const POSITIVE: Kind = Kind::Duration { zero: false };

pub(crate) const PRESETS: &[&str] = &["claude", "codex", "aider", "goose", "gemini", "opencode", "demo", "custom"];

/// The sections, in the order of the starter file, each with what it is for.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("project", "the repository that is worked on"),
    ("agents", "the workers: one block each"),
    ("scheduler", "how work is handed out and repeated"),
    ("budget", "what agents may use before you are asked; 0: no limit"),
    ("rollout", "what `pipeline rollout check` asks for"),
    ("ui", "the dashboard"),
    ("logs", "what the supervisor writes about itself"),
    ("state", "the recorded state"),
];

#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("project", "base", Kind::Text, "", "the branch that finished work is merged into"),
    key("project", "verify", Kind::Text, "", "the gate: work counts only if this command exits with 0"),
    key("project", "post_merge", Kind::Text, "", "runs on base after each merge; if it fails, the merge is taken back"),
    key("project", "worktrees", Kind::Text, "\".pipeline/worktrees/{agent}\"", "where agents work: {repo} {agent} {task}"),
    key("project", "current_task_file", Kind::Text, "\".claude/current-task.txt\"", "names the task of sequential mode"),
    key("project", "separate_approver", Kind::Flag, "false", "somebody else approves than who asked"),
    key("project", "default_agent", Kind::Text, "", "lends its program to roles that only .pipeline/agents has"),
    key("project", "setup", Kind::Text, "", "runs once in a fresh worktree, such as \"npm ci\""),
    key("project", "pass_env", Kind::Words, "[]", "variables of yours that gates, set-ups and commands get too"),

    key("agents", "name", Kind::Text, "", "its name in commands, also of its worktree"),
    key("agents", "role", Kind::Text, "", "the stages it works on"),
    key("agents", "preset", Kind::OneOf(PRESETS), "\"custom\"", "the program"),
    key("agents", "command", Kind::Words, "[]", "for custom, or instead of the preset's: one text per argument"),
    key("agents", "model", Kind::Text, "", "passed to the program where it can be"),
    key("agents", "args", Kind::Words, "[]", "further arguments"),
    key("agents", "env", Kind::Texts, "{}", "further environment variables"),
    key("agents", "pass_env", Kind::Words, "[]", "variables of yours that it gets too"),
    key("agents", "mode", Kind::OneOf(&["headless", "interactive"]), "\"headless\"", "one process for each run, or a session in a terminal"),
    key("agents", "runtime", Kind::OneOf(&["host", "tmux", "agentapi"]), "\"host\"", "where the process runs; tmux for interactive ones alone"),
    key("agents", "sandbox", Kind::OneOf(&["off", "basic", "strict"]), "\"off\"", "how far the process is confined: off, basic, strict"),
    key("agents", "read", Kind::Words, "[]", "what it may read besides, where it is confined: paths, ~ for your home"),
    key("agents", "write", Kind::Words, "[]", "what it may change besides, where it is confined"),
    key("agents", "variant", Kind::Text, "", "compared with other variants of its role: a short word"),
    key("agents", "network", Kind::Flag, "false", "whether it has a network where it is confined strictly"),

    key("scheduler", "retries", Kind::Whole { min: 0 }, "2", "further attempts after one that failed"),
    key("scheduler", "backoff", ZERO, "\"5s\"", "at most so long before the first; doubles; up to half is taken off at random"),
    key("scheduler", "backoff_max", ZERO, "\"5m\"", "it never doubles beyond this"),
    key("scheduler", "stage_timeout", POSITIVE, "\"30m\"", "a run is stopped after this; of a merely slow one you are told"),
    key("scheduler", "verify_timeout", POSITIVE, "\"15m\"", "one run of `verify` or `setup` is stopped after this"),
    key("scheduler", "max_parallel", Kind::Whole { min: 0 }, "4", "agents working at once; 0: as many as there are"),
    key("scheduler", "max_commands", Kind::Whole { min: 1 }, "4", "commands of workflows running at once"),
    key("scheduler", "stagger", ZERO, "\"0s\"", "at least so long between two starts of agents of one preset"),
    key("scheduler", "ageing", POSITIVE, "\"1h\"", "waiting this long makes a task one priority more urgent"),
    key("scheduler", "max_visits", Kind::Whole { min: 1 }, "10", "entries into one stage before you are asked"),
    key("scheduler", "failed_dependency", Kind::OneOf(&["block", "skip", "continue"]), "\"block\"", "the tasks behind one that failed: block, skip, continue"),
    key("scheduler", "limit_pause", POSITIVE, "\"15m\"", "the rest after a usage limit that names no reset time"),
    key("scheduler", "min_free_disk", Kind::Size, "\"auto\"", "nothing new starts with less; told at twice as much; 1GB or 5 %; \"0\": off"),
    key("scheduler", "min_free_memory", Kind::Size, "\"0\"", "nothing new starts with less free memory; \"0\": off"),
    key("scheduler", "max_load", Kind::Amount, "0", "nothing new starts while the machine's load is higher; 0: off"),
    key("scheduler", "role_caps", Kind::Counts, "{}", "agents of a role working at once: { implementation = 2 }"),
    key("scheduler", "keep_finished", Kind::Whole { min: 0 }, "1000", "finished tasks beyond this number leave the live state"),

    key("budget", "task_cost", Kind::Amount, "0", "US dollars for one task, as the agents' programs tell"),
    key("budget", "task_tokens", Kind::Whole { min: 0 }, "0", "tokens in and out for one task"),
    key("budget", "task_time", ZERO, "\"0s\"", "how long agents work on one task"),
    key("budget", "agent_cost", Kind::Amount, "0", "US dollars for one agent a day (of UTC)"),
    key("budget", "agent_tokens", Kind::Whole { min: 0 }, "0", "tokens for one agent a day"),
    key("budget", "agent_time", ZERO, "\"0s\"", "how long one agent works a day"),
    key("budget", "day_cost", Kind::Amount, "0", "US dollars for all agents a day"),
    key("budget", "day_tokens", Kind::Whole { min: 0 }, "0", "tokens for all agents a day"),
    key("budget", "day_time", ZERO, "\"0s\"", "how long all agents work a day, added up"),

    key("rollout", "min_runs", Kind::Whole { min: 0 }, "5", "finished runs on record"),
    key("rollout", "min_gate_pass_rate", Kind::Share, "0.9", "the share of gates that passed, from 0 to 1"),
    key("rollout", "max_rollbacks", Kind::Whole { min: 0 }, "0", "tasks that were rolled back"),
    key("rollout", "breaker", Kind::Whole { min: 0 }, "5", "tasks in a row that come to nothing: one step back; 0: never"),

    key("ui", "theme", Kind::OneOf(&["auto", "dark", "light", "mono"]), "\"auto\"", "auto, dark, light, mono"),
    key("ui", "mouse", Kind::Flag, "true", "click to focus, wheel to scroll"),
    key("ui", "notify", Kind::OneOf(&["off", "bell", "desktop"]), "\"bell\"", "when something waits for you: off, bell, desktop"),
    key("ui", "notify_command", Kind::Text, "", "runs then too, with the words in PIPELINE_NOTICE"),
    key("ui", "keys", Kind::Keys, "{}", "keys by action, such as { stop = \"x\" }; `?` lists them"),

    key("logs", "keep", Kind::Whole { min: 1 }, "14", "log files kept, one a day"),
    key("logs", "level", Kind::OneOf(&["off", "error", "warn", "info", "debug", "trace"]), "\"info\"", "off, error, warn, info, debug, trace"),

    key("state", "lock_timeout", ZERO, "\"5s\"", "how long a command waits for another one to finish writing"),
];

/// The key of this section and name.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The names of a section.
pub(crate) fn names(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// The candidate nearest to a misspelled word, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What was typed may be anything; only the length of a key is worth comparing.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// What to say about a key that there is not.
pub(crate) fn unknown_key_hint(section: &str, name: &str) -> String {
    if section.is_empty() {
        let sections = || SECTIONS.iter().map(|(section, _)| *section);
        if let Some(meant) = nearest(name, sections()) {
            return format!("Did you mean `{meant}`?");
        }
        // A key at the top of the file mostly lost the header of its section.
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            return format!("Did you mean `{name}` under `[{}]`?", key.section);
        }
        return format!("The sections are {}.", sections().collect::<Vec<_>>().join(", "));
    }
    if let Some(meant) = nearest(name, names(section)) {
        return format!("Did you mean `{meant}`?");
    }
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("Did you mean `{name}` under `[{}]`?", key.section);
    }
    format!("The keys here are {}.", names(section).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_keys_find_the_one_that_was_meant() {
        assert_eq!(unknown_key_hint("scheduler", "retrys"), "Did you mean `retries`?");
        assert_eq!(unknown_key_hint("scheduler", "theme"), "Did you mean `theme` under `[ui]`?");
        assert_eq!(unknown_key_hint("", "schedular"), "Did you mean `scheduler`?");
        assert_eq!(unknown_key_hint("", "retries"), "Did you mean `retries` under `[scheduler]`?");
        assert_eq!(unknown_key_hint("logs", "zzzz"), "The keys here are keep, level.");
    }
}
