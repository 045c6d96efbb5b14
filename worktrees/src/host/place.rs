//! Hosts that outlive a run: one for each place in which commands run, one command after the other. What a command does
//! not have to wait for is the start of a process, and a directory made durable for each of its records.
//!
//! A place is a directory beside those of the runs, with the lock that its host holds for life and the list of claims that
//! it was told of. The rules are those of every host: a run that has begun is never begun again, and of a run whose host died
//! nothing is concluded but that. An end is told before it is durable, and made so while whoever was told records it for
//! itself; a start is on record before the command begins, and what a power cut may take of it is in `epoch`. At most one run
//! is at a place at any time, so that everything below the host is of that run.
//!
//! A run at a place has a directory of its own only once there is something to keep in it: output, a request to stop, or
//! what shows a command to others that is not over in a moment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::Timespec;
use rustix::fs::{AtFlags, CWD, OFlags, Timestamps, UTIME_NOW, utimensat};
use rustix::process::Signal;

use super::HostError;
use super::files::{self, CLAIM, EXIT, HOST_LOG, Lock, START, exists};
use super::launch::StopOutcome;
use super::lives::is_left_by_the_dead;
use super::observe::is_over;
use super::records::{Claim, ExitRecord, StartRecord, VERSION};
use super::run::{detach, note, run};
use super::shared::{self, Records};
use super::supervise::timespec;
use super::wakes::Wakes;
use crate::disk;
use crate::process::Identity;

/// A host that is told of nothing for this long ends. The next one starts in a few milliseconds.
const IDLE: Duration = Duration::from_secs(5);
/// The same in milliseconds, in the host's environment.
const IDLE_VARIABLE: &str = "PIPELINE_HOST_IDLE_MS";
/// What is on record is made durable once nothing was told for so long.
const SETTLE_AFTER: Duration = Duration::from_millis(100);
/// What a command left is put on disk this long after its end, unless somebody has begun the next one by then: whoever did has
/// seen to it. It may be much, and the next command would wait for it.
const KEEP_AFTER: Duration = Duration::from_secs(1);
/// How often a host looks for what it was told where it cannot watch.
const LOOK_UNWATCHED: Duration = Duration::from_millis(200);
/// The list of a place begins anew once all that it names has begun and it is longer than this.
const TOLD_BYTES_MAX: u64 = 16 * 1024;
/// The list of a place is waited for so long where somebody else has it, which is for a few reads and the start of a host.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often it is tried at once, which is enough where it is only read.
const TOLD_TRIES: usize = 20;
/// How long after each further attempt.
const LOCK_PAUSE: Duration = Duration::from_micros(100);
/// In a place: the claims that its host was told of, a line each.
const TOLD: &str = "told";
/// In a place: who its last host is or was.
pub(super) const HOST: &str = "host.json";
/// In a place: the directory to watch. Nothing happens there but what somebody who waits should be woken by.
const NEWS: &str = "news";
/// There: touched whenever there is something new about a run. Nothing is in it.
const SAID: &str = "said";
/// There: open for writing as long as the host lives, so that its death is heard of as well.
const LIVES: &str = "lives";

/// The directory of a run's place.
pub(super) fn directory(run_dir: &Path, place: &str) -> Result<PathBuf, HostError> {
    let is_name = !place.is_empty() && !place.starts_with('.') && !place.contains(['/', '\0']);
    let dir = run_dir.parent().filter(|_| is_name).map(|runs| runs.join(shared::DIR).join(place));
    dir.ok_or_else(|| HostError::Format {
        path: run_dir.to_owned(),
        message: format!("`{place}` is no name of a place"),
    })
}

/// The directory to watch for what happens to a run: where its place tells it, if it has no host of its own.
#[must_use]
pub fn watched_dir(run_dir: &Path, place: &str) -> PathBuf {
    match directory(run_dir, place) {
        Ok(at_place) if !exists(run_dir, HOST_LOG) => news_of(at_place),
        Ok(_) | Err(_) => run_dir.to_owned(),
    }
}

/// The directory in which a place tells what is new; that of the place itself where a host of an earlier version does so.
pub(super) fn news_of(place: PathBuf) -> PathBuf {
    let news = place.join(NEWS);
    if news.is_dir() { news } else { place }
}

/// Whether a run was told of at a place, so that its host may have begun it. What cannot be read may have been.
#[must_use]
pub fn is_told(run_dir: &Path, place: &str) -> bool {
    let told = || match Told::open(&directory(run_dir, place)?)? {
        Some(told) => told.names(run_dir),
        None => Ok(false),
    };
    // In this order: what the list no longer names is on record.
    told().unwrap_or(true) || !matches!(shared::find(run_dir), Ok(None))
}

