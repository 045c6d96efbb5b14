//! JSON files in a folder: found, read, and their places named by JSON pointer.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use pipeline_lib::workflow::parse::About;
use serde_json::Value;

use super::load::{read_source, shown};
use super::node::{self, Node};
use super::problem::{LocatedProblem, Place, SourceText};

mod doubles;
mod syntax;

/// A JSON file that was read.
pub(crate) struct Document {
    source: Arc<SourceText>,
    value: Value,
    /// Whether some object has two fields of one name.
    doubled: bool,
}

/// The files of a folder that are to be read, sorted by name. YAML is named as a problem instead of being passed over.
pub(crate) fn files(dir: &Path, what: &str, problems: &mut Vec<LocatedProblem>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(LocatedProblem::of_file(&shown(dir), format!("cannot be read: {error}"), None));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    let ending =
        |path: &Path| path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    for path in paths.iter().filter(|path| matches!(ending(path).as_str(), "yaml" | "yml")) {
        let message = format!("{what} are JSON; YAML is not read");
        let hint = format!("Convert it, and save it as {}.", shown(&path.with_extension("json")));
        problems.push(LocatedProblem::of_file(&shown(path), message, Some(hint)));
    }
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        ending(path) == "json" && !hidden && !path.is_dir()
    });
    paths
}

/// Reads one file.
pub(crate) fn read(path: &Path, max: u64, what: &str) -> Result<Document, LocatedProblem> {
    let Some(source) = read_source(path, max)? else {
        return Err(LocatedProblem::of_file(&shown(path), "there is no such file", None));
    };
    match doubles::read(&source.text) {
        Ok((value, doubled)) => Ok(Document { source, value, doubled }),
        Err(error) => Err(syntax::problem(&source, &error, what)),
    }
}

/// Line and column, from 1, of what a JSON pointer leads to in a text, or of the nearest thing around it.
pub(crate) fn position(text: &str, pointer: &str) -> (usize, usize) {
    let source = SourceText::new(String::new(), text.to_owned());
    let document = Document { source: Arc::clone(&source), value: Value::Null, doubled: false };
    match document.place(pointer) {
        Place::File(_, span) => source.position(span.start),
        Place::Environment(_) | Place::Override(_) => (0, 0),
    }
}

impl Document {
    pub(crate) fn name(&self) -> &str {
        &self.source.name
    }

    pub(crate) fn json(&self) -> &Value {
        &self.value
    }

    /// The document with the place of every value.
    pub(crate) fn node(&self) -> Node {
        self.with_ast(|ast| node::from_json(ast, &self.source)).unwrap_or_else(node::empty)
    }

    /// Fields that stand twice in one object, of which only the last is read. `matters` says of the name of the object and
    /// that of the field whether the difference is a mistake.
    pub(crate) fn doubles(&self, matters: impl Fn(&str, &str) -> bool) -> Vec<LocatedProblem> {
        if !self.doubled {
            return Vec::new();
        }
        self.with_ast(|ast| doubles::find(ast, &self.source, &matters)).unwrap_or_default()
    }

    /// The place of one JSON pointer, or of the nearest thing around it.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        self.with_ast(|ast| self.locate(ast, pointer)).unwrap_or_else(|| Place::File(Arc::clone(&self.source), 0..0))
    }

    /// The places of what is wrong with the things that pointers lead to. The file is parsed once for all of them.
    pub(crate) fn places<'p>(&self, wanted: impl Iterator<Item = (&'p str, &'p About)>) -> Vec<Place> {
        let wanted: Vec<(&str, &About)> = wanted.collect();
        let place = |ast: &Ast<'_>, (pointer, about): &(&str, &About)| match about {
            About::Value => self.locate(ast, pointer),
            About::Piece(piece) => self.locate(ast, pointer).of_part(piece),
            About::Name => self.locate_name(ast, pointer).unwrap_or_else(|| self.locate(ast, pointer)),
        };
        let found = self.with_ast(|ast| wanted.iter().map(|wanted| place(ast, wanted)).collect());
        found.unwrap_or_else(|| vec![Place::File(Arc::clone(&self.source), 0..0); wanted.len()])
    }

    fn with_ast<T>(&self, then: impl FnOnce(&Ast<'_>) -> T) -> Option<T> {
        let parsed = parse_to_ast(&self.source.text, &CollectOptions::default(), &ParseOptions::default()).ok()?;
        parsed.value.as_ref().map(then)
    }

    fn locate(&self, ast: &Ast<'_>, pointer: &str) -> Place {
        let mut here = ast;
        for part in pointer.split('/').skip(1) {
            match step(here, part) {
                Some(next) => here = next,
                None => break,
            }
        }
        let range = here.range();
        // Of a whole object or list only the bracket is marked: its line says which one, and the rest is long.
        let end = if matches!(here, Ast::Object(_) | Ast::Array(_)) { range.start + 1 } else { range.end };
        Place::File(Arc::clone(&self.source), range.start..end)
    }

    /// The name of the field that a pointer leads to, if it leads to one.
    fn locate_name(&self, ast: &Ast<'_>, pointer: &str) -> Option<Place> {
        let (around, name) = pointer.rsplit_once('/')?;
        let around = around.split('/').skip(1).try_fold(ast, step)?;
        let Ast::Object(object) = around else { return None };
        let range = object.get(&unescape(name))?.name.range();
        Some(Place::File(Arc::clone(&self.source), range.start..range.end))
    }
}

/// What is one step of a JSON pointer further in.
fn step<'a>(here: &'a Ast<'a>, part: &str) -> Option<&'a Ast<'a>> {
    match here {
        Ast::Object(object) => Some(&object.get(&unescape(part))?.value),
        Ast::Array(array) => array.elements.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
