//! `pipeline workflow show`: everything a workflow says, for people.

use pipeline_lib::ids::StageId;
use pipeline_lib::text::{one_line, safe};
use pipeline_lib::workflow::{Doing, Figure, Place, Stage, Threshold, Verify, Workflow};

use crate::duration;
use crate::error::Result;
use crate::output::Output;
use crate::table::columns;

/// Prints a workflow for people.
///
/// # Errors
/// When it cannot be written.
pub(super) fn print(out: &Output, workflow: &Workflow) -> Result<()> {
    let title = [workflow.name.as_str(), workflow.version.as_str()].join(" ");
    out.line(&format!("{}  {}", out.paint("1", workflow.id.as_str()), one_line(&title, 120)))?;
    for line in safe(&workflow.description, 2_000).lines() {
        out.line(&format!("  {line}"))?;
    }
    for line in columns(&facts_of_workflow(workflow)) {
        out.line(&line)?;
    }
    for stage in &workflow.stages {
        out.line("")?;
        let start = if stage.id == workflow.start { "  (starts here)" } else { "" };
        let name = one_line(&stage.name, 80);
        out.line(&format!("{}  {name}{start}", out.paint("1", stage.id.as_str())))?;
        let mut rows = facts_of(stage);
        for connection in workflow.connections.iter().filter(|connection| connection.from == stage.id) {
            let condition = connection.condition.as_deref().unwrap_or("(any other)");
            let to = connection.to.as_ref().map_or("end", |to| to.as_str());
            rows.push(vec!["  on".to_owned(), format!("{} → {to}", one_line(condition, 60))]);
        }
        for line in columns(&rows) {
            out.line(&line)?;
        }
    }
    for (key, value) in &workflow.extra {
        out.line(&one_line(&format!("{key}: {value}"), 200))?;
    }
    Ok(())
}

fn facts_of(stage: &Stage) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![format!("  {key}"), value]);
    match &stage.doing {
        Doing::Agent => row("role", stage.role.to_string()),
        Doing::Command(command) => row("runs", one_line(command, 120)),
        Doing::Workflow { workflow, params } => {
            let given: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            row("workflow", one_line(&format!("{workflow} {}", given.join(" ")), 120));
        }
        Doing::Parallel(parts) => {
            let parts: Vec<&str> = parts.iter().map(StageId::as_str).collect();
            row("at once", one_line(&parts.join(", "), 120));
        }
        Doing::Hub(hub) => {
            for requirement in &hub.requirements {
                row("needs", one_line(&format!("{} by {}", requirement.name, requirement.stage), 120));
            }
            for (key, stage) in [("recovery", &hub.recovery), ("validation", &hub.validation)] {
                if let Some(stage) = stage {
                    row(key, stage.to_string());
                }
            }
            for warning in &hub.warnings {
                row("watches", one_line(&warning.name, 120));
            }
            if !pipeline_lib::ids::is_reserved(&stage.role) {
                row("decides", format!("{}, within the rules; they go on when its budget is used up", stage.role));
            }
        }
    }
    for (name, values) in &stage.matrix {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        row("for each", one_line(&format!("{name}: {}", values.join(", ")), 120));
    }
    for (key, command) in [("probe", &stage.probe), ("cancelled", &stage.on_cancel)] {
        if let Some(command) = command {
            row(key, one_line(command, 120));
        }
    }
    if stage.place == Place::Repository {
        row("place", "the main checkout, as it is".to_owned());
    }
    for threshold in &stage.thresholds {
        row("needs", threshold_words(threshold));
    }
    for (key, names) in [("secrets", &stage.secrets), ("keeps", &stage.artifacts)] {
        if !names.is_empty() {
            row(key, one_line(&names.join(", "), 120));
        }
    }
    match &stage.verify {
        Verify::None => {}
        Verify::Project => row("gate", "the project's verify command".to_owned()),
        Verify::Command(command) => row("gate", one_line(command, 120)),
    }
    if stage.merge {
        row("merge", "its branch is merged when this stage succeeds".to_owned());
    }
    if stage.approval {
        row("asks", "a person has to agree".to_owned());
    }
    if !stage.inputs.is_empty() {
        row("reads", one_line(&stage.inputs.join(", "), 120));
    }
    for (key, span) in [("timeout", stage.timeout), ("backoff", stage.backoff)] {
        if let Some(span) = span {
            row(key, duration::format(span));
        }
    }
    for (key, number) in [("retries", stage.retries), ("visits", stage.max_visits)] {
        if let Some(number) = number {
            row(key, number.to_string());
        }
    }
    for (key, value) in &stage.extra {
        rows.push(vec![format!("  {}", one_line(key, 40)), one_line(&value.to_string(), 120)]);
    }
    rows
}

