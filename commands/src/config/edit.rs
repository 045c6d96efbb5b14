//! Adds and removes an `[[agents]]` block in the text of a config.toml. Everything else stays byte for byte: the text is
//! cut at places that the TOML parser names, and the result is parsed again before anyone sees it.

use std::sync::Arc;

use super::node::{self, Node, Value};
use super::problem::{Place, SourceText};
use super::starter::agent_block;
use super::{AgentConfig, ConfigError};

/// Why a config.toml cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not TOML.
    #[error("{0}")]
    Invalid(ConfigError),
    /// An agent of this name is already there.
    #[error("there is already an agent `{0}`")]
    Exists(String),
    /// No agent of this name is there.
    #[error("there is no agent `{0}` in config.toml")]
    Missing(String),
    /// The agents are not written as blocks.
    #[error("the agents are not written as [[agents]] blocks, so this has to be done by hand")]
    NotBlocks,
}

/// Adds a block after the last one, or at the end of the file.
///
/// # Errors
/// When the text is not valid, has the agent already, or does not write agents as blocks.
pub fn add_agent(text: &str, agent: &AgentConfig) -> Result<String, EditError> {
    let parsed = Blocks::parse(text)?;
    let same = |name: &String| name.eq_ignore_ascii_case(agent.name.as_str());
    if parsed.names.iter().flatten().any(same) {
        return Err(EditError::Exists(agent.name.to_string()));
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let block = agent_block(agent).replace('\n', newline);
    let at = match parsed.headers.len() {
        0 => text.len(),
        count => parsed.end(count - 1),
    };
    let (before, after) = text.split_at(at);
    let mut out = String::from(before);
    if !before.is_empty() && !before.ends_with('\n') {
        out.push_str(newline);
    }
    if !out.is_empty() && !out.ends_with(&format!("{newline}{newline}")) {
        out.push_str(newline);
    }
    out.push_str(&block);
    if !after.is_empty() && !after.starts_with(['\n', '\r']) {
        out.push_str(newline);
    }
    out.push_str(after);
    check(&out, parsed.names.len() + 1)?;
    Ok(out)
}

/// Removes the block of an agent, with the comment lines directly above it.
///
/// # Errors
/// When the text is not valid, has no such agent, or does not write agents as blocks.
pub fn remove_agent(text: &str, name: &str) -> Result<String, EditError> {
    let parsed = Blocks::parse(text)?;
    let found = parsed.names.iter().position(|other| other.as_deref() == Some(name));
    let index = found.ok_or_else(|| EditError::Missing(name.to_owned()))?;
    let header = *parsed.headers.get(index).ok_or(EditError::NotBlocks)?;
    // The comment above the first block is about all of them.
    let start = if index == 0 { header } else { above(text, header) };
    let mut end = parsed.end(index);
    // One of the two empty lines around the block goes with it.
    let rest = &text[end..];
    for newline in ["\r\n", "\n"] {
        if rest.starts_with(newline) {
            end += newline.len();
            break;
        }
    }
    let out = format!("{}{}", &text[..start], &text[end..]);
    check(&out, parsed.names.len() - 1)?;
    Ok(out)
}

/// Where the agents of a text stand.
struct Blocks<'a> {
    text: &'a str,
    /// The names, in the order of the file.
    names: Vec<Option<String>>,
    /// Where the header of each agent begins, in the same order.
    headers: Vec<usize>,
    /// Where each header of the file begins, and whether it belongs to an agent (`[agents.env]` does).
    all: Vec<(usize, bool)>,
}

impl<'a> Blocks<'a> {
    fn parse(text: &'a str) -> Result<Self, EditError> {
        let source = SourceText::new("config.toml".to_owned(), text.to_owned());
        let root = node::from_toml(&source).map_err(|problems| EditError::Invalid(ConfigError { problems }))?;
        let mut found = Self { text, names: Vec::new(), headers: Vec::new(), all: Vec::new() };
        match root.find("agents").map(|node| &node.value) {
            None => {}
            Some(Value::List(list)) => {
                for item in list {
                    let start = found.header(item).ok_or(EditError::NotBlocks)?;
                    found.headers.push(start);
                    let name = item.find("name").map(|node| &node.value);
                    found.names.push(match name {
                        Some(Value::Text(name)) => Some(name.clone()),
                        _ => None,
                    });
                }
                if list.is_empty() {
                    return Err(EditError::NotBlocks);
                }
            }
            Some(_) => return Err(EditError::NotBlocks),
        }
        for (name, field) in root.table().into_iter().flatten() {
            found.collect(&field.node, name == "agents");
        }
        found.all.sort_unstable();
        Ok(found)
    }

    /// Where the header line of a table begins, if it has one.
    fn header(&self, node: &Node) -> Option<usize> {
        let Place::File(_, span) = &node.at else { return None };
        let line = line_start(self.text, span.start);
        let alone = self.text.get(line..span.start)?.trim().is_empty();
        (node.table().is_some() && alone && self.text.get(span.start..)?.starts_with('[')).then_some(line)
    }

    fn collect(&mut self, node: &Node, agents: bool) {
        if let Some(start) = self.header(node) {
            self.all.push((start, agents));
        }
        match &node.value {
            Value::Table(table) => table.values().for_each(|field| self.collect(&field.node, agents)),
            Value::List(list) => list.iter().for_each(|item| self.collect(item, agents)),
            _ => {}
        }
    }

    /// Where an agent's block ends: behind its last line that is not empty and not a comment of what follows.
    fn end(&self, index: usize) -> usize {
        let start = self.headers.get(index).copied().unwrap_or(0);
        let next_agent = self.headers.get(index + 1).copied();
        let next_other = self.all.iter().find(|(at, agents)| *at > start && !agents).map(|(at, _)| *at);
        let next = match (next_agent, next_other) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let Some(next) = next else {
            return self.text.trim_end().len() + newline_after(self.text, self.text.trim_end().len());
        };
        let body = above(self.text, next);
        let kept = self.text.get(..body).unwrap_or(self.text).trim_end().len();
        kept + newline_after(self.text, kept)
    }
}

fn newline_after(text: &str, at: usize) -> usize {
    match text.get(at..) {
        Some(rest) if rest.starts_with("\r\n") => 2,
        Some(rest) if rest.starts_with('\n') => 1,
        _ => 0,
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// The beginning of the comment lines directly above a line.
fn above(text: &str, line: usize) -> usize {
    let mut start = line;
    while start > 0 {
        let before = line_start(text, start - 1);
        if !text.get(before..start).is_some_and(|line| line.trim_start().starts_with('#')) {
            break;
        }
        start = before;
    }
    start
}

/// Parses the result again: an edit that damages the file must not leave this module.
fn check(text: &str, agents: usize) -> Result<(), EditError> {
    let source: Arc<SourceText> = SourceText::new("config.toml".to_owned(), text.to_owned());
    let root = node::from_toml(&source).map_err(|problems| EditError::Invalid(ConfigError { problems }))?;
    let count = match root.find("agents").map(|node| &node.value) {
        Some(Value::List(list)) => list.len(),
        _ => 0,
    };
    if count == agents { Ok(()) } else { Err(EditError::NotBlocks) }
}