/// Whether a directory is a place rather than a run's. Its host has no agent.
#[must_use]
pub fn is_place(dir: &Path) -> bool {
    dir.parent().and_then(Path::file_name).is_some_and(|name| name == shared::DIR)
}

fn name(run_dir: &Path) -> String {
    run_dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The list of a place. While it is open nobody else reads or changes it.
#[derive(Debug)]
pub(super) struct Told {
    file: File,
    path: PathBuf,
}

impl Told {
    /// Opens it, making the place where there is none.
    pub(super) fn make(place: &Path) -> Result<Self, HostError> {
        if let Some(told) = Self::open(place)? {
            return Ok(told);
        }
        files::create_dir(place)?;
        let path = place.join(TOLD);
        drop(files::open_append(&path)?);
        Self::open(place)?.ok_or_else(|| HostError::io("open", &path)(std::io::ErrorKind::NotFound.into()))
    }

    /// Opens it where there is one.
    pub(super) fn open(place: &Path) -> Result<Option<Self>, HostError> {
        let path = place.join(TOLD);
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        // A host hears of every file that was open for writing, and must not hear itself.
        let file = match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HostError::io("open", &path)(error)),
        };
        let (give_up, mut tries) = (Instant::now() + LOCK_WAIT, 0);
        // Whoever has it may be stopped; that must not stop us.
        while !files::locked(fs2::FileExt::try_lock_exclusive(&file)).map_err(HostError::io("lock", &path))? {
            if Instant::now() >= give_up {
                return Err(HostError::io("lock", &path)(std::io::ErrorKind::TimedOut.into()));
            }
            tries += 1;
            if tries < TOLD_TRIES {
                rustix::thread::sched_yield();
            } else {
                // Interrupted or not: it is tried again.
                rustix::event::poll(&mut [], Some(&timespec(LOCK_PAUSE))).unwrap_or_default();
            }
        }
        Ok(Some(Self { file, path }))
    }

    /// The claims that were added after a position, which moves behind them. Whoever asks has begun all that came before.
    fn read_on(&mut self, at: &mut u64) -> Result<Vec<Claim>, HostError> {
        let len = self.len()?;
        if len < *at {
            *at = 0;
        }
        if len == *at && len > TOLD_BYTES_MAX {
            self.clear()?;
            *at = 0;
            return Ok(Vec::new());
        }
        let lines = self.lines(*at, len)?;
        *at = len;
        let claim = |line: &str| match serde_json::from_str(line.split_once(' ')?.1) {
            Ok(claim) => Some(claim),
            Err(error) => {
                note(&format!("something that was told here cannot be read: {error}"));
                None
            }
        };
        Ok(lines.iter().filter_map(|line| claim(line)).collect())
    }

    fn len(&self) -> Result<u64, HostError> {
        Ok(self.file.metadata().map_err(HostError::io("read", &self.path))?.len())
    }

    /// The whole lines between two positions.
    fn lines(&self, from: u64, to: u64) -> Result<Vec<String>, HostError> {
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, from).map_err(HostError::io("read", &self.path))?;
        Ok(shared::whole_lines(&bytes).map(str::to_owned).collect())
    }

    fn clear(&mut self) -> Result<(), HostError> {
        files::open_append(&self.path)?.set_len(0).map_err(HostError::io("write", &self.path))
    }

    fn add(&mut self, run_dir: &Path, claim: &Claim) -> Result<File, HostError> {
        let failed =
            |error: serde_json::Error| HostError::Format { path: self.path.clone(), message: error.to_string() };
        let line = shared::as_line(&format!("{} {}", name(run_dir), serde_json::to_string(claim).map_err(failed)?));
        let mut file = files::open_append(&self.path)?;
        file.write_all(line.as_bytes()).map_err(HostError::io("write", &self.path))?;
        Ok(file)
    }

    /// Whether it names a run: its host, if it lives, has begun it or may yet.
    pub(super) fn names(&self, run_dir: &Path) -> Result<bool, HostError> {
        let run = name(run_dir);
        let named = |line: &String| line.split_once(' ').is_some_and(|(told, _)| told == run);
        Ok(self.lines(0, self.len()?)?.iter().any(named))
    }
}

/// Tells the host of a place of a run. `start` is called where none lives.
pub(super) fn tell(
    place: &Path,
    run_dir: &Path,
    claim: &Claim,
    start: impl FnOnce(&Path) -> Result<(), HostError>,
) -> Result<(), HostError> {
    let mut told = Told::make(place)?;
    match files::lock_shared(place)? {
        // The host looks at the list a last time while nobody else can, before it lets go of its lock: it reads this.
        Lock::Taken => {
            // The host hears of the line when this is closed, and by then finds the list free.
            let heard_when_closed = told.add(run_dir, claim)?;
            if !is_left_by_the_dead(place)? {
                drop(told);
                drop(heard_when_closed);
                return Ok(());
            }
        }
        Lock::Held(free) => drop(free),
    }
    // What a dead host was told of and never began is told again by whoever still wants it.
    told.clear()?;
    drop(told.add(run_dir, claim)?);
    files::create_private(&place.join(NEWS))?;
    start(place)
}

