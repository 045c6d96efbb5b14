//! Who a process is, whether it is still that process, and what descends from it, read from `/proc`.
//!
//! A pid alone names nothing for long, so every process is named by boot, pid and start time, and every signal goes
//! through a pidfd whose owner was compared with that name after it was opened. Nothing here starts a process or
//! decides what should be killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// Where the kernel tells the name of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// An environment is at most this long before the scan gives up on the rest of it: the kernel's own limit on what
/// `exec` takes is lower.
const ENVIRON_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A line of `/proc/<pid>/stat` is at most this long: 52 numbers of up to 20 digits, and a name of 64 bytes.
const STAT_BYTES_MAX: usize = 2048;

/// One process, named so that neither a reboot nor a reused pid can be mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The boot the pid belongs to.
    pub boot_id: String,
    /// The process id.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks between boot and the start of the process.
    pub start_time: u64,
}

impl Identity {
    /// The process that has this pid now, be it a zombie, or nothing if there is none.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        Some(Self { boot_id: boot_id().to_owned(), pid, start_time: stat.start_time })
    }

    /// This process.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of(own_pid())
    }

    /// Whether this very process still executes. A zombie is dead: where nobody reaps orphans it would stay for ever.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.boot_id == boot_id()
            && Stat::read(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.is_dead())
    }

    /// A pidfd of this very process, which becomes readable when it dies; nothing if it is dead already.
    #[must_use]
    pub fn open(&self) -> Option<OwnedFd> {
        let fd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The comparison comes after the open: from here on the descriptor cannot come to mean another process.
        self.is_alive().then_some(fd)
    }

    /// Waits until this very process is dead, but no longer than `at_most`.
    pub fn wait(&self, at_most: Duration) {
        let Some(fd) = self.open() else { return };
        let Ok(at_most) = Timespec::try_from(at_most) else { return };
        // A signal ends the wait early, as does the time: whoever waits looks again in any case.
        let _woken = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_most));
    }

    /// Sends a signal to this very process and says whether it was there to receive it. Never signals itself.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pid != own_pid() && self.open().is_some_and(|fd| rustix::process::pidfd_send_signal(fd, signal).is_ok())
    }
}

/// The pid of this process.
#[must_use]
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// How much processor time those have used whom this process has waited for, and whom they have.
#[must_use]
pub fn children_time() -> Duration {
    let time = |of: nix::sys::time::TimeVal| Duration::from_micros(u64::try_from(of.num_microseconds()).unwrap_or(0));
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(Duration::ZERO, |used| time(used.user_time()) + time(used.system_time()))
}

/// The name of the current boot. Empty where the kernel does not tell, which makes all boots look alike.
#[must_use]
pub fn boot_id() -> &'static str {
    static CURRENT: OnceLock<String> = OnceLock::new();
    CURRENT.get_or_init(|| boot_id_from(Path::new(BOOT_ID)).unwrap_or_default())
}

/// The name of a boot as the given file tells it.
///
/// # Errors
/// When the file cannot be read.
pub fn boot_id_from(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// Whether the process of this pid is stopped, as by Ctrl-Z at a shell.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(Stat::read).is_some_and(|stat| stat.is_stopped())
}

/// In which `/proc` tells when a process started: `USER_HZ`, which is the same on every machine that Linux runs on today.
pub(crate) const TICKS_A_SECOND: u64 = 100;

/// What `/proc/<pid>/stat` says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process id.
    pub pid: i32,
    /// The state letter, such as `R`, `S`, `D` or `Z`.
    pub state: char,
    /// The parent.
    pub parent: i32,
    /// The session, named by the pid of its first process.
    pub session: i32,
    /// Clock ticks between boot and the start of the process.
    pub start_time: u64,
}

