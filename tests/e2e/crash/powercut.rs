//! Power cuts: a file system of its own is shut down under a process that adds tasks, and mounted anew. What was
//! acknowledged before the cut has to be there. Opt-in, for it needs root, loop devices and the tools of the file systems:
//! `PIPELINE_POWER_CUTS=1000 cargo test --test e2e power -- --nocapture`. Then a tool that is missing is a failure.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::rig::{program, say};

/// `FS_IOC_SHUTDOWN` with the flag that writes nothing more, not even the file system's own journal.
const SHUT_DOWN: &str =
    "import fcntl,os,struct,sys\nfcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

fn wanted() -> Option<usize> {
    std::env::var("PIPELINE_POWER_CUTS").ok()?.parse().ok()
}

fn must(what: &str, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("power cuts need {program} to {what}: {error}"));
    assert!(done.status.success(), "{what}: {program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Undoes the mount whatever happens.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).stderr(Stdio::null()).status().map(drop).unwrap_or_default();
    }
}

fn pipeline(repository: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("-C").arg(repository).env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Cuts the power `cuts` times, each time a little later; how many acknowledged tasks there were in the end. Without
/// `synced` the program's syncs are taken from it.
fn cut(file_system: &str, cuts: usize, synced: bool) -> Result<usize, String> {
    let dir = tempfile::Builder::new().prefix("power-").tempdir().expect("a scratch directory");
    let (image, place) = (dir.path().join("image"), dir.path().join("mount"));
    fs::create_dir(&place).expect("a mount point");
    fs::File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("an image");
    let (image, mount) = (image.display().to_string(), place.display().to_string());
    must("make the file system", &format!("mkfs.{file_system}"), &["-q", &image]);
    let attach = || must("mount the image", "mount", &["-o", "loop", &image, &mount]);
    attach();
    let repository = place.join("r");
    let make = "mkdir -p \"$1\" && cd \"$1\" && git init -q -b main . && git -c user.name=R -c user.email=r@example.org commit -qm base --allow-empty && sync";
    must("make a repository", "sh", &["-c", make, "sh", &repository.display().to_string()]);
    assert!(
        pipeline(&repository)
            .args(["init", "--agent", "demo", "--yes"])
            .stdout(Stdio::null())
            .status()
            .expect("init")
            .success()
    );
    must("sync", "sync", &[]);
    let mut known: Vec<String> = Vec::new();
    let mut guard = Some(Mounted(&place));
    for round in 0..cuts {
        // Acknowledgements are read as they come; the cut comes after so many of them, and not at their end.
        let unsynced = "strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:retval=0";
        let wrapper = if synced { "" } else { unsynced };
        let script = format!("while :; do {wrapper} \"$1\" -C \"$2\" task add one 2>/dev/null || exit; done");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program()).arg(&repository).env("GIT_CONFIG_NOSYSTEM", "1");
        let mut writer =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a writer");
        let mut lines = BufReader::new(writer.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let acknowledged: Vec<String> = lines.by_ref().take(1 + round % 3).collect();
        must("cut the power", "python3", &["-c", SHUT_DOWN, &mount]);
        known.extend(acknowledged);
        writer.wait().expect("the writer's end");
        drop(lines);
        drop(guard.take());
        attach();
        guard = Some(Mounted(&place));
        assert!(repository.is_dir(), "{file_system}, cut {round}: the image is not mounted");
        let mut list = pipeline(&repository);
        let listed = list.args(["task", "list", "--json"]).stderr(Stdio::piped()).output().expect("a list");
        let (text, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
        if let Some(task) = known.iter().find(|task| !text.contains(&format!("\"{task}\""))) {
            let start = text.get(..300).unwrap_or(&text);
            return Err(format!("{file_system}, cut {round}: {task} was acknowledged and is gone: {said}{start}"));
        }
        let state = fs::read_to_string(repository.join(".pipeline/state/state.json")).unwrap_or_default();
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&state) {
            return Err(format!("{file_system}, cut {round}: state.json: {error}: {state:?}"));
        }
    }
    drop(guard);
    Ok(known.len())
}

fn cuts_on(file_system: &str) {
    // Two mounts of images at the same moment may be given the same loop device.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some(cuts) = wanted() else { return };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = cut(file_system, cuts, true).unwrap_or_else(|lost| panic!("{lost}"));
    let lost = cut(file_system, cuts.min(20), false).expect_err("without syncs a power cut must lose something");
    say(&format!("{file_system}: {cuts} power cuts, {kept} acknowledged tasks, none lost; without syncs: {lost:.120}"));
}

#[test]
fn power_cuts_on_ext4_lose_nothing() {
    cuts_on("ext4");
}

#[test]
fn power_cuts_on_xfs_lose_nothing() {
    cuts_on("xfs");
}
