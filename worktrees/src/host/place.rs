//! Hosts that outlive a run: one for each place in which commands run, one command after the other. What a command does
//! not have to wait for is the start of a process, and a directory made durable for each of its records.
//!
//! A place is a directory beside those of the runs, with the lock that its host holds for life and the list of runs that
//! it was told of. The rules are those of every host but one: a start is durable before the command begins, a run that has
//! begun is never begun again, and of a run whose host died nothing is concluded but that. An end is told before it is
//! durable, and made so while whoever was told records it for itself. At most one run is at a place at any time, so that
//! everything below the host is of that run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::OFlags;
use rustix::process::Signal;

use super::HostError;
use super::files::{self, CLAIM, EXIT, HOST_LOG, Lock, START, exists};
use super::launch::{StopOutcome, is_over, read_claim};
use super::records::{ExitRecord, How, StartRecord, VERSION};
use super::run::{detach, note, run};
use super::shared::{self, Records};
use super::supervise::timespec;
use super::wakes::Wakes;
use crate::process::Identity;

/// A host that is told of nothing for this long ends. The next one starts in a few milliseconds.
const IDLE: Duration = Duration::from_secs(5);
/// The same in milliseconds, in the host's environment.
const IDLE_VARIABLE: &str = "PIPELINE_HOST_IDLE_MS";
/// An end that no next start has made durable by then is made so for itself.
const SETTLE_AFTER: Duration = Duration::from_millis(5);
/// How often a host looks for what it was told where it cannot watch.
const LOOK_UNWATCHED: Duration = Duration::from_millis(200);
/// The list of a place begins anew once all of it was taken and it is longer than this.
const TOLD_BYTES_MAX: u64 = 64 * 1024;
/// The list of a place is waited for so long where somebody else has it, which is for a few reads and the start of a host.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often it is tried at once, which is enough where it is only read.
const TOLD_TRIES: usize = 20;
/// How long after each further attempt.
const LOCK_PAUSE: Duration = Duration::from_micros(100);
/// In a place: the runs that its host was told of, a line each.
const TOLD: &str = "told";
/// In a place: who its last host is or was.
const HOST: &str = "host.json";
/// In a place: closed by its host whenever there is something new about a run. Nothing is in it; whoever watches the
/// place is woken, without the file that a copy of each record would need.
const NEWS: &str = ".news";

/// The directory of a run's place.
pub(super) fn directory(run_dir: &Path, place: &str) -> Result<PathBuf, HostError> {
    let is_name = !place.is_empty() && !place.starts_with('.') && !place.contains(['/', '\0']);
    let dir = run_dir.parent().filter(|_| is_name).map(|runs| runs.join(shared::DIR).join(place));
    dir.ok_or_else(|| HostError::Format {
        path: run_dir.to_owned(),
        message: format!("`{place}` is no name of a place"),
    })
}

/// The directory to watch for what happens to a run: that of its place where it has no host of its own.
#[must_use]
pub fn watched_dir(run_dir: &Path, place: &str) -> PathBuf {
    match directory(run_dir, place) {
        Ok(at_place) if !exists(run_dir, HOST_LOG) => at_place,
        Ok(_) | Err(_) => run_dir.to_owned(),
    }
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
        if !place.is_dir() {
            files::create_dir(place)?;
        }
        let path = place.join(TOLD);
        let file = files::open_append(&path)?;
        drop(file);
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

    /// What was added after a position, which moves to the end.
    fn read_on(&mut self, at: &mut u64) -> Result<Vec<String>, HostError> {
        let mut text = String::new();
        let len = self.file.metadata().map_err(HostError::io("read", &self.path))?.len();
        if len < *at {
            *at = 0;
        }
        self.file.seek(SeekFrom::Start(*at)).map_err(HostError::io("read", &self.path))?;
        self.file.read_to_string(&mut text).map_err(HostError::io("read", &self.path))?;
        *at += text.len() as u64;
        if *at > TOLD_BYTES_MAX {
            self.clear()?;
            *at = 0;
        }
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn clear(&mut self) -> Result<(), HostError> {
        files::open_append(&self.path)?.set_len(0).map_err(HostError::io("write", &self.path))
    }

    fn add(&mut self, run_dir: &Path) -> Result<(), HostError> {
        let line = format!("{}\n", name(run_dir));
        let mut file = files::open_append(&self.path)?;
        file.write_all(line.as_bytes()).map_err(HostError::io("write", &self.path))
    }

    /// Whether a host that lives was told of a run, and may yet begin it.
    pub(super) fn names(&mut self, run_dir: &Path) -> Result<bool, HostError> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0)).map_err(HostError::io("read", &self.path))?;
        self.file.read_to_string(&mut text).map_err(HostError::io("read", &self.path))?;
        Ok(text.lines().any(|line| line == name(run_dir)))
    }
}

