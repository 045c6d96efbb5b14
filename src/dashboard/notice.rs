//! How a person who looks elsewhere is told that something waits: a bell, or a notice that the terminal hands to the desktop.
//! Says what to write; `terminal.rs` writes it. A command of the person's own is run by the loop.

use pipeline_lib::text;

/// The longest text of a notice, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// How a terminal is asked to show a notice on the desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `OSC 9`: iTerm2, Windows Terminal, ConEmu.
    Osc9,
    /// `OSC 777`: urxvt, foot, Ghostty, WezTerm, Konsole.
    Osc777,
    /// `OSC 99`: kitty.
    Osc99,
}

/// How a person is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// The terminal rings.
    pub bell: bool,
    /// The terminal shows a notice on the desktop.
    pub desktop: Option<Channel>,
    /// The terminal is tmux, which hands such a request on only if it is wrapped.
    pub tmux: bool,
    /// A command of the person's own, run by `/bin/sh` with the text in `PIPELINE_NOTICE`.
    pub command: Option<String>,
}

impl Notify {
    /// The channel of the terminal that the environment tells of.
    #[must_use]
    pub fn channel(set: impl Fn(&str) -> Option<String>) -> Channel {
        let is = |name: &str, words: &[&str]| {
            set(name).is_some_and(|value| words.iter().any(|word| value.to_ascii_lowercase().contains(word)))
        };
        if set("KITTY_WINDOW_ID").is_some() || is("TERM", &["kitty"]) {
            Channel::Osc99
        } else if is("TERM_PROGRAM", &["ghostty", "wezterm"])
            || is("TERM", &["foot", "rxvt", "ghostty", "wezterm"])
            || set("KONSOLE_VERSION").is_some()
        {
            Channel::Osc777
        } else {
            Channel::Osc9
        }
    }

    /// What to write to the terminal.
    pub(super) fn bytes(&self, title: &str, body: &str) -> Vec<u8> {
        // A semicolon parts the fields of such a request.
        let field = |text: &str| text::one_line(text, TEXT_CHARS_MAX).replace(';', ",");
        let (title, body) = (field(title), field(body));
        let mut bytes = Vec::new();
        if self.bell {
            bytes.push(b'\x07');
        }
        let request = match self.desktop {
            None => return bytes,
            Some(Channel::Osc9) => format!("\x1b]9;{title}: {body}\x1b\\"),
            Some(Channel::Osc777) => format!("\x1b]777;notify;{title};{body}\x1b\\"),
            Some(Channel::Osc99) => {
                format!("\x1b]99;i=pipeline:d=0;{title}\x1b\\\x1b]99;i=pipeline:p=body;{body}\x1b\\")
            }
        };
        if self.tmux {
            bytes.extend(format!("\x1bPtmux;{}\x1b\\", request.replace('\x1b', "\x1b\x1b")).into_bytes());
        } else {
            bytes.extend(request.into_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(notify: &Notify, body: &str) -> String {
        String::from_utf8(notify.bytes("shop", body)).expect("text")
    }

    #[test]
    fn each_terminal_gets_the_form_it_knows() {
        let of = |channel| Notify { desktop: Some(channel), ..Notify::default() };
        assert_eq!(written(&of(Channel::Osc9), "wait"), "\x1b]9;shop: wait\x1b\\");
        assert_eq!(written(&of(Channel::Osc777), "a;b"), "\x1b]777;notify;shop;a,b\x1b\\");
        assert!(written(&of(Channel::Osc99), "wait").ends_with("p=body;wait\x1b\\"));
        assert_eq!(written(&Notify { bell: true, ..Notify::default() }, "wait"), "\x07");
        let tmux = Notify { tmux: true, ..of(Channel::Osc9) };
        assert_eq!(written(&tmux, "wait"), "\x1bPtmux;\x1b\x1b]9;shop: wait\x1b\x1b\\\x1b\\");
    }

    #[test]
    fn a_text_cannot_end_the_request() {
        let notify = Notify { desktop: Some(Channel::Osc9), ..Notify::default() };
        let hostile = written(&notify, "a\x1b\\\x07\x1b]52;c;AAAA\x07b\u{9c}");
        assert_eq!(hostile.matches('\x1b').count(), 2, "{hostile:?}");
        assert!(!hostile.contains(['\x07', '\u{9c}']));
    }

    #[test]
    fn the_environment_says_which_terminal_it_is() {
        let of = |pairs: &[(&str, &str)]| {
            Notify::channel(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Channel::Osc99);
        assert_eq!(of(&[("TERM_PROGRAM", "WezTerm")]), Channel::Osc777);
        assert_eq!(of(&[("TERM", "xterm-256color")]), Channel::Osc9);
    }
}
