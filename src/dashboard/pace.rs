//! When the next frame may be drawn: seldom enough that a storm of news costs little, and soon where somebody has just
//! pressed a key and waits to see what comes of it. Reads no clock.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two frames: thirty in a second.
const FRAME: Duration = Duration::from_millis(33);
/// The shortest time between two frames of which somebody waits for the second.
const FRAME_AWAITED: Duration = Duration::from_millis(8);
/// Pictures of terminals that nobody types into come in shoals: a frame waits this long for the others.
const GATHER: Duration = Duration::from_millis(12);
/// How long somebody who has pressed a key waits to see what comes of it.
const AWAITED: Duration = Duration::from_millis(150);

/// When frames were and may be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    drawn_at: Option<Instant>,
    pressed_at: Option<Instant>,
    /// The next frame is one that somebody waits for.
    awaited: bool,
    /// Until when the next frame waits for more to show.
    gather_until: Option<Instant>,
}

impl Pace {
    /// Before the first frame.
    pub(super) fn new() -> Self {
        Self { drawn_at: None, pressed_at: None, awaited: false, gather_until: None }
    }

    /// When the next frame may be drawn; at once if none has been.
    pub(super) fn next(&self) -> Option<Instant> {
        let least = if self.awaited { FRAME_AWAITED } else { FRAME };
        let gathered = self.gather_until.filter(|_| !self.awaited);
        self.drawn_at.map(|at| at + least).max(gathered)
    }

    /// Whether a frame may be drawn now.
    pub(super) fn may_draw(&self, now: Instant) -> bool {
        self.next().is_none_or(|at| at <= now)
    }

    /// A key was pressed.
    pub(super) fn pressed(&mut self, now: Instant) {
        self.pressed_at = Some(now);
        self.awaited = true;
    }

    /// There is news of what keys go to.
    pub(super) fn answered(&mut self, now: Instant) {
        self.awaited |= self.pressed_at.is_some_and(|at| now.duration_since(at) < AWAITED);
    }

    /// There is a picture that nobody waits for, and nothing else to draw.
    pub(super) fn gathers(&mut self, now: Instant) {
        self.gather_until.get_or_insert(now + GATHER);
    }

    /// A frame was drawn.
    pub(super) fn drawn(&mut self, now: Instant) {
        self.drawn_at = Some(now);
        self.awaited = false;
        self.gather_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_waits_a_little_for_all_pictures_of_a_shoal_but_not_for_ever() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new();
        pace.drawn(at(0));
        pace.gathers(at(100));
        pace.gathers(at(105));
        assert!(!pace.may_draw(at(111)) && pace.may_draw(at(112)));
        pace.pressed(at(106));
        assert!(pace.may_draw(at(106)), "a key is not kept waiting by them");
        pace.drawn(at(106));
        pace.gathers(at(107));
        assert!(!pace.may_draw(at(138)) && pace.may_draw(at(139)), "frames come no more often than before");
    }

    #[test]
    fn a_frame_comes_sooner_where_somebody_waits_for_it() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new();
        assert!(pace.may_draw(start));
        pace.drawn(at(0));
        pace.answered(at(1));
        assert!(!pace.may_draw(at(32)) && pace.may_draw(at(33)), "nobody has pressed a key");
        pace.pressed(at(2));
        assert!(!pace.may_draw(at(7)) && pace.may_draw(at(8)));
        pace.drawn(at(8));
        assert!(!pace.may_draw(at(40)), "other news can wait");
        pace.answered(at(10));
        assert!(!pace.may_draw(at(15)) && pace.may_draw(at(16)), "the answer cannot");
        pace.drawn(at(16));
        pace.answered(at(200));
        assert!(!pace.may_draw(at(48)), "that is no answer any more");
    }
}