/// Tells the host of a place of a run. `start` is called where none lives.
pub(super) fn tell(
    place: &Path,
    run_dir: &Path,
    start: impl FnOnce(&Path) -> Result<(), HostError>,
) -> Result<(), HostError> {
    let mut told = Told::make(place)?;
    match files::lock_shared(place)? {
        // The host looks at the list a last time while nobody else can, before it lets go of its lock: it reads this.
        Lock::Taken => {
            told.add(run_dir)?;
            if is_left_by_the_dead(place)? { begin_anew(told, place, run_dir, start) } else { Ok(()) }
        }
        Lock::Held(free) => {
            drop(free);
            begin_anew(told, place, run_dir, start)
        }
    }
}

fn begin_anew(
    mut told: Told,
    place: &Path,
    run_dir: &Path,
    start: impl FnOnce(&Path) -> Result<(), HostError>,
) -> Result<(), HostError> {
    // What a dead host was told of and never began is told again by whoever still wants it.
    told.clear()?;
    told.add(run_dir)?;
    start(place)
}

/// Whether a lock that was taken turns out to be free: the last thread of a host that was killed lets go of it a moment
/// after the host counts as dead.
fn is_left_by_the_dead(place: &Path) -> Result<bool, HostError> {
    for _ in 0..files::LOCK_TRIES {
        // One that has the lock and has not said so yet reads the list all the same.
        let last: Option<Identity> = files::read(place, HOST).unwrap_or_default();
        if last.is_none_or(|host| host.is_alive()) {
            return Ok(false);
        }
        if matches!(files::lock_shared(place)?, Lock::Held(_)) {
            return Ok(true);
        }
        rustix::thread::sched_yield();
    }
    Ok(false)
}

/// The rest of a request that concerns a run of a place. As everywhere, the host looks for a request after it has recorded
/// the start, and here the start is looked for after the request was made.
pub(super) fn stop(run_dir: &Path, name: &str, reason: &str) -> Result<StopOutcome, HostError> {
    let place = directory(run_dir, name)?;
    // Nobody is told of anything meanwhile.
    let mut told = Told::make(&place)?;
    let lock = files::lock_exclusive(&place)?;
    let known = shared::find(run_dir)?;
    if is_over(run_dir)? {
        return Ok(StopOutcome::AlreadyEnded);
    }
    match (known.and_then(|known| known.start), lock) {
        (Some(start), _) if !start.host.is_alive() => match is_over(run_dir)? {
            true => Ok(StopOutcome::AlreadyEnded),
            false => Ok(StopOutcome::Interrupted),
        },
        (Some(start), _) => {
            // It only wakes: by the time it comes another run may be at the place.
            start.host.signal(Signal::HUP);
            Ok(StopOutcome::Requested)
        }
        (None, Lock::Taken) if told.names(run_dir)? => Ok(StopOutcome::Requested),
        (None, _) => {
            let Some(claim) = read_claim(run_dir)? else {
                return Err(HostError::Format { path: run_dir.join(CLAIM), message: "there is none".to_owned() });
            };
            let how = How::NeverStarted { reason: reason.to_owned() };
            let record = ExitRecord::without_work(claim.run, how, Timestamp::now());
            let runs = run_dir.parent().unwrap_or(run_dir);
            let mut records = Records::open(runs)?;
            records.exit(run_dir, &record)?;
            records.settle()?;
            files::replace(run_dir, EXIT, &record, false)?;
            Ok(StopOutcome::NeverStarted)
        }
    }
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
    let idle = std::env::var(IDLE_VARIABLE).ok().and_then(|ms| ms.parse().ok()).map_or(IDLE, Duration::from_millis);
    let queue = VecDeque::new();
    let mut host = Host { runs, place, lock: Some(lock), identity, records, wakes, idle, queue, at: 0 };
    while let Some(run_dir) = host.next()? {
        host.serve(&run_dir)?;
    }
    host.records.settle()
}

