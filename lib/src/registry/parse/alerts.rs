//! The `alerts` of a registry.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Reader, escape};
use crate::registry::Expression;
use crate::registry::alerts::{AlertRule, Alerts, Channel, EVENTS, NAMES, Severity, Shape};
use crate::text::{nearest, one_line};

const CHANNELS: &str = "Write { \"ops\": { \"type\": \"slack\", \"url\": \"$SLACK_URL\" } }; types are command, desktop, webhook, slack and discord.";
const URLS: &str = "Write \"https://…\", or \"$NAME\" for the value of an environment variable.";
const SEVERITIES: &str = "Write \"info\", \"warning\" or \"critical\".";

impl Reader {
    pub(super) fn alerts(&mut self, object: &Map<String, Value>) -> Alerts {
        let Some(section) = object.get("alerts").filter(|value| !value.is_null()) else { return Alerts::default() };
        let Some(section) = section.as_object() else {
            self.error("/alerts", "`alerts` is an object with `rules` and `channels`", None);
            return Alerts::default();
        };
        let channels = match section.get("channels") {
            None => BTreeMap::new(),
            Some(Value::Object(channels)) => channels
                .iter()
                .filter_map(|(name, value)| {
                    let channel = self.channel(&format!("/alerts/channels/{}", escape(name)), value)?;
                    Some((name.clone(), channel))
                })
                .collect(),
            Some(_) => {
                self.error("/alerts/channels", "channels are an object: a name for each", Some(CHANNELS));
                BTreeMap::new()
            }
        };
        let rules = match section.get("rules") {
            None => Vec::new(),
            Some(rules) => self.list("/alerts/rules", rules, Self::alert),
        };
        for (index, rule) in rules.iter().enumerate() {
            let known = |name: &String| channels.contains_key(name) || matches!(name.as_str(), "console" | "log");
            if let Some(name) = rule.channels.iter().find(|name| !known(name)) {
                self.error(&format!("/alerts/rules/{index}/channels"), format!("there is no channel `{name}`"), None);
            }
        }
        Alerts { rules, channels }
    }

    fn alert(&mut self, at: &str, object: &Map<String, Value>) -> Option<AlertRule> {
        let severity = match object.get("severity").and_then(Value::as_str) {
            Some("info") => Some(Severity::Info),
            Some("warning") => Some(Severity::Warning),
            Some("critical") => Some(Severity::Critical),
            _ => {
                self.error(&format!("{at}/severity"), "`severity` is missing or unknown", Some(SEVERITIES));
                None
            }
        };
        let (condition, expression) = self.condition(at, object, "event")?;
        self.check_words(at, object, &expression);
        let workflow = object.contains_key("workflow").then(|| self.workflow(at, object)).flatten();
        let channels = match object.get("channels") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.error(&format!("{at}/channels"), "`channels` is a list of names", None);
                Vec::new()
            }
        };
        let name = object.get("name").and_then(Value::as_str).unwrap_or(&condition).to_owned();
        Some(AlertRule { name, expression, severity: severity?, channels, workflow })
    }

    /// Words of a condition that no alert ever has: it would never hold.
    fn check_words(&mut self, at: &str, object: &Map<String, Value>, expression: &Expression) {
        let at = match ["condition", "event_type", "event", "trigger"].into_iter().find(|key| object.contains_key(*key))
        {
            Some(key) => format!("{at}/{key}"),
            None => at.to_owned(),
        };
        for (name, text) in expression.asks() {
            if !NAMES.contains(&name) {
                let meant = meant(name, &NAMES);
                self.say(&at, format!("alerts know no `{}`", one_line(name, 60)), Some(&meant), true);
            }
            let word = text.filter(|word| matches!(name, "event" | "event_type") && !EVENTS.contains(word));
            if let Some(word) = word {
                let meant = meant(word, &EVENTS);
                self.say(&at, format!("there is no event `{}`", one_line(word, 60)), Some(&meant), true);
            }
        }
    }

    fn channel(&mut self, at: &str, value: &Value) -> Option<Channel> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let webhook = |shape| text("url").map(|url| Channel::Webhook { url, shape });
        if let Some(problem) = value.get("url").and_then(Value::as_str).and_then(url_problem) {
            self.error(&format!("{at}/url"), problem, Some(URLS));
        }
        let channel = match value.get("type").and_then(Value::as_str) {
            Some("console") => Some(Channel::Console),
            Some("log") => Some(Channel::Log),
            Some("desktop") => Some(Channel::Desktop),
            Some("command") => text("command").map(Channel::Command),
            Some("webhook") => webhook(Shape::Plain),
            Some("slack") => webhook(Shape::Slack),
            Some("discord") => webhook(Shape::Discord),
            _ => None,
        };
        if channel.is_none() {
            self.error(at, "this is no channel", Some(CHANNELS));
        }
        channel
    }
}

fn meant(word: &str, known: &[&'static str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("There are {}.", known.join(", ")),
    }
}

/// What is wrong with an address that is sent alerts.
fn url_problem(url: &str) -> Option<String> {
    if let Some(name) = url.strip_prefix('$') {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit());
        return (!named).then(|| format!("`{}` names no environment variable", one_line(url, 60)));
    }
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let head = url.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
    });
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = host.map(|host| host.rsplit('@').next().unwrap_or_default());
    let clean = url.chars().all(|c| c.is_ascii_graphic());
    match host.filter(|host| clean && !host.is_empty() && !host.starts_with(':')) {
        Some(_) => None,
        // The rest of an address may be a secret.
        None => Some("this is no address of a web server".to_owned()),
    }
}
