//! Patterns of task ids, exactly: what a pattern does not say is not covered, since more than patterns of paths do depends
//! on it. `*` stands for any characters, `?` for one, `[a-c7]` and `[!a-c]` for one of or none of these, `{a,b}` for either,
//! and `\` takes its meaning from what follows. Letter case counts.

/// The longest pattern, in bytes.
const BYTES_MAX: usize = 1024;
/// The most alternatives that one pattern may come to.
const ALTERNATIVES_MAX: usize = 256;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A bracket or brace is not closed, or closes nothing.
    #[error("`{0}` has no counterpart")]
    Unpaired(char),
    /// A class names nothing.
    #[error("`[]` names no character")]
    EmptyClass,
    /// It is longer than anybody would write.
    #[error("it is longer than {BYTES_MAX} bytes, or comes to more than {ALTERNATIVES_MAX} alternatives")]
    TooLong,
}

/// Part of a pattern without alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Exactly this character.
    Char(char),
    /// Any one character.
    Any,
    /// Any characters, or none.
    Star,
    /// One of these, or none of them.
    Class { not: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any | Self::Star => true,
            Self::Class { not, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *not,
        }
    }
}

/// Whether an id is covered by a pattern; by what is none, nothing is.
#[must_use]
pub fn covers(pattern: &str, id: &str) -> bool {
    let id: Vec<char> = id.chars().collect();
    parse(pattern).is_ok_and(|alternatives| alternatives.iter().any(|pieces| matches(pieces, &id)))
}

/// Whether a text is a pattern.
///
/// # Errors
/// When something in it is not closed, or it is too long.
pub fn check(pattern: &str) -> Result<(), PatternError> {
    parse(pattern).map(drop)
}

/// The alternatives of a pattern.
fn parse(pattern: &str) -> Result<Vec<Vec<Piece>>, PatternError> {
    if pattern.len() > BYTES_MAX {
        return Err(PatternError::TooLong);
    }
    let chars: Vec<char> = pattern.chars().collect();
    let mut rest = &chars[..];
    let all = alternatives(&mut rest, false)?;
    // What is left began with a brace that nothing had opened.
    rest.first().map_or(Ok(all), |stray| Err(PatternError::Unpaired(*stray)))
}

/// What follows up to the end, or up to the end of the braces it is in.
fn alternatives(rest: &mut &[char], in_braces: bool) -> Result<Vec<Vec<Piece>>, PatternError> {
    let mut whole: Vec<Vec<Piece>> = Vec::new();
    let mut these: Vec<Vec<Piece>> = vec![Vec::new()];
    while let [c, after @ ..] = *rest {
        if *c == '}' && !in_braces {
            return Err(PatternError::Unpaired('}'));
        }
        *rest = after;
        let piece = match c {
            '}' => {
                whole.append(&mut these);
                return Ok(whole);
            }
            ',' if in_braces => {
                whole.append(&mut these);
                these.push(Vec::new());
                continue;
            }
            '{' => {
                let inner = alternatives(rest, true)?;
                if these.len() * inner.len() + whole.len() > ALTERNATIVES_MAX {
                    return Err(PatternError::TooLong);
                }
                let with =
                    |before: &Vec<Piece>| inner.iter().map(|one| [before.as_slice(), one].concat()).collect::<Vec<_>>();
                these = these.iter().flat_map(with).collect();
                continue;
            }
            '*' => Piece::Star,
            '?' => Piece::Any,
            '[' => class(rest)?,
            '\\' => Piece::Char(take(rest).ok_or(PatternError::Unpaired('\\'))?),
            other => Piece::Char(*other),
        };
        these.iter_mut().for_each(|pieces| pieces.push(piece.clone()));
    }
    if in_braces {
        return Err(PatternError::Unpaired('{'));
    }
    Ok(these)
}