struct Host<'a> {
    runs: &'a Path,
    place: &'a Path,
    lock: Option<Lock>,
    identity: Identity,
    records: Records,
    wakes: Wakes,
    idle: Duration,
    queue: VecDeque<String>,
    at: u64,
}

impl Host<'_> {
    /// The next run that it was told of; nothing when it is to end.
    fn next(&mut self) -> Result<Option<PathBuf>, HostError> {
        let (idle, settle) = (Instant::now() + self.idle, Instant::now() + SETTLE_AFTER);
        loop {
            if self.wakes.is_to_leave() || !self.lock.as_ref().is_some_and(|lock| lock.is_of(self.place)) {
                return Ok(None);
            }
            if let Some(run) = self.queue.pop_front() {
                return Ok(Some(self.runs.join(run)));
            }
            // What we closed ourselves is among it. Whatever comes after this is read now, or heard of.
            self.wakes.empty_directory();
            let Some(mut told) = Told::open(self.place)? else {
                return Ok(None);
            };
            self.queue.extend(told.read_on(&mut self.at)?);
            if !self.queue.is_empty() {
                continue;
            }
            // The start of a next run makes the end of this one durable as well, and whoever was told of that end is making
            // it durable for itself at this moment. Nobody is kept from telling meanwhile.
            if self.records.is_unsettled() {
                drop(told);
                if Instant::now() < settle {
                    self.wakes.rest(settle.saturating_duration_since(Instant::now()));
                } else {
                    self.records.settle()?;
                }
                continue;
            }
            let left = idle.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // In this order: whoever tells next sees that nobody is here.
                self.lock = None;
                drop(told);
                return Ok(None);
            }
            drop(told);
            let watched = self.wakes.is_watching();
            self.wakes.rest(if watched { left } else { left.min(LOOK_UNWATCHED) });
        }
    }

    /// Runs a command, if it is still to be run.
    fn serve(&mut self, run_dir: &Path) -> Result<(), HostError> {
        let known = shared::find(run_dir)?.is_some();
        if known || exists(run_dir, EXIT) || exists(run_dir, START) {
            return Ok(());
        }
        let claim = match read_claim(run_dir) {
            Ok(Some(claim)) => claim,
            Ok(None) => return Ok(()),
            // Whoever looks at the run finds the same, and says so.
            Err(error) => {
                note(&error.to_string());
                return Ok(());
            }
        };
        let host = self.identity.clone();
        let start = StartRecord { version: VERSION, run: claim.run.clone(), host, started_at: Timestamp::now() };
        self.records.start(run_dir, &start)?;
        let watch = self.wakes.watch(run_dir);
        // For whoever looks into the directory; what counts is written.
        let tell = || {
            drop(files::replace(run_dir, START, &start, false));
            say_news(self.place);
        };
        let (record, _) = run(run_dir, &claim, start.started_at, &self.wakes, None, tell);
        self.wakes.unwatch(watch);
        self.finish(run_dir, &record)?;
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
            // Whoever waits for it goes on while the copy is written.
            Ok(()) => {
                say_news(self.place);
                if let Err(error) = files::replace(run_dir, EXIT, record, false) {
                    note(&error.to_string());
                }
                Ok(())
            }
            Err(error) => {
                note(&format!("{error}; the end is in the run's directory alone"));
                // Whoever looks finds it there once this host is gone, since one that lives may still be writing.
                self.wakes.leave();
                let written = super::run::write_exit(run_dir, record);
                say_news(self.place);
                written
            }
        }
    }
}

/// Wakes whoever watches the place. Nobody depends on it: whoever looks at the runs finds the same.
fn say_news(place: &Path) {
    drop(files::open_append(&place.join(NEWS)));
}
