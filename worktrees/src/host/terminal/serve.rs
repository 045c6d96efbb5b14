//! The viewers of a terminal: what they ask for is done, what they look at is sent, and when the program has ended they
//! are told.

use std::rc::Rc;
use std::time::{Duration, Instant};

use pipeline_lib::terminal::wire::{Reply, Request, VERSION, lines_since};
use pipeline_lib::terminal::{Frame, Input, Size, keys};
use rustix::event::{PollFd, PollFlags};

use super::super::run::note;
use super::super::supervise::timespec;
use super::Terminal;
use super::viewer::Viewer;

/// Those who may look at the same time.
const VIEWERS_MAX: usize = 32;
/// After an input nothing is left to gather this long: somebody waits for what it does.
const TYPED: Duration = Duration::from_millis(50);
/// Enter is pressed so long after a paste: sooner, programs take it for a part of that.
const ENTER_AFTER_PASTE: Duration = Duration::from_millis(150);
/// Text that one request is answered with, so that it fits into a message.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How long the viewers of a program that has ended have to take its last picture.
const FAREWELL: Duration = Duration::from_millis(500);

impl Terminal {
    pub(super) fn admit(&mut self) {
        while let Some(stream) = self.socket.accept() {
            if self.viewers.len() < VIEWERS_MAX {
                match Viewer::new(stream, self.beats_from) {
                    Ok(viewer) => self.viewers.push(viewer),
                    Err(error) => note(&format!("cannot admit a viewer: {error}")),
                }
            }
        }
    }

    /// Does what viewers asked for.
    pub(super) fn serve(&mut self, now: Instant) {
        for index in 0..self.viewers.len() {
            while let Some(request) = self.viewers.get_mut(index).and_then(Viewer::next_request) {
                self.answer(index, request, now);
            }
        }
    }

    fn answer(&mut self, index: usize, request: Request, now: Instant) {
        match request {
            Request::View { resize, .. } => self.wish_size(index, resize),
            Request::Pause => self.wish_size(index, None),
            Request::Hello { .. } | Request::Input { .. } | Request::Search { .. } | Request::Text { .. } => {}
        }
        let taken = if let Request::Input { input } = &request { Some(self.input(input, now)) } else { None };
        let Some(viewer) = self.viewers.get_mut(index) else { return };
        match request {
            Request::Hello { version } => {
                viewer.reply(&Reply::Hello { version: VERSION, run: self.run.clone(), size: self.emulator.size() });
                if version != VERSION {
                    viewer.close();
                }
            }
            Request::View { resize: _, offset, at, interval_ms } => {
                let since = if offset == 0 { 0 } else { lines_since(at, self.emulator.scrolled()) };
                viewer.look(self.emulator.anchor(offset.saturating_add(since)), Duration::from_millis(interval_ms));
            }
            Request::Pause => viewer.look_away(),
            Request::Input { .. } => match taken {
                Some(Err(why)) => viewer.reply(&Reply::Refused { why: why.to_owned() }),
                Some(Ok(())) | None => {
                    viewer.expect_soon(now);
                    viewer.reply(&Reply::Taken);
                }
            },
            Request::Search { needle, offset, at, forward } => {
                let since = lines_since(at, self.emulator.scrolled());
                let found = self.emulator.search(&needle, offset.saturating_add(since), forward);
                viewer.reply(&Reply::Found { offset: found.map(|offset| offset.saturating_sub(since)) });
            }
            Request::Text { from, to, at } => {
                let since = lines_since(at, self.emulator.scrolled());
                let (from, to) = (from.saturating_add(since), to.saturating_add(since));
                viewer.reply(&Reply::Text { lines: self.emulator.text(from, to, TEXT_BYTES_MAX) });
            }
        }
    }

    /// Takes note of the size that a viewer wants. The latest wish of those who are there counts; where there is none, the
    /// size stays.
    fn wish_size(&mut self, index: usize, size: Option<Size>) {
        self.size_wishes += 1;
        if let Some(viewer) = self.viewers.get_mut(index) {
            viewer.wish_size(self.size_wishes, size);
        }
        self.fit();
    }

