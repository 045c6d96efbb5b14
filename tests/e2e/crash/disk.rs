//! A file system of its own whose power can be cut: it is shut down under whoever works on it, and mounted anew with what
//! was on the image by then. Needs root, loop devices and the tools of the file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;

use super::rig::{Watch, program, say};

/// `FS_IOC_SHUTDOWN` with the flag that writes nothing more, not even the file system's own journal.
const SHUT_DOWN: &str =
    "import fcntl,os,struct,sys\nfcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// The name of this boot.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Two mounts of images at the same moment may be given the same loop device.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How many cuts are asked for, if any, and the turn to make them.
pub(super) fn wanted() -> Option<(usize, MutexGuard<'static, ()>)> {
    let cuts = std::env::var("PIPELINE_POWER_CUTS").ok()?.parse().expect("PIPELINE_POWER_CUTS is a number");
    Some((cuts, ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Says now and then how far a long test has come.
pub(super) fn tell(file_system: &str, under: &str, round: usize) {
    if (round + 1).is_multiple_of(25) {
        say(&format!("{file_system}: {} power cuts {under} so far", round + 1));
    }
}

pub(super) fn must(what: &str, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("power cuts need {program} to {what}: {error}"));
    assert!(done.status.success(), "{what}: {program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

pub(super) fn pipeline(repository: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("-C").arg(repository).env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Gives this thread mounts of its own, which nobody else copies. Any process that makes a mount namespace while a disk is
/// mounted takes a copy of that mount along; the disk then stays as it is after it was taken out here, shut down, and
/// whoever mounts it anew is given that same dead file system, in which nothing can be read.
fn leave_the_mounts_of_others() {
    #[expect(
        deprecated,
        reason = "what it warns of is descriptors that are not shared any more, which is not asked for"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS).expect("power cuts need root");
    must("keep mounts to itself", "mount", &["--make-rprivate", "/"]);
}

/// A file system of its own, in a file. It is taken out at the end whatever happens.
pub(super) struct Disk {
    dir: tempfile::TempDir,
    image: String,
    /// Where it is mounted.
    pub(super) place: PathBuf,
}

impl Disk {
    pub(super) fn new(file_system: &str) -> Self {
        leave_the_mounts_of_others();
        let dir = tempfile::Builder::new().prefix("power-").tempdir().expect("a scratch directory");
        let (image, place) = (dir.path().join("image"), dir.path().join("mount"));
        fs::create_dir(&place).expect("a mount point");
        fs::File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("an image");
        let image = image.display().to_string();
        must("make the file system", &format!("mkfs.{file_system}"), &["-q", &image]);
        let disk = Self { dir, image, place };
        disk.attach();
        fs::write(disk.place.join("which"), &disk.image).expect("a name on the disk");
        must("sync", "sync", &[]);
        disk
    }

    /// Nothing that is not on the image by now will be there.
    pub(super) fn cut(&self) {
        must("cut the power", "python3", &["-c", SHUT_DOWN, &self.place.display().to_string()]);
    }

    /// Takes the disk out and mounts what the cut left of it, in what looks like another boot to whoever is started from here on.
    /// That it is this disk, and alive, is made sure of.
    pub(super) fn attach_anew(&self) {
        assert!(self.take_out(), "{}: somebody keeps it: {:?}", self.image, all_on(&self.place));
        self.attach();
        let which = fs::read_to_string(self.place.join("which"));
        assert!(which.as_ref().is_ok_and(|which| *which == self.image), "not the disk {}: {which:?}", self.image);
        let alive = fs::write(self.place.join("alive"), "");
        assert!(alive.is_ok(), "the disk {} is not alive: {alive:?}", self.image);
        self.boot_anew();
    }

    /// Gives the boot another name. Only the mounts of this thread are changed by that.
    fn boot_anew(&self) {
        let name = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a name");
        let file = self.dir.path().join("boot");
        fs::write(&file, name).expect("a name");
        // One more over it would stay below for ever.
        drop(Command::new("umount").arg(BOOT).stderr(Stdio::null()).status());
        must("name the boot", "mount", &["--bind", &file.display().to_string(), BOOT]);
    }

    fn attach(&self) {
        must("mount the image", "mount", &["-o", "loop", &self.image, &self.place.display().to_string()]);
    }

    /// Whether it is out, and its file system gone from memory: until then a device keeps the image.
    fn take_out(&self) -> bool {
        // A process that was ended lets go of its files a moment after it counts as gone.
        let (nothing, deadline) = (Watch::of([]), Instant::now() + Duration::from_secs(20));
        let is_out = || {
            let done = Command::new("umount").arg(&self.place).stderr(Stdio::null()).status();
            let keeps = |device: fs::DirEntry| {
                let backing = fs::read_to_string(device.path().join("loop/backing_file"));
                backing.is_ok_and(|image| image.trim_end() == self.image)
            };
            done.is_ok() && !fs::read_dir("/sys/block").expect("/sys/block").flatten().any(keeps)
        };
        while !is_out() {
            if Instant::now() > deadline {
                return false;
            }
            nothing.wait(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed leaves processes.
        for pid in all_on(&self.place) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
        if !self.take_out() {
            say(&format!("{} is left mounted", self.dir.path().display()));
        }
    }
}

/// The processes that work on a disk: the hosts of commands lead sessions of their own, and their commands are in it.
pub(super) fn all_on(place: &Path) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let named = String::from_utf8_lossy(&command).contains(&*place.to_string_lossy());
        let inside = fs::read_link(entry.path().join("cwd")).is_ok_and(|at| at.starts_with(place));
        found.extend(pid.filter(|_| named || inside));
    }
    found
}

/// Ends them, as the cut would have, and waits until they are gone: they keep the disk from being taken out.
pub(super) fn end_all_on(place: &Path) {
    let nothing = Watch::of([]);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let left = all_on(place);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "these do not end: {left:?}");
        for pid in left {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
        nothing.wait(Duration::from_millis(10));
    }
}