/// The rest of a request that concerns a run which was told of at a place; nothing where it was not. As everywhere, the host
/// looks for a request after it has recorded the start, and here the start is looked for after the request was made.
pub(super) fn stop(run_dir: &Path, place: &Path) -> Result<Option<StopOutcome>, HostError> {
    // Nobody is told of anything meanwhile.
    let Some(told) = Told::open(place)? else {
        return Ok(None);
    };
    let lock = files::lock_exclusive(place)?;
    let is_named = told.names(run_dir)?;
    let known = shared::find(run_dir)?;
    if is_over(run_dir)? {
        return Ok(Some(StopOutcome::AlreadyEnded));
    }
    Ok(match (known.and_then(|known| known.start), lock) {
        (Some(start), _) if !start.host.is_alive() => match is_over(run_dir)? {
            true => Some(StopOutcome::AlreadyEnded),
            false => Some(StopOutcome::Interrupted),
        },
        (Some(start), _) => {
            // It only wakes: by the time it comes another run may be at the place.
            start.host.signal(Signal::HUP);
            Some(StopOutcome::Requested)
        }
        (None, Lock::Taken) if is_named => Some(StopOutcome::Requested),
        // Whoever is told of it later finds its end.
        (None, _) => None,
    })
}

/// The main function of a place's host.
pub(super) fn main(place: &Path) -> Result<(), HostError> {
    let lock = files::lock_exclusive(place)?;
    if matches!(lock, Lock::Taken) {
        return Ok(());
    }
    detach(false);
    let Some(identity) = Identity::current() else {
        return Err(HostError::io("read", "/proc/self/stat")(std::io::ErrorKind::NotFound.into()));
    };
    files::replace(place, HOST, &identity, false)?;
    let wakes = Wakes::of_place(place).map_err(HostError::io("wait for signals in", place))?;
    let Some(runs) = place.parent().and_then(Path::parent) else {
        return Err(HostError::NotRegular { path: place.to_owned() });
    };
    let records = Records::open(runs)?;
    files::create_private(&place.join(NEWS))?;
    let _lives = files::open_append(&place.join(NEWS).join(LIVES))?;
    let idle = std::env::var(IDLE_VARIABLE).ok().and_then(|ms| ms.parse().ok()).map_or(IDLE, Duration::from_millis);
    let queue = VecDeque::new();
    let mut host = Host {
        runs,
        place,
        lock: Some(lock),
        identity,
        records,
        wakes,
        idle,
        queue,
        at: 0,
        left: None,
        children: Duration::ZERO,
    };
    while let Some(claim) = host.next()? {
        host.serve(&claim)?;
    }
    host.keep()?;
    host.records.settle()
}

/// What the last command left, which may not be on disk yet.
struct Left {
    run_dir: PathBuf,
    keeps: Vec<PathBuf>,
    record: ExitRecord,
    due: Instant,
}

struct Host<'a> {
    runs: &'a Path,
    place: &'a Path,
    lock: Option<Lock>,
    identity: Identity,
    records: Records,
    wakes: Wakes,
    idle: Duration,
    queue: VecDeque<Claim>,
    at: u64,
    left: Option<Left>,
    children: Duration,
}

