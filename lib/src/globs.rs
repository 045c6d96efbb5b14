//! Patterns of paths that a task may touch, and whether two of them can meet.
//!
//! `*` and `?` stay within a folder, `**` crosses folders, and a pattern that ends in a plain name or a slash covers
//! everything below it. A pattern of a single part with a wildcard, such as `*.rs`, applies in every folder. Character
//! classes `[..]` stand for any one character and alternatives `{a,b}` for anything: the answer to "could these two tasks
//! touch the same file" may be a needless yes, never a wrong no. Letter case counts. No folder is ever read.

/// The longest pattern that is looked at; a longer one is taken to match everything.
const PATTERN_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Exactly this character.
    Char(char),
    /// Any one character.
    Any,
    /// Any characters, or none.
    Star,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any number of folders, also none: `**`.
    Deep,
    /// One name.
    Name(Vec<Token>),
}

/// Whether a path, relative to the repository, is covered by a pattern.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let names: Vec<Vec<char>> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").map(|name| name.chars().collect()).collect();
    // One row of a table: `reached[n]` says whether the parts so far can cover the first `n` names.
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for part in parse(pattern) {
        let before = reached;
        reached = vec![false; names.len() + 1];
        match part {
            Part::Deep => {
                let mut any = false;
                for (now, was) in reached.iter_mut().zip(&before) {
                    any |= was;
                    *now = any;
                }
            }
            Part::Name(tokens) => {
                for (n, name) in names.iter().enumerate() {
                    reached[n + 1] = before[n] && name_matches(&tokens, name);
                }
            }
        }
    }
    reached[names.len()]
}

/// Whether there is a path that both patterns cover.
#[must_use]
pub fn overlap(a: &str, b: &str) -> bool {
    // A pattern that climbs out of the repository cannot be placed, so it may be anywhere.
    if climbs(a) || climbs(b) {
        return true;
    }
    let (a, b) = (parse(a), parse(b));
    meets(
        &a,
        &b,
        |part| matches!(part, Part::Deep),
        |x, y| match (x, y) {
            (Part::Name(x), Part::Name(y)) => names_meet(x, y),
            (Part::Deep, Part::Deep | Part::Name(_)) | (Part::Name(_), Part::Deep) => true,
        },
    )
}

fn climbs(pattern: &str) -> bool {
    pattern.split('/').any(|part| part == "..")
}

fn parse(pattern: &str) -> Vec<Part> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return vec![Part::Deep];
    }
    let mut parts = Vec::new();
    let mut wild = false;
    let mut open_braces = false;
    for text in pattern.split('/').filter(|text| !text.is_empty() && *text != ".") {
        // Alternatives that span folders have no fixed number of parts; from there on anything may follow.
        if brace_is_unclosed(text) && pattern.contains('}') {
            open_braces = true;
            break;
        }
        wild = false;
        if text == "**" {
            parts.push(Part::Deep);
        } else {
            let tokens = tokens(text);
            wild = tokens.iter().any(|token| !matches!(token, Token::Char(_)));
            parts.push(Part::Name(tokens));
        }
    }
    let single = parts.len() == 1 && !pattern.contains('/');
    if open_braces || parts.is_empty() || !wild || pattern.ends_with('/') {
        parts.push(Part::Deep);
    } else if single {
        parts.insert(0, Part::Deep);
    }
    parts
}

fn brace_is_unclosed(text: &str) -> bool {
    text.rfind('{').is_some_and(|open| !text[open..].contains('}'))
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let token = match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => match class_end(rest) {
                Some(end) => {
                    rest = &rest[end..];
                    Token::Any
                }
                None => Token::Char(c),
            },
            '{' => match rest.find('}') {
                Some(end) => {
                    rest = &rest[end + 1..];
                    Token::Star
                }
                None => Token::Char(c),
            },
            '\\' => match rest.chars().next() {
                Some(escaped) => {
                    rest = &rest[escaped.len_utf8()..];
                    Token::Char(escaped)
                }
                None => Token::Char(c),
            },
            other => Token::Char(other),
        };
        // Two stars in a row say nothing more than one and would only cost time.
        if token != Token::Star || out.last() != Some(&Token::Star) {
            out.push(token);
        }
    }
    out
}

