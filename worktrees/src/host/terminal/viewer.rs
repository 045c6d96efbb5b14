//! Somebody who looks at a run's terminal: what they asked and were told, and what is on its way to them.
//!
//! There is never more on its way than one picture and a bounded number of replies: whoever does not read is not sent more,
//! and is not listened to until they do.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_lib::terminal::wire::{self, Decoder, Reply, Request};
use pipeline_lib::terminal::{Frame, Line, Size};
use rustix::event::PollFlags;

use super::emulator::Anchor;
use super::is_passing;

/// Replies on their way; a viewer that has not taken these is not listened to.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// A picture that is longer comes in parts.
const UPDATE_BYTES_MAX: usize = 256 * 1024;
/// Received at a time.
const READ_BYTES: usize = 16 * 1024;
/// Nobody sees pictures that follow each other more quickly.
const INTERVAL_MIN: Duration = Duration::from_millis(8);
/// What follows an input within this time is shown at once.
const EAGER: Duration = Duration::from_millis(50);

/// A connection.
#[derive(Debug)]
pub(super) struct Viewer {
    stream: UnixStream,
    decoder: Decoder,
    out: Vec<u8>,
    written: usize,
    /// Said hello.
    greeted: bool,
    /// To be hung up on once it has what is on its way.
    closing: bool,
    /// Hung up, or to be hung up on.
    gone: bool,
    view: Option<View>,
    /// From when on the beats are counted at which pictures are sent.
    beats_from: Instant,
    /// The size that the terminal should have, and which wish of all that was.
    size: Option<(u64, Size)>,
    eager_until: Option<Instant>,
}

/// What a viewer wants to see, and has been shown.
#[derive(Debug)]
struct View {
    anchor: Option<Anchor>,
    interval: Duration,
    shown: Option<Rc<Frame>>,
    /// Which version that was of.
    version: u64,
    sent_at: Option<Instant>,
}

impl View {
    /// When the next picture is due: at the first beat after most of an interval.
    fn next_beat(&self, sent_at: Instant, beats_from: Instant) -> Instant {
        let earliest = sent_at + self.interval * 3 / 4;
        let interval = self.interval.as_nanos().max(1);
        let behind = earliest.saturating_duration_since(beats_from).as_nanos() % interval;
        let wait = u64::try_from((interval - behind) % interval).unwrap_or(0);
        earliest + Duration::from_nanos(wait)
    }
}

