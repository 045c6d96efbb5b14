//! A moment of a session, as a file: what was observed, how long ago, and what a person says is true. The rules are tested
//! on these, and a person's correction of a status is kept as one, so that the next version of the rules can be.

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::hooks::{Hook, Moment};
use super::{Correction, Derived, Doing, Observed, derive, screen};
use crate::agents::preset::Preset;

/// A moment of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// What it is about.
    pub about: String,
    /// Whose session.
    pub preset: Preset,
    /// How long ago its program started, in seconds.
    #[serde(default)]
    pub started: i64,
    /// What its hooks said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Heard>,
    /// What its screen shows; none where it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<Vec<String>>,
    /// For how many seconds the screen has not changed.
    #[serde(default)]
    pub still: i64,
    /// For how many seconds the worktree has not changed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_worktree: Option<i64>,
    /// Processes that its program started and that live.
    #[serde(default)]
    pub tools: u32,
    /// Whether one of them uses the processor.
    #[serde(default)]
    pub tools_busy: bool,
    /// Whether a shell is left in its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_left: Option<bool>,
    /// How many seconds ago it changed between states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<i64>,
    /// What a person said, and how many seconds ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<(Doing, i64)>,
    /// What is true.
    pub expect: Doing,
    /// What the rules made of it when it was recorded, where that was something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Doing>,
}

/// Something that a hook said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// How many seconds ago.
    pub ago: i64,
    /// What.
    pub moment: Moment,
    /// In which session of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether it is about a part that works for the agent.
    #[serde(default)]
    pub subagent: bool,
    /// Things that go on in the background.
    #[serde(default)]
    pub background: u32,
    /// In its words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

impl Fixture {
    /// Records a moment. `lines` is the screen that `seen` was read from.
    #[must_use]
    pub fn record(
        about: &str,
        preset: Preset,
        seen: &Observed,
        lines: Option<&[String]>,
        now: Timestamp,
        (expect, found): (&Doing, &Doing),
    ) -> Self {
        let ago = |at: Timestamp| now.duration_since(at).as_secs();
        let heard = |hook: &Hook| Heard {
            ago: ago(hook.at),
            moment: hook.moment,
            session: hook.session.clone(),
            subagent: hook.subagent,
            background: hook.background,
            words: hook.words.clone(),
        };
        Self {
            about: about.to_owned(),
            preset,
            started: seen.started_at.map_or(0, ago),
            hooks: seen.hooks.iter().map(heard).collect(),
            screen: lines.map(<[String]>::to_vec),
            still: seen.screen.as_ref().map_or(0, |screen| ago(screen.unchanged_since)),
            idle_worktree: seen.progress_at.map(ago),
            tools: seen.tools,
            tools_busy: seen.tools_busy,
            shell_left: seen.shell_left,
            changes: seen.changes.iter().copied().map(ago).collect(),
            said: None,
            expect: expect.clone(),
            instead_of: (expect != found).then(|| found.clone()),
        }
    }

    /// What the rules make of it, as if it were this moment.
    #[must_use]
    pub fn derive(&self, now: Timestamp) -> Derived {
        let zoned = now.to_zoned(TimeZone::UTC);
        derive(&self.observed(&zoned), &zoned)
    }

    fn observed(&self, now: &Zoned) -> Observed {
        let at = now.timestamp();
        let before = |seconds: i64| at.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        let hook = |heard: &Heard| Hook {
            at: before(heard.ago),
            moment: heard.moment,
            session: heard.session.clone(),
            subagent: heard.subagent,
            background: heard.background,
            words: heard.words.clone(),
            transcript: None,
        };
        let still = before(self.still);
        Observed {
            started_at: Some(before(self.started)),
            shell_left: self.shell_left,
            tools: self.tools,
            tools_busy: self.tools_busy,
            hooks: self.hooks.iter().map(hook).collect(),
            screen: self.screen.as_ref().map(|lines| screen::read(screen::rules(self.preset), lines, still, now)),
            printed_at: self.screen.as_ref().map(|_| still),
            progress_at: self.idle_worktree.map(before),
            correction: self.said.clone().map(|(doing, ago)| Correction { doing, at: before(ago) }),
            changes: self.changes.iter().copied().map(before).collect(),
        }
    }
}
