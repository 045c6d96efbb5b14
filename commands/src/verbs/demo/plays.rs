//! What the demonstration is about: the code base it begins with, the tasks, and what the scripted agents write for each.
//! Data only; the shell files themselves lie in `toolkit/`.

/// The branch of the scratch repository that work is merged into.
pub(super) const BASE: &str = "main";
/// The gate of the scratch repository.
pub(super) const VERIFY: &str = "sh tests/run.sh";
/// The file whose list of commands two tasks change at the same time.
pub(super) const COMMANDS_FILE: &str = "toolkit";
/// The program that runs every test.
pub(super) const TESTS_FILE: &str = "tests/run.sh";
/// How the line with that list begins.
pub(super) const COMMANDS_LINE: &str = "COMMANDS=\"";

/// The code base at the beginning: paths and contents.
pub(super) const BEGINNING: [(&str, &str); 5] = [
    ("README.md", include_str!("toolkit/README.md")),
    (COMMANDS_FILE, include_str!("toolkit/toolkit.sh")),
    ("lib/version.sh", include_str!("toolkit/lib/version.sh")),
    (TESTS_FILE, include_str!("toolkit/tests/run.sh")),
    ("tests/version.test.sh", include_str!("toolkit/tests/version.test.sh")),
];

/// What does not go smoothly with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// Nothing.
    None,
    /// The first implementation is this one, which is wrong, and its agent claims success all the same.
    WrongFirst(&'static str),
    /// The agent that writes the tests dies half way, the first time.
    DiesFirst,
    /// The architect wants a person to agree to this.
    Asks(&'static str),
}

/// A task and its script.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: &'static str,
    pub(super) priority: u8,
    pub(super) after: &'static [&'static str],
    /// The name of its files in `lib/` and `tests/`.
    pub(super) name: &'static str,
    pub(super) design: &'static str,
    pub(super) code: &'static str,
    pub(super) tests: &'static str,
    /// What it adds to the list of commands.
    pub(super) commands: &'static [&'static str],
    pub(super) twist: Twist,
}

macro_rules! files {
    ($name:literal) => {
        (
            include_str!(concat!("toolkit/lib/", $name, ".sh")),
            include_str!(concat!("toolkit/tests/", $name, ".test.sh")),
        )
    };
}

const TRIM: (&str, &str) = files!("trim");
const CASE: (&str, &str) = files!("case");
const REPEAT: (&str, &str) = files!("repeat");
const JOIN: (&str, &str) = files!("join");
const DURATION: (&str, &str) = files!("duration");
const SLUG: (&str, &str) = files!("slug");
const CSV: (&str, &str) = files!("csv");
const HEADING: (&str, &str) = files!("heading");
const REPORT: (&str, &str) = files!("report");

/// The tasks, in the order in which they are added.
pub(super) static PLAYS: [Play; 9] = [
    Play {
        id: "TASK-001",
        title: "Trim white space",
        body: "A function and a command `trim TEXT` that prints the text without white space at its ends.",
        // The two that change the same line go first and together, so that one of them has to be merged by hand.
        priority: 1,
        after: &[],
        name: "trim",
        design: "`trim TEXT` in lib/trim.sh, with parameter expansion only: no process is started for it. It becomes a \
                 command of `toolkit`. Cases: both ends, neither end, nothing but white space.",
        code: TRIM.0,
        tests: TRIM.1,
        commands: &["trim"],
        twist: Twist::None,
    },
    Play {
        id: "TASK-002",
        title: "Upper and lower case",
        body: "Functions and commands `upper TEXT` and `lower TEXT`.",
        priority: 1,
        after: &[],
        name: "case",
        design: "`upper TEXT` and `lower TEXT` in lib/case.sh, by tr with character classes. Both become commands of \
                 `toolkit`.",
        code: CASE.0,
        tests: CASE.1,
        commands: &["upper", "lower"],
        twist: Twist::None,
    },
    Play {
        id: "TASK-003",
        title: "Repeat a text",
        body: "A function `repeat TEXT COUNT`.",
        priority: 2,
        after: &[],
        name: "repeat",
        design: "`repeat TEXT COUNT` in lib/repeat.sh: a loop that counts down. Cases: many times, once, never.",
        code: REPEAT.0,
        tests: REPEAT.1,
        commands: &[],
        twist: Twist::WrongFirst(include_str!("toolkit/lib/repeat.wrong.sh")),
    },
    Play {
        id: "TASK-004",
        title: "Join words",
        body: "A function `join_with SEPARATOR WORD...`.",
        priority: 2,
        after: &[],
        name: "join",
        design: "`join_with SEPARATOR WORD...` in lib/join.sh; not `join`, which is a program. Cases: several words, \
                 one, none.",
        code: JOIN.0,
        tests: JOIN.1,
        commands: &[],
        twist: Twist::DiesFirst,
    },
    Play {
        id: "TASK-005",
        title: "Read durations",
        body: "A function `duration TEXT` that prints the seconds in a text such as 1h30m.",
        priority: 2,
        after: &[],
        name: "duration",
        design: "`duration TEXT` in lib/duration.sh reads a number and its unit (h, m, s) until nothing is left. A bare \
                 number counts seconds. Anything else is refused with exit code 1.",
        code: DURATION.0,
        tests: DURATION.1,
        commands: &[],
        twist: Twist::Asks("a bare number would count seconds, not minutes: is that what people expect?"),
    },
    Play {
        id: "TASK-006",
        title: "Make slugs",
        body: "A function `slug TEXT` that makes a word for file names of a title.",
        priority: 3,
        after: &["TASK-001", "TASK-002"],
        name: "slug",
        design: "`slug TEXT` in lib/slug.sh, from `trim` and `lower`; everything but letters and digits becomes one \
                 hyphen, none at the ends.",
        code: SLUG.0,
        tests: SLUG.1,
        commands: &[],
        twist: Twist::None,
    },
    Play {
        id: "TASK-007",
        title: "Write CSV",
        body: "Functions `csv_field TEXT` and `csv_row TEXT...`; quoted where they have to be (RFC 4180).",
        priority: 3,
        after: &["TASK-004"],
        name: "csv",
        design: "`csv_field` and `csv_row` in lib/csv.sh, on `join_with`. A field with a comma or a quote is quoted, and \
                 its quotes are doubled (RFC 4180, section 2).",
        code: CSV.0,
        tests: CSV.1,
        commands: &[],
        twist: Twist::None,
    },
    Play {
        id: "TASK-008",
        title: "Underline headings",
        body: "A function `heading TEXT` that prints the text and a line of the same length.",
        priority: 3,
        after: &["TASK-003"],
        name: "heading",
        design: "`heading TEXT` in lib/heading.sh, on `repeat`.",
        code: HEADING.0,
        tests: HEADING.1,
        commands: &[],
        twist: Twist::None,
    },
    Play {
        id: "TASK-009",
        title: "Print a report",
        body: "A function `report TITLE NAME=DURATION...`: a heading, then a table of names and seconds.",
        priority: 3,
        after: &["TASK-005", "TASK-006", "TASK-007", "TASK-008"],
        name: "report",
        design: "`report` in lib/report.sh: `heading`, then a `csv_row` for each entry of its `slug` and its `duration`.",
        code: REPORT.0,
        tests: REPORT.1,
        commands: &[],
        twist: Twist::None,
    },
];

