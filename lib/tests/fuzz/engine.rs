//! Fuzzing without instruments: inputs of a corpus are cut, joined, repeated and bent, and fed to a parser that must
//! neither panic nor hang nor grow. Everything is drawn from a seed, so that a failure can be repeated.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest input, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// One input that takes this long hangs, however busy the machine is.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// What the process may grow by, all inputs together.
const GROWTH_MAX_KIB: u64 = 256 * 1024;
/// Bytes that parsers of this program look for.
const INTERESTING: [&[u8]; 30] = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"#",
    b"## Status: ",
    b"COMPLETED",
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x07",
    b"\x9b",
    b"\xff",
    b"\xf5R\xff\n",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x98\x80",
    b"\xcc\x81",
    b"99999999999999999999",
    b"-1",
    b"null",
    b"1e999",
    b"{{",
    b"```",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.next() % end as u64).unwrap_or_default() }
    }
}

fn corpus(dir: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no inputs", dir.display());
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

fn range(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = random.below(bytes.len() + 1);
    let most = if random.below(4) == 0 { bytes.len() - from } else { (bytes.len() - from).min(16) };
    from..from + random.below(most + 1)
}

fn bend(random: &mut Random, bytes: &mut Vec<u8>, all: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(10) {
        0 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        1 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] = random.next().to_le_bytes()[0];
        }
        2 => drop(bytes.drain(range(random, bytes))),
        3 => {
            let piece = bytes[range(random, bytes)].to_vec();
            let most = if random.below(20) == 0 { 2_000 } else { 4 };
            let times = 1 + random.below(most);
            bytes.splice(at..at, piece.repeat(times).into_iter().take(BYTES_MAX));
        }
        4 => bytes.truncate(at),
        5 => {
            let other = &all[random.below(all.len())];
            let piece = other[range(random, other)].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => {
            let other = &all[random.below(all.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        _ => bytes.splice(at..at, INTERESTING[random.below(INTERESTING.len())].iter().copied()).for_each(drop),
    }
    bytes.truncate(BYTES_MAX);
}

fn input(seed: u64, all: &[Vec<u8>]) -> Vec<u8> {
    // The corpus itself comes first.
    if let Some(known) = usize::try_from(seed).ok().and_then(|seed| all.get(seed)) {
        return known.clone();
    }
    let mut random = Random(seed);
    random.next();
    let mut bytes = all[random.below(all.len())].clone();
    for _ in 0..=random.below(8) {
        bend(&mut random, &mut bytes, all);
    }
    bytes
}

/// What the process has in memory, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Feeds a parser with as many inputs as asked for, a thousand times as many with `PIPELINE_LONG=1`, or one seed with
/// `PIPELINE_SEED=N`.
#[expect(clippy::print_stderr, reason = "the harness keeps it and shows it beside a failure")]
pub(crate) fn fuzz(name: &str, inputs: u64, parse: impl Fn(&[u8]) + Send + Sync) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/tests/fuzz/corpus").join(name);
    let all = corpus(&dir);
    if let Some(seed) = std::env::var("PIPELINE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let input = input(seed, &all);
        eprintln!("{name}, seed {seed}: {:?}", String::from_utf8_lossy(&input));
        return parse(&input);
    }
    let long = std::env::var_os("PIPELINE_LONG").is_some_and(|value| value != "0");
    let count = if long { inputs * 1_000 } else { inputs };
    let (begun, before) = (Instant::now(), resident());
    let (progress, watched) = mpsc::channel::<u64>();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let mut last = 0;
            loop {
                match watched.recv_timeout(HANGS_AFTER) {
                    Ok(seed) => last = seed,
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) if over.load(Ordering::Relaxed) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        eprintln!("{name}: seed {last} or one of the next hundred hangs");
                        std::process::abort();
                    }
                }
            }
        });
        for seed in 0..count {
            if seed % 100 == 0 {
                progress.send(seed).unwrap_or_default();
            }
            // What a long run came to counts, even if it is not let to its end.
            if long && seed > 0 && seed % (count / 100) == 0 {
                eprintln!("{name}: {seed} inputs of {count} so far");
            }
            let input = input(seed, &all);
            if catch_unwind(AssertUnwindSafe(|| parse(&input))).is_err() {
                over.store(true, Ordering::Relaxed);
                drop(progress);
                panic!(
                    "{name}: seed {seed} panics; PIPELINE_SEED={seed} repeats it: {:?}",
                    String::from_utf8_lossy(&input)
                );
            }
        }
        drop(progress);
    });
    let growth = resident().saturating_sub(before);
    eprintln!("{name}: {count} inputs from {} in {:.1?}, {growth} KiB more", all.len(), begun.elapsed());
    assert!(growth < GROWTH_MAX_KIB, "{name}: {growth} KiB more after {count} inputs");
}
