//! What a task has to be given so that every command of its workflow can be written: optional parameters without a default
//! which a template names as if they were always there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::render::{self, RenderError};
use super::{Doing, Stage, Workflow};

impl Stage {
    /// The templates that are rendered when the stage is done, but for what agents are told: that is given as it is
    /// written where it cannot be rendered.
    fn templates(&self) -> impl Iterator<Item = &str> {
        let own = [self.probe.as_deref(), self.on_cancel.as_deref()].into_iter().flatten();
        let (command, given, probes): (Option<&str>, Vec<&str>, Vec<&str>) = match &self.doing {
            Doing::Agent | Doing::Parallel(_) => (None, Vec::new(), Vec::new()),
            Doing::Command(command) => (Some(command), Vec::new(), Vec::new()),
            Doing::Workflow { params, .. } => (None, params.values().filter_map(Value::as_str).collect(), Vec::new()),
            Doing::Hub(hub) => {
                let of_requirements = hub.requirements.iter().filter_map(|one| one.probe.as_deref());
                (None, Vec::new(), of_requirements.chain(hub.warnings.iter().map(|one| one.probe.as_str())).collect())
            }
        };
        own.chain(command).chain(given).chain(probes).chain(self.env.values().map(String::as_str))
    }

    /// What its templates name that has no value among these.
    fn without_value(&self, vars: &Value) -> BTreeSet<String> {
        // What depends on what happens until then is known only then.
        // Nor is asked for what may be made optional in its place: too little is found early rather than too much.
        let known = |template: &&str| {
            let depends = template.contains("outputs") || template.contains("task.");
            let optional = template.contains("default");
            !(optional || depends && template.contains("{%"))
        };
        let missing = |template: &str| match render::text(template, vars) {
            Err(RenderError::Missing { name, .. }) => {
                Some(name.strip_prefix("params.").map_or(name.clone(), str::to_owned))
            }
            _ => None,
        };
        self.templates().filter(known).filter_map(missing).collect()
    }
}

impl Workflow {
    /// Optional parameters that some stage cannot do without and that are not among these values, with that stage.
    #[must_use]
    pub fn needed_all_the_same(&self, given: &BTreeMap<String, Value>) -> Vec<(String, &Stage)> {
        let mut needed: Vec<(String, &Stage)> = Vec::new();
        let open = |name: &String| self.params.contains_key(name) && !given.contains_key(name);
        if !self.params.keys().any(open) {
            return needed;
        }
        for stage in &self.stages {
            let vars = self.some_values(stage, given);
            for name in stage.without_value(&vars).into_iter().filter(open) {
                if needed.iter().all(|(known, _)| *known != name) {
                    needed.push((name, stage));
                }
            }
        }
        needed
    }

    /// What templates of a stage may name, with something in the place of what is known only then.
    fn some_values(&self, stage: &Stage, given: &BTreeMap<String, Value>) -> Value {
        let mut params: Map<String, Value> = given.clone().into_iter().collect();
        params.extend(
            stage
                .combinations()
                .into_iter()
                .next()
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let said = |stage: &Stage| (stage.id.to_string(), json!({ "decision": "", "summary": "" }));
        let mut vars = params.clone();
        vars.extend([
            ("matrix".to_owned(), Value::Object(params.clone())),
            ("params".to_owned(), Value::Object(params)),
            (
                "task".to_owned(),
                json!({ "id": "", "title": "", "body": "", "branch": "", "attempt": 1, "feedback": "" }),
            ),
            ("stage".to_owned(), Value::String(stage.id.to_string())),
            ("base".to_owned(), Value::String(String::new())),
            ("outputs".to_owned(), Value::Object(self.stages.iter().map(said).collect())),
        ]);
        Value::Object(vars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_names_is_needed_unless_it_may_be_optional_there() {
        let file = json!({ "id": "w", "params": { "a": {}, "b": {}, "c": {} }, "stages": [
            { "id": "one", "run": "echo {{ b | default('') }}" },
            { "id": "two", "run": "echo {% if c is defined %}{{ c }}{% endif %}" },
            { "id": "three", "run": "true", "env": { "A": "{{ a }}" } },
        ] });
        let workflow = super::super::parse::parse(&file, None).unwrap().0;
        let needed = |given: Value| {
            let given: BTreeMap<String, Value> = serde_json::from_value(given).unwrap();
            let found = workflow.needed_all_the_same(&given);
            found.into_iter().map(|(name, stage)| format!("{name} at {}", stage.id)).collect::<Vec<_>>()
        };
        assert_eq!(needed(json!({})), ["a at three"]);
        assert_eq!(needed(json!({ "a": 1 })), [""; 0]);
    }
}
