//! Assigning and completing tasks in large graphs, next to what a plain heap and a hash map need for the same graph in the
//! same run. `cargo bench --bench engine`; `-- --quick` leaves out the million.
//!
//! One assignment is everything the engine does for a task of one stage: the tick that claims a run, its start, its end,
//! what it left, and the facts of all of these applied. A picture is the board's columns with their first cards, what waits
//! for a person, and the counts: the parts of a dashboard's picture that depend on how many tasks there are.

use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::agents::preset::Preset;
use pipeline_lib::claim::Decision;
use pipeline_lib::decide::{Now, decide};
use pipeline_lib::event::{Busy, Collected, Event, NewTask, Request, Seen};
use pipeline_lib::fact::Fact;
use pipeline_lib::ids::{AgentName, CommitId, Role, RunId, TaskId, WorkflowId};
use pipeline_lib::mode::{Mode, Orchestration, Rollout};
use pipeline_lib::pipeline::Pipeline;
use pipeline_lib::run::{Ended, Usage};
use pipeline_lib::settings::{AgentSettings, Sandbox, Settings};
use pipeline_lib::view::attention;
use pipeline_lib::view::board::Board;
use pipeline_lib::workflow::parse::parse;

/// Agents that work at once.
const AGENTS: usize = 4;
/// How many assignments are measured: enough to be steady, few enough that the graph stays large.
const MEASURED: usize = 20_000;
/// How long after another an assignment comes to its end.
const STEP: SignedDuration = SignedDuration::from_millis(1);
/// Pictures that are made of each graph.
const PICTURES: usize = 90;
/// Cards a column of a picture has at most, as in the dashboard.
const CARDS: usize = 60;
/// Repetitions, of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let sizes: &[usize] = if quick { &[1_000, 10_000, 100_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let mut out = String::new();
    let mut engine = Vec::new();
    for &size in sizes {
        let graph = graph(size);
        let (ours, limit) = (measure(|| assign(&graph, u32::MAX)), measure(|| heap(&graph)));
        let _ = writeln!(
            out,
            "{size:>9} tasks: {:6.3} µs per assignment in the engine, {:6.3} µs in a heap and a map, ratio {:5.1}",
            ours,
            limit,
            ours / limit
        );
        engine.push(ours);
        if size == 100_000 {
            let archiving = measure(|| assign(&graph, 1_000));
            let _ = writeln!(out, "{:>16} {archiving:6.3} µs where finished tasks beyond 1000 are archived", "");
        }
    }
    let (first, last) = (engine[0], engine[engine.len() - 1]);
    let _ =
        writeln!(out, "flatness from {} to {}: {:.2} (aim: at most 4)", sizes[0], sizes[sizes.len() - 1], last / first);
    let at = sizes.iter().position(|size| *size == 100_000).unwrap_or(0);
    let _ = writeln!(out, "at 100000: {:.3} µs per assignment (aim: 2)", engine[at]);
    let (small, large) = (measure(|| picture(&graph(100))), measure(|| picture(&graph(100_000))));
    let _ = writeln!(
        out,
        "a picture after one assignment: {large:.1} µs of 100000 tasks, {small:.1} µs of 100, ratio {:.2}",
        large / small
    );
    let text = template(10_000);
    let _ =
        writeln!(out, "a template of 10000 stages: {:.1} ms until it is valid (aim: 50)", measure(|| validate(&text)));
    drop(std::io::stdout().write_all(out.as_bytes()));
}

/// A workflow file of so many stages: agents and commands by turns, with decisions, ways back, templates and parameters.
fn template(stages: usize) -> String {
    let id = |n: usize| format!("stage-{n:05}");
    let list: Vec<serde_json::Value> = (0..stages)
        .map(|n| match n % 2 {
            0 => serde_json::json!({
                "id": id(n), "name": format!("Stage {n}"), "agent": "worker", "description": "Do what the task asks.",
                "decisions": ["success", { "choice": "rework", "description": "once more" }], "timeout": "30m", "retries": 2,
            }),
            _ => serde_json::json!({
                "id": id(n), "run": format!("make {n} TARGET={{{{ params.target }}}}"), "probe": "test -e done",
                "decisions": [{ "choice": "success", "exit": 0 }, { "choice": "rework", "exit": "other" }],
            }),
        })
        .collect();
    let next = |n: usize| if n + 1 < stages { serde_json::json!(id(n + 1)) } else { serde_json::Value::Null };
    let connections: Vec<serde_json::Value> = (0..stages)
        .flat_map(|n| {
            [
                serde_json::json!({ "from": id(n), "to": next(n), "condition": "success" }),
                serde_json::json!({ "from": id(n), "to": id(n / 2), "condition": "rework" }),
            ]
        })
        .collect();
    let params = serde_json::json!({ "target": { "required": true } });
    serde_json::json!({ "id": "long", "params": params, "stages": list, "connections": connections }).to_string()
}

