//! The conditions of rules: `event_type == 'bug_report' && params.severity >= 3`. A text is read once into an
//! expression; values come from the caller. A name that is not there is never an error: what is said of it does not
//! hold, and the answer says which name it was.

use std::cmp::Ordering;

use serde_json::Value;

use crate::text::one_line;

/// The longest condition that is read, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;
/// Brackets and negations may be nested this deep.
const DEPTH_MAX: usize = 50;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare(Box<Node>, Operator, Box<Node>),
    Literal(Value),
    Name(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It does.
    pub holds: bool,
    /// What was not there or could not be compared, as fragments for people.
    pub problems: Vec<String>,
}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong and where, as a fragment that can stand alone.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a condition has at most {TEXT_BYTES_MAX} bytes"));
        }
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
        let node = parser.any()?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(token) => Err(format!("{} is not expected here", token.shown())),
        }
    }

    /// The condition that this name stands for this text.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Self {
        let name = Node::Name(name.to_owned());
        Self(Node::Compare(Box::new(name), Operator::Equal, Box::new(Node::Literal(text.into()))))
    }

    /// The names that it asks for, and the texts that each is compared with.
    #[must_use]
    pub fn asks(&self) -> Vec<(&str, Option<&str>)> {
        let mut found = Vec::new();
        let mut open = vec![&self.0];
        while let Some(node) = open.pop() {
            match node {
                Node::Any(nodes) | Node::All(nodes) => open.extend(nodes),
                Node::Not(node) => open.push(node),
                Node::Compare(left, _, right) => match (&**left, &**right) {
                    (Node::Name(name), Node::Literal(text)) | (Node::Literal(text), Node::Name(name)) => {
                        found.push((name.as_str(), text.as_str()));
                    }
                    (left, right) => open.extend([left, right]),
                },
                Node::Name(name) => found.push((name, None)),
                Node::Literal(_) => {}
            }
        }
        found
    }

    /// Whether it holds of these values: an object, in whose inner objects names with dots are looked for.
    #[must_use]
    pub fn holds(&self, values: &Value) -> Verdict {
        let mut verdict = Verdict::default();
        let value = evaluate(&self.0, values, &mut verdict.problems);
        verdict.holds = value.as_ref().is_some_and(is_true);
        verdict
    }
}

fn evaluate(node: &Node, values: &Value, problems: &mut Vec<String>) -> Option<Value> {
    match node {
        Node::Any(nodes) => {
            Some(nodes.iter().any(|node| evaluate(node, values, problems).as_ref().is_some_and(is_true)).into())
        }
        Node::All(nodes) => {
            Some(nodes.iter().all(|node| evaluate(node, values, problems).as_ref().is_some_and(is_true)).into())
        }
        Node::Not(node) => Some((!evaluate(node, values, problems).as_ref().is_some_and(is_true)).into()),
        Node::Literal(value) => Some(value.clone()),
        Node::Name(name) => {
            let found =
                name.split('.').try_fold(values, |inner, part| inner.get(part)).filter(|value| !value.is_null());
            if found.is_none() {
                problems.push(format!("`{}` is not there", one_line(name, 60)));
            }
            found.cloned()
        }
        Node::Compare(left, operator, right) => {
            let sides = (evaluate(left, values, problems), evaluate(right, values, problems));
            let (Some(left), Some(right)) = sides else { return Some(false.into()) };
            Some(compare(&left, *operator, &right, problems).into())
        }
    }
}