impl Stat {
    /// Reads it for one pid; nothing if there is no such process.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        // The kernel makes the whole line at the first read, so one is enough; `fs::read` takes five, and a table of all
        // processes is read every second while a session is watched.
        let mut line = [0; STAT_BYTES_MAX];
        let read = fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line)).ok()?;
        Self::parse(line.get(..read)?)
    }

    /// When the process began, by the wall clock as it goes now.
    #[must_use]
    pub fn began(&self) -> Option<SystemTime> {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let since_boot = Duration::new(u64::try_from(since_boot.tv_sec).ok()?, u32::try_from(since_boot.tv_nsec).ok()?);
        let millis = self.start_time.checked_mul(1_000)? / TICKS_A_SECOND;
        SystemTime::now().checked_sub(since_boot.checked_sub(Duration::from_millis(millis))?)
    }

    /// Whether the process is a zombie or about to vanish.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether the process was stopped, as by Ctrl-Z at a shell, and does nothing until it is continued.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// The name in parentheses may itself hold spaces and parentheses, so fields are counted from its last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // The first of these is field 3 in the numbering of proc(5).
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let number = |of: usize| field(of)?.parse::<u64>().ok();
        Some(Self {
            pid,
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start_time: number(22)?,
        })
    }

    fn identity(self) -> Identity {
        Identity { boot_id: boot_id().to_owned(), pid: self.pid, start_time: self.start_time }
    }
}

/// Every process visible at one moment, or nearly so: reading `/proc` is not atomic, so callers repeat until a pass
/// finds nothing new.
#[derive(Debug, Default)]
pub struct Table {
    processes: BTreeMap<i32, Stat>,
}

impl Table {
    /// Reads the table.
    #[must_use]
    pub fn read() -> Self {
        let mut processes = BTreeMap::new();
        for pid in pids() {
            if let Some(stat) = Stat::read(pid) {
                processes.insert(pid, stat);
            }
        }
        Self { processes }
    }

    /// The living processes of this user in the session that `leader` made which are being executed at this moment: those
    /// that have no environment yet, and those that are still what `leader` was, whose name was `called`. Asks for nobody
    /// else, because the number of a session that is wholly gone may come to name another.
    #[must_use]
    pub fn nameless_in_session(&self, leader: &Identity, called: &str) -> Vec<Identity> {
        let reused = self.processes.get(&leader.pid).is_some_and(|stat| stat.start_time != leader.start_time);
        if reused || leader.boot_id != boot_id() {
            return Vec::new();
        }
        let own = own_pid();
        self.processes
            .values()
            .filter(|stat| stat.session == leader.pid && stat.start_time >= leader.start_time)
            .filter(|stat| !stat.is_dead() && stat.pid != own && is_ours(stat.pid))
            .filter(|stat| {
                let has_none = || read_environment(stat.pid).is_some_and(|bytes| bytes.is_empty());
                is_called(stat.pid, called) || has_none()
            })
            .map(|stat| stat.identity())
            .collect()
    }

    /// Whether a process of this user that is no older than the given one leads a session and has neither arguments nor an
    /// environment: it is being executed at this moment, and will have both in another one.
    #[must_use]
    pub fn has_unfinished_leader(&self, since: &Identity) -> bool {
        let own = own_pid();
        self.processes
            .values()
            .filter(|stat| stat.session == stat.pid && stat.start_time >= since.start_time)
            .filter(|stat| !stat.is_dead() && stat.pid != own && is_ours(stat.pid))
            .any(|stat| ["cmdline", "environ"].iter().all(|file| is_empty(stat.pid, file)))
    }

    /// The living children of a process, the oldest first.
    #[must_use]
    pub fn children(&self, of: i32) -> Vec<Identity> {
        let children = self.processes.values().filter(|stat| stat.parent == of && !stat.is_dead());
        let mut children: Vec<Identity> = children.map(|stat| stat.identity()).collect();
        children.sort_by_key(|child| child.start_time);
        children
    }

