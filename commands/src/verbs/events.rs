//! `pipeline events`: the journal as JSON lines, one for each thing that became true. Reads the journal alone: no
//! configuration is needed, nothing is locked, and what a newer program wrote is passed on as it is.

mod line;
mod words;

use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_lib::text::one_line;
use pipeline_state::Events;
use pipeline_worktrees::watch::Watcher;
use serde_json::{Map, Value};

use crate::context::Site;
use crate::dispatch::Call;
use crate::duration;
use crate::error::{CommandError, Result, exit};

pub use line::{Known, lift};
pub use words::sentence;

/// How often `-f` looks where no notice comes: the journal stays open while it grows, which brings none.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Print the journal as JSON lines.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Only what came after this number or moment, or within this length of time: 120, 2026-01-31T08:00:00Z, 1h
    #[arg(long, value_name = "SINCE")]
    pub since: Option<String>,
    /// Only events of this type, such as run_started
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only events about this task
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
}

/// Prints the journal.
///
/// # Errors
/// When there is no journal, or it cannot be read.
pub fn run(call: &Call, args: &EventsArgs) -> Result<u8> {
    let since = args.since.as_deref().map(|text| Since::parse(text, Timestamp::now())).transpose()?;
    let dir = state_dir(call)?;
    // From the beginning in any case: what an event about a run leaves out was said when the run was claimed.
    let mut reader = Reader { events: Events::open(&dir, 0), known: Known::default(), since, damaged: false };
    // Watched before the first reading, so that nothing comes between.
    let (sender, receiver) = mpsc::channel();
    // The receiver is gone only when this function has returned.
    let mut watcher = Watcher::new(move |_| sender.send(()).unwrap_or_default());
    if args.follow
        && let Err(error) = watcher.watch(&dir, ())
    {
        call.output.note(&format!("looking every {} s: {error}", LOOK_AGAIN.as_secs()));
    }
    reader.print(call, args)?;
    if let (Some(first), true) = (reader.events.missing_before(), reader.wants_all()) {
        call.output.note(&format!("events before number {first} are no longer kept"));
    }
    while args.follow && !reader_gone() {
        // A timeout is a look without a notice.
        receiver.recv_timeout(LOOK_AGAIN).unwrap_or_default();
        while receiver.try_recv().is_ok() {}
        reader.print(call, args)?;
    }
    Ok(if reader.damaged { exit::CORRUPT } else { exit::OK })
}

/// The directory of the state, whether or not the configuration is valid.
pub(super) fn state_dir(call: &Call) -> Result<std::path::PathBuf> {
    let site = Site::find(&call.globals)?;
    if !site.is_initialised() {
        return Err(CommandError::failed(format!("there is no pipeline in {} yet", site.root.display()))
            .hint("Run `pipeline init` to create one, or `pipeline demo` to see one at work."));
    }
    Ok(site.folder().join("state"))
}

/// Whether whoever read our output has gone. A stream that waits would otherwise notice only with its next line.
pub(super) fn reader_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = rustix::stdio::stdout();
    // Asking for nothing still tells about errors and hang-ups.
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

#[derive(Debug)]
struct Reader {
    events: Events,
    known: Known,
    since: Option<Since>,
    damaged: bool,
}

impl Reader {
    /// Prints what is new.
    fn print(&mut self, call: &Call, args: &EventsArgs) -> Result<()> {
        for record in self.events.by_ref() {
            let record = match record {
                Ok(record) => record,
                Err(error) if error.kind() == pipeline_state::ErrorKind::Corrupt => {
                    // The reading goes on behind the damage.
                    self.damaged = true;
                    call.output.note(&format!("{error}; see `pipeline doctor`"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (seq, at) = (record.seq, record.at);
            let event = self.known.event(record);
            if self.since.is_none_or(|since| since.lets_through(seq, at)) && matches(args, &event) {
                call.output.json(&event)?;
            }
        }
        Ok(())
    }

    fn wants_all(&self) -> bool {
        let first = self.events.missing_before().unwrap_or_default();
        self.since.is_none_or(|since| matches!(since, Since::Seq(seq) if seq + 1 < first))
    }
}

fn matches(args: &EventsArgs, event: &Map<String, Value>) -> bool {
    let is = |key: &str, wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| event.get(key).is_some_and(|v| v == wanted))
    };
    is("type", &args.kind) && is("task", &args.task)
}

/// Where the reader wants to begin.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Since {
    /// After this number.
    Seq(u64),
    /// At this moment.
    At(Timestamp),
}

impl Since {
    fn parse(text: &str, now: Timestamp) -> Result<Self> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Seq(seq));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let length = duration::parse(text).map_err(|_| {
            CommandError::usage(format!("`{}` is no number, moment or length of time", one_line(text, 40)))
                .hint("Write `--since 120`, `--since 2026-01-31T08:00:00Z` or `--since 1h`.")
        })?;
        Ok(Self::At(now.checked_sub(length).unwrap_or(Timestamp::MIN)))
    }

    fn lets_through(self, seq: u64, at: Timestamp) -> bool {
        match self {
            Self::Seq(since) => seq > since,
            Self::At(since) => at >= since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_number_a_moment_or_a_length_of_time() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let at = |text: &str| Since::At(text.parse().unwrap());
        assert_eq!(Since::parse("120", now).unwrap(), Since::Seq(120));
        assert_eq!(Since::parse("2026-03-10T14:00:00+02:00", now).unwrap(), at("2026-03-10T12:00:00Z"));
        assert_eq!(Since::parse("1h30m", now).unwrap(), at("2026-03-10T10:30:00Z"));
        assert_eq!(Since::parse("yesterday", now).unwrap_err().code, exit::USAGE);
    }
}