/// Where a character class ends, given what follows its `[`. A `]` at its beginning belongs to it.
fn class_end(text: &str) -> Option<usize> {
    let negation = usize::from(text.starts_with(['!', '^']));
    let literal = usize::from(text[negation..].starts_with(']'));
    let skip = negation + literal;
    text[skip..].find(']').map(|at| skip + at + 1)
}

fn name_matches(tokens: &[Token], name: &[char]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for token in tokens {
        let before = reached;
        reached = vec![false; name.len() + 1];
        match token {
            Token::Star => {
                let mut any = false;
                for (now, was) in reached.iter_mut().zip(&before) {
                    any |= was;
                    *now = any;
                }
            }
            Token::Any => reached[1..].copy_from_slice(&before[..name.len()]),
            Token::Char(wanted) => {
                for (n, c) in name.iter().enumerate() {
                    reached[n + 1] = before[n] && c == wanted;
                }
            }
        }
    }
    reached[name.len()]
}

fn names_meet(a: &[Token], b: &[Token]) -> bool {
    meets(
        a,
        b,
        |token| *token == Token::Star,
        |x, y| match (x, y) {
            (Token::Char(x), Token::Char(y)) => x == y,
            (Token::Any | Token::Star, Token::Any | Token::Star | Token::Char(_))
            | (Token::Char(_), Token::Any | Token::Star) => true,
        },
    )
}