impl Viewer {
    /// Pictures come at whole intervals from `beats_from` on: where that is the same moment for all hosts, whoever looks at
    /// several terminals is woken once for all of them.
    pub(super) fn new(stream: UnixStream, beats_from: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            out: Vec::new(),
            written: 0,
            greeted: false,
            closing: false,
            gone: false,
            view: None,
            beats_from,
            size: None,
            eager_until: None,
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.is_heard());
        flags.set(PollFlags::OUT, !self.out.is_empty());
        flags
    }

    fn is_heard(&self) -> bool {
        !self.closing && self.out.len() - self.written <= REPLY_BYTES_MAX
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Hangs up once everything is sent.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.view = None;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes in what was sent, some of it if it is much.
    pub(super) fn receive(&mut self) {
        if !self.is_heard() {
            // What woke us is that they have hung up: writing will tell.
            return self.send();
        }
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(read) => self.decoder.push(buffer.get(..read).unwrap_or_default()),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next thing asked, while there is room for the answer. Whoever does not begin with a greeting, or says what
    /// nobody says, is hung up on.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        if self.gone || !self.is_heard() {
            return None;
        }
        match self.decoder.next_message::<Request>() {
            Ok(Some(request)) if self.greeted != matches!(request, Request::Hello { .. }) => {
                self.greeted = true;
                Some(request)
            }
            Ok(None) => None,
            Ok(Some(_)) | Err(_) => {
                self.gone = true;
                None
            }
        }
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        match wire::encode(reply) {
            Some(bytes) => self.out.extend_from_slice(&bytes),
            // It would wait for an answer that cannot be given.
            None => self.gone = true,
        }
    }

    /// Shows the terminal from here on.
    pub(super) fn look(&mut self, anchor: Option<Anchor>, interval: Duration) {
        let interval = interval.max(INTERVAL_MIN);
        self.view = Some(View { anchor, interval, shown: None, version: 0, sent_at: None });
    }

    /// Shows it no more.
    pub(super) fn look_away(&mut self) {
        self.view = None;
        self.size = None;
    }

    /// Which size the terminal should have for this one, by a number that is greater for a later wish.
    pub(super) fn wish_size(&mut self, number: u64, size: Option<Size>) {
        self.size = size.map(|size| (number, size));
    }

    /// What they wished; nothing of those that are gone or looked away.
    pub(super) fn wished_size(&self) -> Option<(u64, Size)> {
        self.size.filter(|_| !self.gone && !self.closing)
    }

    /// What comes next is shown at once.
    pub(super) fn expect_soon(&mut self, now: Instant) {
        self.eager_until = now.checked_add(EAGER);
    }

    /// When the next picture may be due, if there has been one.
    pub(super) fn may_be_due(&self) -> Option<Instant> {
        let view = self.view.as_ref()?;
        Some(view.next_beat(view.sent_at?, self.beats_from))
    }

    /// When a picture of this version is to be sent; none where there is nothing to send or no room for it.
    pub(super) fn due(&self, version: u64, now: Instant) -> Option<Instant> {
        let view = self.view.as_ref().filter(|view| view.version != version && self.out.is_empty())?;
        let eager = self.eager_until.is_some_and(|until| now < until);
        match view.sent_at {
            Some(sent_at) if !eager => Some(view.next_beat(sent_at, self.beats_from)),
            Some(_) | None => Some(now),
        }
    }

    /// Where they look.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        self.view.as_ref().and_then(|view| view.anchor)
    }

    /// Puts the difference to what was shown last on its way.
    pub(super) fn show(&mut self, frame: &Rc<Frame>, version: u64, now: Instant) {
        let Some(view) = &mut self.view else { return };
        view.version = version;
        if view.shown.as_deref() == Some(frame.as_ref()) {
            return;
        }
        let blank = Frame { lines: Vec::new(), ..Frame::blank(frame.size) };
        let shown = view.shown.as_deref().filter(|shown| shown.size == frame.size).unwrap_or(&blank);
        let mut update = frame.update_from(shown);
        let bytes = wire::encode(&Reply::Update { update: update.clone() });
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() <= UPDATE_BYTES_MAX || update.lines.len() <= 1) {
            self.out = bytes;
            view.shown = Some(Rc::clone(frame));
        } else {
            // The rest follows: until it has, what they are shown differs from what there is.
            update.lines.truncate(lines_within(&update.lines, UPDATE_BYTES_MAX));
            view.shown = Some(Rc::new(with_lines(shown, frame, &update.lines)));
            view.version = 0;
            self.out = wire::encode(&Reply::Update { update }).unwrap_or_default();
        }
        self.written = 0;
        view.sent_at = Some(now);
    }

    /// Sends what can be sent without waiting.
    pub(super) fn send(&mut self) {
        while !self.gone {
            let rest = self.out.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.out.clear();
                self.out.shrink_to(REPLY_BYTES_MAX);
                self.written = 0;
                self.gone = self.closing;
                return;
            }
            match self.stream.write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.gone = true,
            }
        }
    }
}

/// How many lines, one at least, take about so many bytes.
fn lines_within(lines: &[(usize, Arc<Line>)], bytes_max: usize) -> usize {
    let mut room = bytes_max;
    let fitting = lines.iter().take_while(|line| {
        room = room.saturating_sub(serde_json::to_vec(line).map_or(bytes_max, |bytes| bytes.len()));
        room > 0
    });
    fitting.count().max(1)
}