/// Texts from a command line count as the number or truth value that they are compared with.
fn compare(left: &Value, operator: Operator, right: &Value, problems: &mut Vec<String>) -> bool {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => match (truth(left), truth(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => None,
        },
        (Value::Number(_), _) | (_, Value::Number(_)) => match (number(left), number(right)) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => None,
        },
        _ => (left == right).then_some(Ordering::Equal),
    };
    match (operator, ordering) {
        (Operator::Equal, ordering) => ordering == Some(Ordering::Equal),
        (Operator::Unequal, ordering) => ordering != Some(Ordering::Equal),
        (_, None) => {
            let shown = |value: &Value| one_line(&value.to_string(), 40);
            problems.push(format!("{} and {} have no order", shown(left), shown(right)));
            false
        }
        (Operator::Less, Some(ordering)) => ordering.is_lt(),
        (Operator::AtMost, Some(ordering)) => ordering.is_le(),
        (Operator::Greater, Some(ordering)) => ordering.is_gt(),
        (Operator::AtLeast, Some(ordering)) => ordering.is_ge(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What stands by itself in a condition: a text counts unless it is empty or says `false`.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => !matches!(text.trim(), "" | "false" | "0"),
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Operator(Operator),
    Literal(Value),
    Name(String),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::And => "`&&`".to_owned(),
            Self::Or => "`||`".to_owned(),
            Self::Not => "`!`".to_owned(),
            Self::Operator(_) => "a comparison".to_owned(),
            Self::Literal(value) => format!("`{}`", one_line(&value.to_string(), 40)),
            Self::Name(name) => format!("`{}`", one_line(name, 40)),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let fixed: [(&str, Token); 11] = [
            ("&&", Token::And),
            ("||", Token::Or),
            ("==", Token::Operator(Operator::Equal)),
            ("!=", Token::Operator(Operator::Unequal)),
            ("<=", Token::Operator(Operator::AtMost)),
            (">=", Token::Operator(Operator::AtLeast)),
            ("<", Token::Operator(Operator::Less)),
            (">", Token::Operator(Operator::Greater)),
            ("!", Token::Not),
            ("(", Token::Open),
            (")", Token::Close),
        ];
        let found = fixed.into_iter().find_map(|(sign, token)| Some((token, rest.strip_prefix(sign)?)));
        let (token, after) = match (found, first) {
            (Some(found), _) => found,
            (None, quote @ ('\'' | '"')) => {
                let inner = &rest[1..];
                let end = inner.find(quote).ok_or_else(|| format!("a text that begins with {quote} does not end"))?;
                (Token::Literal(inner[..end].into()), &inner[end + 1..])
            }
            (None, c) if c.is_ascii_digit() || c == '-' => {
                let end = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| end + 1);
                let number: serde_json::Number =
                    rest[..end].parse().map_err(|_| format!("`{}` is not a number", one_line(&rest[..end], 40)))?;
                (Token::Literal(Value::Number(number)), &rest[end..])
            }
            (None, c) if c.is_alphabetic() || c == '_' => {
                let word = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
                let end = rest.find(word).unwrap_or(rest.len());
                let token = match &rest[..end] {
                    "true" => Token::Literal(true.into()),
                    "false" => Token::Literal(false.into()),
                    name => Token::Name(name.to_owned()),
                };
                (token, &rest[end..])
            }
            (None, '=') => return Err("`=` is not a comparison; write `==`".to_owned()),
            (None, other) => return Err(format!("`{}` is not expected in a condition", other.escape_debug())),
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// Recursive descent: `||` binds least, then `&&`, `!`, and comparisons most.
struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn any(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.all()?];
        while self.eat(&Token::Or) {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.not()?];
        while self.eat(&Token::And) {
            nodes.push(self.not()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn not(&mut self) -> Result<Node, String> {
        if !self.eat(&Token::Not) {
            return self.comparison();
        }
        self.deeper()?;
        let node = self.not()?;
        self.depth -= 1;
        Ok(Node::Not(Box::new(node)))
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.operand()?;
        let Some(Token::Operator(operator)) = self.peek() else { return Ok(left) };
        let operator = *operator;
        self.at += 1;
        let right = self.operand()?;
        Ok(Node::Compare(Box::new(left), operator, Box::new(right)))
    }

    fn operand(&mut self) -> Result<Node, String> {
        let token = self.peek().cloned().ok_or("the condition ends too early")?;
        self.at += 1;
        match token {
            Token::Literal(value) => Ok(Node::Literal(value)),
            Token::Name(name) => Ok(Node::Name(name)),
            Token::Open => {
                self.deeper()?;
                let node = self.any()?;
                self.depth -= 1;
                if self.eat(&Token::Close) { Ok(node) } else { Err("a bracket is not closed".to_owned()) }
            }
            Token::Close | Token::And | Token::Or | Token::Not | Token::Operator(_) => {
                Err(format!("{} is not expected here", token.shown()))
            }
        }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(format!("it is nested more than {DEPTH_MAX} deep")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event() -> Value {
        json!({
            "event_type": "bug_report", "severity": "5",
            "params": { "severity": "5", "urgent": true, "count": 3, "where": "pool", "off": "false" },
        })
    }

    #[test]
    fn conditions_hold_as_they_are_written() {
        for (condition, holds) in [
            ("event_type == 'bug_report' && params.severity >= 3", true),
            ("event_type == \"bug_report\" && params.severity > 5", false),
            ("event_type == 'feature' || params.count == 3", true),
            ("event_type == 'feature' || params.count == 3 && false", false),
            ("(event_type == 'feature' || params.count == 3) && params.urgent", true),
            ("!(event_type == 'feature')", true),
            ("!params.urgent", false),
            ("params.off", false),
            ("params.urgent == 'true'", true),
            ("params.urgent != false", true),
            ("params.where < 'queue'", true),
            ("params.where >= 1", false),
            ("params.where != 1", true),
            ("params.severity >= -1.5", true),
            ("3 <= params.count && params.count < 4", true),
            ("!!true", true),
        ] {
            assert_eq!(Expression::parse(condition).unwrap().holds(&event()).holds, holds, "{condition}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_makes_what_is_said_of_it_not_hold() {
        for condition in ["params.size == 3", "params.size != 3", "params.size", "size >= 1", "params.size.more == ''"]
        {
            let verdict = Expression::parse(condition).unwrap().holds(&event());
            assert!(!verdict.holds, "{condition}");
            assert!(verdict.problems[0].ends_with("is not there"), "{:?}", verdict.problems);
        }
        let verdict = Expression::parse("params.where < 3").unwrap().holds(&event());
        assert_eq!(verdict.problems, ["\"pool\" and 3 have no order"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (condition, expected) in [
            ("", "the condition ends too early"),
            ("a ==", "the condition ends too early"),
            ("a = 3", "`=` is not a comparison; write `==`"),
            ("a == 'x", "a text that begins with ' does not end"),
            ("(a == 1", "a bracket is not closed"),
            ("a == 1)", "`)` is not expected here"),
            ("a b", "`b` is not expected here"),
            ("a == 1.2.3", "`1.2.3` is not a number"),
            ("a & b", "`&` is not expected in a condition"),
            ("&& a", "`&&` is not expected here"),
        ] {
            assert_eq!(Expression::parse(condition).unwrap_err(), expected, "{condition}");
        }
        assert!(Expression::parse(&"(".repeat(3_000)).unwrap_err().contains("nested"));
        assert!(Expression::parse(&"!".repeat(3_000)).unwrap_err().contains("nested"));
        assert!(Expression::parse(&"a".repeat(5_000)).unwrap_err().contains("bytes"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[a-c.'\"0-9 ()!&|=<>-]{0,60}") {
            if let Ok(expression) = Expression::parse(&text) {
                let verdict = expression.holds(&event());
                prop_assert!(verdict.problems.len() <= text.len());
            }
        }

        #[test]
        fn numbers_are_compared_as_numbers(a in -1000_i32..1000, b in -1000_i32..1000, as_text in any::<bool>()) {
            let given = if as_text { json!({ "a": a.to_string() }) } else { json!({ "a": a }) };
            for (operator, expected) in [("==", a == b), ("!=", a != b), ("<", a < b), ("<=", a <= b), (">", a > b), (">=", a >= b)] {
                let verdict = Expression::parse(&format!("a {operator} {b}")).unwrap().holds(&given);
                prop_assert_eq!(verdict.holds, expected);
            }
        }
    }
}
