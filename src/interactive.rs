//! What a person in a terminal gets: the dashboard of this repository, or of the demonstration, or a word about how to
//! begin. Draws nothing itself.

use clap::Parser as _;
use pipeline_commands::cli::{Cli, Verb};
use pipeline_commands::config::{Notify, Theme, UiConfig};
use pipeline_commands::context::Site;
use pipeline_commands::dispatch::{self, Call};
use pipeline_commands::error::{CommandError, Result, exit};
use pipeline_commands::picture;
use pipeline_commands::supervisor::Pace;
use pipeline_commands::verbs::agent::{AgentArgs, AgentVerb};
use pipeline_commands::verbs::{demo, monitor, status};

use crate::{attach, dashboard};

/// Whether this verb opens the dashboard here.
#[must_use]
pub fn wants(call: &Call, verb: &Verb) -> bool {
    if is_dumb(call) {
        return false;
    }
    match verb {
        Verb::Monitor(args) => args.wants_dashboard(call),
        Verb::Demo(args) => call.interactive && !call.output.json && !args.headless,
        Verb::Agent(args) => call.interactive && !call.output.json && matches!(args.verb, AgentVerb::Attach(_)),
        _ => false,
    }
}

/// Whether the terminal says that it can do nothing but print.
fn is_dumb(call: &Call) -> bool {
    call.globals.environment.get("TERM").is_some_and(|term| term == "dumb")
}

/// Opens the dashboard; without a terminal, prints the status.
///
/// # Errors
/// When there is no pipeline here, or the terminal cannot be used.
pub fn run(call: &Call, verb: Option<Verb>) -> Result<u8> {
    match verb {
        Some(Verb::Demo(args)) => {
            let prepared = demo::prepare(call, &args)?;
            show(&prepared.call, Pace::Adaptive)?;
            demo::finish(prepared)
        }
        Some(Verb::Monitor(args)) => show(call, args.pace()?),
        Some(Verb::Agent(AgentArgs { verb: AgentVerb::Attach(args) })) => attach::run(call, &args),
        None if call.interactive && !call.output.json && !is_dumb(call) => {
            let there = Site::find(&call.globals).is_ok_and(|site| site.is_initialised());
            if there { show(call, Pace::Adaptive) } else { offer(call) }
        }
        None => dispatch::run(call, Verb::Status(status::Status { watch: false, check: false })),
        Some(other) => dispatch::run(call, other),
    }
}

/// Where there is nothing to show: what was found, and the two ways to begin one key away.
fn offer(call: &Call) -> Result<u8> {
    let site = Site::find(&call.globals);
    let place = match &site {
        Ok(site) => format!("There is no pipeline in {} yet.", site.root.display()),
        Err(error) => error.message.clone(),
    };
    let doctor = dispatch::answer(&call.globals, &["doctor".to_owned()]).text;
    let doctor = doctor.lines().map(str::to_owned).collect();
    let found = dashboard::Found { place, repository: site.is_ok(), doctor };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let theme = dashboard::Theme::from_env();
    let chosen = runtime.block_on(dashboard::welcome(&found, theme, pipeline_commands::suspend))?;
    let words: &[&str] = match chosen {
        dashboard::Begin::Init(rollout) => &["pipeline", "init", "--rollout", rollout.word(), "--yes"],
        dashboard::Begin::Demo => &["pipeline", "demo"],
        dashboard::Begin::Leave => return Ok(exit::OK),
    };
    let cli = Cli::try_parse_from(words).map_err(|error| CommandError::usage(error.to_string()))?;
    match cli.verb {
        Some(verb) if wants(call, &verb) => run(call, Some(verb)),
        Some(verb) => match dispatch::run(call, verb)? {
            exit::OK => show(call, Pace::Adaptive),
            code => Ok(code),
        },
        None => Ok(exit::OK),
    }
}

fn notify(call: &Call, ui: &UiConfig) -> dashboard::Notify {
    let set = |name: &str| call.globals.environment.get(name).filter(|value| !value.is_empty()).cloned();
    dashboard::Notify {
        bell: ui.notify != Notify::Off,
        desktop: (ui.notify == Notify::Desktop).then(|| dashboard::Notify::channel(set)),
        tmux: set("TMUX").is_some(),
        command: ui.notify_command.clone(),
    }
}

/// The looks and the keys that the settings ask for.
///
/// # Errors
/// When the keys cannot hold.
pub(crate) fn looks(ui: &UiConfig) -> Result<(dashboard::Theme, dashboard::Keymap)> {
    let mut theme = dashboard::Theme::from_env();
    match ui.theme {
        Theme::Auto => {}
        Theme::Dark => theme.ground = dashboard::Ground::Dark,
        Theme::Light => theme.ground = dashboard::Ground::Light,
        Theme::Mono => theme.depth = dashboard::Depth::Mono,
    }
    let keys = dashboard::Keymap::with(&ui.keys)
        .map_err(|bad| CommandError::new(exit::CONFIG, "config", bad.message).hint(bad.hint))?;
    Ok((theme, keys))
}

fn show(call: &Call, pace: Pace) -> Result<u8> {
    let context = call.context()?;
    monitor::start_logging(call, &context)?;
    let ui = &context.config().ui;
    let mouse = ui.mouse && !call.no_mouse;
    let suspend = Some(pipeline_commands::suspend as fn() -> std::io::Result<()>);
    let (theme, keys) = looks(ui)?;
    let options = dashboard::Options { mouse, theme, keys, notify: notify(call, ui), suspend };
    drop(context);
    let (live, ending) = picture::start(call, pace)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(dashboard::run(live, options));
    ending.wait();
    shown?;
    Ok(exit::OK)
}
