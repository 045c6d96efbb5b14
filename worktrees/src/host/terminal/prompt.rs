//! A text that a program cannot be given when it is started: it is pasted, with Enter, once the program's screen has come
//! to rest. That this did not succeed is written into the run's directory, where whoever looks at the run finds it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::files;
use super::super::run::note;

/// Why the text was not pasted.
const UNSENT: &str = "prompt-unsent.json";
/// A screen that has not changed for so long is at rest.
const STILL: Duration = Duration::from_secs(2);
/// The same where the program says that it knows what pasting is, which it does when it begins to read.
const STILL_READING: Duration = Duration::from_millis(300);
/// A program whose screen has not come to rest by then is not given the text.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long the program may take to show anything of it.
const SHOWN_WAIT: Duration = Duration::from_secs(15);

/// The text on its way.
#[derive(Debug)]
pub(in super::super) struct Prompt {
    run_dir: PathBuf,
    text: String,
    /// The version of the picture that was there last, and since when.
    seen: (u64, Instant),
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The program has shown nothing yet.
    Blank { until: Instant },
    /// It has.
    Moving { until: Instant },
    /// It was given the text.
    Pasted { version: u64, until: Instant },
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Step {
    /// Nothing.
    Wait,
    /// To paste this.
    Paste(String),
    /// Nothing any more.
    Over,
}

impl Prompt {
    /// Begins to wait. The picture of this version is that of no program.
    pub(in super::super) fn new(run_dir: &Path, text: String, version: u64, now: Instant) -> Self {
        let phase = Phase::Blank { until: now + READY_WAIT };
        Self { run_dir: run_dir.to_owned(), text, seen: (version, now), phase }
    }

    /// Somebody else typed something, which has to show its effect first.
    pub(in super::super) fn disturb(&mut self, now: Instant) {
        self.seen.1 = now;
    }

    /// Takes note of which picture is there; `reading` is whether the program has asked for pastes to be marked.
    pub(in super::super) fn step(&mut self, version: u64, reading: bool, now: Instant) -> Step {
        if self.seen.0 != version {
            self.seen = (version, now);
            if let Phase::Blank { until } = self.phase {
                self.phase = Phase::Moving { until };
            }
        }
        match self.phase {
            Phase::Moving { .. } if now >= self.rests_at(reading) => {
                self.phase = Phase::Pasted { version, until: now + SHOWN_WAIT };
                Step::Paste(self.text.clone())
            }
            Phase::Pasted { version: before, .. } if version != before => Step::Over,
            Phase::Blank { until } if now >= until => self.fail("the program has shown nothing"),
            Phase::Moving { until } if now >= until => self.fail("its screen did not come to rest"),
            Phase::Pasted { until, .. } if now >= until => self.fail("the program has shown nothing of it"),
            Phase::Blank { .. } | Phase::Moving { .. } | Phase::Pasted { .. } => Step::Wait,
        }
    }

    fn rests_at(&self, reading: bool) -> Instant {
        self.seen.1 + if reading { STILL_READING } else { STILL }
    }

    /// When there may be something to do without any change.
    pub(in super::super) fn deadline(&self, reading: bool) -> Instant {
        match self.phase {
            Phase::Moving { until } => until.min(self.rests_at(reading)),
            Phase::Blank { until } | Phase::Pasted { until, .. } => until,
        }
    }

    /// Says that the text was not taken, and why.
    pub(in super::super) fn fail(&self, why: &str) -> Step {
        note(&format!("the prompt could not be pasted: {why}"));
        if let Err(error) = files::replace(&self.run_dir, UNSENT, &why, false) {
            note(&error.to_string());
        }
        Step::Over
    }
}

/// Why the prompt of a run could not be pasted into its terminal, if that is so.
#[must_use]
pub fn unsent_prompt(run_dir: &Path) -> Option<String> {
    files::read(run_dir, UNSENT).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(dir: &Path) -> (Prompt, Instant) {
        let now = Instant::now();
        (Prompt::new(dir, "do it".to_owned(), 1, now), now)
    }

    #[test]
    fn it_is_pasted_once_the_screen_rests_and_over_once_that_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (mut prompt, start) = prompt(dir.path());
        assert_eq!(prompt.step(1, false, start + STILL), Step::Wait, "nothing is shown yet");
        let shown = start + STILL;
        assert_eq!(prompt.step(2, false, shown), Step::Wait);
        assert_eq!((prompt.deadline(false), prompt.deadline(true)), (shown + STILL, shown + STILL_READING));
        let later = shown + STILL / 2;
        assert_eq!(prompt.step(3, false, later), Step::Wait, "it moves");
        assert_eq!(prompt.step(3, false, shown + STILL), Step::Wait);
        prompt.disturb(shown + STILL);
        assert_eq!(prompt.step(3, true, shown + STILL), Step::Wait, "somebody types");
        let rests = shown + STILL + STILL_READING;
        assert_eq!(prompt.step(3, true, rests), Step::Paste("do it".to_owned()));
        assert_eq!(prompt.step(3, true, rests + STILL), Step::Wait, "only once");
        assert_eq!(prompt.step(4, true, rests + STILL), Step::Over);
        assert_eq!(unsent_prompt(dir.path()), None);
    }

    #[test]
    fn where_it_cannot_be_pasted_the_reason_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (mut blank, start) = prompt(dir.path());
        assert_eq!(blank.step(1, false, start + READY_WAIT), Step::Over);
        assert_eq!(unsent_prompt(dir.path()).as_deref(), Some("the program has shown nothing"));
        let (mut restless, start) = prompt(dir.path());
        for tenths in 0..600 {
            let version = u64::from(tenths) + 2;
            assert_eq!(restless.step(version, true, start + Duration::from_millis(100) * tenths), Step::Wait);
        }
        assert_eq!(restless.step(9_999, true, start + READY_WAIT), Step::Over);
        assert_eq!(unsent_prompt(dir.path()).as_deref(), Some("its screen did not come to rest"));
        let (mut deaf, start) = prompt(dir.path());
        deaf.step(2, true, start);
        assert!(matches!(deaf.step(2, true, start + STILL), Step::Paste(_)));
        assert_eq!(deaf.step(2, true, start + STILL + SHOWN_WAIT), Step::Over);
        assert_eq!(unsent_prompt(dir.path()).as_deref(), Some("the program has shown nothing of it"));
    }
}