impl Host<'_> {
    /// The next run that it was told of; nothing when it is to end.
    fn next(&mut self) -> Result<Option<Claim>, HostError> {
        let (idle, settle) = (Instant::now() + self.idle, Instant::now() + SETTLE_AFTER);
        loop {
            // The end of the last command is among them. Whoever asks us to leave says so before the signal is heard.
            self.wakes.empty_signals();
            if self.wakes.is_to_leave() {
                return Ok(None);
            }
            if !self.queue.is_empty() {
                return Ok(self.queue.pop_front().filter(|_| self.is_the_host()));
            }
            // What we closed ourselves is among it. Whatever comes after this is read now, or heard of.
            self.wakes.empty_directory();
            if self.wakes.has_heard() || !self.wakes.is_watching() || self.at > TOLD_BYTES_MAX {
                let Some(mut told) = Told::open(self.place)? else {
                    return Ok(None);
                };
                self.queue.extend(told.read_on(&mut self.at)?);
                if !self.queue.is_empty() {
                    return Ok(self.queue.pop_front().filter(|_| self.is_the_host()));
                }
            }
            // Whoever was told of the end of the last run is making it durable for itself at this moment. Nobody is kept from
            // telling meanwhile.
            if self.records.is_unsettled() {
                if Instant::now() < settle {
                    self.wakes.rest(settle.saturating_duration_since(Instant::now()));
                } else {
                    self.records.settle()?;
                }
                continue;
            }
            let due = self.left.as_ref().map(|left| left.due);
            if due.is_some_and(|due| due <= Instant::now()) {
                self.keep()?;
                continue;
            }
            let left = idle.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let Some(mut told) = Told::open(self.place)? else {
                    return Ok(None);
                };
                self.queue.extend(told.read_on(&mut self.at)?);
                if self.queue.is_empty() {
                    // In this order: whoever tells next sees that nobody is here.
                    self.lock = None;
                    drop(told);
                    return Ok(None);
                }
                continue;
            }
            if !self.is_the_host() {
                return Ok(None);
            }
            let left = due.map_or(left, |due| left.min(due.saturating_duration_since(Instant::now())));
            let watched = self.wakes.is_watching();
            self.wakes.rest(if watched { left } else { left.min(LOOK_UNWATCHED) });
        }
    }

    /// Whether our lock is that of the place: somebody may have removed it.
    fn is_the_host(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.is_of(self.place))
    }

    /// Puts on disk what the last command left, and says that its end holds.
    fn keep(&mut self) -> Result<(), HostError> {
        match self.left.take() {
            Some(Left { run_dir, keeps, record, .. }) => match disk::sync_all(&keeps) {
                Ok(()) => self.records.exit(&run_dir, &ExitRecord { unsettled: false, ..record }),
                Err(error) => {
                    note(&format!("what {} left may not be on disk: {error}", record.run));
                    Ok(())
                }
            },
            None => Ok(()),
        }
    }

    /// Runs a command, if it is still to be run.
    fn serve(&mut self, claim: &Claim) -> Result<(), HostError> {
        let run_dir = &self.runs.join(claim.run.as_str());
        let known = self.records.knows(run_dir)?;
        if known || run_dir.is_dir() && (exists(run_dir, EXIT) || exists(run_dir, START)) {
            return Ok(());
        }
        if claim.version != VERSION {
            note(&format!("{} is not begun: its form is {}, this program reads {VERSION}", claim.run, claim.version));
            return Ok(());
        }
        let host = self.identity.clone();
        let start = StartRecord { version: VERSION, run: claim.run.clone(), host, started_at: Timestamp::now() };
        self.records.start(run_dir, &start)?;
        let mut watch = None;
        // For whoever looks for it in a directory; what counts is written.
        let showing = || {
            if let Err(error) = files::create_private(run_dir) {
                note(&error.to_string());
            }
            watch = self.wakes.watch(run_dir);
            drop(files::replace(run_dir, CLAIM, claim, false));
            drop(files::replace(run_dir, START, &start, false));
        };
        // Whoever told of this one has seen to what the one before left.
        self.left = None;
        let shown = || say_news(self.place);
        let (record, _) =
            run(run_dir, claim, start.started_at, &self.wakes, None, &mut self.children, (showing, shown));
        self.wakes.unwatch(watch);
        let record = ExitRecord { unsettled: !claim.keeps.is_empty(), ..record };
        self.finish(run_dir, &record)?;
        if record.unsettled {
            let (run_dir, keeps, due) = (run_dir.clone(), claim.keeps.clone(), Instant::now() + KEEP_AFTER);
            self.left = Some(Left { run_dir, keeps, record: record.clone(), due });
        }
        if record.unkillable.is_empty() {
            return Ok(());
        }
        // What cannot be killed would count for the next run.
        note("ends, because of processes that cannot be killed");
        self.wakes.leave();
        Ok(())
    }

    fn finish(&mut self, run_dir: &Path, record: &ExitRecord) -> Result<(), HostError> {
        match self.records.exit(run_dir, record) {
            // Whoever waits for it goes on while the copy is written, where there is anything that it is beside.
            Ok(()) => {
                say_news(self.place);
                if run_dir.is_dir()
                    && let Err(error) = files::replace(run_dir, EXIT, record, false)
                {
                    note(&error.to_string());
                }
                Ok(())
            }
            Err(error) => {
                note(&format!("{error}; the end is in the run's directory alone"));
                // Whoever looks finds it there once this host is gone, since one that lives may still be writing.
                self.wakes.leave();
                let written = files::create_dir(run_dir).and_then(|()| super::run::write_exit(run_dir, record));
                say_news(self.place);
                written
            }
        }
    }
}

/// Wakes whoever watches the place. Nobody depends on it: whoever looks at the runs finds the same.
pub(super) fn say_news(place: &Path) {
    let (path, now) = (place.join(NEWS).join(SAID), Timespec { tv_sec: 0, tv_nsec: UTIME_NOW });
    let times = Timestamps { last_access: now, last_modification: now };
    if utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).is_err() {
        drop(files::open_append(&path));
    }
}