/// Whether two sequences with repeating elements have a common instance. `many` says which elements stand for any number
/// of others, `same` whether two single elements can be the same thing. One row per element of `a`, from its end.
fn meets<T>(a: &[T], b: &[T], many: impl Fn(&T) -> bool, same: impl Fn(&T, &T) -> bool) -> bool {
    // `below[j]`: what is left of `a` after this element can meet `b[j..]`.
    let mut below: Vec<bool> = (0..=b.len()).map(|j| b[j..].iter().all(&many)).collect();
    for x in a.iter().rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let y = b.get(j);
            row[j] = if many(x) {
                below[j] || (j < b.len() && row[j + 1])
            } else {
                match y {
                    Some(y) if many(y) => row[j + 1] || below[j],
                    Some(y) => same(x, y) && below[j + 1],
                    None => false,
                }
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_what_their_writers_mean() {
        for (pattern, path, expected) in [
            ("src/**", "src/a.rs", true),
            ("src/**", "src/a/b/c.rs", true),
            ("src/**", "srcs/a.rs", false),
            ("src/**", "tests/a.rs", false),
            ("*.rs", "main.rs", true),
            ("*.rs", "src/deep/main.rs", true),
            ("/*.rs", "src/main.rs", false),
            ("/*.rs", "main.rs", true),
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("docs/", "docs/a/b.md", true),
            ("docs", "docs/a.md", true),
            ("docs", "docs2/a.md", false),
            ("docs", "x/docs/a.md", false),
            ("./src/a.rs", "src/a.rs", true),
            ("src/a.rs", "src/A.rs", false),
            ("crates/*/src", "crates/x/src/lib.rs", true),
            ("**/test_*.py", "a/b/test_x.py", true),
            ("**/test_*.py", "test_x.py", true),
            ("src/?.rs", "src/a.rs", true),
            ("src/?.rs", "src/ab.rs", false),
            ("src/[ab].rs", "src/a.rs", true),
            ("src/{a,b}.rs", "src/b.rs", true),
            ("src/{a,b/c}.rs", "src/b/c.rs", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("x[", "x[", true),
            (".", "anything/at/all", true),
            ("", "anything", true),
            ("../up", "up", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn overlaps_are_found_and_disjoint_patterns_are_not_confused() {
        for (a, b, expected) in [
            ("src/**", "src/a.rs", true),
            ("src/**", "tests/**", false),
            ("src/api/**", "src/ui/**", false),
            ("src", "src/ui/x.rs", true),
            ("*.rs", "src/**", true),
            ("*.rs", "*.py", false),
            ("src/*.rs", "src/a*", true),
            ("src/*.rs", "src/*.py", false),
            ("a*b", "b*a", false),
            ("**/x", "y/**", true),
            ("src/a.rs", "src/a.rs", true),
            ("src/a.rs", "src/b.rs", false),
            ("src/[a-c].rs", "src/d.rs", true),
            ("../x", "y", true),
            ("docs/", "docs/a/b", true),
            ("", "x", true),
            ("src/{a,b}/x", "src/c/x", true),
            ("src/{a,b}/x", "src/c/y", false),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} with {b}");
            assert_eq!(overlap(b, a), expected, "{b} with {a}");
        }
    }

    #[test]
    fn hostile_patterns_cost_little() {
        let stars = "*a".repeat(500);
        assert!(!matches(&stars, &"b".repeat(4000)));
        assert!(overlap(&stars, &"*".repeat(1000)));
        assert!(overlap(&"x".repeat(100_000), "y"), "too long to look at means it may be anywhere");
    }

    /// All paths of up to four names of up to two letters over a small alphabet.
    fn all_paths() -> Vec<String> {
        let names: Vec<String> = ["a", "b", "aa", "ab", "ba", "bb"].map(String::from).to_vec();
        let mut paths = names.clone();
        let mut last = names.clone();
        for _ in 0..3 {
            last = last.iter().flat_map(|path| names.iter().map(move |name| format!("{path}/{name}"))).collect();
            paths.extend(last.iter().cloned());
        }
        paths
    }

    /// The rules once more, written as plainly as possible: tries every way.
    fn slow_parts(pattern: &[&str], path: &[&str]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((&"**", rest)) => (0..=path.len()).any(|n| slow_parts(rest, &path[n..])),
            Some((name, rest)) => path.split_first().is_some_and(|(first, others)| {
                slow_name(name.as_bytes(), first.as_bytes()) && slow_parts(rest, others)
            }),
        }
    }

    fn slow_name(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| slow_name(rest, &name[n..])),
            Some((b'?', rest)) => !name.is_empty() && slow_name(rest, &name[1..]),
            Some((c, rest)) => name.first() == Some(c) && slow_name(rest, &name[1..]),
        }
    }

    fn slow(pattern: &str, path: &str) -> bool {
        let mut parts: Vec<&str> = pattern.split('/').collect();
        let last = parts[parts.len() - 1];
        let wild = last != "**" && last.contains(['*', '?']);
        if parts.len() == 1 && wild {
            parts.insert(0, "**");
        } else if !wild {
            parts.push("**");
        }
        slow_parts(&parts, &path.split('/').collect::<Vec<_>>())
    }

    fn small_pattern() -> impl Strategy<Value = String> {
        // Two parts at most: where patterns of more meet only on paths that are longer than those tried, both would be right.
        proptest::collection::vec("[ab*?]{1,2}", 1..=2).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_trying_every_path(a in small_pattern(), b in small_pattern()) {
            let mut common = false;
            for path in all_paths() {
                prop_assert_eq!(matches(&a, &path), slow(&a, &path), "{} on {}", a, path);
                common |= slow(&a, &path) && slow(&b, &path);
            }
            prop_assert_eq!(overlap(&a, &b), common, "{} with {}", a, b);
        }

        #[test]
        fn never_panics(a in "\\PC{0,30}", b in "[a-z*?/\\[\\]{}\\\\!^.]{0,30}") {
            let met = overlap(&a, &b);
            prop_assert_eq!(met, overlap(&b, &a));
            if matches(&b, &a) && !a.contains(['*', '?', '[', '{', '\\']) {
                prop_assert!(overlap(&b, &a));
            }
        }
    }
}