/// The script of a task, if it is one of the demonstration's.
pub(super) fn play(id: &str) -> Option<&'static Play> {
    PLAYS.iter().find(|play| play.id == id)
}

/// The contents of the file with the list of commands, with these added to its list.
pub(super) fn with_commands(content: &str, commands: &[&str]) -> String {
    let line = |line: &str| {
        let list = line.strip_prefix(COMMANDS_LINE).and_then(|rest| rest.strip_suffix('"'));
        let Some(list) = list else { return format!("{line}\n") };
        let mut words: Vec<&str> = list.split_whitespace().collect();
        words.extend(commands.iter().filter(|command| !list.split_whitespace().any(|word| word == **command)));
        format!("{COMMANDS_LINE}{}\"\n", words.join(" "))
    };
    content.lines().map(line).collect()
}

/// Resolves a text with conflict markers: of two versions of the list of commands the one with all of them, of anything
/// else both, ours first.
pub(super) fn resolve(conflicted: &str) -> String {
    let mut out = String::new();
    let mut ours: Option<Vec<&str>> = None;
    let mut theirs: Option<Vec<&str>> = None;
    for line in conflicted.lines() {
        match (line.get(..7).unwrap_or_default(), &mut ours, &mut theirs) {
            ("<<<<<<<", None, _) => ours = Some(Vec::new()),
            ("=======", Some(_), None) => theirs = Some(Vec::new()),
            (">>>>>>>", Some(left), Some(right)) => {
                out.push_str(&both(left, right));
                (ours, theirs) = (None, None);
            }
            (_, Some(_), Some(right)) => right.push(line),
            (_, Some(left), None) => left.push(line),
            (_, None, _) => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn both(ours: &[&str], theirs: &[&str]) -> String {
    if let ([left], [right]) = (ours, theirs)
        && left.starts_with(COMMANDS_LINE)
        && let Some(words) = right.strip_prefix(COMMANDS_LINE).and_then(|rest| rest.strip_suffix('"'))
    {
        let words: Vec<&str> = words.split_whitespace().collect();
        return with_commands(left, &words);
    }
    ours.iter().chain(theirs).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_is_a_task_before() {
        for (index, play) in PLAYS.iter().enumerate() {
            for after in play.after {
                assert!(PLAYS[..index].iter().any(|before| before.id == *after), "{} after {after}", play.id);
            }
        }
        assert!(PLAYS.len() >= 8);
    }

    #[test]
    fn commands_are_added_once() {
        let text = "a\nCOMMANDS=\"version\"\nb\n";
        assert_eq!(with_commands(text, &["trim", "version"]), "a\nCOMMANDS=\"version trim\"\nb\n");
    }

    #[test]
    fn conflicts_are_resolved_to_both_sides() {
        let text = "a\n<<<<<<< HEAD\nCOMMANDS=\"version upper\"\n=======\nCOMMANDS=\"version trim\"\n>>>>>>> main\nb\n\
                    <<<<<<< HEAD\nx\n=======\ny\n>>>>>>> main\n";
        assert_eq!(resolve(text), "a\nCOMMANDS=\"version upper trim\"\nb\nx\ny\n");
    }
}
