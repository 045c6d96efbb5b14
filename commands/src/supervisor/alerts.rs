//! Tells people what they asked to be told, once the facts are durable. Nothing here waits: whatever takes time is done by a
//! short process of its own with a limit, which writes into `logs/alerts.log` where it fails.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use pipeline_lib::event::{NewTask, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::WorkflowId;
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::registry::alerts::{Alert, Channel, Severity};
use pipeline_lib::workflow::params;
use serde_json::Value;

use crate::context::Context;
use crate::engine::Engine;
use crate::error::{Result, chain};

/// What one delivery may take is in the script, in seconds. Its output, which is only that of failures, goes to the log.
const DELIVER: &str = r#"limit=; command -v timeout >/dev/null && limit="timeout 20"
$limit sh -c "$PIPELINE_ALERT_DELIVERY" || echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) not delivered (exit $?): $PIPELINE_ALERT_TEXT" >&2"#;
const WEBHOOK: &str = r#"exec curl -fsS --max-time 15 -o /dev/null -H "Content-Type: application/json" --data-binary @- "$PIPELINE_ALERT_URL""#;
const DESKTOP: &str = r#"exec notify-send "pipeline: $PIPELINE_ALERT_SEVERITY" "$PIPELINE_ALERT_TEXT""#;

/// Tells people about these facts, and starts what is to be started against them.
pub(super) fn tell(context: &Context, engine: &mut Engine, facts: &[Fact]) {
    let alerts = &context.registry().alerts;
    if alerts.rules.is_empty() {
        return;
    }
    let mut remedies: Vec<(WorkflowId, NewTask)> = Vec::new();
    for alert in facts.iter().flat_map(|fact| alerts.raised(engine.pipeline(), fact)) {
        for channel in alerts.channels_of(alert.rule) {
            if let Err(error) = send(context, &alert, &channel) {
                tracing::warn!(alert = alert.text, error = chain(&error), "an alert could not be delivered");
            }
        }
        remedies.extend(remedy(context, engine.pipeline(), &alert));
    }
    for (workflow, new) in remedies {
        // Two alerts of one tick may ask for the same.
        if is_under_way(engine.pipeline(), &workflow) {
            continue;
        }
        if let Err(error) = engine.ask(context, "alert", Request::AddTasks(vec![new])) {
            context.note(&format!("workflow `{workflow}` was not started against an alert: {}", chain(&error)));
        }
    }
}

fn send(context: &Context, alert: &Alert<'_>, channel: &Channel) -> Result<()> {
    match channel {
        Channel::Log => {
            match alert.rule.severity {
                Severity::Info => tracing::info!(alert = alert.rule.name, text = alert.text, "alert"),
                Severity::Warning => tracing::warn!(alert = alert.rule.name, text = alert.text, "alert"),
                Severity::Critical => tracing::error!(alert = alert.rule.name, text = alert.text, "alert"),
            }
            Ok(())
        }
        Channel::Console => {
            context.output().note(&alert.text);
            Ok(())
        }
        Channel::Desktop => deliver(context, alert, DESKTOP, "", &alert.document()),
        Channel::Command(command) => deliver(context, alert, command, "", &alert.document()),
        Channel::Webhook { url, shape } => {
            let variable =
                url.strip_prefix('$').map(|name| context.environment().get(name).cloned().unwrap_or_default());
            deliver(context, alert, WEBHOOK, variable.as_ref().unwrap_or(url), &alert.payload(*shape))
        }
    }
}

fn deliver(context: &Context, alert: &Alert<'_>, command: &str, url: &str, payload: &Value) -> Result<()> {
    let mut input = tempfile::tempfile()?;
    input.write_all(payload.to_string().as_bytes())?;
    input.rewind()?;
    let folder = context.folder().join("logs");
    std::fs::create_dir_all(&folder)?;
    let log = File::options().create(true).append(true).open(folder.join("alerts.log"))?;
    let mut child = Command::new("sh")
        .args(["-c", DELIVER])
        .current_dir(context.root())
        .env("PIPELINE_ALERT_DELIVERY", command)
        .env("PIPELINE_ALERT_TEXT", &alert.text)
        .env("PIPELINE_ALERT_NAME", &alert.rule.name)
        .env("PIPELINE_ALERT_SEVERITY", alert.rule.severity.word())
        .env("PIPELINE_ALERT_URL", url)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()?;
    // Whoever lives long must not leave a dead process behind; how it ended is in the log.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}

/// The task that is added against an alert, unless it is about that workflow itself or one is under way.
fn remedy(context: &Context, pipeline: &Pipeline, alert: &Alert<'_>) -> Option<(WorkflowId, NewTask)> {
    let id = alert.rule.workflow.as_ref()?;
    if alert.values["workflow"] == id.as_str() || is_under_way(pipeline, id) {
        return None;
    }
    let workflow = context.workflows().find(id)?;
    let word = |key: &str| alert.values[key].as_str().map(Value::from);
    let known = [
        ("failed_task", word("task")),
        ("failed_stage", word("stage")),
        ("failed_workflow", word("workflow")),
        ("reason", word("reason")),
        ("alert", Some(alert.rule.name.as_str().into())),
    ];
    // What the task of the alert was given, its remedy may need as well: where something was deployed, say.
    let task = alert.values["task"].as_str().and_then(|id| pipeline.task(id));
    let mut given = task.map(|task| task.params.clone()).unwrap_or_default();
    given.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    given.retain(|name, _| workflow.params.contains_key(name));
    if let Err(problems) = params::check(&workflow.params, &given) {
        context.note(&format!("workflow `{id}` was not started against an alert: {}", problems.join("; ")));
        return None;
    }
    let new = NewTask {
        body: format!("{}\n", alert.text),
        priority: pipeline_lib::task::PRIORITY_MOST_URGENT,
        workflow: Some(id.clone()),
        params: given,
        ..NewTask::titled(&pipeline_lib::text::one_line(&format!("{id} against: {}", alert.text), 200))
    };
    Some((id.clone(), new))
}

fn is_under_way(pipeline: &Pipeline, workflow: &WorkflowId) -> bool {
    pipeline.tasks.iter().any(|task| task.workflow == *workflow && !task.state.is_final())
}
