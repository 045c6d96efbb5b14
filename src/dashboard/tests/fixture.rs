//! Made-up pictures at a made-up time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::ids::{AgentName, TaskId};
use pipeline_lib::mode::{Mode, Orchestration, Rollout};
use pipeline_lib::settings::Sandbox;
use pipeline_lib::terminal::{Frame, Line, Size};
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::pane::{Pane, Panes, Source};
use pipeline_lib::view::screen::{AgentRow, Card, Column, EventLine, Figures, Monitor, Screen, Tone};
use pipeline_lib::view::{AgentStatus, Attention};

/// The time of all pictures.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap()
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(super) fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(super) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

fn card(id: u32, title: &str, status: &str, tone: Tone, seconds: i64) -> Card {
    Card {
        id: task(&format!("TASK-{id:03}")),
        title: title.to_owned(),
        status: status.to_owned(),
        tone,
        agent: None,
        role: (!matches!(tone, Tone::Good | Tone::Gone)).then(|| "impl".to_owned()),
        attempt: 0,
        since: ago(seconds),
        priority: 3,
        collides: None,
        reason: None,
    }
}

fn column(title: &str, cards: Vec<Card>) -> Column {
    Column { title: title.to_owned(), total: cards.len(), cards }
}

fn row(
    name: &str,
    status: AgentStatus,
    source: &'static str,
    seconds: i64,
    at: Option<(&str, &str)>,
    line: &str,
) -> AgentRow {
    AgentRow {
        name: agent(name),
        role: "impl".to_owned(),
        preset: "claude",
        sandbox: if name == "impl-1" { Sandbox::Basic } else { Sandbox::Off },
        status,
        source,
        confidence: 1.0,
        since: ago(seconds),
        task: at.map(|(id, _)| task(id)),
        stage: at.map(|(_, stage)| stage.to_owned()),
        run: None,
        stopping: None,
        line: line.to_owned(),
    }
}

fn event(seq: u64, seconds: i64, tone: Tone, text: &str) -> EventLine {
    EventLine { seq, at: ago(seconds), text: text.to_owned(), tone }
}

/// A pipeline that was just set up.
pub(super) fn empty() -> Arc<Screen> {
    let idle = |name: &str| row(name, AgentStatus::Idle, "journal", 40, None, "");
    let columns = ["new", "arch", "test", "impl", "super", "done"].map(|title| column(title, Vec::new()));
    Arc::new(Screen {
        project: "shop".to_owned(),
        base: "main".to_owned(),
        mode: Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Shadow },
        pending_mode: None,
        monitor: Monitor::Here,
        columns: columns.to_vec(),
        agents: vec![idle("architect"), idle("tester"), idle("impl-1")],
        attention: Vec::new(),
        events: Vec::new(),
        figures: Figures::default(),
        detail: Detail::Nothing,
        notice: None,
        at: now(),
    })
}

fn board() -> Vec<Column> {
    let mut migrate = card(13, "Move the orders table to the new schema", "impl_wip", Tone::Active, 312);
    migrate.agent = Some(agent("impl-1"));
    migrate.attempt = 2;
    let mut totals = card(9, "Round totals to whole cents", "impl_verifying", Tone::Checking, 42);
    totals.agent = Some(agent("impl-2"));
    totals.attempt = 1;
    let mut cart = card(14, "Write failing tests for the cart", "test_wip", Tone::Active, 12);
    cart.agent = Some(agent("tester"));
    cart.attempt = 1;
    let mut login = card(11, "Sign in with a passkey", "awaiting_approval", Tone::Attention, 180);
    login.reason = Some("the plan asks for approval".to_owned());
    login.priority = 1;
    let mut blocked = card(10, "Import the old customers", "blocked", Tone::Bad, 7500);
    blocked.reason = Some("failed 3 times: the gate does not pass".to_owned());
    let mut waits = card(16, "Show the order history", "unassigned", Tone::Waiting, 3700);
    waits.reason = Some("after TASK-013".to_owned());
    let mut done = column(
        "done",
        vec![
            card(8, "Add a health check", "completed", Tone::Good, 900),
            card(7, "Cache the price list", "completed", Tone::Good, 1900),
            card(6, "漢字 in product names", "completed", Tone::Good, 4000),
            card(5, "Log in JSON", "completed", Tone::Good, 8000),
            card(4, "Use one date format everywhere", "cancelled", Tone::Gone, 90_000),
        ],
    );
    done.total = 7;
    vec![
        column(
            "new",
            vec![
                card(15, "Send receipts by mail", "arch_ready", Tone::Ready, 65),
                waits,
                card(
                    17,
                    "Search by category and by price, with a facet for each of them",
                    "unassigned",
                    Tone::Waiting,
                    3700,
                ),
            ],
        ),
        column("arch", vec![login]),
        column("test", vec![cart]),
        column("impl", vec![migrate, totals, blocked]),
        column("super", Vec::new()),
        done,
    ]
}

