//! Fields that stand twice in one object. JSON allows it and readers take the last one, so that the first is passed over in
//! silence: of two commands of a stage only one would run.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use pipeline_lib::text::one_line;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::super::problem::{LocatedProblem, Place, SourceText};

/// Reads a JSON text, and whether some object in it has two fields of one name.
pub(super) fn read(text: &str) -> serde_json::Result<(Value, bool)> {
    let doubled = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Reading(&doubled).deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, doubled.get()))
}

/// Any value, and the mark that is set when a field stands twice.
#[derive(Clone, Copy)]
struct Reading<'m>(&'m Cell<bool>);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(self)?;
            if object.insert(name, value).is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(object))
    }
}

/// Every field that stands twice. Remarks may.
pub(super) fn find(
    ast: &Ast<'_>,
    source: &Arc<SourceText>,
    matters: &impl Fn(&str, &str) -> bool,
) -> Vec<LocatedProblem> {
    let mut found = Vec::new();
    let mut open: Vec<(&str, &Ast<'_>)> = vec![("", ast)];
    while let Some((around, value)) = open.pop() {
        match value {
            Ast::Array(array) => open.extend(array.elements.iter().map(|item| (around, item))),
            Ast::Object(object) => {
                let mut seen: HashMap<&str, &Ast<'_>> = HashMap::with_capacity(object.properties.len());
                for property in &object.properties {
                    let name = property.name.as_str();
                    open.push((name, &property.value));
                    let Some(first) = seen.insert(name, &property.value).filter(|_| !is_remark(name)) else { continue };
                    let same = text_of(first, source) == text_of(&property.value, source);
                    let range = property.name.range();
                    let place = Place::File(Arc::clone(source), range.start..range.end);
                    let name = one_line(name, 60);
                    let message = format!("`{name}` stands twice in one object, and only this one counts");
                    let problem = LocatedProblem::new(&place, message, Some("Remove one of the two.".to_owned()));
                    found.push(if matters(around, &name) && !same { problem } else { problem.into_warning() });
                }
            }
            _ => {}
        }
    }
    found
}

fn text_of<'s>(value: &Ast<'_>, source: &'s SourceText) -> Option<&'s str> {
    let range = value.range();
    source.text.get(range.start..range.end)
}

/// Whether a name is that of a remark, of which there may be many.
fn is_remark(name: &str) -> bool {
    name.is_empty() || name.starts_with(['_', '/', '#']) || ["comment", "comments"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_the_library_reads() {
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        let too_deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        for text in [
            r#"{"a":[1,-2,1.5e3,18446744073709551615,-9223372036854775808,1e400,true,null,"\u00e4\n"],"b":{"c":{}}}"#,
            r#"{"a":[1,-2,1.5e3,18446744073709551615,123456789012345678901234567890,false,null,"\u00e4\n"],"b":{"c":{}}}"#,
            "[] x",
            "{",
            "",
            "\"a\"",
            &deep,
            &too_deep,
        ] {
            match (serde_json::from_str::<Value>(text), read(text)) {
                (Ok(theirs), Ok((ours, doubled))) => assert_eq!((theirs, false), (ours, doubled), "{text}"),
                (Err(theirs), Err(ours)) => assert_eq!(theirs.to_string(), ours.to_string(), "{text}"),
                (theirs, ours) => panic!("{text}: {theirs:?}, {ours:?}"),
            }
        }
        assert!(read(r#"{"a":[{"b":1,"b":1}]}"#).unwrap().1);
    }
}
