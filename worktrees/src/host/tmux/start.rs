//! Starting the host of a run in a session of its own. What the server does besides is set here and nowhere else: no file of
//! the user is read.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use pipeline_lib::terminal::Size;

use super::super::HostError;
use super::super::launch::HostProgram;
use super::super::records::Claim;
use super::client::{client, run, word};
use super::pane::IN_PANE;
use super::{Multiplexer, session_name};

/// How often a server that was about to end is asked again.
const TRIES: usize = 5;
/// What tmux says when its server ended before it had answered.
const ENDING: [&str; 3] = ["server exited", "lost server", "no server running"];

/// How the server is, each time before a session is begun. The first bindings go, so that nothing but the prefix is kept
/// from the agent; a person who attaches can detach, scroll back, and send the prefix itself.
const SETTINGS: [&[&str]; 24] = [
    &["start-server"],
    &["set-option", "-s", "escape-time", "0"],
    &["set-option", "-s", "exit-empty", "on"],
    &["set-option", "-s", "set-clipboard", "off"],
    &["set-option", "-s", "default-terminal", "tmux-256color"],
    &["set-option", "-g", "status", "off"],
    &["set-option", "-g", "status-style", "reverse"],
    &["set-option", "-g", "status-left-length", "200"],
    &["set-option", "-g", "status-right", ""],
    &["set-option", "-g", "status-interval", "0"],
    &["set-option", "-gw", "window-status-format", ""],
    &["set-option", "-gw", "window-status-current-format", ""],
    &["set-option", "-g", "history-limit", "10000"],
    &["set-option", "-g", "set-titles", "off"],
    &["set-option", "-g", "destroy-unattached", "off"],
    &["set-option", "-gw", "remain-on-exit", "off"],
    &["set-option", "-gw", "window-size", "latest"],
    &["set-option", "-gw", "allow-rename", "off"],
    &["unbind-key", "-a", "-T", "prefix"],
    &["unbind-key", "-a", "-T", "root"],
    &["bind-key", "-T", "prefix", "d", "detach-client"],
    &["bind-key", "-T", "prefix", "[", "copy-mode"],
    &["bind-key", "-T", "prefix", "C-b", "send-prefix"],
    // Whoever attaches sees all of it, whatever size a dashboard gave it before, and below it how to leave.
    &["set-hook", "-g", "client-attached", "set-option status on ; set-option -uw window-size"],
];

/// Starts a host in a session of its own. One that is there already stays.
pub(in super::super) fn start(
    multiplexer: &Multiplexer,
    host: &HostProgram,
    claim: &Claim,
    run_dir: &Path,
) -> Result<(), HostError> {
    let mut tries = 1;
    loop {
        let mut command = client(multiplexer);
        command.args(["-L", &multiplexer.server]);
        for setting in SETTINGS {
            command.args(setting).arg(";");
        }
        give(&mut command, host);
        command.args(new_session(host, claim, run_dir));
        match run(command, None) {
            Err(HostError::Tmux { message, .. }) if message.contains("duplicate session") => return Ok(()),
            // The last session of a server may end at this moment, and the server with it.
            Err(HostError::Tmux { message, .. })
                if tries < TRIES && ENDING.iter().any(|said| message.contains(said)) =>
            {
                tries += 1;
            }
            other => return other.map(drop),
        }
    }
}

/// Gives the host its environment through that of the client: what is on a command line can be read by everybody, and the
/// first client's stays that of the server. The server passes on what is named, to this session alone.
fn give(command: &mut Command, host: &HostProgram) {
    let marked = (OsString::from(IN_PANE), OsString::from("1"));
    let mut names = OsString::new();
    for (name, value) in host.environment.iter().chain([&marked]) {
        command.env(name, value);
        command.args([OsStr::new("set-environment"), OsStr::new("-gu"), name, OsStr::new(";")]);
        if !names.is_empty() {
            names.push(" ");
        }
        names.push(name);
    }
    command.args([
        OsStr::new("set-option"),
        OsStr::new("-g"),
        OsStr::new("update-environment"),
        &names,
        OsStr::new(";"),
    ]);
}

fn new_session(host: &HostProgram, claim: &Claim, run_dir: &Path) -> Vec<OsString> {
    let Size { columns, rows } = claim.terminal.unwrap_or(Size::UNSEEN).clamped();
    let name = session_name(claim.run.as_str());
    let (columns, rows) = (columns.to_string(), rows.to_string());
    // It starts at the root so that it holds no directory that somebody wants to remove.
    let words = ["new-session", "-d", "-s", &name, "-x", &columns, "-y", &rows, "-c", "/"];
    let mut words: Vec<OsString> = words.map(OsString::from).to_vec();
    words.push(OsString::from("--"));
    words.push(word(program(host).as_os_str()));
    words.extend(host.arguments.iter().map(|argument| word(argument)));
    words.push(word(run_dir.as_os_str()));
    let target = format!("={name}:");
    let whose = claim.multiplexer.as_ref().map_or("", |multiplexer| multiplexer.whose.as_str());
    words.extend([";", "set-option", "-t", &target, "status-left"].map(OsString::from));
    words.push(word(OsStr::new(&status_left(whose, false))));
    words
}

/// What stands below a session that somebody is attached to: whose it is, and the key that leaves it. In another tmux the
/// prefix is pressed twice, since the outer one takes the first.
pub(super) fn status_left(whose: &str, nested: bool) -> String {
    let leaves = if nested { "ctrl-b ctrl-b d leaves" } else { "ctrl-b d leaves" };
    format!(" {} \u{b7} {leaves} ", whose.replace('#', "##"))
}

/// The program by a name that means the same to tmux.
fn program(host: &HostProgram) -> PathBuf {
    if host.program.as_os_str() != OsStr::new("/proc/self/exe") {
        return host.program.clone();
    }
    // Where its file was replaced by a newer one, this process is the only one that still has it.
    let by_process = || PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    std::fs::read_link(&host.program).ok().filter(|path| path.is_file()).unwrap_or_else(by_process)
}
