//! The names that `[ui] keys` may use: what can be done in the dashboard, and the keys of a keyboard. Which key does what
//! where is the dashboard's own table; this is what can be said about it without one.

use pipeline_lib::text;

use super::keys;

/// Everything that can be given another key, by name.
pub const ACTIONS: [&str; 48] = [
    "down",
    "up",
    "left",
    "right",
    "first",
    "last",
    "page_down",
    "page_up",
    "next_panel",
    "previous_panel",
    "overview",
    "panes",
    "task",
    "graph",
    "timeline",
    "schedules",
    "metrics",
    "logs",
    "next_page",
    "previous_page",
    "agent",
    "open",
    "zoom",
    "type",
    "prefix",
    "layout",
    "scroll",
    "diff",
    "lines_left",
    "lines_right",
    "close",
    "next_attention",
    "filter",
    "new_task",
    "approve",
    "reject",
    "retry",
    "stop",
    "cancel",
    "reassign",
    "block",
    "palette",
    "mode",
    "rollout",
    "help",
    "redraw",
    "suspend",
    "quit",
];

/// The keys that have a name, as it is written in angle brackets. `<f1>` to `<f12>` are named by their number.
const NAMES: [&str; 17] = [
    "enter",
    "esc",
    "tab",
    "s-tab",
    "space",
    "backspace",
    "delete",
    "up",
    "down",
    "left",
    "right",
    "home",
    "end",
    "pageup",
    "pagedown",
    "lt",
    "insert",
];

/// How keys are written.
pub(super) const KEY_HINT: &str = "Write a character, or <enter>, <tab>, <up>, <f5>, <c-x> for control, <a-x> for alt.";

/// Whether something of this name can be done.
pub(super) fn is_action(name: &str) -> bool {
    ACTIONS.contains(&name)
}

/// What to say about an action that there is not.
pub(super) fn unknown_action_hint(name: &str) -> String {
    match keys::nearest(name, ACTIONS) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("There are: {}.", ACTIONS.join(", ")),
    }
}

/// Whether a text is a key: one character, or a name in angle brackets.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let Some(name) = key.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return key.chars().count() == 1 && !key.starts_with(['<', ' ']) && !key.chars().any(text::is_hidden);
    };
    let whole = name;
    let name = name.strip_prefix("c-").unwrap_or(name);
    let name = name.strip_prefix("a-").unwrap_or(name);
    // A character that nothing is held with stands for itself, without brackets.
    let is_held = name.len() < whole.len();
    let is_function =
        |name: &str| name.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=12).contains(&n));
    NAMES.contains(&name) || (is_held && name.chars().count() == 1) || is_function(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_characters_or_names() {
        for key in ["x", "ä", "<enter>", "<f1>", "<f12>", "<c-f5>", "<c-x>", "<a-<>"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", " ", "xx", "<", "<f0>", "<f13>", "<f>", "<nokey>", "\u{1b}"] {
            assert!(!is_key(key), "{key}");
        }
    }
}
