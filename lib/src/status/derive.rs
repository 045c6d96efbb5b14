//! From observations to the answer. The rules are applied in the order in which they stand here, and each says itself.

use jiff::{SignedDuration, Timestamp, Zoned};

use super::hooks::{self, Said};
use super::{Derived, Doing, Observed, Source};

/// How long nothing may move before an agent whose hooks are heard counts as stuck.
pub const BUDGET_HOOKS: SignedDuration = SignedDuration::from_mins(5);
/// The same of one of which only the screen is known.
pub const BUDGET_SCREEN: SignedDuration = SignedDuration::from_mins(10);
/// So many times longer while something that it started uses the processor.
const BUSY_FACTOR: i32 = 4;
/// A screen that rests for so long, with its input line open, contradicts a hook that says that the agent works.
const INTERRUPTED_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A spinner may be gone for so long between two things without the turn being over.
const SPINNER_GAP: SignedDuration = SignedDuration::from_secs(3);
/// A program that has shown nothing for so long after its start is not starting any more.
const START_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// So many changes within [`FLICKER_WITHIN`] are too many.
const FLICKERS: usize = 6;
const FLICKER_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// What the agent of a session does.
#[must_use]
pub fn derive(seen: &Observed, now: &Zoned) -> Derived {
    let at = now.timestamp();
    let said = hooks::follow(&seen.hooks, now);
    let found = believed(seen, said.as_ref(), at);
    let found = corrected(seen, said.as_ref(), found);
    let found = unless_stuck(seen, said.as_ref(), found, at);
    unless_flickering(seen, found, at)
}

/// What is believed before it is asked whether anything moves.
fn believed(seen: &Observed, said: Option<&Said>, at: Timestamp) -> Derived {
    if seen.shell_left == Some(true) {
        let why = "a shell is in the foreground of its terminal, and the agent's program is not";
        return answer(Doing::Gone, Source::Process, 0.95, since(seen, at), why.to_owned());
    }
    let screen = screen_says(seen, at);
    match (said, screen) {
        (Some(said), Some(screen)) => of_both(seen, said, screen, at),
        (Some(said), None) => of_hooks(said),
        (None, Some(screen)) => screen,
        (None, None) => of_process(seen, at),
    }
}

fn of_hooks(said: &Said) -> Derived {
    let mut found =
        answer(said.doing.clone(), Source::Hook, 0.9, said.since, format!("its hooks say: {}", said.doing.words()));
    if !said.words.is_empty() {
        found.reasons.push(format!("in its words: {}", said.words));
    }
    found
}

/// What the screen says by itself.
fn screen_says(seen: &Observed, at: Timestamp) -> Option<Derived> {
    let screen = seen.screen.as_ref()?;
    let doing = screen.doing.clone()?;
    let rests = at.duration_since(screen.unchanged_since);
    // Between two things that an agent does the spinner is gone for a moment. A dialog is one at once.
    let held = doing == Doing::TurnEnded && (rests < SPINNER_GAP || seen.tools > 0);
    let (doing, why) = match held {
        true if seen.tools > 0 => {
            (Doing::Working, "its input line is open, and something that it started lives".to_owned())
        }
        true => (Doing::Working, "its input line is open, and its screen changed a moment ago".to_owned()),
        false if screen.line.is_empty() => {
            (doing.clone(), "its screen shows its input line and nothing at work".to_owned())
        }
        false => (doing.clone(), format!("its screen shows: {}", screen.line)),
    };
    let confidence = if held { 0.5 } else { 0.75 };
    Some(answer(doing, Source::Screen, confidence, screen.unchanged_since, why))
}

/// Hooks and screen together: the hooks are right unless the screen is newer and says something they cannot know.
fn of_both(seen: &Observed, said: &Said, screen: Derived, at: Timestamp) -> Derived {
    let mut hooks = of_hooks(said);
    if screen.doing == said.doing || agree(&screen.doing, &said.doing) {
        hooks.confidence = 0.98;
        hooks.reasons.extend(screen.reasons);
        // Which of them it is the screen knows better: hooks have one word for all permissions, and none for dialogs.
        return hooks;
    }
    let newer = screen.since > said.heard_at;
    let against = |found: Derived, other: &Derived| Derived { conflicts: other.reasons.clone(), ..found };
    match (&said.doing, &screen.doing) {
        // No hook is called for what the program asks before the session begins, nor for a limit or a lost login.
        (_, Doing::Dialog(_) | Doing::RateLimited { .. } | Doing::AuthFailed | Doing::Permission | Doing::Question)
            if newer =>
        {
            against(screen, &hooks)
        }
        // Interrupted: no hook is called for that either.
        (Doing::Working | Doing::Permission | Doing::Question | Doing::Starting, Doing::TurnEnded)
            if at.duration_since(screen.since).min(at.duration_since(said.heard_at)) >= INTERRUPTED_AFTER
                && seen.tools == 0 =>
        {
            let mut found = against(Derived { confidence: 0.6, ..screen }, &hooks);
            found.reasons.push("nothing moved since, so its turn was probably interrupted".to_owned());
            found
        }
        // Somebody answered it or gave it something to do, and no hook was called.
        (Doing::TurnEnded | Doing::Permission | Doing::Question, Doing::Working)
            if newer && screen.since.duration_since(said.heard_at) >= SPINNER_GAP =>
        {
            against(Derived { confidence: 0.7, ..screen }, &hooks)
        }
        _ => against(hooks, &screen),
    }
}