/// Milliseconds to read a file's text and to check it.
fn validate(text: &str) -> f64 {
    let began = cpu_seconds();
    let document: serde_json::Value = serde_json::from_str(text).expect("the file of the bench is JSON");
    let roles = std::collections::BTreeSet::from([Role::new("worker").expect("well formed")]);
    let (workflow, warnings) = parse(&document, Some(&roles)).expect("the workflow of the bench is valid");
    let spent = cpu_seconds() - began;
    assert_eq!((workflow.stages.len() * 2, warnings.len()), (workflow.connections.len(), 0), "all of it was read");
    spent * 1e3
}

/// The median of some rounds.
fn measure(mut round: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    all.sort_unstable_by(f64::total_cmp);
    all[ROUNDS / 2]
}

/// What this thread has had of a processor: what other programs do meanwhile does not count.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// For each task its priority and those it depends on: up to three among the hundred before it.
struct Graph(Vec<(u8, Vec<usize>)>);

fn graph(size: usize) -> Graph {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |bound: usize| {
        // Xorshift64 (Marsaglia, 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    Graph(
        (0..size)
            .map(|n| {
                let count = if n == 0 { 0 } else { random(4) };
                let mut behind: Vec<usize> = (0..count).map(|_| n - 1 - random(n.min(100))).collect();
                behind.sort_unstable();
                behind.dedup();
                (1 + random(4) as u8, behind)
            })
            .collect(),
    )
}

fn name(n: usize) -> TaskId {
    TaskId::new(&format!("TASK-{n:07}")).expect("a number makes a well-formed id")
}

/// A pipeline with this graph, in parallel production mode with a one-stage workflow.
fn load(graph: &Graph, keep_finished: u32, now: Now) -> Pipeline {
    let document = serde_json::json!({"id": "one", "stages": [{"id": "do", "agent": "worker", "merge": false}]});
    let (workflow, _) = parse(&document, None).expect("the workflow of the bench is valid");
    let mut settings = Settings::default();
    settings.scheduler.max_parallel = 0;
    settings.scheduler.keep_finished = keep_finished;
    for n in 0..AGENTS {
        let name = AgentName::new(&format!("w{n}")).expect("well formed");
        settings.agents.push(AgentSettings {
            name,
            role: Role::new("worker").expect("well formed"),
            preset: Preset::Custom,
            interactive: false,
            sandbox: Sandbox::Off,
            variant: None,
        });
    }
    let mut pipeline = Pipeline::default();
    let mut feed = |event: &Event| {
        for fact in decide(&pipeline, event, now).expect("the bench asks for nothing illegal") {
            pipeline.apply(now.at, &fact);
        }
    };
    feed(&Event::Configure {
        settings: Arc::new(settings),
        workflows: vec![Arc::new(workflow)],
        digest: "bench".to_owned(),
    });
    let mode = Mode { orchestration: Orchestration::Parallel, rollout: Rollout::Production };
    feed(&Event::Ask(Request::SetMode { mode, busy: Busy::Refuse, unready: true }));
    let tasks = graph.0.iter().enumerate().map(|(n, (priority, behind))| NewTask {
        id: Some(name(n)),
        priority: *priority,
        depends_on: behind.iter().map(|d| name(*d)).collect(),
        workflow: Some(WorkflowId::new("one").expect("well formed")),
        ..NewTask::titled("a task of the bench")
    });
    feed(&Event::Ask(Request::AddTasks(tasks.collect())));
    pipeline
}

/// Some agents at work on a graph.
struct Team {
    pipeline: Pipeline,
    now: Now,
    busy: Vec<RunId>,
}

impl Team {
    fn new(graph: &Graph, keep_finished: u32) -> Self {
        let now = Now { at: Timestamp::UNIX_EPOCH, entropy: 1 };
        Self { pipeline: load(graph, keep_finished, now), now, busy: Vec::with_capacity(AGENTS) }
    }

