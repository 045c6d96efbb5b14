//! A moment's wait for what hosts of places have to say: for whoever has just told one of a command, which may be over before
//! anything else would have been done.
//!
//! What is new is read from the runs. Nobody depends on being woken here: what comes later is heard of as everything else is.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::place;
use super::supervise::timespec;

/// The places that are listened to.
#[derive(Debug, Default)]
pub struct News {
    /// Absent where the system gives none.
    heard: Option<OwnedFd>,
    places: BTreeMap<PathBuf, i32>,
}

impl News {
    /// Forgets what was heard up to now: whoever looks at the runs next sees it.
    pub fn forget(&mut self) {
        let Some(heard) = &self.heard else { return };
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(heard, &mut buffer);
        while let Ok(event) = events.next() {
            // The directory is gone, and its watch with it.
            if event.events().contains(ReadFlags::IGNORED) {
                self.places.retain(|_, watch| *watch != event.wd());
            }
        }
    }

    /// Listens to the places of these runs, and to no others, for so long. True as soon as there may be something new about
    /// one of them; false where nothing came, or nothing can be heard.
    pub fn wait<'r>(&mut self, runs: impl Iterator<Item = (&'r Path, &'r str)>, limit: Duration) -> bool {
        let wanted: Vec<PathBuf> = runs.filter_map(|(run_dir, name)| place::directory(run_dir, name).ok()).collect();
        if self.heard.is_none() {
            self.heard = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
        }
        let Some(heard) = &self.heard else { return false };
        self.places.retain(|place, watch| {
            let is_wanted = wanted.contains(place);
            if !is_wanted {
                // It is gone with its directory.
                inotify::remove_watch(heard, *watch).unwrap_or_default();
            }
            is_wanted
        });
        let mut is_new = false;
        for place in wanted {
            if self.places.contains_key(&place) {
                continue;
            }
            let news = place::news_of(place.clone());
            if let Ok(watch) = inotify::add_watch(heard, &news, WatchFlags::ATTRIB | WatchFlags::CREATE) {
                is_new |= self.places.insert(place, watch) != Some(watch);
            }
        }
        // What was said before anybody listened is seen now.
        if is_new || self.places.is_empty() {
            return is_new;
        }
        let mut fds = [PollFd::new(heard, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&timespec(limit))).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_a_place_says_wakes_whoever_waits_for_it() {
        let runs = tempfile::tempdir().unwrap();
        let run_dir = runs.path().join("R-1");
        let place = place::directory(&run_dir, "local").unwrap();
        let news_dir = place.join("news");
        let mut news = News::default();
        let wait = |news: &mut News, limit| news.wait([(&*run_dir, "local")].into_iter(), limit);
        assert!(!wait(&mut news, LONG), "there is no such place");
        std::fs::create_dir_all(&news_dir).unwrap();
        assert!(wait(&mut news, LONG), "it is listened to from now on");
        assert!(!wait(&mut news, Duration::ZERO));
        place::say_news(&place);
        assert!(wait(&mut news, LONG));
        news.forget();
        assert!(!wait(&mut news, Duration::ZERO));
        std::thread::scope(|scope| {
            scope.spawn(|| place::say_news(&place));
            assert!(wait(&mut news, LONG));
        });
        news.forget();
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::create_dir_all(&news_dir).unwrap();
        assert!(wait(&mut news, LONG), "another directory of that name");
        news.forget();
        place::say_news(&place);
        assert!(wait(&mut news, LONG));
        assert!(!news.wait(std::iter::empty(), LONG), "nobody is waited for");
    }
}