/// Whether two words mean the same as far as they can.
fn agree(screen: &Doing, hooks: &Doing) -> bool {
    matches!(
        (screen, hooks),
        (Doing::TurnEnded, Doing::Background)
            | (Doing::Working, Doing::Background | Doing::Starting)
            | (Doing::RateLimited { .. }, Doing::RateLimited { .. })
    )
}

/// Where nothing but a process is known.
fn of_process(seen: &Observed, at: Timestamp) -> Derived {
    let since = since(seen, at);
    let young = at.duration_since(since) < START_GRACE && seen.printed_at.is_none();
    match (seen.screen.is_some() || seen.printed_at.is_some(), young) {
        (false, true) => answer(Doing::Starting, Source::Process, 0.6, since, "it has shown nothing yet".to_owned()),
        (false, false) => answer(
            Doing::Unknown,
            Source::Process,
            0.0,
            since,
            "its screen could not be asked, and no hook was heard".to_owned(),
        ),
        (true, _) => {
            let why = "its process lives; nothing that is known of its screen says more".to_owned();
            answer(Doing::Working, Source::Process, 0.5, since, why)
        }
    }
}

/// A person's word, until the program is heard of again.
fn corrected(seen: &Observed, said: Option<&Said>, found: Derived) -> Derived {
    let Some(correction) = &seen.correction else { return found };
    let heard = said
        .map(|said| said.heard_at)
        .max(seen.screen.as_ref().map(|screen| screen.unchanged_since))
        .max(seen.printed_at);
    if heard.is_some_and(|heard| heard > correction.at) {
        return found;
    }
    let why = "a person said so, and nothing was heard of it since".to_owned();
    let corrected = answer(correction.doing.clone(), Source::Person, 1.0, correction.at, why);
    if corrected.doing == found.doing {
        Derived { source: Source::Person, confidence: 1.0, ..found }
    } else {
        Derived { conflicts: found.reasons, ..corrected }
    }
}

/// It should be working and nothing moves: neither what it says and shows, nor what it works on.
fn unless_stuck(seen: &Observed, said: Option<&Said>, found: Derived, at: Timestamp) -> Derived {
    if !matches!(found.doing, Doing::Working | Doing::Starting | Doing::Unknown) || found.source == Source::Person {
        return found;
    }
    let budget = if said.is_some() { BUDGET_HOOKS } else { BUDGET_SCREEN };
    let budget = if seen.tools_busy { budget.checked_mul(BUSY_FACTOR).unwrap_or(SignedDuration::MAX) } else { budget };
    let shown = said
        .map(|said| said.heard_at)
        .max(seen.screen.as_ref().map(|screen| screen.unchanged_since))
        .max(seen.printed_at);
    let shown = shown.or(seen.started_at);
    let worked = seen.progress_at.or(seen.started_at);
    let (Some(shown), Some(worked)) = (shown, worked) else { return found };
    let rests = at.duration_since(shown).min(at.duration_since(worked));
    if rests < budget {
        return found;
    }
    let minutes = rests.as_mins();
    let why = format!("for {minutes} minutes neither its screen nor its worktree has changed");
    let mut stuck = answer(Doing::Stuck, found.source, found.confidence.max(0.6), shown.max(worked), why);
    stuck.reasons.extend(found.reasons);
    stuck
}

/// What changes too often is not believed, and nothing follows from it.
fn unless_flickering(seen: &Observed, found: Derived, at: Timestamp) -> Derived {
    let lately = seen.changes.iter().filter(|change| at.duration_since(**change) <= FLICKER_WITHIN).count();
    if lately < FLICKERS || found.source == Source::Person {
        return found;
    }
    let why = format!("it changed {lately} times within a minute");
    let mut flickering = answer(Doing::Flickering, found.source, 0.2, found.since, why);
    flickering.reasons.extend(found.reasons);
    flickering
}

fn since(seen: &Observed, at: Timestamp) -> Timestamp {
    seen.started_at.unwrap_or(at)
}

fn answer(doing: Doing, source: Source, confidence: f64, since: Timestamp, why: String) -> Derived {
    Derived { doing, source, confidence, since, reasons: vec![why], conflicts: Vec::new() }
}
