//! The picture of a live session: what its terminal shows, for as long as it lives.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::terminal::Frame;
use pipeline_lib::view::pane::{Pane, Source};
use pipeline_worktrees::host::{self, Observation};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::log::{self, ENDED};
use super::{Place, Wanted};
use crate::live::PaneAnswer;
use crate::viewer::{Asked, Heard, Over, Peer, View, connect, converse};

/// How soon a host that could not be reached is tried again; the wait doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// So often a host that was never reached counts as one that begins, which is for a second and a half: what is typed waits for it.
const BEGINNING_TRIES: u32 = 4;

/// Keeps the picture until nobody wants it any more.
pub(super) async fn keep(
    dir: PathBuf,
    place: Place,
    mut wanted: watch::Receiver<Wanted>,
    mut view: watch::Receiver<View>,
    mut asks: mpsc::Receiver<Asked>,
) {
    let mut last: Option<Arc<Frame>> = None;
    let mut wait = RETRY_FIRST;
    let mut tries = 0;
    loop {
        let over = attend(&dir, &place, &wanted, &mut view, &mut asks, &mut last, &mut wait).await;
        let is_reached = over.is_ok();
        let why = match over {
            Ok(Over::Unwanted) => return,
            Ok(Over::Lost(why)) | Err(why) if wanted.borrow().run.live => why,
            Ok(Over::Lost(_) | Over::Ended) | Err(_) => break,
        };
        tries += 1;
        let begins = !is_reached && last.is_none() && tries <= BEGINNING_TRIES;
        let none = pane(&wanted, last.as_ref(), Source::Nothing, Some(format!("no terminal: {why}")));
        place.put(match begins {
            // It is no picture of the run: that is still on its way.
            true => Pane { run: None, note: Some("Its session begins.".to_owned()), ..none },
            false => none,
        });
        if !pause(wait, &mut wanted, &mut asks, begins).await {
            return;
        }
        wait = RETRY_MAX.min(wait * 2);
    }
    match last.filter(|_| !matches!(host::observe(&dir), Observation::Ended(_))) {
        // Its host died, so that the last picture is all there is.
        Some(last) => remain(&place, wanted, asks, &last).await,
        None => log::keep(dir, place, wanted, asks).await,
    }
}

/// One connection, from its beginning to its end, or why there was none.
async fn attend(
    dir: &Path,
    place: &Place,
    wanted: &watch::Receiver<Wanted>,
    view: &mut watch::Receiver<View>,
    asks: &mut mpsc::Receiver<Asked>,
    last: &mut Option<Arc<Frame>>,
    wait: &mut Duration,
) -> Result<Over, String> {
    let peer = connect(dir).await?;
    let source = match peer {
        Peer::Host(_) => Source::Terminal,
        Peer::Multiplexer(_) => Source::Multiplexer,
    };
    let run = wanted.borrow().run.id.clone();
    let over = converse(peer, (&run, dir), view, asks, |heard| {
        let note = match heard {
            Heard::Picture(frame) => {
                *last = Some(frame);
                *wait = RETRY_FIRST;
                None
            }
            Heard::Silence => Some("its host does not answer".to_owned()),
        };
        place.put(pane(wanted, last.as_ref(), source, note));
    });
    Ok(over.await)
}

fn pane(wanted: &watch::Receiver<Wanted>, frame: Option<&Arc<Frame>>, source: Source, note: Option<String>) -> Pane {
    let wanted = wanted.borrow();
    let frame = frame.map_or_else(|| Arc::new(Frame::blank(wanted.wish.size)), Arc::clone);
    Pane { run: Some(wanted.run.id.clone()), source, frame, note }
}

/// Waits before the next attempt; with `keep` so does what is asked. False if nobody wants one.
async fn pause(
    wait: Duration,
    wanted: &mut watch::Receiver<Wanted>,
    asks: &mut mpsc::Receiver<Asked>,
    keep: bool,
) -> bool {
    let mut over = std::pin::pin!(sleep_until(Instant::now() + wait));
    loop {
        tokio::select! {
            () = &mut over => return true,
            changed = wanted.changed() => match changed {
                // It may have ended meanwhile, which the next attempt finds out.
                Ok(()) if !wanted.borrow().run.live => return true,
                Ok(()) => {}
                Err(_) => return false,
            },
            asked = asks.recv(), if !keep => match asked {
                Some(asked) => refuse(asked, "it has no terminal now"),
                None => return false,
            },
        }
    }
}

/// Goes on showing the last picture of a session that is over.
async fn remain(
    place: &Place,
    mut wanted: watch::Receiver<Wanted>,
    mut asks: mpsc::Receiver<Asked>,
    last: &Arc<Frame>,
) {
    place.put(pane(&wanted, Some(last), Source::Log, Some(ENDED.to_owned())));
    loop {
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            asked = asks.recv() => match asked {
                Some(asked) => refuse(asked, ENDED),
                None => return,
            },
        }
    }
}

fn refuse(asked: Asked, why: &str) {
    // Whoever asked may have gone; then nobody needs telling.
    drop(asked.answer.send(PaneAnswer::Refused(why.to_owned())));
}
