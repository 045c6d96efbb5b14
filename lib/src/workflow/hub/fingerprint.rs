//! By what a failure is recognised again: its stage and its error, without what differs from one time to the next. Paths,
//! addresses, ids, times and figures say where and when it happened, not what.

use super::ERROR_CHARS_MAX;
use crate::ids::StageId;
use crate::text;

/// The last line of an output that says something; empty where none does.
#[must_use]
pub fn last_words(output: &str) -> &str {
    let says = |line: &&str| line.chars().any(char::is_alphanumeric) && !line.trim_start().starts_with("DECISION:");
    output.lines().rev().find(says).unwrap_or_default().trim()
}

/// A failure as it is recognised again.
#[must_use]
pub fn fingerprint(stage: &StageId, error: &str) -> String {
    let line = text::one_line(last_words(error), 4 * ERROR_CHARS_MAX).to_lowercase();
    let words: Vec<String> = line.split(' ').map(normal).collect();
    let normal: String = words.join(" ").chars().take(ERROR_CHARS_MAX).collect();
    format!("{stage}: {normal}")
}

/// A word without what differs, the marks around it kept.
fn normal(word: &str) -> String {
    let is_mark = |c: char| !(c.is_alphanumeric() || matches!(c, '/' | '~' | '.' | '_'));
    let core = word.trim_matches(is_mark).trim_end_matches('.');
    let Some(at) = word.find(core).filter(|_| !core.is_empty()) else { return word.to_owned() };
    let (before, after) = (&word[..at], &word[at + core.len()..]);
    // Behind the path of a file often stands where in it.
    let is_path = core.contains('/') && core.chars().any(char::is_alphanumeric);
    let core = if is_path { "<path>".to_owned() } else { figures(core) };
    format!("{before}{core}{after}")
}

/// Numbers, hexadecimal numbers, UUIDs and times as one sign each.
fn figures(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.get(..36).filter(|text| is_uuid(text)).and_then(|_| rest.get(36..)) {
            push_figure(&mut out);
            rest = behind;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (part, behind) = rest.split_at(end);
        rest = behind;
        let digits = part.strip_prefix("0x").unwrap_or(part);
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit()) && part.bytes().any(|b| b.is_ascii_digit());
        if is_hex && (digits.len() >= 6 || digits.len() < part.len()) {
            push_figure(&mut out);
            continue;
        }
        for c in part.chars() {
            if c.is_ascii_digit() {
                push_figure(&mut out);
            } else {
                out.push(c);
            }
        }
    }
    out
}

/// One sign for a figure, and for several with nothing but a separator between: a time, a version, an address.
fn push_figure(out: &mut String) {
    let joined = out.strip_suffix([':', '.', ',', '-', '+', 't']).is_some_and(|before| before.ends_with('#'));
    if joined {
        out.pop();
    } else if !out.ends_with('#') {
        out.push('#');
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(error: &str) -> String {
        fingerprint(&StageId::new("a").unwrap(), error)
    }

    #[test]
    fn what_differs_from_one_time_to_the_next_does_not_count() {
        for (one, other) in [
            ("first\nPort  3333 in use by PID 41\n", "other\nport 8 in use by pid 7"),
            ("cannot lock /tmp/x1/db.lock: busy", "cannot lock /var/lib/y/db.lock: busy"),
            ("block 0x1f3 is damaged", "block 0xabcdef01 is damaged"),
            ("at commit 1a2b3c4d: no", "at commit 99aa77bb66: no"),
            ("job 550e8400-e29b-41d4-a716-446655440000 died", "job 67e55044-10b1-426f-9247-bb680e5fe0c8 died"),
            ("[2026-01-02T10:11:12Z] no answer", "[2026-11-30T23:00:01.25Z] no answer"),
            ("10:11:12 no answer", "9:05 no answer"),
            ("127.0.0.1:8080: refused", "10.1.2.3:99: refused"),
            ("took 12ms", "took 7ms"),
            ("cannot open 'data/a.txt'", "cannot open 'other/b.txt'"),
        ] {
            assert_eq!(print(one), print(other));
        }
        let long = |n: usize| format!("/{}: no such file", "d".repeat(n));
        assert_eq!(print(&long(10)), print(&long(300)), "a long path pushes nothing out");
    }

    #[test]
    fn what_is_something_else_stays_something_else() {
        assert_ne!(print("port in use"), fingerprint(&StageId::new("b").unwrap(), "port in use"));
        assert_ne!(print("port in use"), print("port not in use"));
        assert_ne!(print("deadbeef is no word"), print("face is no word"));
        assert_ne!(print("cannot open /a"), print("cannot read /a"));
    }

    #[test]
    fn the_last_words_are_the_last_line_that_says_something() {
        assert_eq!(last_words("one\ntwo\n\n----\n}\n"), "two");
        assert_eq!(last_words("no port\nDECISION: pool_failure\n"), "no port");
        assert_eq!(last_words("\n\n"), "");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,80}") {
            let once = print(&text);
            prop_assert!(once.chars().count() <= ERROR_CHARS_MAX + 3);
        }
    }
}