fn facts_of_workflow(workflow: &Workflow) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![format!("  {key}"), one_line(&value, 120)]);
    for (name, param) in &workflow.params {
        let mut words = vec![param.kind.words().to_owned()];
        words.extend(param.required.then(|| "required".to_owned()));
        words.extend(param.default.as_ref().map(|default| format!("default {default}")));
        if !param.choices.is_empty() {
            let choices: Vec<String> = param.choices.iter().map(ToString::to_string).collect();
            words.push(format!("one of {}", choices.join(" ")));
        }
        if !param.aliases.is_empty() {
            words.push(format!("also called {}", param.aliases.join(" ")));
        }
        words.extend(Some(param.description.clone()).filter(|about| !about.is_empty()));
        row("param", format!("{name}: {}", words.join(", ")));
    }
    if !workflow.triggers.is_empty() {
        row("triggers", workflow.triggers.join(", "));
    }
    if let Some(schedule) = &workflow.schedule {
        row("schedule", schedule.clone());
    }
    if let Some(next) = &workflow.on_failure {
        row("failure", format!("starts workflow {next}"));
    }
    if let Some(timeout) = workflow.timeout {
        row("timeout", duration::format(timeout));
    }
    if let Some(steps) = workflow.max_steps {
        row("steps", format!("at most {steps}"));
    }
    for criterion in &workflow.success_criteria {
        row("achieves", criterion.clone());
    }
    rows
}

fn threshold_words(threshold: &Threshold) -> String {
    let bounds = [("at least", threshold.min), ("at most", threshold.max)];
    let bounds: Vec<String> =
        bounds.iter().filter_map(|(words, bound)| bound.map(|bound| format!("{words} {bound}"))).collect();
    let from = match &threshold.from {
        Figure::Output(text) => format!("after `{text}` in the output"),
        Figure::Lcov(file) | Figure::Cobertura(file) | Figure::Junit(file) => format!("in {file}"),
    };
    one_line(&format!("{} {} {from}", threshold.name, bounds.join(" and ")), 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(workflow: &Workflow) -> String {
        let (out, text) = Output::captured();
        print(&out, workflow).unwrap();
        let text = text.lock().unwrap();
        text.clone()
    }

    #[test]
    fn the_built_in_workflow_is_readable() {
        let text = printed(&pipeline_lib::workflow::tdd());
        for part in
            ["arch  Design  (starts here)", "success → test", "rework → impl", "success → end", "role   supervisor"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn everything_a_file_says_is_shown() {
        let document = serde_json::json!({
            "id": "w", "author": "somebody", "schedule": "hourly", "params": { "to": { "required": true } },
            "stages": [
                { "id": "a", "run": "make", "probe": "test -e x", "phase": "build", "thresholds": { "coverage": 80 } },
                { "id": "b", "parallel": ["c"] }, { "id": "c", "run": "x" },
                { "id": "d", "workflow": "other", "matrix": { "env": ["x"] } },
            ],
        });
        let (workflow, _) = pipeline_lib::workflow::parse::parse(&document, None).unwrap();
        let text = printed(&workflow);
        for part in [
            "author: \"somebody\"",
            "schedule  hourly",
            "to: a text, required",
            "runs   make",
            "probe  test -e x",
            "phase  \"build\"",
            "coverage at least 80",
            "at once",
            "env: \"x\"",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
