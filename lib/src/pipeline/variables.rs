//! What the templates of a workflow may name.

use serde_json::{Map, Value};

use super::Pipeline;
use crate::task::Task;
use crate::workflow::Stage;

impl Pipeline {
    /// What templates of a stage may name: what the task was given, by itself and under `params`; `task`, `stage`,
    /// `base`; and under `outputs` what each stage decided and said.
    #[must_use]
    pub fn variables(&self, task: &Task, stage: &Stage) -> Value {
        let params: Map<String, Value> =
            task.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut vars = params.clone();
        let about = serde_json::json!({
            "id": task.id.as_str(), "title": task.title, "body": task.body, "branch": task.branch(),
            "attempt": task.attempt + 1, "feedback": task.feedback.clone().unwrap_or_default(),
        });
        let outputs: Map<String, Value> = task
            .outputs
            .iter()
            .map(|output| {
                let said = serde_json::json!({ "decision": output.decision, "summary": output.summary });
                (output.stage.to_string(), said)
            })
            .collect();
        vars.insert("matrix".to_owned(), Value::Object(params.clone()));
        vars.insert("params".to_owned(), Value::Object(params));
        vars.insert("task".to_owned(), about);
        vars.insert("stage".to_owned(), Value::String(stage.id.to_string()));
        vars.insert("base".to_owned(), Value::String(self.core.settings.base.clone()));
        vars.insert("outputs".to_owned(), Value::Object(outputs));
        Value::Object(vars)
    }
}