    /// Claims what can be claimed, then takes one run to its end; false if there was none.
    fn assign(&mut self) -> bool {
        let Self { pipeline, now, busy } = self;
        loop {
            now.entropy = now.entropy.wrapping_add(1);
            let facts = decide(pipeline, &Event::Tick, *now).expect("a tick is never refused");
            if facts.is_empty() {
                break;
            }
            for fact in &facts {
                pipeline.apply(now.at, fact);
                if let Fact::RunClaimed { run } = fact {
                    busy.push(run.id.clone());
                }
            }
        }
        let Some(run) = busy.pop() else { return false };
        now.at += STEP;
        for seen in [
            Seen::Started { pid: 1, at: now.at },
            Seen::Ended { how: Ended::Exited { code: 0 }, at: now.at, evidence: None, output: None },
            left(),
        ] {
            let event = Event::Run { run: run.clone(), seen };
            for fact in decide(pipeline, &event, *now).expect("an observation is never refused") {
                pipeline.apply(now.at, &fact);
            }
        }
        true
    }
}

/// Microseconds per assignment.
fn assign(graph: &Graph, keep_finished: u32) -> f64 {
    let mut team = Team::new(graph, keep_finished);
    let count = MEASURED.min(graph.0.len());
    let began = cpu_seconds();
    let mut done = 0;
    while done < count && team.assign() {
        done += 1;
    }
    (cpu_seconds() - began) * 1e6 / done as f64
}

/// Microseconds for what a dashboard shows of the tasks, made anew after each assignment.
fn picture(graph: &Graph) -> f64 {
    let mut team = Team::new(graph, u32::MAX);
    let mut board = Board::default();
    board.follow(&team.pipeline);
    let mut spent = 0.0;
    for _ in 0..PICTURES {
        assert!(team.assign(), "the graph has more tasks than pictures are made");
        let began = cpu_seconds();
        board.follow(&team.pipeline);
        let shown = (board.columns(&team.pipeline, CARDS), attention(&team.pipeline), team.pipeline.counts());
        std::hint::black_box(&shown);
        spent += cpu_seconds() - began;
    }
    spent * 1e6 / PICTURES as f64
}

fn left() -> Seen {
    Seen::Collected(Collected {
        commit: CommitId::from("0123456789012345678901234567890123456789".to_owned()),
        claim: None,
        decision: Decision::None,
        failure: None,
        summary: String::new(),
        output: String::new(),
        usage: Usage::default(),
        unmet: None,
        trespass: None,
        suspicion: None,
        proposal: None,
    })
}

/// The limit: the same graph through a heap of ready tasks and a map from names to what they hold up.
fn heap(graph: &Graph) -> f64 {
    struct Entry {
        open: usize,
        priority: u8,
        number: usize,
        behind: Vec<TaskId>,
        started: bool,
    }
    let names: Vec<TaskId> = (0..graph.0.len()).map(name).collect();
    let mut tasks: HashMap<TaskId, Entry> = HashMap::with_capacity(names.len());
    for (number, (priority, depends_on)) in graph.0.iter().enumerate() {
        let entry = Entry { open: depends_on.len(), priority: *priority, number, behind: Vec::new(), started: false };
        tasks.insert(names[number].clone(), entry);
    }
    for (number, (_, depends_on)) in graph.0.iter().enumerate() {
        for dependency in depends_on {
            if let Some(entry) = tasks.get_mut(&names[*dependency]) {
                entry.behind.push(names[number].clone());
            }
        }
    }
    let key = |entry: &Entry| std::cmp::Reverse((entry.priority, entry.number));
    let mut ready: BinaryHeap<_> = tasks.values().filter(|e| e.open == 0).map(key).collect();
    let count = MEASURED.min(names.len());
    let began = cpu_seconds();
    let mut done = 0;
    while done < count {
        let Some(std::cmp::Reverse((_, number))) = ready.pop() else { break };
        let Some(entry) = tasks.get_mut(&names[number]) else { break };
        entry.started = true;
        for next in std::mem::take(&mut entry.behind) {
            if let Some(next) = tasks.get_mut(&next) {
                next.open -= 1;
                if next.open == 0 {
                    ready.push(key(next));
                }
            }
        }
        done += 1;
    }
    let elapsed = (cpu_seconds() - began) * 1e6 / done as f64;
    assert!(tasks.values().filter(|entry| entry.started).count() == done, "each task once");
    elapsed
}
