//! Tells people what they asked to be told, once the facts are durable. Nothing here waits: whatever takes time is done by a
//! short process of its own with a limit, which writes into `logs/alerts.log` where it fails.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pipeline_lib::event::{NewTask, Request};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::WorkflowId;
use pipeline_lib::pipeline::{AlertNotice, Pipeline};
use pipeline_lib::registry::alerts::{Alert, Channel, Severity};
use pipeline_lib::workflow::params;
use serde_json::Value;

use crate::context::Context;
use crate::engine::Engine;
use crate::error::{Result, chain};

/// A delivery is tried three times, with a limit for each. What became of it is left in a file beside that of the alert,
/// which the next tick takes; the output, which is only that of failures, goes to the log.
const DELIVER: &str = r#"limit=; command -v timeout >/dev/null && limit="timeout 20"
for pause in 0 1 4; do
  sleep $pause
  $limit sh -c "$PIPELINE_ALERT_DELIVERY" <"$PIPELINE_ALERT_FILE.json"; code=$?
  [ $code = 0 ] && break
done
[ $code = 0 ] || echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $PIPELINE_ALERT_CHANNEL: not delivered (exit $code): $PIPELINE_ALERT_TEXT" >&2
rm -f "$PIPELINE_ALERT_FILE.json"
echo $code >"$PIPELINE_ALERT_FILE.code" && mv "$PIPELINE_ALERT_FILE.code" "$PIPELINE_ALERT_FILE.done""#;
/// Where deliveries are while they are made, in the folder of logs.
const OUTBOX: &str = "alerts";
const WEBHOOK: &str = r#"exec curl -fsS --max-time 15 -o /dev/null -H "Content-Type: application/json" --data-binary @- "$PIPELINE_ALERT_URL""#;
const DESKTOP: &str = r#"exec notify-send "pipeline: $PIPELINE_ALERT_SEVERITY" "$PIPELINE_ALERT_TEXT""#;

/// Tells people about these facts, and starts what is to be started against them.
pub(super) fn tell(context: &Context, engine: &mut Engine, facts: &[Fact]) {
    let alerts = &context.registry().alerts;
    if alerts.rules.is_empty() {
        return;
    }
    let mut remedies: Vec<(WorkflowId, NewTask)> = Vec::new();
    let mut notices: Vec<AlertNotice> = Vec::new();
    for alert in facts.iter().flat_map(|fact| alerts.raised(engine.pipeline(), fact)) {
        for (name, channel) in alerts.channels_of(alert.rule) {
            if let Err(error) = send(context, &alert, name, &channel) {
                tracing::warn!(alert = alert.text, error = chain(&error), "an alert could not be delivered");
                notices.push(alert.notice(Some(name)));
            }
        }
        notices.extend((alert.rule.severity == Severity::Critical).then(|| alert.notice(None)));
        remedies.extend(remedy(context, engine.pipeline(), &alert));
    }
    note(context, engine, notices, Vec::new());
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

/// Takes what became of deliveries that are over.
pub(super) fn collect(context: &Context, engine: &mut Engine) {
    let (mut notices, mut working) = (Vec::new(), Vec::new());
    // Of a channel that is gone nothing is to be mended.
    let channels = &context.registry().alerts.channels;
    let standing = engine.pipeline().core.alerts.iter().filter_map(|alert| alert.notice.channel.as_ref());
    working.extend(standing.filter(|name| !channels.contains_key(*name)).cloned());
    let outbox = std::fs::read_dir(outbox(context)).into_iter().flatten();
    for done in outbox.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "done"))
    {
        let sent = done.with_extension("");
        let notice = std::fs::read(&sent).ok().and_then(|bytes| serde_json::from_slice::<AlertNotice>(&bytes).ok());
        let delivered = std::fs::read_to_string(&done).is_ok_and(|code| code.trim() == "0");
        for path in [&done, &sent] {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(path = %path.display(), error = %error, "a delivery could not be put away");
            }
        }
        let Some(notice) = notice else { continue };
        if delivered { working.extend(notice.channel) } else { notices.push(notice) }
    }
    note(context, engine, notices, working);
}

/// Puts what people should see on record.
fn note(context: &Context, engine: &mut Engine, notices: Vec<AlertNotice>, working: Vec<String>) {
    if notices.is_empty() && working.is_empty() {
        return;
    }
    if let Err(error) = engine.ask(context, "alert", Request::NoteAlerts { notices, working }) {
        tracing::warn!(error = chain(&error), "an alert could not be put on record");
    }
}

fn outbox(context: &Context) -> PathBuf {
    context.folder().join("logs").join(OUTBOX)
}

fn send(context: &Context, alert: &Alert<'_>, name: &str, channel: &Channel) -> Result<()> {
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
        Channel::Desktop => deliver(context, alert, name, DESKTOP, "", &alert.document()),
        Channel::Command(command) => deliver(context, alert, name, command, "", &alert.document()),
        Channel::Webhook { url, shape } => {
            let variable =
                url.strip_prefix('$').map(|name| context.environment().get(name).cloned().unwrap_or_default());
            deliver(context, alert, name, WEBHOOK, variable.as_ref().unwrap_or(url), &alert.payload(*shape))
        }
    }
}

/// Starts a delivery. What people see if it fails stands in a file of its own, what is sent in another beside it.
fn deliver(
    context: &Context,
    alert: &Alert<'_>,
    channel: &str,
    command: &str,
    url: &str,
    payload: &Value,
) -> Result<()> {
    let outbox = outbox(context);
    std::fs::create_dir_all(&outbox)?;
    let mut sent = tempfile::Builder::new().prefix("alert-").tempfile_in(&outbox)?;
    sent.write_all(serde_json::to_string(&alert.notice(Some(channel)))?.as_bytes())?;
    std::fs::write(sent.path().with_extension("json"), payload.to_string())?;
    let (_, sent) = sent.keep().map_err(|failed| failed.error)?;
    let folder = context.folder().join("logs");
    let log = File::options().create(true).append(true).open(folder.join("alerts.log"))?;
    let mut child = Command::new("sh")
        .args(["-c", DELIVER])
        .current_dir(context.root())
        .env("PIPELINE_ALERT_DELIVERY", command)
        .env("PIPELINE_ALERT_TEXT", &alert.text)
        .env("PIPELINE_ALERT_NAME", &alert.rule.name)
        .env("PIPELINE_ALERT_SEVERITY", alert.rule.severity.word())
        .env("PIPELINE_ALERT_URL", url)
        .env("PIPELINE_ALERT_CHANNEL", channel)
        .env("PIPELINE_ALERT_FILE", &sent)
        .stdin(Stdio::null())
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
