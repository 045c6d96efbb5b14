//! What a run leaves for continuous integration: a JUnit report, and the annotations and the summary of GitHub Actions.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use pipeline_lib::ids::TaskId;
use pipeline_lib::text;

use super::end::End;
use super::log::printed;
use super::story::{Came, Entry, Story};
use super::table::{is_counted, table};
use crate::context::Context;
use crate::error::{CommandError, Result, chain};
use crate::supervisor::replace_file;

/// So much of what a failed stage printed is in a report, from its end, in characters.
const PRINTED_CHARS_MAX: usize = 20_000;

/// Writes the JUnit report: one test for each piece of work.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_junit(context: &Context, path: &Path, workflow: &str, story: &Story, end: &End) -> Result<()> {
    let text = junit(workflow, story, end, |entry| output(context, entry));
    replace_file(path, text.as_bytes())
        .map_err(|error| CommandError::cannot_write(format!("cannot write {}: {}", path.display(), chain(&error))))
}

fn output(context: &Context, entry: &Entry) -> String {
    let parts = entry.run.iter().flat_map(|run| printed(context, run));
    parts.map(|(_, printed)| text::tail_bytes(&printed, PRINTED_CHARS_MAX).to_owned()).collect::<Vec<_>>().join("\n")
}

fn junit(workflow: &str, story: &Story, end: &End, output: impl Fn(&Entry) -> String) -> String {
    let entries: Vec<&Entry> = story.entries.iter().filter(|entry| is_counted(entry)).collect();
    let count = |came: Came| entries.iter().filter(|entry| entry.came == came).count();
    // What ended it without any run, such as a person's word, is a failure too.
    let unfinished = *end != End::Completed;
    let (failures, tests) = (count(Came::Failed), entries.len() + usize::from(unfinished));
    let seconds: f64 = entries.iter().map(|entry| entry.seconds).sum();
    let head = format!(
        "name=\"{}\" tests=\"{tests}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{seconds:.3}\"",
        escape(workflow),
        failures + usize::from(unfinished),
        count(Came::Skipped)
    );
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n<testsuite {head}>\n");
    let mut case = |name: &str, seconds: f64, inside: &str| {
        let class = escape(workflow);
        let name = escape(name);
        let _written =
            writeln!(out, "<testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">{inside}</testcase>");
    };
    for entry in &entries {
        let kind = if entry.work == "gate" { " (gate)" } else { "" };
        let name = match entry.attempt {
            0 | 1 => format!("{}{kind}", entry.label),
            n => format!("{}{kind} attempt {n}", entry.label),
        };
        let inside = match entry.came {
            Came::Failed => {
                format!("<failure message=\"{}\">{}</failure>", escape(&entry.why), escape(&output(entry)))
            }
            Came::Skipped => format!("<skipped message=\"{}\"/>", escape(&entry.why)),
            Came::Passed | Came::Void => String::new(),
        };
        case(&name, entry.seconds, &inside);
    }
    if let End::Failed { why, .. } | End::Asks { question: why, .. } = end {
        let message = format!("{}: {why}", end.word());
        case("the whole run", 0.0, &format!("<failure message=\"{}\"/>", escape(&message)));
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

/// As XML 1.0 may hold it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}' => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

/// What GitHub Actions shows of a piece of work: a group with what was printed, and an annotation where it failed.
pub(super) fn github(context: &Context, entry: &Entry) -> Vec<String> {
    if entry.came == Came::Void {
        return Vec::new();
    }
    let label = text::one_line(&entry.label, 100);
    let mut lines = vec![format!("::group::{label} {} in {:.1} s", entry.came.word(), entry.seconds)];
    for (_, printed) in entry.run.iter().flat_map(|run| printed(context, run)) {
        // A command's own text must not be taken for a command to the runner.
        lines.extend(printed.lines().map(|line| {
            if line.trim_start().starts_with("::") || line.contains("##[") {
                format!("| {line}")
            } else {
                line.to_owned()
            }
        }));
    }
    lines.push("::endgroup::".to_owned());
    if entry.came == Came::Failed {
        lines.push(format!("::error title={}::{}", property(&label), data(&entry.why)));
    }
    lines
}

/// What is said of the end where nothing else said it.
pub(super) fn github_end(task: &TaskId, end: &End) -> Option<String> {
    let title = property(task.as_str());
    match end {
        End::Completed => None,
        End::Failed { word, why } => Some(format!("::error title={title}::{}", data(&format!("{word}: {why}")))),
        End::Asks { question, command, .. } => {
            Some(format!("::warning title={title}::{}", data(&format!("{question}; answer with: {command}"))))
        }
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Appends a table to the step summary, where there is one.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_summary(context: &Context, task: &TaskId, story: &Story, end: &End) -> Result<()> {
    let Some(path) = context.environment().get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let (rows, total) = table(&story.entries);
    let cell = |text: &str| text::one_line(text, 100).replace('|', "\\|");
    let mut out = format!(
        "### {} {}\n\n| stage | runs | skipped | time | last |\n|---|--:|--:|--:|---|\n",
        cell(task.as_str()),
        end.word()
    );
    for row in &rows {
        let _written = writeln!(
            out,
            "| {} | {} | {} | {:.1} s | {} |",
            cell(&row.label),
            row.run,
            row.skipped,
            row.seconds,
            cell(&row.last)
        );
    }
    let _written = writeln!(out, "\n{} run, {} skipped, {} repeated\n", total.run, total.skipped, total.repeated);
    let written = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(out.as_bytes()));
    written.map_err(|error| CommandError::cannot_write(format!("cannot write {path}: {}", chain(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_cannot_hold_is_replaced() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}\u{0}é\n"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}\u{fffd}é&#10;");
    }

    #[test]
    fn what_github_reads_is_one_line() {
        assert_eq!(property("a: b, 5%\nc"), "a%3A b%2C 5%25%0Ac");
    }

    #[test]
    fn a_run_that_a_person_ended_is_a_failure() {
        let task = TaskId::new("T").unwrap();
        let end = End::Failed { word: "cancelled".to_owned(), why: "enough".to_owned() };
        let text = junit("tests", &Story::of(task.clone()), &end, |_| String::new());
        assert!(text.contains("tests=\"1\" failures=\"1\"") && text.contains("cancelled: enough"), "{text}");
        assert_eq!(
            pipeline_lib::workflow::figures::read(&pipeline_lib::workflow::Figure::Junit(String::new()), &text),
            Ok(1.0)
        );
        let text = junit("tests", &Story::of(task.clone()), &End::Completed, |_| String::new());
        assert!(text.contains("tests=\"0\" failures=\"0\""), "{text}");
    }
}
