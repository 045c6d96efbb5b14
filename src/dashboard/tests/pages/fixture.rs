//! Made-up content of the pages, around the board of the other pictures.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::ids::StageId;
use pipeline_lib::run::Verdict;
use pipeline_lib::variants::{ArmDoc, Comparison, Difference, Estimate};
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::graph::{Graph, Node};
use pipeline_lib::view::detail::history::Kind;
use pipeline_lib::view::detail::logs::{Line, Logs};
use pipeline_lib::view::detail::metrics::{Figures, Share};
use pipeline_lib::view::detail::timeline::{Outlook, Planned, Row, Span, Timeline, Unknown};
use pipeline_lib::view::screen::{Screen, Tone};
use pipeline_lib::view::standing::{CategoryDoc, ChainDoc, ChainPart, ScheduleDoc, Standing};
use pipeline_lib::view::{MetricsDoc, metrics};

use crate::dashboard::tests::fixture::{agent, ago, attention, empty, now, task};

/// The busy picture with something to see on a page.
pub(super) fn with(detail: Detail) -> Arc<Screen> {
    Arc::new(Screen { detail, ..(*attention()).clone() })
}

/// A new pipeline with nothing to see on a page.
pub(super) fn without(detail: Detail) -> Arc<Screen> {
    Arc::new(Screen { detail, ..(*empty()).clone() })
}

pub(super) fn node(id: &str, title: &str, tone: Tone, after: &[usize]) -> Node {
    let status = match tone {
        Tone::Waiting => "unassigned",
        Tone::Ready => "arch_ready",
        Tone::Active => "impl_wip",
        Tone::Checking => "impl_verifying",
        Tone::Attention => "blocked",
        Tone::Bad => "failed",
        Tone::Good => "completed",
        Tone::Gone => "cancelled",
    };
    Node {
        id: task(id),
        title: title.to_owned(),
        status: status.to_owned(),
        tone,
        finished: matches!(tone, Tone::Good | Tone::Gone | Tone::Bad),
        agent: (tone == Tone::Active).then(|| agent("impl-1")),
        reason: None,
        after: after.to_vec(),
        part_of: None,
        more_after: 0,
        more_behind: 0,
    }
}

/// A dozen tasks, of which some wait for several others.
pub(super) fn graph() -> Graph {
    let nodes = vec![
        node("TASK-005", "Log in JSON", Tone::Good, &[]),
        node("TASK-008", "Add a health check", Tone::Good, &[0]),
        node("TASK-009", "Round totals to whole cents", Tone::Checking, &[0]),
        node("TASK-010", "Import the old customers", Tone::Attention, &[]),
        node("TASK-013", "Move the orders table to the new schema", Tone::Active, &[1]),
        node("TASK-014", "Write failing tests for the cart", Tone::Active, &[2]),
        node("TASK-016", "Show the order history", Tone::Waiting, &[4, 3]),
        node("TASK-017", "Search by category and by price, with a facet for each of them", Tone::Waiting, &[3, 4]),
        node("TASK-018", "Pay with the cart's total", Tone::Waiting, &[5, 2]),
        node("TASK-019", "Send the order history as a file", Tone::Waiting, &[6]),
        node("TASK-020", "Release 2.0", Tone::Waiting, &[8, 9, 7]),
        node("TASK-015", "Send receipts by mail", Tone::Ready, &[]),
        node("TASK-011", "漢字 in product names", Tone::Attention, &[]),
    ];
    Graph { nodes, critical: vec![4, 6, 9, 10], critical_seconds: Some(1_910.0), runs: 38, ..Graph::default() }
}

