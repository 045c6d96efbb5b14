//! The picture of a run without a terminal, or of one that is over: the end of what it wrote, readable. Only what is new
//! is read, and only when a notice says that there is something.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::agents::transcript::Transcript;
use pipeline_lib::terminal::document::{Anchor, BYTES_MAX, Document};
use pipeline_lib::terminal::sgr;
use pipeline_lib::terminal::wire::lines_since;
use pipeline_lib::view::pane::{Pane, Source, Wish};
use pipeline_lib::view::screen::RunRow;
use pipeline_worktrees::host::{self, HostError, Stream};
use pipeline_worktrees::watch::Watcher;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Place, Wanted, interval};
use crate::error::chain;
use crate::live::{PaneAnswer, PaneRequest};
use crate::viewer::{Asked, replayed};

/// How much of a stream is read at once, in bytes.
const PIECE: usize = 256 * 1024;
/// A line that is not ended yet and longer than this is taken as it is, in bytes.
const OPEN_BYTES_MAX: usize = 512 * 1024;
/// What is said of a session that is over.
pub(super) const ENDED: &str = "the session has ended";
/// How often it looks where the system gives no notice.
const POLL: Duration = Duration::from_millis(500);

/// Keeps the picture until nobody wants it any more.
pub(super) async fn keep(
    dir: PathBuf,
    place: Place,
    mut wanted: watch::Receiver<Wanted>,
    mut asks: mpsc::Receiver<Asked>,
) {
    let Wanted { mut wish, mut run } = wanted.borrow_and_update().clone();
    let mut log = Log::new(&dir, &wish, &run);
    log.complete = run.interactive && log.replay();
    let mut growth = (run.live && !log.complete).then(|| Growth::of(&dir));
    if !log.complete {
        log.read();
    }
    log.look(&wish);
    place.put(log.pane(&wish, &run, growth.as_ref()));
    let (mut stale, mut next) = (false, Instant::now() + interval(&wish));
    loop {
        if stale && Instant::now() >= next {
            log.read();
            place.put(log.pane(&wish, &run, growth.as_ref()));
            (stale, next) = (false, Instant::now() + interval(&wish));
        }
        let notified = async {
            match &mut growth {
                Some(growth) => growth.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = notified, if !stale => stale = true,
            () = sleep_until(next), if stale => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                Wanted { wish, run } = wanted.borrow_and_update().clone();
                log.look(&wish);
                if !run.live && growth.take().is_some() {
                    log.read();
                }
                place.put(log.pane(&wish, &run, growth.as_ref()));
            }
            asked = asks.recv() => match asked {
                // Whoever asked may have gone; then nobody needs telling.
                Some(Asked { ask, answer }) => drop(answer.send(log.answer(ask, &wish))),
                None => return,
            },
        }
    }
}

/// Waits for a run to write something.
pub(crate) struct Growth {
    notices: Arc<Notify>,
    watcher: Watcher<()>,
}

impl Growth {
    /// Begins before the first reading, so that nothing comes between.
    pub(crate) fn of(dir: &Path) -> Self {
        let notices = Arc::new(Notify::new());
        let notify = Arc::clone(&notices);
        let mut watcher = Watcher::of_growth(move |_| notify.notify_one());
        if let Err(error) = watcher.watch(dir, ()) {
            tracing::debug!(%error, "a log is followed without notices");
        }
        Self { notices, watcher }
    }

    fn polls(&self) -> Option<String> {
        self.watcher.polling_needed().first().map(ToString::to_string)
    }

    pub(crate) async fn wait(&mut self) {
        if self.polls().is_none() {
            self.notices.notified().await;
            return;
        }
        sleep_until(Instant::now() + POLL).await;
        drop(self.watcher.rearm());
    }
}

/// What a run wrote.
struct Log {
    dir: PathBuf,
    streams: [Followed; 2],
    transcript: Transcript,
    errors: sgr::Reader,
    document: Document,
    /// Lines at the end of the document that are not ended yet.
    open: usize,
    /// The offset that was wished for and in which picture, and the place where that was then.
    scrolled: ((usize, Option<u64>), Option<Anchor>),
    failed: Option<String>,
    /// It is what a session showed; nothing follows, even if nobody has taken note of its end yet.
    complete: bool,
}

impl Log {
    fn new(dir: &Path, wish: &Wish, run: &RunRow) -> Self {
        Self {
            dir: dir.to_owned(),
            streams: [Stream::Stdout, Stream::Stderr].map(Followed::new),
            transcript: Transcript::new(run.format),
            errors: sgr::Reader::default(),
            document: Document::new(wish.size.columns),
            open: 0,
            scrolled: ((0, None), None),
            failed: None,
            complete: false,
        }
    }

    /// Takes in what a session that is over showed. False where that is not known.
    fn replay(&mut self) -> bool {
        let Some(lines) = replayed(&self.dir) else { return false };
        lines.into_iter().for_each(|line| self.document.push(line));
        true
    }