fn take(rest: &mut &[char]) -> Option<char> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// The rest of a class, behind its bracket.
fn class(rest: &mut &[char]) -> Result<Piece, PatternError> {
    let open = PatternError::Unpaired('[');
    let not = matches!(rest.first(), Some('!' | '^'));
    if not {
        take(rest);
    }
    let mut ranges = Vec::new();
    loop {
        let from = match take(rest).ok_or(open)? {
            ']' => break,
            '\\' => take(rest).ok_or(open)?,
            other => other,
        };
        let to = match **rest {
            ['-', to, ..] if to != ']' => {
                *rest = &rest[2..];
                to
            }
            _ => from,
        };
        ranges.push((from.min(to), from.max(to)));
    }
    if ranges.is_empty() { Err(PatternError::EmptyClass) } else { Ok(Piece::Class { not, ranges }) }
}

/// Goes back to the last star where what follows it does not fit.
fn matches(pieces: &[Piece], id: &[char]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut back = None;
    loop {
        match (pieces.get(piece), id.get(at)) {
            (Some(Piece::Star), _) => {
                back = Some((piece, at));
                piece += 1;
            }
            (Some(wanted), Some(c)) if wanted.takes(*c) => {
                piece += 1;
                at += 1;
            }
            (None, None) => return true,
            _ => match back {
                Some((star, from)) if from < id.len() => {
                    back = Some((star, from + 1));
                    (piece, at) = (star + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_says_and_nothing_else() {
        for (pattern, yes, no) in [
            ("TASK-1", &["TASK-1"][..], &["TASK-10", "task-1", "XTASK-1", ""][..]),
            ("TASK-1*", &["TASK-1", "TASK-10", "TASK-1-a"], &["TASK-2"]),
            ("*", &["A", "A.B"], &[]),
            ("*-*-z", &["a-b-z", "--z", "a-z-b-z"], &["a-z", "a-b-zz"]),
            ("A?", &["AB", "A-"], &["A", "ABC"]),
            ("DOC-[12]", &["DOC-1", "DOC-2"], &["DOC-9", "DOC-12", "DOC-", "DOC-[12]"]),
            ("D[a-c-]*", &["Da", "Db1", "D-"], &["Dd", "D"]),
            ("D[!0-9]", &["Da"], &["D1", "D"]),
            ("D[\\]x]", &["D]", "Dx"], &["Dy", "D]x]"]),
            ("{API,CLI}-x", &["API-x", "CLI-x"], &["WEB-x", "API-y", "{API,CLI}-x"]),
            ("{A,B{1,2},}-{x,y}*", &["A-x", "B2-y7", "-x"], &["B-x", "B3-x"]),
            ("a,b", &["a,b"], &["a", "b"]),
            ("\\*", &["*"], &["a"]),
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
            yes.iter().for_each(|id| assert!(covers(pattern, id), "{pattern} covers {id}"));
            no.iter().for_each(|id| assert!(!covers(pattern, id), "{pattern} does not cover {id}"));
        }
    }

    #[test]
    fn what_is_not_closed_is_no_pattern_and_covers_nothing() {
        for (pattern, problem) in [
            ("DOC-[1", PatternError::Unpaired('[')),
            ("{a,b", PatternError::Unpaired('{')),
            ("a}", PatternError::Unpaired('}')),
            ("a\\", PatternError::Unpaired('\\')),
            ("[]", PatternError::EmptyClass),
            ("[!]", PatternError::EmptyClass),
            (&"{a,b}".repeat(9), PatternError::TooLong),
            (&"a".repeat(BYTES_MAX + 1), PatternError::TooLong),
        ] {
            assert_eq!(check(pattern), Err(problem), "{pattern}");
            assert!(!covers(pattern, pattern) && !covers(pattern, "a"), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        assert!(covers(&"a*".repeat(60), &"a".repeat(64)));
        assert!(!covers(&format!("{}b", "*a".repeat(60)), &"a".repeat(64)));
    }
}