    /// The living processes below the given ones, without those themselves and without this process.
    #[must_use]
    pub fn descendants(&self, of: &[i32]) -> Vec<Identity> {
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for stat in self.processes.values() {
            children.entry(stat.parent).or_default().push(stat.pid);
        }
        let mut pending: Vec<i32> = of.to_vec();
        let mut found = BTreeMap::new();
        while let Some(parent) = pending.pop() {
            for &pid in children.get(&parent).into_iter().flatten() {
                let Some(stat) = self.processes.get(&pid) else {
                    continue;
                };
                if !of.contains(&pid) && found.insert(pid, *stat).is_none() {
                    pending.push(pid);
                }
            }
        }
        let own = own_pid();
        found.into_values().filter(|stat| !stat.is_dead() && stat.pid != own).map(Stat::identity).collect()
    }
}

/// The living processes of this user whose environment at their start held exactly `name=value`, without this one.
/// A process that hides its environment (one that is not dumpable) is not found.
#[must_use]
pub fn with_environment(name: &str, value: &str) -> Vec<Identity> {
    let wanted = format!("{name}={value}").into_bytes();
    let own = own_pid();
    pids()
        .filter(|&pid| pid != own)
        .filter_map(|pid| {
            // The identity is read first: if the pid changes hands before the environment is read, what is returned
            // names the earlier process, which is dead, and no signal will reach the later one.
            let stat = Stat::read(pid)?;
            let holds = |bytes: Vec<u8>| bytes.split(|&byte| byte == 0).any(|entry| entry == wanted);
            (is_ours(pid) && !stat.is_dead() && read_environment(pid).is_some_and(holds)).then(|| stat.identity())
        })
        .collect()
}

/// Keeps other programs of this user from reading this process's memory and environment, or looking through it at files. What
/// it starts is readable again once it is another program.
///
/// # Errors
/// When the kernel refuses.
pub fn hide() -> std::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

fn is_ours(pid: i32) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|metadata| metadata.uid() == user)
}

/// Whether a file about a process can be read and holds nothing.
fn is_empty(pid: i32, file: &str) -> bool {
    let mut byte = [0];
    let opened = fs::File::open(format!("/proc/{pid}/{file}"));
    opened.is_ok_and(|mut file| file.read(&mut byte).is_ok_and(|read| read == 0))
}

fn is_called(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|found| found.trim_end() == name)
}