    /// Takes in what is new.
    fn read(&mut self) {
        for _ in 0..std::mem::take(&mut self.open) {
            self.document.pop();
        }
        let Self { dir, streams: [out, err], transcript, errors, document, .. } = self;
        let said = out.read(dir, |line| {
            // What a session drew is not one line.
            for piece in sgr::pieces(line) {
                let said = transcript.line(piece);
                if said.grows {
                    document.pop();
                }
                said.lines.into_iter().for_each(|line| document.push(line));
            }
        });
        let complained = err.read(dir, |line| {
            transcript.interrupt();
            sgr::pieces(line).for_each(|piece| document.push(errors.line(piece)));
        });
        self.failed = said.and(complained).err().map(|error| chain(&error));
        for followed in &self.streams {
            // Half an event says nothing yet.
            let text = String::from_utf8_lossy(&followed.open);
            if !text.is_empty() && !text.starts_with('{') {
                self.document.push(sgr::Reader::default().line(&text));
                self.open += 1;
            }
        }
    }

    /// Looks as wished from here on.
    fn look(&mut self, wish: &Wish) {
        let (wished, anchor) = self.scrolled;
        let rows = wish.size.rows;
        let (kept, new) = (self.document.offset(rows, anchor), (wish.offset, wish.at));
        let since = if wish.offset == 0 { 0 } else { lines_since(wish.at, self.document.scrolled(rows)) };
        self.document.set_columns(wish.size.columns);
        let offset = if new == wished { kept } else { wish.offset.saturating_add(since) };
        self.scrolled = (new, self.document.anchor(rows, offset));
    }

    fn pane(&self, wish: &Wish, run: &RunRow, growth: Option<&Growth>) -> Pane {
        let offset = self.document.offset(wish.size.rows, self.scrolled.1);
        let note = match (&self.failed, growth.and_then(Growth::polls)) {
            (Some(why), _) => Some(why.clone()),
            (None, _) if self.complete => Some(ENDED.to_owned()),
            (None, _) if !run.live && !self.dir.is_dir() => Some("it wrote nothing that is kept".to_owned()),
            (None, _) if !run.live => Some("the run has ended".to_owned()),
            // One that has written nothing yet may have no directory.
            (None, Some(why)) if self.dir.is_dir() => Some(format!("looking every {} ms: {why}", POLL.as_millis())),
            (None, _) => None,
        };
        let frame = Arc::new(self.document.frame(wish.size, offset));
        Pane { run: Some(run.id.clone()), source: Source::Log, frame, note }
    }

    fn answer(&self, ask: PaneRequest, wish: &Wish) -> PaneAnswer {
        let rows = wish.size.rows;
        match ask {
            PaneRequest::Input(_) if self.complete => PaneAnswer::Refused(ENDED.to_owned()),
            PaneRequest::Input(_) => PaneAnswer::Refused("this run has no terminal to type into".to_owned()),
            PaneRequest::Search { needle, offset, at, forward } => {
                let since = lines_since(at, self.document.scrolled(rows));
                let found = self.document.search(rows, &needle, offset.saturating_add(since), forward);
                PaneAnswer::Found(found.map(|offset| offset.saturating_sub(since)))
            }
            PaneRequest::Text { from, to, at } => {
                let since = lines_since(at, self.document.scrolled(rows));
                PaneAnswer::Text(self.document.text(rows, from.saturating_add(since), to.saturating_add(since)))
            }
        }
    }
}

/// A stream of which the new part is read.
struct Followed {
    stream: Stream,
    /// Up to where it has been read; nothing has yet.
    position: Option<u64>,
    /// What is there of a line that is not ended.
    open: Vec<u8>,
    /// The rest of this line is left out.
    skipping: bool,
}

impl Followed {
    fn new(stream: Stream) -> Self {
        Self { stream, position: None, open: Vec::new(), skipping: false }
    }

    /// Reads what is new, or of much that is new the end.
    fn read(&mut self, dir: &Path, mut take: impl FnMut(&str)) -> Result<(), HostError> {
        loop {
            let end = host::read_log(dir, self.stream, u64::MAX, 0)?.end;
            let from = self.position.unwrap_or(0).max(end.saturating_sub(BYTES_MAX as u64));
            let chunk = host::read_log(dir, self.stream, from, PIECE)?;
            if chunk.bytes.is_empty() {
                return Ok(());
            }
            if chunk.from != self.position.unwrap_or(0) {
                self.open.clear();
                self.skipping = true;
            }
            self.position = Some(chunk.from + chunk.bytes.len() as u64);
            self.split(&chunk.bytes, &mut take);
        }
    }

    fn split(&mut self, bytes: &[u8], take: &mut impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.last() == Some(&b'\n');
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            if self.skipping {
                self.skipping = !whole;
                continue;
            }
            self.open.extend_from_slice(text);
            let too_long = self.open.len() > OPEN_BYTES_MAX;
            if !whole && !too_long {
                continue;
            }
            let line = std::mem::take(&mut self.open);
            // An event is of no use in parts; text is.
            self.skipping = too_long && !whole && line.first() == Some(&b'{');
            if !self.skipping {
                take(&String::from_utf8_lossy(&line));
            }
        }
    }
}
