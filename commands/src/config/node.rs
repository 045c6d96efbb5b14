//! A configuration value together with the place it was written at. TOML files, JSON files, environment variables and
//! options all become such a tree, so that one reader checks them all and every message can point at its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::problem::{LocatedProblem, Place, SourceText};

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Place,
}

/// What was written.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    /// The text of an environment variable or option, which is whatever its key asks for.
    Loose(String),
    Whole(i64),
    Real(f64),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something no key asks for, by the name it is called in messages.
    Other(&'static str),
}

pub(crate) type Table = BTreeMap<String, Field>;

/// An entry of a table.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Where the key stands.
    pub(crate) key: Place,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) | Value::Loose(_) => "a text",
            Value::Whole(_) => "a whole number",
            Value::Real(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        }
    }

    /// The value at a dotted key.
    pub(crate) fn find(&self, dotted: &str) -> Option<&Node> {
        dotted.split('.').try_fold(self, |node, key| node.table()?.get(key).map(|field| &field.node))
    }

    /// Puts another layer on top: tables are merged key by key, everything else is replaced.
    pub(crate) fn overlay(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (name, field) in above {
                    match below.get_mut(&name) {
                        Some(old) => old.node.overlay(field.node),
                        None => drop(below.insert(name, field)),
                    }
                }
            }
            (value, new) => {
                *value = new;
                self.at = over.at;
            }
        }
    }

    /// The value for readers of JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) | Value::Loose(text) => text.as_str().into(),
            Value::Whole(number) => (*number).into(),
            Value::Real(number) => (*number).into(),
            Value::Flag(flag) => (*flag).into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(table) => serde_json::Value::Object(
                table.iter().map(|(key, field)| (key.clone(), field.node.to_json())).collect(),
            ),
            Value::Other(_) => serde_json::Value::Null,
        }
    }
}

/// An empty table without a place of its own, to put layers on.
pub(crate) fn empty() -> Node {
    Node { value: Value::Table(Table::new()), at: Place::Override(String::new()) }
}

/// Reads TOML.
///
/// # Errors
/// Every syntax error that was found.
pub(crate) fn from_toml(source: &Arc<SourceText>) -> Result<Node, Vec<LocatedProblem>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let problem = |error: toml::de::Error| {
        let end = source.text.len();
        let place = Place::File(Arc::clone(source), error.span().unwrap_or(end..end));
        LocatedProblem::new(&place, error.message(), None)
    };
    if !errors.is_empty() {
        return Err(errors.into_iter().map(problem).collect());
    }
    let at = |span: Range<usize>| Place::File(Arc::clone(source), span);
    Ok(Node { value: Value::Table(toml_table(table.get_ref(), &at)), at: at(0..0) })
}

/// Reads one TOML value that an environment variable or option holds.
pub(crate) fn from_toml_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(toml_value(value.get_ref(), 0..0, &|_| place.clone()))
}

fn toml_table(table: &DeTable<'_>, at: &dyn Fn(Range<usize>) -> Place) -> Table {
    let field = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &toml::Spanned<std::borrow::Cow<'_, str>> = key;
        let node = toml_value(value.get_ref(), value.span(), at);
        (key.get_ref().to_string(), Field { key: at(key.span()), node })
    };
    table.iter().map(field).collect()
}

fn toml_value(value: &DeValue<'_>, span: Range<usize>, at: &dyn Fn(Range<usize>) -> Place) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a very large number"), Value::Whole),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Other("a number"), Value::Real),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| toml_value(item.get_ref(), item.span(), at)).collect())
        }
        DeValue::Table(table) => Value::Table(toml_table(table, at)),
    };
    Node { value, at: at(span) }
}

/// Converts a JSON syntax tree.
pub(crate) fn from_json(value: &jsonc_parser::ast::Value<'_>, source: &Arc<SourceText>) -> Node {
    use jsonc_parser::ast::Value as Json;
    use jsonc_parser::common::Ranged;
    let at = |range: jsonc_parser::common::Range| Place::File(Arc::clone(source), range.start..range.end);
    let converted = match value {
        Json::StringLit(text) => Value::Text(text.value.to_string()),
        Json::NumberLit(number) => match number.value.parse::<i64>() {
            Ok(whole) => Value::Whole(whole),
            Err(_) => number.value.parse().map_or(Value::Other("a number"), Value::Real),
        },
        Json::BooleanLit(flag) => Value::Flag(flag.value),
        Json::Object(object) => {
            let field = |property: &jsonc_parser::ast::ObjectProp<'_>| {
                let node = from_json(&property.value, source);
                (property.name.as_str().to_owned(), Field { key: at(property.name.range()), node })
            };
            Value::Table(object.properties.iter().map(field).collect())
        }
        Json::Array(array) => Value::List(array.elements.iter().map(|item| from_json(item, source)).collect()),
        Json::NullKeyword(_) => Value::Other("null"),
    };
    Node { value: converted, at: at(value.range()) }
}
