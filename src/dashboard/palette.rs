//! The command palette: every verb of the command line, found by a few letters of its name, and a line to type what it needs.
//! Pure; the verbs come with the start of the dashboard.

use crossterm::event::KeyCode;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use pipeline_commands::dispatch::VerbLine;
use pipeline_lib::view::screen::Tone;

use super::message::{Intent, Key};
use super::model::{Input, Model, Note, Overlay, Page, Purpose};
use super::overlay;
use super::update::{go, toast};

/// What a letter that was typed has to bring, on the average, in what a verb does. One that stands beside the one before it
/// brings more, one for itself less.
const ABOUT_POINTS_MIN: u32 = 18;

/// What is typed, and which of the verbs that fit it is chosen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Palette {
    /// The line.
    pub(super) line: Input,
    /// The chosen row of those that fit.
    pub(super) row: usize,
    /// The verbs that fit, best first, by their place among all.
    pub(super) found: Vec<usize>,
}

/// Opens the palette.
pub(super) fn open(model: &mut Model) {
    let mut palette = Palette { line: Input::new(Purpose::Command), row: 0, found: Vec::new() };
    palette.found = find(&model.verbs, "");
    model.overlay = Some(Overlay::Palette(palette));
}

/// The verb whose whole name begins a line, and what follows it.
pub(super) fn spelled<'a>(verbs: &'a [VerbLine], line: &'a str) -> Option<(&'a VerbLine, &'a str)> {
    let fits = |verb: &&VerbLine| {
        let rest = line.strip_prefix(verb.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let longest = verbs.iter().filter(fits).max_by_key(|verb| verb.path.len())?;
    Some((longest, line.get(longest.path.len()..).unwrap_or_default()))
}

/// The verbs that fit what is typed, best first.
fn find(verbs: &[VerbLine], typed: &str) -> Vec<usize> {
    if typed.trim().is_empty() {
        return (0..verbs.len()).collect();
    }
    if let Some((verb, rest)) = spelled(verbs, typed)
        && !rest.is_empty()
    {
        return verbs.iter().position(|other| other == verb).into_iter().collect();
    }
    let letters = typed.chars().filter(|c| !c.is_whitespace()).count();
    let about_min = u32::try_from(letters).unwrap_or(u32::MAX).saturating_mul(ABOUT_POINTS_MIN);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    let mut buffer = Vec::new();
    let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
    let scored = verbs.iter().enumerate().filter_map(|(at, verb)| {
        // A verb is looked for by its name first, and by what it does where no name fits as well.
        let name = score(&verb.path).map(|points| points.saturating_mul(4));
        // Letters that are strewn over a sentence say nothing about it.
        let about = score(&format!("{} {}", verb.path, verb.about)).filter(|points| *points >= about_min);
        Some((name.max(about)?, at))
    });
    let mut scored: Vec<(u32, usize)> = scored.collect();
    // Of two that fit as well, the shorter name is nearer to what was typed.
    let length = |at: usize| verbs.get(at).map_or(0, |verb| verb.path.len());
    scored.sort_by_key(|(points, at)| (std::cmp::Reverse(*points), length(*at), *at));
    scored.into_iter().map(|(_, at)| at).collect()
}

/// Gives a key to the palette.
pub(super) fn on_key(model: &mut Model, mut palette: Palette, key: Key) -> Vec<Intent> {
    let last = palette.found.len().saturating_sub(1);
    match key.to_string().as_str() {
        "<down>" | "<c-n>" => palette.row = (palette.row + 1).min(last),
        "<up>" | "<c-p>" => palette.row = palette.row.saturating_sub(1),
        "<tab>" => complete(model, &mut palette),
        "<enter>" => return entered(model, palette),
        _ if key.code == KeyCode::Esc => return Vec::new(),
        _ => {
            overlay::edit(&mut palette.line, key);
            changed(model, &mut palette);
        }
    }
    model.overlay = Some(Overlay::Palette(palette));
    Vec::new()
}

/// Looks anew for what fits.
pub(super) fn changed(model: &Model, palette: &mut Palette) {
    palette.found = find(&model.verbs, &palette.line.text());
    palette.row = 0;
}

/// Writes the chosen verb into the line, with the task or agent that is selected where it needs one.
fn complete(model: &Model, palette: &mut Palette) {
    let Some(verb) = palette.found.get(palette.row).and_then(|at| model.verbs.get(*at)) else { return };
    let mut line = verb.path.clone();
    if !verb.needs.is_empty() {
        line.push(' ');
        let first = verb.needs.split(' ').next().unwrap_or_default();
        let selected = match first {
            "<TASK>" | "<ID>" | "<TASK|AGENT>" => model.target_task().map(|task| task.to_string()),
            "<NAME>" | "<AGENT>" => model.target_agent().map(|agent| agent.to_string()),
            _ => None,
        };
        line.extend(selected);
    }
    palette.line.before = line;
    palette.line.after.clear();
    changed(model, palette);
}

fn entered(model: &mut Model, mut palette: Palette) -> Vec<Intent> {
    let typed = palette.line.text();
    let typed = typed.trim();
    let ready = spelled(&model.verbs, typed).filter(|(verb, rest)| verb.needs.is_empty() || !rest.trim().is_empty());
    let Some((verb, _)) = ready else {
        let Some(verb) = palette.found.get(palette.row).and_then(|at| model.verbs.get(*at)) else {
            toast(model, format!("no command is called `{typed}`"), Tone::Attention);
            model.overlay = Some(Overlay::Palette(palette));
            return Vec::new();
        };
        if verb.needs.is_empty() {
            let verb = verb.clone();
            return perform(model, &verb, vec![verb.path.clone()]);
        }
        complete(model, &mut palette);
        model.overlay = Some(Overlay::Palette(palette));
        return Vec::new();
    };
    let verb = verb.clone();
    match split(typed) {
        Some(words) => perform(model, &verb, words),
        None => {
            toast(model, "a quote is not closed".to_owned(), Tone::Attention);
            model.overlay = Some(Overlay::Palette(palette));
            Vec::new()
        }
    }
}

fn perform(model: &mut Model, verb: &VerbLine, words: Vec<String>) -> Vec<Intent> {
    let argv: Vec<String> = match words.as_slice() {
        [path] => path.split(' ').map(str::to_owned).collect(),
        _ => words,
    };
    if verb.path == "agent attach" {
        let name = argv.get(2);
        let row = name.and_then(|name| model.screen.agents.iter().find(|row| row.name.as_str() == name.as_str()));
        if let Some(row) = row {
            model.agent = Some(row.name.clone());
            return go(model, Page::Panes);
        }
    }
    let endless = argv.iter().take_while(|word| *word != "--").any(|word| {
        matches!(word.as_str(), "-f" | "--follow" | "--watch")
            && matches!(argv[0].as_str(), "logs" | "events" | "status" | "agent")
    });
    if !verb.answers || endless {
        let lines = vec![
            "It needs a terminal of its own, or goes on until it is ended.".to_owned(),
            "Agents keep running when you leave this screen (q).".to_owned(),
        ];
        let hint = Some(format!("Type in a shell: pipeline {}", argv.join(" ")));
        model.overlay =
            Some(Overlay::Message(Note { title: verb.path.clone(), lines, hint, tone: Tone::Attention, scroll: 0 }));
        return Vec::new();
    }
    vec![Intent::Verb(argv)]
}

/// Words as a shell would part them: by spaces, but for those in quotes or behind a backslash. None where a quote is open.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_a_shell_does() {
        for (line, expected) in [
            ("task add Fix it", &["task", "add", "Fix", "it"][..]),
            ("task add \"Fix it\" --priority 1", &["task", "add", "Fix it", "--priority", "1"]),
            ("a 'b \"c' d\\ e \"\"", &["a", "b \"c", "d e", ""]),
            ("", &[]),
        ] {
            assert_eq!(
                split(line).as_deref(),
                Some(&expected.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
        assert_eq!(split("task add \"Fix"), None);
    }

    #[test]
    fn every_verb_is_found_by_its_name() {
        let verbs = pipeline_commands::dispatch::verbs();
        assert!(verbs.len() > 50, "{}", verbs.len());
        for (at, verb) in verbs.iter().enumerate() {
            assert_eq!(find(&verbs, &verb.path).first(), Some(&at), "{}", verb.path);
        }
        let first = |typed| verbs[find(&verbs, typed)[0]].path.clone();
        assert_eq!(first("tadd"), "task add");
        assert_eq!(first("rocheck"), "rollout check");
        assert!(find(&verbs, "zzzz").is_empty());
        let of = |typed| find(&verbs, typed).into_iter().map(|at| &verbs[at]).collect::<Vec<_>>();
        let near = of("metrics");
        assert!(near.iter().all(|verb| format!("{} {}", verb.path, verb.about).contains("metric")), "{near:?}");
    }
}
