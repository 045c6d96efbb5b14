//! The settings that are one of a few words.

use std::fmt;

use pipeline_lib::agents::Preset;
use pipeline_lib::settings::{FailedDependency, Sandbox};

use super::read::Word;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant),* }

        impl $name {
            /// The word in config.toml.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Word for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];
        }
    };
}

words! {
    /// How a worker's program is run.
    Mode {
        /// One process for each run.
        Headless = "headless",
        /// A session in a terminal that is sent messages.
        Interactive = "interactive",
    }
}
words! {
    /// Where a worker's program runs.
    Runtime {
        /// Under the supervisor's own host process.
        Host = "host",
        /// In tmux.
        Tmux = "tmux",
        /// Behind agentapi.
        Agentapi = "agentapi",
    }
}
words! {
    /// The colours of the dashboard.
    Theme {
        /// What suits the terminal.
        Auto = "auto",
        /// For a dark background.
        Dark = "dark",
        /// For a light background.
        Light = "light",
        /// Without colours.
        Mono = "mono",
    }
}
words! {
    /// How a person is told that something waits.
    Notify {
        /// Not at all.
        Off = "off",
        /// With the terminal's bell.
        Bell = "bell",
        /// With a notification of the desktop, sent through the terminal.
        Desktop = "desktop",
    }
}
words! {
    /// What the supervisor writes about itself.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What went wrong.
        Error = "error",
        /// What may go wrong.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// How it happened.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

impl Word for Preset {
    const ALL: &'static [(&'static str, Self)] = &[
        ("claude", Self::Claude),
        ("codex", Self::Codex),
        ("aider", Self::Aider),
        ("goose", Self::Goose),
        ("gemini", Self::Gemini),
        ("opencode", Self::Opencode),
        ("demo", Self::Demo),
        ("custom", Self::Custom),
    ];
}

impl Word for Sandbox {
    const ALL: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("basic", Self::Basic), ("strict", Self::Strict)];
}

impl Word for FailedDependency {
    const ALL: &'static [(&'static str, Self)] =
        &[("block", Self::Block), ("skip", Self::Skip), ("continue", Self::Continue)];
}

#[cfg(test)]
mod tests {
    use super::super::keys::{self, Kind};
    use super::*;

    #[test]
    fn the_table_of_keys_and_the_types_know_the_same_words() {
        fn same<T: Word>(section: &str, name: &str) {
            let Kind::OneOf(words) = keys::find(section, name).unwrap().kind else {
                panic!("{name} is not one of words")
            };
            assert_eq!(words, T::ALL.iter().map(|(word, _)| *word).collect::<Vec<_>>(), "{name}");
        }
        same::<Preset>("agents", "preset");
        same::<Mode>("agents", "mode");
        same::<Runtime>("agents", "runtime");
        same::<Sandbox>("agents", "sandbox");
        same::<FailedDependency>("scheduler", "failed_dependency");
        same::<Theme>("ui", "theme");
        same::<Notify>("ui", "notify");
        same::<LogLevel>("logs", "level");
        assert_eq!(Preset::ALL.map(Preset::as_str), keys::PRESETS);
    }
}
