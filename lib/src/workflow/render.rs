//! Templates: the texts of a workflow with `{{ placeholders }}`, rendered over plain JSON values. What a placeholder
//! gives a shell command is quoted for the place where it stands, so that no value is ever read as a command; prompts
//! and parameters are rendered as they are. Nothing here knows which values there are.
//!
//! The language is Jinja's, strict: a placeholder without a value is an error, never an empty text. A comment is
//! `{## … ##}`, because `{#` is part of a shell's `${#name}`.

mod quote;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::Value as Json;

use crate::text::{nearest, one_line};

/// How many steps a template may take: enough for lists of thousands, an end to loops without one.
const FUEL: u64 = 100_000;
/// The longest text that is rendered. An argument of a program cannot be longer on Linux.
const RENDERED_BYTES_MAX: usize = 128 * 1024;
/// Filters that mark a text as quoted already, which nothing is here but what went through `raw`.
const FILTERS_WITHOUT: [&str; 3] = ["safe", "escape", "e"];
/// What the templates of a workflow can name besides parameters.
pub const ROOTS: [&str; 6] = ["params", "matrix", "task", "stage", "base", "outputs"];
/// What a template may name without anybody giving it a value.
const BUILT_IN: [&str; 5] = ["range", "dict", "namespace", "debug", "loop"];

