//! The placeholders in a workflow's commands and texts: whether they can be read, and whether what they name is there.

use std::collections::HashSet;

use super::fields::escape;
use super::{About, Reader};
use crate::workflow::render::{self, ROOTS, RenderError};
use crate::workflow::{Doing, Stage, Workflow};

/// What there is about a task.
const OF_TASK: [&str; 6] = ["id", "title", "body", "branch", "attempt", "feedback"];

impl Reader<'_> {
    pub(super) fn check_templates(&mut self, workflow: &Workflow, places: &[usize]) {
        let stages: HashSet<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
        for (stage, place) in workflow.stages.iter().zip(places) {
            let context = Context { workflow, stage, stages: &stages };
            let at = format!("/stages/{place}");
            if let Doing::Command(command) = &stage.doing {
                self.check_template(&context, command, true, || format!("{at}/run"));
            }
            for (key, command) in [("probe", &stage.probe), ("on_cancel", &stage.on_cancel)] {
                if let Some(command) = command {
                    self.check_template(&context, command, true, || format!("{at}/{key}"));
                }
            }
            for (name, value) in &stage.env {
                self.check_template(&context, value, true, || format!("{at}/env/{}", escape(name)));
            }
            match &stage.doing {
                Doing::Agent | Doing::Command(_) | Doing::Parallel(_) => {}
                Doing::Workflow { params, .. } => {
                    for (name, value) in params.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
                        self.check_template(&context, value, true, || format!("{at}/workflow/params/{}", escape(name)));
                    }
                }
                Doing::Hub(hub) => {
                    for (index, requirement) in hub.requirements.iter().enumerate() {
                        let probe = requirement.probe.as_deref().unwrap_or_default();
                        self.check_template(&context, probe, true, || format!("{at}/hub/requirements/{index}/probe"));
                    }
                    for (index, warning) in hub.warnings.iter().enumerate() {
                        let pointer = || format!("{at}/hub/warnings/{index}/probe");
                        self.check_template(&context, &warning.probe, true, pointer);
                    }
                }
            }
            // What an agent is told may be about templates.
            self.check_template(&context, &stage.description, false, || format!("{at}/description"));
        }
    }

    fn check_template(&mut self, context: &Context<'_>, template: &str, strict: bool, pointer: impl Fn() -> String) {
        if !render::is_template(template) {
            return;
        }
        let report = |reader: &mut Self, message: String, suggestion: Option<String>| {
            if strict {
                reader.error(&pointer(), message, suggestion);
            } else {
                reader.warn(&pointer(), message, suggestion);
            }
        };
        let names = match render::names(template) {
            Ok(names) => names,
            Err(RenderError::Syntax { line, problem }) => {
                let suggestion = "Write {% raw %}…{% endraw %} around braces that are meant as they are.";
                return report(self, format!("line {line} of the template: {problem}"), Some(suggestion.to_owned()));
            }
            Err(error) => return report(self, error.to_string(), None),
        };
        for name in names {
            if let Some((message, suggestion)) = self.unknown(context, &name) {
                report(self, message, suggestion);
                if let Some(problem) = self.problems.last_mut() {
                    problem.about = written(template, &name).map_or(About::Value, About::Piece);
                }
            }
        }
    }

    /// What is wrong with a name in a template.
    fn unknown(&mut self, context: &Context<'_>, name: &str) -> Option<(String, Option<String>)> {
        let mut parts = name.split('.');
        let (root, rest) = (parts.next().unwrap_or_default(), parts.next());
        let known: Vec<&str> = match (root, rest) {
            ("params" | "matrix", Some(param)) => return self.unknown_param(context, param, root),
            ("task", Some(field)) if OF_TASK.contains(&field) => return None,
            ("task", Some(_)) => OF_TASK.to_vec(),
            ("outputs", Some(stage)) if context.stages.contains(stage) || self.lost.handles_anything => return None,
            ("outputs", Some(_)) => context.stages.iter().copied().collect(),
            (root, _) if ROOTS.contains(&root) => return None,
            (param, _) => return self.unknown_param(context, param, ""),
        };
        let suggestion = self.meant(rest.unwrap_or_default(), known.into_iter());
        Some((format!("`{{{{ {name} }}}}` names nothing that there is"), suggestion))
    }

    fn unknown_param(&mut self, context: &Context<'_>, name: &str, root: &str) -> Option<(String, Option<String>)> {
        let Context { workflow, stage, .. } = context;
        if workflow.params.contains_key(name) || stage.matrix.contains_key(name) || self.lost.params {
            return None;
        }
        let params = workflow.params.keys().chain(stage.matrix.keys()).map(String::as_str);
        let roots = ROOTS.iter().copied().filter(|_| root.is_empty());
        let meant = self.meant(name, params.chain(roots));
        let add = || format!("Add it to the workflow: \"params\": {{ \"{name}\": {{ \"required\": true }} }}.");
        Some((format!("there is no parameter `{name}`"), Some(meant.unwrap_or_else(add))))
    }
}

/// A placeholder as it is written, up to the end of its name.
fn written(template: &str, name: &str) -> Option<String> {
    template.match_indices("{{").find_map(|(at, _)| {
        let from = template.get(at..)?;
        let inner = from.trim_start_matches('{');
        let spaces = inner.len() - inner.trim_start().len();
        let end = from.len() - inner.len() + spaces + name.len();
        inner.trim_start().starts_with(name).then(|| from.get(..end).map(str::to_owned))?
    })
}

/// Where a template stands.
struct Context<'a> {
    workflow: &'a Workflow,
    stage: &'a Stage,
    stages: &'a HashSet<&'a str>,
}