fn span(kind: Kind, at: (&str, &str), from: i64, end: Option<(i64, Verdict)>) -> Span {
    Span {
        kind,
        task: Some(task(at.0)),
        stage: Some(StageId::new(at.1).unwrap()),
        attempt: 1,
        from: ago(from),
        end: end.map(|(to, verdict)| (ago(to), verdict)),
    }
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn planned(name: &str, at: (&str, &str), from: i64, to: i64) -> Planned {
    let stage = StageId::new(at.1).unwrap();
    Planned { agent: agent(name), task: task(at.0), stage, from: later(from), to: later(to) }
}

/// Forty minutes of work, with what is predicted.
pub(super) fn timeline() -> Timeline {
    use Verdict::{Failed, Passed, Void};
    let row = |name: &str, spans: Vec<Span>, planned: Vec<Planned>| Row { agent: agent(name), spans, planned };
    let mut again = span(Kind::Agent, ("TASK-013", "impl"), 312, None);
    again.attempt = 2;
    let rows = vec![
        row(
            "architect",
            vec![
                span(Kind::Agent, ("TASK-011", "arch"), 700, Some((180, Passed))),
                span(Kind::Agent, ("TASK-014", "arch"), 1_500, Some((900, Passed))),
                span(Kind::Agent, ("TASK-013", "arch"), 2_300, Some((1_700, Passed))),
            ],
            vec![planned("architect", ("TASK-015", "arch"), 20, 500)],
        ),
        row(
            "tester",
            vec![
                span(Kind::Agent, ("TASK-014", "test"), 12, None),
                span(Kind::Agent, ("TASK-013", "test"), 1_650, Some((1_200, Passed))),
            ],
            vec![planned("tester", ("TASK-015", "test"), 500, 900)],
        ),
        row(
            "impl-1",
            vec![
                again,
                span(Kind::Gate, ("TASK-013", "impl"), 400, Some((330, Failed))),
                span(Kind::Agent, ("TASK-013", "impl"), 1_150, Some((410, Passed))),
            ],
            vec![planned("impl-1", ("TASK-014", "impl"), 420, 1_100)],
        ),
        row(
            "impl-2",
            vec![
                span(Kind::Gate, ("TASK-009", "impl"), 42, None),
                span(Kind::Agent, ("TASK-009", "impl"), 1_000, Some((50, Passed))),
                span(Kind::Agent, ("TASK-007", "impl"), 1_900, Some((1_300, Void))),
            ],
            vec![planned("impl-2", ("TASK-015", "impl"), 900, 1_500)],
        ),
        row("super", Vec::new(), vec![planned("super", ("TASK-009", "super"), 30, 160)]),
    ];
    let outlook = Outlook {
        finish: Some(Ok(later(1_460))),
        going: 5,
        waiting: 3,
        beyond: 0,
        runs: 38,
        planned: rows.iter().flat_map(|row| row.planned.clone()).collect(),
    };
    let stages = ["arch", "test", "impl", "super"].map(|stage| StageId::new(stage).unwrap()).to_vec();
    Timeline { rows, stages, outlook }
}

/// Agents that have done nothing yet.
pub(super) fn no_work() -> Timeline {
    let rows = ["architect", "tester", "impl-1"].map(|name| Row {
        agent: agent(name),
        spans: Vec::new(),
        planned: Vec::new(),
    });
    let outlook = Outlook { finish: Some(Err(Unknown::NoRuns)), going: 3, ..Outlook::default() };
    Timeline { rows: rows.to_vec(), stages: Vec::new(), outlook }
}

fn share(name: &str, (runs, failed): (u64, u64), seconds: f64, cost_usd: f64) -> Share {
    let p50 = seconds / runs.max(1) as f64;
    Share {
        name: name.to_owned(),
        runs,
        failed,
        seconds,
        p50,
        p90: p50 * 1.8,
        tokens: (cost_usd * 91_000.0) as u64,
        cost_usd,
    }
}

fn totals() -> MetricsDoc {
    metrics(&pipeline_lib::pipeline::Pipeline::default(), now())
}

/// Figures of a day.
pub(super) fn figures() -> Figures {
    let times = |seconds: &[i64]| seconds.iter().rev().map(|seconds| ago(*seconds)).collect::<Vec<_>>();
    let completions = times(&[120, 900, 1_900, 4_000, 4_100, 8_000, 9_500, 15_000, 15_100, 15_200, 30_000, 60_000]);
    let cycles = completions.iter().enumerate().map(|(at, when)| (*when, 300.0 + at as f64 * 90.0)).collect();
    let mut totals = totals();
    totals.tasks_total = 17;
    totals.tasks_completed = 12;
    totals.runs_total = 57;
    totals.runs_failed = 4;
    totals.gates_total = 26;
    totals.gate_failures_total = 3;
    totals.retries_total = 5;
    totals.throughput_per_hour = 3.0;
    totals.agent_utilization = 0.64;
    totals.tokens_total = 1_204_000;
    totals.cost_usd_total = 13.24;
    totals.attention_wait_seconds.p50 = 190.0;
    totals.attention_wait_seconds.p90 = 2_400.0;
    totals.state_disagreements_total = 1;
    Figures {
        totals,
        completions,
        cycles,
        gate_failures: times(&[330, 15_050, 40_000]),
        failures: times(&[2_000, 9_000, 9_100, 70_000]),
        retries: times(&[312, 1_990, 8_900, 9_050, 69_000]),
        since: None,
        by_stage: vec![
            share("arch", (14, 0), 6_300.0, 2.81),
            share("test", (14, 1), 4_900.0, 2.04),
            share("impl", (17, 3), 16_800.0, 7.65),
            share("super", (12, 0), 2_300.0, 0.74),
        ],
        by_agent: vec![
            share("architect", (14, 0), 6_300.0, 2.81),
            share("tester", (14, 1), 4_900.0, 2.04),
            share("impl-1", (11, 3), 11_200.0, 5.02),
            share("impl-2", (6, 0), 5_600.0, 2.63),
            share("super", (12, 0), 2_300.0, 0.74),
        ],
    }
}

/// The same where two ways of setting up the agents of a role are compared.
pub(super) fn compared() -> Figures {
    let estimate = |n, value, low, high| Some(Estimate { n, value, low: Some(low), high: Some(high) });
    let arm = |variant: &str, gates_passed, rate, duration| ArmDoc {
        variant: variant.to_owned(),
        tasks: 9,
        runs: 11,
        runs_failed: 1,
        gates: 11,
        gates_passed,
        gate_pass_rate: rate,
        duration_seconds: duration,
        cost_usd: Some(Estimate { n: 1, value: 0.41, low: None, high: None }),
        tokens: None,
    };
    let arms = vec![
        arm("large", 10, estimate(11, 0.909, 0.623, 0.984), estimate(11, 840.0, 610.0, 1_100.0)),
        arm("small", 1, estimate(11, 0.091, 0.016, 0.377), estimate(11, 410.0, 300.0, 650.0)),
    ];
    let difference = |figure, told: bool, words: &str| Difference {
        figure,
        variant: "small".to_owned(),
        than: "large".to_owned(),
        difference: -0.818,
        overlap: !told,
        told,
        words: words.to_owned(),
    };
    let differences = vec![
        difference("gate_pass_rate", true, "large passes its gates more often than small"),
        difference("duration_seconds", false, "no difference can be told yet: the intervals overlap"),
    ];
    let mut figures = figures();
    figures.totals.by_variant.insert("implementation".to_owned(), Comparison { arms, differences });
    figures
}

/// Figures before anything was measured.
pub(super) fn no_figures() -> Figures {
    Figures {
        totals: totals(),
        completions: Vec::new(),
        cycles: Vec::new(),
        gate_failures: Vec::new(),
        failures: Vec::new(),
        retries: Vec::new(),
        since: None,
        by_stage: Vec::new(),
        by_agent: Vec::new(),
    }
}

/// The end of a log.
pub(super) fn logs() -> Logs {
    let mut lines: Vec<Line> = Vec::new();
    for nth in 0..40 {
        let (level, text) = match nth % 8 {
            1 => ("DEBUG", "pipeline_worktrees::host: a host answered run=01K2X3 pid=4711".to_owned()),
            3 => (
                "WARN",
                "pipeline_commands::supervisor::watch: polling instead of watching error=\"too many\"".to_owned(),
            ),
            5 if nth > 20 => {
                ("ERROR", "pipeline_commands::supervisor: a tick failed error=\"the disk is full\"".to_owned())
            }
            _ => ("INFO", format!("pipeline_commands::supervisor: tick facts={nth}")),
        };
        let line = format!("2026-01-01T00:{:02}:{:02}.123456Z {level:>5} {text}", nth / 4, nth * 15 % 60);
        lines.push(Line::read(nth, &line, lines.last().map(|line| line.level)));
        if nth == 29 {
            lines.push(Line::read(100, "  caused by: 文件 cannot be written", lines.last().map(|line| line.level)));
        }
    }
    for (line, nth) in lines.iter_mut().zip(0..) {
        line.number = nth;
    }
    Logs { lines, file: "pipeline.log.2026-01-01".to_owned(), cut: false, problem: None }
}

/// A task that others do parts of, which itself does a part of one.
pub(super) fn parts() -> Graph {
    let part = |id: &str, title: &str, tone: Tone, of: usize| Node { part_of: Some(of), ..node(id, title, tone, &[]) };
    let nodes = vec![
        node("TASK-030", "Release 2.0", Tone::Active, &[]),
        part("TASK-030.unit", "Release 2.0 · unit-test-pipeline", Tone::Good, 0),
        part("TASK-030.build", "Release 2.0 · build-and-package-pipeline", Tone::Active, 0),
        part("TASK-030.build.linux", "Release 2.0 · build.linux", Tone::Active, 2),
        part("TASK-030.build.mac", "Release 2.0 · build.mac", Tone::Waiting, 2),
        node("TASK-031", "Tell everybody", Tone::Waiting, &[0]),
    ];
    Graph { nodes, critical: vec![0, 5], runs: 12, critical_seconds: Some(300.0), ..Graph::default() }
}

/// Schedules of which one was left out, a chain in the middle of its way, and limits.
pub(super) fn standing() -> Standing {
    let schedule = |name: &str, when: &str, next: Option<i64>, last: Option<(i64, &str, Tone, &str)>| ScheduleDoc {
        name: name.to_owned(),
        workflow: "health-check-pipeline".parse().unwrap(),
        schedule: when.to_owned(),
        next: next.map(later),
        last: last.map(|(seconds, ..)| ago(seconds)),
        task: last.map(|(_, id, ..)| task(id)),
        status: last.map(|(.., status)| status.to_owned()).unwrap_or_default(),
        skipped: 0,
        problem: String::new(),
        tone: last.map(|(_, _, tone, _)| tone),
    };
    let mut nightly =
        schedule("nightly", "daily at 03:00", Some(20_000), Some((66_400, "TASK-022", Tone::Active, "perf_wip")));
    nightly.skipped = 2;
    nightly.problem = "TASK-022 of the time before is not finished".to_owned();
    let part = |workflow: &str, state: &str, tone: Tone, of: Option<(&str, &str)>| ChainPart {
        stage: StageId::new(workflow).unwrap(),
        workflow: workflow.parse().unwrap(),
        state: state.to_owned(),
        task: of.map(|(id, _)| task(id)),
        status: of.map(|(_, status)| status.to_owned()).unwrap_or_default(),
        tone: Some(tone),
    };
    let chain = ChainDoc {
        chain: "standard_development".parse().unwrap(),
        task: task("TASK-013"),
        title: "Move the orders table to the new schema".to_owned(),
        status: "unit-test-pipeline_wip".to_owned(),
        since: ago(400),
        parts: vec![
            part("feature-development", "done", Tone::Good, Some(("TASK-013.feature-development", "completed"))),
            part("unit-test-pipeline", "live, in parts", Tone::Active, Some(("TASK-013.unit", "run_wip"))),
            part("integration-test-pipeline", "to come", Tone::Waiting, None),
        ],
        tone: Some(Tone::Active),
    };
    let category = |name: &str, max: Option<u32>, exclusive: bool, running: &[&str], queue: &[&str]| CategoryDoc {
        category: name.to_owned(),
        max: max.map_or_else(|| "unlimited".into(), Into::into),
        exclusive,
        running: running.iter().map(|id| task(id)).collect(),
        waiting: queue.len(),
        queue: queue.iter().map(|id| task(id)).collect(),
    };
    Standing {
        schedules: vec![
            schedule("health", "every 5 minutes", Some(170), Some((130, "TASK-024", Tone::Good, "completed"))),
            nightly,
            schedule("report", "every monday at 9:30", Some(400_000), None),
        ],
        chains: vec![chain],
        categories: vec![
            category("deployment", Some(1), true, &[], &[]),
            category("testing", Some(2), false, &["TASK-013.unit", "TASK-014"], &["TASK-016", "TASK-017"]),
            category("monitoring", None, false, &["TASK-024"], &[]),
        ],
    }
}