/// Why a template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A placeholder has no value.
    #[error("`{{{{ {name} }}}}` has no value{}", meant(.suggestion.as_deref()))]
    Missing {
        /// The placeholder, as far as it has no value.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// It is not a template.
    #[error("line {line}: {problem}; write {{% raw %}}…{{% endraw %}} around braces that are meant as they are")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// It is a template, but what it computes cannot be computed.
    #[error("line {line}: {problem}")]
    Failed {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No quoting would make the value harmless where it stands.
    #[error("a value cannot be quoted {place}; {advice}")]
    Place {
        /// Where it stands.
        place: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// It does not end, or would be too long.
    #[error("it renders to more than can be run")]
    TooMuch,
}

fn meant(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Whether a text has anything to render.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{##")
}

/// Renders a command for a POSIX shell. Every value is quoted for the place where it stands, in quotes or outside;
/// `| raw` leaves it as it is. The items of a list become words of their own.
///
/// # Errors
/// When a placeholder has no value, the template is not one, or a value cannot be quoted where it stands.
pub fn shell(template: &str, vars: &Json) -> Result<String, RenderError> {
    static QUOTING: LazyLock<Environment<'static>> = LazyLock::new(|| environment(write_marked));
    if !is_template(template) {
        return Ok(template.to_owned());
    }
    quote::apply(&render(&QUOTING, template, vars)?)
}

/// Renders a text as it is. Lists and objects become JSON.
///
/// # Errors
/// When a placeholder has no value, or the template is not one.
pub fn text(template: &str, vars: &Json) -> Result<String, RenderError> {
    static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(write_plain));
    if !is_template(template) {
        return Ok(template.to_owned());
    }
    render(&PLAIN, template, vars)
}

/// What a template needs: names and dotted paths, such as `params.target`.
///
/// # Errors
/// When it is not a template.
pub fn names(template: &str) -> Result<BTreeSet<String>, RenderError> {
    static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(write_plain));
    if !is_template(template) {
        return Ok(BTreeSet::new());
    }
    if let Some(names) = plain_names(template) {
        return Ok(names);
    }
    let parsed = PLAIN.template_from_named_str("template", template).map_err(|error| describe(&error))?;
    Ok(needed(&parsed))
}

/// The names of a template in which nothing but names stands between the braces, as in most; such a one needs no parser.
fn plain_names(template: &str) -> Option<BTreeSet<String>> {
    if template.contains("{%") || template.contains("{##") {
        return None;
    }
    let mut names = BTreeSet::new();
    let mut rest = template;
    while let Some((_, from)) = rest.split_once("{{") {
        let (inner, after) = from.split_once("}}")?;
        let name = inner.trim();
        let root = name.split('.').next().unwrap_or_default();
        let is_word = ["true", "false", "none", "not"].iter().any(|word| root.eq_ignore_ascii_case(word));
        if !is_path(name) || is_word || BUILT_IN.contains(&root) {
            return None;
        }
        names.insert(name.to_owned());
        rest = after;
    }
    Some(names)
}

/// Fills in `{placeholders}` of one brace, as prompts of other tools have them: a name, or a path with dots, that has a
/// value at the top or among `params`. Everything else is left as it is.
#[must_use]
pub fn placeholders(prompt: &str, vars: &Json) -> String {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fill_in(prompt, |name| look_up(vars, name).map(text))
}

/// What a prompt names in braces of one.
#[must_use]
pub fn placeholder_names(prompt: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _as_it_was = fill_in(prompt, |name| {
        names.insert(name.to_owned());
        None
    });
    names
}

fn fill_in(prompt: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(prompt.len());
    let mut rest = prompt;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let braces = from.len() - from.trim_start_matches('{').len();
        let end = from.find('}').filter(|end| braces == 1 && !from[end + 1..].starts_with('}'));
        let name = end.map(|end| (end, &from[1..end])).filter(|(_, name)| is_path(name));
        match name.and_then(|(end, name)| Some((end, value(name)?))) {
            Some((end, value)) => {
                out.push_str(&value);
                rest = &from[end + 1..];
            }
            None => {
                let skipped = braces.max(1);
                out.push_str(&from[..skipped]);
                rest = &from[skipped..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn is_path(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.split('.').all(part)
}

fn look_up<'v>(vars: &'v Json, path: &str) -> Option<&'v Json> {
    let along = |from: &'v Json| path.split('.').try_fold(from, |here, part| here.get(part));
    along(vars).or_else(|| along(vars.get("params")?))
}

type Formatter = fn(&mut Output<'_>, &mut State<'_, '_>, &Value) -> Result<(), Error>;

fn environment(formatter: Formatter) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_formatter(formatter);
    // The delimiters are constant and differ from one another.
    if let Ok(syntax) = SyntaxConfig::builder().comment_delimiters("{##", "##}").keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    for filter in FILTERS_WITHOUT {
        env.remove_filter(filter);
    }
    env.add_filter("raw", |value: Value| Value::from_object(Raw(value)));
    env
}

fn render(env: &Environment<'_>, template: &str, vars: &Json) -> Result<String, RenderError> {
    let parsed = env.template_from_named_str("template", template).map_err(|error| describe(&error))?;
    let rendered = parsed.render(Value::from(Serde(vars))).map_err(|error| {
        let missing = (error.kind() == ErrorKind::UndefinedError).then(|| missing(&needed(&parsed), vars)).flatten();
        missing.unwrap_or_else(|| describe(&error))
    })?;
    if rendered.len() > RENDERED_BYTES_MAX { Err(RenderError::TooMuch) } else { Ok(rendered) }
}

fn needed(parsed: &minijinja::Template<'_, '_>) -> BTreeSet<String> {
    let built_in = |name: &String| BUILT_IN.contains(&name.split('.').next().unwrap_or_default());
    parsed.undeclared_variables(true).into_iter().filter(|name| !built_in(name)).collect()
}

/// The first of some paths that leads nowhere.
fn missing(names: &BTreeSet<String>, vars: &Json) -> Option<RenderError> {
    names.iter().find_map(|path| {
        let mut here = vars;
        let mut end = 0;
        for part in path.split('.') {
            end += part.len();
            let Some(next) = here.get(part) else {
                let known = here.as_object().into_iter().flat_map(|object| object.keys());
                let before = &path[..end - part.len()];
                let suggestion = nearest(part, known.map(String::as_str)).map(|meant| format!("{before}{meant}"));
                return Some(RenderError::Missing { name: path[..end].to_owned(), suggestion });
            };
            here = next;
            end += 1;
        }
        None
    })
}

fn describe(error: &Error) -> RenderError {
    let line = error.line().unwrap_or(1);
    let problem = one_line(error.detail().unwrap_or_default(), 200);
    let problem = if problem.is_empty() { error.kind().to_string() } else { problem };
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => RenderError::Syntax { line, problem },
        ErrorKind::OutOfFuel => RenderError::TooMuch,
        _ => RenderError::Failed { line, problem },
    }
}

/// A value that is not quoted.
#[derive(Debug)]
struct Raw(Value);

impl Object for Raw {
    fn render(self: &std::sync::Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&words(&self.0))
    }
}

/// A value as a text.
fn words(value: &Value) -> String {
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return words(&raw.0);
    }
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::None | ValueKind::Undefined => String::new(),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            serde_json::to_string(value).unwrap_or_else(|_| value.to_string())
        }
        _ => value.to_string(),
    }
}

fn write_plain(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    refuse_undefined(value)?;
    Ok(out.write_str(&words(value))?)
}

/// Writes a value between marks, so that it is quoted once it is known where it stands.
fn write_marked(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    refuse_undefined(value)?;
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return Ok(out.write_str(&unmarked(&raw.0)?)?);
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(write!(out, "{0}{1}{0}", quote::MARK, unmarked(value)?)?);
    }
    for (at, item) in value.try_iter()?.enumerate() {
        let gap = if at == 0 { "" } else { " " };
        write!(out, "{gap}{0}{1}{0}", quote::MARK, unmarked(&item)?)?;
    }
    Ok(())
}

fn unmarked(value: &Value) -> Result<String, Error> {
    let words = words(value);
    if words.contains(quote::MARK) {
        // No command can have the character; where it is a mark, the text was put together by a block.
        let problem = "a value has a NUL character, or was put together by a block; use it where it is needed";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(words)
}

fn refuse_undefined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
