//! `pipeline event`: something happened, and the rules say which workflow it starts. What is started is an ordinary task.

use std::collections::BTreeMap;

use pipeline_lib::event::{NewTask, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::TaskId;
use pipeline_lib::registry::route::{Given, Occurrence, Route};
use pipeline_lib::registry::{Origin, Rule};
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use serde_json::{Value, json};

use crate::config::all_rules;
use crate::dispatch::Call;
use crate::engine::Engine;
use crate::error::{CommandError, Result, exit};
use crate::verbs::task::{check_workflow, params};

/// The longest title that is made of an event, in characters.
const TITLE_CHARS_MAX: usize = 120;
/// So many rules are listed where none matches.
const RULES_SHOWN: usize = 30;

/// Something that happened.
#[derive(Debug, clap::Args)]
pub struct EventArgs {
    /// What happened
    #[arg(value_name = "TYPE")]
    pub event_type: String,
    /// What is known about it, once for each
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// What the task is called
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Say which rule counts and what would be started, and start nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Puts a task on the workflow that an event leads to.
///
/// # Errors
/// When no rule matches, several workflows claim the event, what the workflow needs is missing, or the state cannot be written.
pub fn run(call: &Call, args: &EventArgs) -> Result<u8> {
    let context = call.context()?;
    let occurrence = Occurrence { event_type: args.event_type.clone(), params: params(&args.params)? };
    let rules = all_rules(context.registry(), context.workflows());
    let (route, strange) = occurrence.route(&rules);
    let rule = match route {
        Route::Rule(rule) => rule,
        Route::Several(several) => return Err(ambiguous(&occurrence, &several)),
        Route::Nowhere => return Err(nowhere(&occurrence, &rules, &strange)),
    };
    check_workflow(context.workflows(), Some(&rule.workflow))?;
    let workflow = context.workflows().find(&rule.workflow);
    let workflow =
        workflow.ok_or_else(|| CommandError::not_found(format!("there is no workflow `{}`", rule.workflow)))?;
    let given = occurrence.given(rule, &workflow).map_err(CommandError::failed)?;
    pipeline_lib::workflow::params::check(&workflow.params, &given.params)
        .map_err(|problems| CommandError::failed(format!("workflow `{}`: {}", workflow.id, problems.join("; "))))?;
    let new = NewTask {
        body: body(&occurrence),
        priority: rule.priority,
        workflow: Some(rule.workflow.clone()),
        params: given.params.clone(),
        ..NewTask::titled(&title(args, &occurrence))
    };
    let task = if args.dry_run {
        None
    } else {
        let mut engine = Engine::open(&context)?;
        let facts = engine.ask(&context, "event", Request::AddTasks(vec![new]))?;
        facts.into_iter().find_map(|fact| if let Fact::TaskAdded { task } = fact { Some(task.id) } else { None })
    };
    say(call, &occurrence, rule, &given, task.as_ref())
}

fn say(call: &Call, occurrence: &Occurrence, rule: &Rule, given: &Given, task: Option<&TaskId>) -> Result<u8> {
    let out = &call.output;
    if out.json {
        out.json(&json!({
            "schema_version": SCHEMA_VERSION, "event_type": occurrence.event_type, "rule": rule_json(rule),
            "workflow": rule.workflow, "priority": rule.priority, "params": given.params, "left_out": given.left_out,
            "dry_run": task.is_none(), "task": task,
        }))?;
        return Ok(exit::OK);
    }
    let said = format!("{} → {}: {} ({})", occurrence.event_type, rule.workflow, rule.condition, origin(rule.origin));
    match task {
        Some(task) => {
            out.line(task.as_str())?;
            out.note(&said);
        }
        None => {
            out.line(&said)?;
            for (name, value) in shown(&given.params) {
                out.line(&format!("  {name} = {value}"))?;
            }
            out.line("nothing was started")?;
        }
    }
    if !given.left_out.is_empty() {
        out.note(&format!("{} takes no {}; the task's text has them", rule.workflow, given.left_out.join(", ")));
    }
    Ok(exit::OK)
}

fn title(args: &EventArgs, occurrence: &Occurrence) -> String {
    let named = |name: &str| occurrence.params.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let about = ["title", "user_request", "feature_name", "summary"].into_iter().find_map(named);
    let about = about.or_else(|| named(&occurrence.event_type));
    match (&args.title, about) {
        (Some(title), _) => title.clone(),
        (None, Some(about)) => one_line(&format!("{}: {about}", occurrence.event_type), TITLE_CHARS_MAX),
        (None, None) => one_line(&occurrence.event_type, TITLE_CHARS_MAX),
    }
}

/// Everything that is known, for whoever works on it.
fn body(occurrence: &Occurrence) -> String {
    let lines = occurrence.params.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("- {name}: {text}\n")
    });
    format!("Event: {}\n\n{}", occurrence.event_type, lines.collect::<String>())
}

fn shown(params: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    params.iter().map(|(name, value)| (name.clone(), one_line(&text(value), 200))).collect()
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Registry => "a rule of the registry",
        Origin::Project => "a trigger of the workflow",
        Origin::Builtin => "a rule that comes with the program",
        Origin::Shipped => "a trigger of a workflow that comes with the program",
    }
}

fn rule_json(rule: &Rule) -> Value {
    json!({ "condition": rule.condition, "workflow": rule.workflow, "priority": rule.priority, "from": origin(rule.origin) })
}

fn ambiguous(occurrence: &Occurrence, several: &[&Rule]) -> CommandError {
    let names: Vec<&str> = several.iter().map(|rule| rule.workflow.as_str()).collect();
    let message = format!("several workflows are started by `{}`: {}", occurrence.event_type, names.join(", "));
    CommandError::failed(message).hint("Nothing was started. Add a rule to .pipeline/registry.json that chooses one.")
}

fn nowhere(occurrence: &Occurrence, rules: &[Rule], strange: &[String]) -> CommandError {
    let shown = one_line(&occurrence.event_type, 80);
    let mut lines: Vec<String> =
        rules.iter().take(RULES_SHOWN).map(|rule| format!("  {} → {}", rule.condition, rule.workflow)).collect();
    if rules.len() > RULES_SHOWN {
        lines.push(format!("  and {} more", rules.len() - RULES_SHOWN));
    }
    let own: Vec<&String> = strange.iter().filter(|text| text.contains(&occurrence.event_type)).collect();
    lines.extend(own.into_iter().map(|text| format!("  {text}")));
    CommandError::not_found(format!("no rule matches the event `{shown}`"))
        .hint(format!("Nothing was started. The rules are:\n{}", lines.join("\n")))
}
