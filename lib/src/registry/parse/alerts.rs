//! The `alerts` of a registry.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Reader, escape};
use crate::registry::alerts::{AlertRule, Alerts, Channel, Severity, Shape};

const CHANNELS: &str = "Write { \"ops\": { \"type\": \"slack\", \"url\": \"$SLACK_URL\" } }; types are command, desktop, webhook, slack and discord.";
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
        let (condition, expression) = self.condition(at, object)?;
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

    fn channel(&mut self, at: &str, value: &Value) -> Option<Channel> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let webhook = |shape| text("url").map(|url| Channel::Webhook { url, shape });
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