/// A pipeline at work, with two things that wait for a person.
pub(super) fn attention() -> Arc<Screen> {
    let item = |kind, id: &str, seconds, why: &str, unblocks: &[&str], command: &str| Attention {
        kind,
        task: Some(task(id)),
        agent: None,
        since: ago(seconds),
        summary: format!("{id}: {why}"),
        unblocks: unblocks.iter().map(|id| task(id)).collect(),
        command: format!("pipeline task {command} {id}"),
    };
    let screen = Screen {
        mode: Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Pilot },
        columns: board(),
        agents: vec![
            row(
                "architect",
                AgentStatus::Waiting,
                "stream",
                180,
                Some(("TASK-011", "arch")),
                "Shall I keep the old session table?",
            ),
            row(
                "tester",
                AgentStatus::Working,
                "process",
                12,
                Some(("TASK-014", "test")),
                "cart.spec.ts: 4 tests, 4 failing as expected",
            ),
            row(
                "impl-1",
                AgentStatus::Working,
                "process",
                312,
                Some(("TASK-013", "impl")),
                "running cargo test -p orders",
            ),
            row(
                "impl-2",
                AgentStatus::Verifying,
                "gate",
                42,
                Some(("TASK-009", "impl")),
                "its claim for TASK-009 is being checked",
            ),
            row("super", AgentStatus::Idle, "journal", 2400, None, ""),
        ],
        attention: vec![
            item(
                "blocked",
                "TASK-010",
                7500,
                "failed 3 times: the gate does not pass",
                &["TASK-017", "TASK-016"],
                "retry",
            ),
            item("approval", "TASK-011", 180, "the plan asks for approval", &[], "approve"),
        ],
        events: vec![
            event(208, 312, Tone::Active, "TASK-013 impl: impl-1 started, attempt 2"),
            event(209, 180, Tone::Attention, "TASK-011 arch: architect asks for approval"),
            event(210, 65, Tone::Ready, "TASK-015 added: Send receipts by mail"),
            event(211, 42, Tone::Checking, "TASK-009 impl: impl-2 claims success, the gate runs"),
            event(212, 12, Tone::Active, "TASK-014 test: tester started, attempt 1"),
        ],
        figures: Figures {
            tasks: 17,
            completed: 6,
            in_progress: 5,
            agents_busy: 4,
            throughput_per_hour: 4.2,
            cost_usd: 1.87,
        },
        ..(*empty()).clone()
    };
    Arc::new(screen)
}

/// What the agents' terminals show.
pub(super) fn shown(screen: &Screen) -> Panes {
    let pane = |row: &AgentRow| {
        let (source, lines): (Source, &[&str]) = match row.name.as_str() {
            "architect" => (
                Source::Terminal,
                &[
                    "I will read the migration first.",
                    "● Read(migrations/0042_orders.sql)",
                    "  214 lines",
                    "● Bash(cargo test -p orders)",
                    "  running 18 tests",
                    "  test orders::totals ... ok",
                    "  test orders::history ... FAILED",
                ],
            ),
            _ => (Source::Log, &["compiling", "done"]),
        };
        pane_of(source, lines)
    };
    Arc::new(screen.agents.iter().map(|row| (row.name.clone(), pane(row))).collect())
}

/// A pane of these lines.
pub(super) fn pane_of(source: Source, lines: &[&str]) -> Pane {
    let mut frame = Frame::blank(Size { columns: 80, rows: 24 });
    for (place, line) in frame.lines.iter_mut().zip(lines) {
        *place = Arc::new(Line::plain(*line));
    }
    Pane { run: None, source, frame: Arc::new(frame), note: None }
}

/// The same without anything that waits.
pub(super) fn busy() -> Arc<Screen> {
    let mut screen = (*attention()).clone();
    screen.attention.clear();
    screen.mode.rollout = Rollout::Production;
    screen.columns[1].cards[0].tone = Tone::Active;
    screen.columns[1].cards[0].status = "arch_wip".to_owned();
    screen.columns[1].cards[0].agent = Some(agent("architect"));
    screen.columns[3].cards.pop();
    screen.columns[3].total = 2;
    screen.agents[0].status = AgentStatus::Working;
    screen.agents[0].source = "process";
    Arc::new(screen)
}