/// A frame with some of the lines of the next one. Lines that were never shown may be missing at its end.
fn with_lines(shown: &Frame, next: &Frame, lines: &[(usize, Arc<Line>)]) -> Frame {
    let mut all = shown.lines.clone();
    for (row, line) in lines {
        match all.get_mut(*row) {
            Some(place) => *place = Arc::clone(line),
            None => all.push(Arc::clone(line)),
        }
    }
    Frame { lines: all, title: next.title.clone(), ..*next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_lib::terminal::{Colour, Span, Style};

    /// The other side.
    struct Person {
        stream: UnixStream,
        decoder: Decoder,
        frame: Frame,
        updates: usize,
    }

    impl Person {
        fn receive(&mut self) {
            let mut buffer = vec![0; 1 << 20];
            while let Ok(read @ 1..) = self.stream.read(&mut buffer) {
                self.decoder.push(&buffer[..read]);
                while let Some(Reply::Update { update }) = self.decoder.next_message().unwrap() {
                    self.frame.apply(update);
                    self.updates += 1;
                }
            }
        }
    }

    fn pair(frame: &Frame) -> (Viewer, Person) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let person = Person { stream: theirs, decoder: Decoder::default(), frame: frame.clone(), updates: 0 };
        (Viewer::new(ours, Instant::now()).unwrap(), person)
    }

    /// A frame in which no two cells look alike.
    fn colourful(size: Size, seed: u8) -> Frame {
        let cell = |row: u16, column: u16| {
            let [low, high] = (row + column).to_le_bytes();
            let style = Style { foreground: Colour::Rgb(low, high, seed), ..Style::default() };
            Span { text: "x".to_owned(), style }
        };
        let line = |row| Arc::new(Line { spans: (0..size.columns).map(|column| cell(row, column)).collect() });
        Frame { lines: (0..size.rows).map(line).collect(), ..Frame::blank(size) }
    }

    #[test]
    fn a_picture_that_is_too_long_for_one_message_comes_in_parts() {
        let size = Size { columns: 300, rows: 200 };
        // What they have from before is of no use, and is gone in the end.
        let (mut viewer, mut person) = pair(&colourful(size, 1));
        let mut now = Instant::now();
        viewer.look(None, Duration::ZERO);
        let mut wanted = Rc::new(Frame::blank(size));
        for version in 1..200 {
            if version == 3 {
                wanted = Rc::new(colourful(size, 2));
            }
            now += INTERVAL_MIN;
            if viewer.due(version.min(3), now).is_some_and(|due| due <= now) {
                viewer.show(&wanted, version.min(3), now);
                assert!(viewer.out.len() <= UPDATE_BYTES_MAX + READ_BYTES, "{}", viewer.out.len());
            }
            viewer.send();
            person.receive();
        }
        assert!(person.frame == *wanted);
        assert!(person.updates > 5, "{}", person.updates);
        assert!(viewer.is_idle() && !viewer.is_gone());
    }

    #[test]
    fn whoever_does_not_read_is_sent_one_picture_and_costs_no_more() {
        let size = Size { columns: 100, rows: 50 };
        let (mut viewer, mut person) = pair(&Frame::blank(size));
        let mut now = Instant::now();
        viewer.look(None, Duration::ZERO);
        let mut made = 0;
        for version in 1..100_u8 {
            now += Duration::from_secs(1);
            if viewer.due(version.into(), now).is_some() {
                viewer.show(&Rc::new(colourful(size, version)), version.into(), now);
                made += 1;
            }
            viewer.send();
        }
        assert!(made < 10, "{made} pictures were made for nobody");
        let latest = Rc::new(colourful(size, 100));
        for _ in 0..10 {
            now += Duration::from_secs(1);
            person.receive();
            viewer.send();
            if viewer.due(100, now).is_some() {
                viewer.show(&latest, 100, now);
            }
        }
        assert!(person.frame == *latest, "then it is the latest");
    }

    #[test]
    fn pictures_come_no_more_often_than_wished_but_at_once_after_an_input() {
        let (mut viewer, _person) = pair(&Frame::blank(Size::UNSEEN));
        let start = Instant::now();
        viewer.beats_from = start;
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!(viewer.due(1, start), None, "nothing was asked for");
        viewer.look(None, Duration::from_millis(100));
        assert_eq!(viewer.due(1, start), Some(start));
        viewer.show(&Rc::new(Frame::blank(Size::UNSEEN)), 1, start);
        assert_eq!(viewer.due(2, start), None, "the first is still on its way");
        viewer.send();
        assert_eq!((viewer.due(1, later(1)), viewer.due(2, later(1))), (None, Some(later(100))));
        viewer.expect_soon(later(10));
        assert_eq!(viewer.due(2, later(20)), Some(later(20)));
        assert_eq!(viewer.due(2, later(70)), Some(later(100)));
        // One that comes between two beats is followed by one at the next beat but for a short while.
        viewer.show(&Rc::new(Frame::blank(Size { columns: 9, rows: 9 })), 2, later(120));
        viewer.send();
        assert_eq!(viewer.due(3, later(130)), Some(later(200)));
        viewer.show(&Rc::new(Frame::blank(Size { columns: 8, rows: 8 })), 3, later(230));
        viewer.send();
        assert_eq!(viewer.due(4, later(240)), Some(later(400)));
        viewer.look_away();
        assert_eq!(viewer.due(4, later(500)), None);
    }
}
