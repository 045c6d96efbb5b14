//! What the agents of this benchmark are: this program again, in a terminal, printing lines as they are in logs.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Makes this program an agent.
pub(crate) const AGENT: &str = "--agent";
/// The lines of which longer texts are made.
const BLOCK_LINES: usize = 10_000;

/// Does what an agent of this benchmark is told to: `quiet LINES`, `rate LINES` in a second, or `flood BYTES FILE`.
pub(crate) fn main(words: &[String]) {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok()).expect("a number");
    raw();
    match words.first().map(String::as_str) {
        Some("quiet") => quiet(number(1)),
        Some("rate") => rate(number(1)),
        Some("flood") => flood(number(1), Path::new(&words[2])),
        other => panic!("no such agent: {other:?}"),
    }
}

/// Keys come one by one, and are not shown by the kernel.
fn raw() {
    let stdin = io::stdin();
    let mut modes = tcgetattr(&stdin).expect("a terminal");
    modes.make_raw();
    tcsetattr(&stdin, OptionalActions::Now, &modes).expect("a terminal");
}

/// The text of a line, without its end.
pub(crate) fn line(n: usize) -> String {
    let level = ["INFO ", "DEBUG", "INFO ", "WARN "][n % 4];
    let path = ["src/parse.rs", "src/store/journal.rs", "tests/e2e.rs"][n % 3];
    let (minute, second, milli) = (n / 60_000 % 60, n / 1_000 % 60, n % 1_000);
    format!("12:{minute:02}:{second:02}.{milli:03} {level} {path}:{} step {n} took {} us", n % 997, n * 7919 % 10_007)
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).expect("the terminal takes it");
}

/// Prints some lines and then nothing.
fn quiet(lines: usize) {
    let text: String = (0..lines).map(|n| line(n) + "\r\n").collect();
    print(&(text + "quiet now"));
    forever();
}

fn forever() {
    let mut byte = [0];
    while io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {}
}

/// Prints a line at a time, so many in a second, each with the key that was pressed last.
fn rate(per_second: usize) {
    static KEY: AtomicU8 = AtomicU8::new(b'-');
    std::thread::spawn(|| {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {
            KEY.store(byte[0], Ordering::Relaxed);
        }
    });
    let (_sender, nothing) = std::sync::mpsc::channel::<()>();
    let began = Instant::now();
    for n in 0_usize.. {
        let due = Duration::from_secs_f64(n as f64 / per_second as f64);
        let _ = nothing.recv_timeout(due.saturating_sub(began.elapsed()));
        let key = char::from(KEY.load(Ordering::Relaxed));
        print(&format!("<{key}> {}\r\n", line(n)));
    }
}

/// When a key is pressed, prints so many bytes and writes into a file how many nanoseconds passed until the terminal had
/// taken them all in: it answers a question that comes behind them.
fn flood(bytes: usize, file: &Path) {
    let block: String = (0..BLOCK_LINES).map(|n| line(n) + "\r\n").collect();
    print("press a key\r\n");
    let mut byte = [0];
    let mut next = || io::stdin().read(&mut byte).is_ok_and(|read| read > 0).then_some(byte[0]);
    while let Some(key) = next() {
        if key != b'g' {
            continue;
        }
        let began = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let now = left.min(block.len());
            print(&block[..now]);
            left -= now;
        }
        print("\x1b[6n");
        while next().is_some_and(|key| key != b'R') {}
        let took = began.elapsed().as_nanos().to_string();
        let draft = file.with_extension("new");
        fs::write(&draft, took).and_then(|()| fs::rename(&draft, file)).expect("the figure can be written");
    }
}
