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
    loop {
        let over = attend(&dir, &place, &wanted, &mut view, &mut asks, &mut last, &mut wait).await;
        let why = match over {
            Over::Unwanted => return,
            Over::Lost(why) if wanted.borrow().run.live => why,
            Over::Lost(_) | Over::Ended => break,
        };
        place.put(pane(&wanted, last.as_ref(), Source::Nothing, Some(format!("no terminal: {why}"))));
        if !pause(wait, &mut wanted, &mut asks).await {
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

/// One connection, from its beginning to its end.
async fn attend(
    dir: &Path,
    place: &Place,
    wanted: &watch::Receiver<Wanted>,
    view: &mut watch::Receiver<View>,
    asks: &mut mpsc::Receiver<Asked>,
    last: &mut Option<Arc<Frame>>,
    wait: &mut Duration,
) -> Over {
    let peer = match connect(dir).await {
        Ok(peer) => peer,
        Err(why) => return Over::Lost(why),
    };
    let source = match peer {
        Peer::Host(_) => Source::Terminal,
        Peer::Multiplexer(_) => Source::Multiplexer,
    };
    let run = wanted.borrow().run.id.clone();
    converse(peer, (&run, dir), view, asks, |heard| {
        let note = match heard {
            Heard::Picture(frame) => {
                *last = Some(frame);
                *wait = RETRY_FIRST;
                None
            }
            Heard::Silence => Some("its host does not answer".to_owned()),
        };
        place.put(pane(wanted, last.as_ref(), source, note));
    })
    .await
}

fn pane(wanted: &watch::Receiver<Wanted>, frame: Option<&Arc<Frame>>, source: Source, note: Option<String>) -> Pane {
    let wanted = wanted.borrow();
    let frame = frame.map_or_else(|| Arc::new(Frame::blank(wanted.wish.size)), Arc::clone);
    Pane { run: Some(wanted.run.id.clone()), source, frame, note }
}

/// Waits before the next attempt. False if nobody wants one.
async fn pause(wait: Duration, wanted: &mut watch::Receiver<Wanted>, asks: &mut mpsc::Receiver<Asked>) -> bool {
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
            asked = asks.recv() => match asked {
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