    /// Lets go of the viewers that are gone, and of the size that they wanted.
    pub(super) fn dismiss(&mut self) {
        let before = self.viewers.len();
        self.viewers.retain(|viewer| !viewer.is_gone());
        if self.viewers.len() < before {
            self.fit();
        }
    }

    fn fit(&mut self) {
        if let Some((_, size)) = self.viewers.iter().filter_map(Viewer::wished_size).max_by_key(|(number, _)| *number) {
            self.resize(size);
        }
    }

    /// Hands an input to the program, or says why not.
    pub(super) fn input(&mut self, input: &Input, now: Instant) -> Result<(), &'static str> {
        if self.pts.is_none() {
            return Err("the program has ended");
        }
        let bytes = keys::encode(input, &self.emulator.input_modes());
        let enter = if matches!(input, Input::Paste { submit: true, .. }) { keys::enter() } else { Vec::new() };
        if !self.queue.has_room(bytes.len() + enter.len()) {
            return Err("the program does not read what it was given already");
        }
        self.queue.push(bytes);
        if !enter.is_empty() {
            self.queue.pause(ENTER_AFTER_PASTE);
            self.queue.push(enter);
        }
        if let Some(prompt) = &mut self.prompt {
            prompt.disturb(now);
        }
        self.typed_until = now.checked_add(TYPED);
        self.gather_until = None;
        Ok(())
    }

    /// Sends pictures to those whose time it is.
    pub(super) fn show(&mut self, now: Instant) {
        let version = self.emulator.version();
        for index in 0..self.viewers.len() {
            let Some(viewer) = self.viewers.get(index) else { return };
            if viewer.due(version, now).is_none_or(|due| now < due) {
                continue;
            }
            let offset = self.emulator.offset(viewer.anchor());
            let frame = self.frame(offset, version);
            if let Some(viewer) = self.viewers.get_mut(index) {
                viewer.show(&frame, version, now);
            }
        }
    }

    /// A picture, made once for all who look at the same.
    fn frame(&mut self, offset: usize, version: u64) -> Rc<Frame> {
        if self.frames_version != version {
            self.frames.clear();
            self.frames_version = version;
        }
        if let Some(frame) = self.frames.iter().find(|frame| frame.offset == offset) {
            return Rc::clone(frame);
        }
        let frame = Rc::new(self.emulator.frame(offset));
        self.frames.push(Rc::clone(&frame));
        frame
    }

    /// Shows everybody how it ended and hangs up. Those who do not read are not waited for long.
    pub(in super::super) fn say_farewell(mut self) {
        self.socket.close();
        let limit = Instant::now() + FAREWELL;
        if self.emulator.sync_deadline().is_some() {
            self.emulator.end_sync();
        }
        while !self.viewers.is_empty() {
            let now = Instant::now();
            self.show_last(now);
            let Some(left) = limit.checked_duration_since(now).filter(|left| !left.is_zero()) else { return };
            let viewers = self.viewers.iter();
            let mut fds: Vec<_> =
                viewers.map(|viewer| PollFd::from_borrowed_fd(viewer.as_fd(), PollFlags::OUT)).collect();
            if !fds.is_empty() {
                // An interruption only shortens the wait.
                rustix::event::poll(&mut fds, Some(&timespec(left))).unwrap_or_default();
            }
        }
    }

    /// Puts the last picture on its way, and the end behind it.
    fn show_last(&mut self, now: Instant) {
        let version = self.emulator.version();
        for index in 0..self.viewers.len() {
            let Some(viewer) = self.viewers.get(index) else { return };
            let anchor = viewer.anchor();
            if viewer.due(version, now).is_some() {
                let offset = self.emulator.offset(anchor);
                let frame = self.frame(offset, version);
                if let Some(viewer) = self.viewers.get_mut(index) {
                    viewer.show(&frame, version, now);
                }
            } else if !viewer.is_closing()
                && viewer.is_idle()
                && let Some(viewer) = self.viewers.get_mut(index)
            {
                viewer.reply(&Reply::Ended);
                viewer.close();
            }
        }
        for viewer in &mut self.viewers {
            viewer.send();
        }
        self.viewers.retain(|viewer| !viewer.is_gone());
    }
}