fn read_environment(pid: i32) -> Option<Vec<u8>> {
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    let mut bytes = Vec::new();
    file.take(ENVIRON_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The numbers that name processes now. An unreadable `/proc` has none.
fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    fn wait_readable(fd: impl AsFd) {
        let limit = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1);
    }

    fn pid_of(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = b"42 (a) R 7 (x) S 7 1 1 0 -1 0 0 0 0 0 1 2 30 40 20 0 1 0 987 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.state, stat.parent, stat.session), (42, 'S', 7, 1));
        assert_eq!(stat.start_time, 987);
    }

    #[test]
    fn no_prefix_of_a_stat_line_makes_the_parser_fail_badly() {
        let text = fs::read("/proc/self/stat").unwrap();
        for end in 0..text.len() {
            // Most prefixes parse to nothing and the longest ones to the truth: what counts is that none panics.
            let _stat = Stat::parse(&text[..end]);
        }
        assert_eq!(Stat::parse(&text).unwrap().pid, own_pid());
    }

    #[test]
    fn this_process_is_alive_and_never_signals_itself() {
        let own = Identity::current().unwrap();
        assert!(own.is_alive());
        assert!(!own.signal(Signal::KILL));
    }

    #[test]
    fn another_start_time_or_boot_is_another_process() {
        let own = Identity::current().unwrap();
        let later = Identity { start_time: own.start_time + 1, ..own.clone() };
        let before = Identity { boot_id: "an earlier boot".to_owned(), ..own };
        assert!(!later.is_alive() && later.open().is_none());
        assert!(!before.is_alive() && before.open().is_none());
    }

    #[test]
    fn a_zombie_counts_as_dead() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let identity = Identity::of(pid_of(&child)).unwrap();
        let fd = identity.open().unwrap();
        assert!(identity.signal(Signal::KILL));
        wait_readable(&fd);
        assert_eq!(Stat::read(identity.pid).unwrap().state, 'Z');
        assert!(!identity.is_alive() && !identity.signal(Signal::KILL));
        child.wait().unwrap();
        assert_eq!(Identity::of(identity.pid), None);
    }

    #[test]
    fn grandchildren_are_descendants() {
        let mut child =
            Command::new("sh").args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let grandchild: i32 = line.trim().parse().unwrap();
        let shell = Identity::of(pid_of(&child)).unwrap();
        let below_shell: Vec<i32> = Table::read().descendants(&[shell.pid]).iter().map(|found| found.pid).collect();
        let below_us: Vec<i32> = Table::read().descendants(&[own_pid()]).iter().map(|found| found.pid).collect();
        assert_eq!(below_shell, [grandchild]);
        let children = |of: i32| Table::read().children(of).iter().map(|found| found.pid).collect::<Vec<_>>();
        assert_eq!((children(shell.pid), children(grandchild)), (vec![grandchild], Vec::new()));
        assert!(below_us.contains(&shell.pid) && below_us.contains(&grandchild));
        assert!(Identity::of(grandchild).unwrap().signal(Signal::KILL));
        child.wait().unwrap();
    }

    /// Waits until the kernel shows the file of the process. A process takes its new name, and whoever made it goes on,
    /// some moments before its arguments and its environment can be read.
    fn until_shown(child: &Child, file: &str) {
        while is_empty(pid_of(child), file) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_environment_scan_wants_the_whole_entry() {
        let value = format!("run-{}", own_pid());
        let mut child = Command::new("sleep").arg("600").env("PIPELINE_TEST_SCAN", &value).spawn().unwrap();
        let pid = pid_of(&child);
        until_shown(&child, "environ");
        assert_eq!(
            with_environment("PIPELINE_TEST_SCAN", &value).iter().map(|found| found.pid).collect::<Vec<_>>(),
            [pid]
        );
        assert!(with_environment("PIPELINE_TEST_SCAN", &value[..value.len() - 1]).is_empty());
        assert!(with_environment("IPELINE_TEST_SCAN", &value).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_a_process_without_any_environment_is_found_by_its_session() {
        let sleep = |wrapper: &[&str]| {
            Command::new("setsid").args(wrapper).args(["sleep", "600"]).env("NAMED", "1").spawn().unwrap()
        };
        let (mut named, mut nameless) = (sleep(&[]), sleep(&["env", "-i"]));
        // Each becomes `sleep` in its own time; until then it is not what this test is about.
        for child in [&named, &nameless] {
            let name = format!("/proc/{}/comm", child.id());
            while fs::read_to_string(&name).unwrap() != "sleep\n" {
                std::thread::yield_now();
            }
        }
        until_shown(&named, "environ");
        until_shown(&nameless, "cmdline");
        let leader = |child: &Child| Identity::of(pid_of(child)).unwrap();
        let earlier = |leader: Identity| Identity { start_time: leader.start_time - 1, ..leader };
        assert_eq!(Table::read().nameless_in_session(&leader(&named), "nobody"), []);
        let called = fs::read_to_string(format!("/proc/{}/comm", leader(&named).pid)).unwrap();
        assert_eq!(Table::read().nameless_in_session(&leader(&named), called.trim_end()), [leader(&named)]);
        assert_eq!(Table::read().nameless_in_session(&leader(&nameless), "nobody"), [leader(&nameless)]);
        assert_eq!(Table::read().nameless_in_session(&earlier(leader(&nameless)), "nobody"), []);
        // Neither is being executed: both have arguments.
        assert!(is_empty(pid_of(&nameless), "environ") && !is_empty(pid_of(&named), "environ"));
        assert!(!is_empty(pid_of(&nameless), "cmdline"));
        for child in [&mut named, &mut nameless] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_boot_is_read_from_the_file_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot_id");
        assert!(boot_id_from(&path).is_err());
        fs::write(&path, "another-boot\n").unwrap();
        assert_eq!(boot_id_from(&path).unwrap(), "another-boot");
        assert!(!boot_id().is_empty());
    }
}
