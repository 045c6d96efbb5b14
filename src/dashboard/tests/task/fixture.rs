//! Made-up tasks in the states that mean something.

use std::sync::Arc;

use pipeline_lib::agents::stream::Format;
use pipeline_lib::diff::{Change, Diff, DiffLine, FileDiff, Hunk, Side};
use pipeline_lib::ids::{CommitId, RunId, StageId};
use pipeline_lib::run::{Evidence, Usage, Verdict};
use pipeline_lib::task::{Merged, StageOutput};
use pipeline_lib::terminal::{Attributes, Colour, Line, Span, Style};
use pipeline_lib::view::Explanation;
use pipeline_lib::view::detail::Detail;
use pipeline_lib::view::detail::flow::{Decision, Flow, StageMark};
pub(super) use pipeline_lib::view::detail::task::TaskDetail;
use pipeline_lib::view::detail::task::{Changes, History, Output, Related, RunLine};
use pipeline_lib::view::screen::{EventLine, Screen, Tone};
use pipeline_lib::workflow::drawing::Picture;
use pipeline_lib::workflow::parse::parse;
use pipeline_lib::workflow::{Workflow, tdd};

use super::super::fixture::{agent, ago, attention, task};

/// A picture with this task opened.
pub(super) fn screen_of(detail: TaskDetail) -> Arc<Screen> {
    let mut screen = (*attention()).clone();
    screen.detail = Detail::Task(Arc::new(detail));
    Arc::new(screen)
}

fn commit(digit: char) -> CommitId {
    CommitId::from(digit.to_string().repeat(40))
}

fn run_id(id: &str) -> RunId {
    RunId::new(id).unwrap()
}

fn path(tones: [Tone; 4], here: Option<usize>) -> Vec<StageMark> {
    let names = [("arch", "architect"), ("test", "test"), ("impl", "implementation"), ("super", "supervisor")];
    let mark = |(at, ((id, role), tone)): (usize, ((&str, &str), Tone))| StageMark {
        id: StageId::new(id).unwrap(),
        role: role.to_owned(),
        tone,
        word: match tone {
            Tone::Good => "done",
            Tone::Active => "live",
            Tone::Attention => "waits for you",
            _ => "to come",
        },
        here: here == Some(at),
        visits: u32::from(here.is_none_or(|here| at <= here)),
        visits_max: 10,
        parts: Vec::new(),
        parts_total: 0,
    };
    names.into_iter().zip(tones).enumerate().map(mark).collect()
}

fn related(id: &str, status: &str, tone: Tone, title: &str) -> Related {
    Related { id: task(id), title: title.to_owned(), status: status.to_owned(), tone }
}

/// A task that waits for another one.
pub(super) fn waiting() -> TaskDetail {
    TaskDetail {
        id: task("TASK-016"),
        title: "Show the order history".to_owned(),
        status: "unassigned".to_owned(),
        tone: Tone::Waiting,
        since: ago(3_700),
        agent: None,
        role: Some("impl".to_owned()),
        attempt: 0,
        why: Explanation {
            subject: "TASK-016".to_owned(),
            status: "unassigned".to_owned(),
            rule: "waits for TASK-013".to_owned(),
            observations: vec!["in this state since then".to_owned(), "TASK-013 is impl_wip".to_owned()],
            would_change: vec!["their completion".to_owned()],
            commands: Vec::new(),
        },
        stages: path([Tone::Waiting; 4], None).into_iter().map(|mark| StageMark { visits: 0, ..mark }).collect(),
        flow: Flow { picture: Arc::new(Picture::of(&tdd())), taken: vec![0; 5], ..Flow::default() },
        after: vec![related("TASK-013", "impl_wip", Tone::Active, "Move the orders table to the new schema")],
        before: Vec::new(),
        before_total: 0,
        priority: 3,
        workflow: "tdd".to_owned(),
        group: None,
        paths: Vec::new(),
        branch: "pipeline/TASK-016".to_owned(),
        base: "main".to_owned(),
        created_at: ago(3_700),
        started_at: None,
        finished_at: None,
        usage: Usage::default(),
        body: "A customer sees the orders of the last year, newest first, with their state.".to_owned(),
        feedback: None,
        outputs: Vec::new(),
        runs: Vec::new(),
        merged: None,
        history: None,
        output: None,
        changes: Changes::NoBranch,
    }
}

fn run(id: &str, stage: &str, who: &str, attempt: u32, began: i64, took: i64, verdict: Verdict) -> RunLine {
    RunLine {
        id: run_id(id),
        work: "agent",
        stage: stage.to_owned(),
        agent: agent(who),
        attempt,
        started_at: ago(began),
        ended_at: Some(ago(began - took)),
        how: "exited with code 0".to_owned(),
        verdict: Some(verdict),
        summary: None,
        commit: Some(commit('3')),
        command: None,
        evidence: None,
        usage: Usage { tokens: 27_068, cost_usd: 0.14 },
        format: Format::Plain,
    }
}

fn gate(id: &str, stage: &str, began: i64, took: i64, code: i32, at: char) -> RunLine {
    let verdict = if code == 0 { Verdict::Passed } else { Verdict::Failed };
    RunLine {
        work: "gate",
        how: format!("exited with code {code}"),
        commit: Some(commit(at)),
        command: Some("cargo test".to_owned()),
        evidence: Some(Evidence {
            command: "cargo test".to_owned(),
            exit_code: Some(code),
            tree: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
            log_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        }),
        usage: Usage::default(),
        ..run(id, stage, "impl-1", 1, began, took, verdict)
    }
}

fn events(texts: &[(i64, Tone, &str)]) -> History {
    let line = |(at, (seconds, tone, text)): (usize, &(i64, Tone, &str))| EventLine {
        seq: at as u64 + 1,
        at: ago(*seconds),
        text: (*text).to_owned(),
        tone: *tone,
    };
    History { lines: Arc::new(texts.iter().enumerate().map(line).collect()), ..History::default() }
}

fn printed() -> Vec<Arc<Line>> {
    let span = |text: &str, style: Style| Span { text: text.to_owned(), style };
    let tool = Style { foreground: Colour::Indexed(6), ..Style::default() };
    let bold = Style { attributes: Attributes::BOLD, ..Style::default() };
    let dim = Style { attributes: Attributes::DIM, ..Style::default() };
    let used = |name: &str, on: &str| Line {
        spans: vec![span("● ", tool), span(name, bold), span(&format!("({on})"), Style::default())],
    };
    let mut lines = vec![
        Line::plain(
            "I will read the migration first, then move the table one step at a time, so that each step can be undone.",
        ),
        used("Read", "migrations/0042_orders.sql"),
        Line { spans: vec![span("  214 lines", dim)] },
        used("Bash", "cargo test -p orders"),
        Line { spans: vec![span("  running 18 tests", dim)] },
    ];
    lines.extend((1..=18).map(|n| Line::plain(format!("  test orders::case_{n:02} ... ok"))));
    lines.into_iter().map(Arc::new).collect()
}

/// A task that is being worked at, for the second time.
pub(super) fn working() -> TaskDetail {
    let mut failed = run("run-3", "impl", "impl-1", 1, 900, 560, Verdict::Failed);
    failed.summary = Some("2 tests fail on the new schema; the old column is still read in one place.".to_owned());
    failed.how = "exited with code 1".to_owned();
    let mut live = run("run-4", "impl", "impl-1", 2, 312, 0, Verdict::Passed);
    (live.ended_at, live.verdict, live.how, live.usage) = (None, None, "is live".to_owned(), Usage::default());
    TaskDetail {
        id: task("TASK-013"),
        title: "Move the orders table to the new schema".to_owned(),
        status: "impl_wip".to_owned(),
        tone: Tone::Active,
        since: ago(312),
        agent: Some(agent("impl-1")),
        attempt: 2,
        why: Explanation {
            subject: "TASK-013".to_owned(),
            status: "impl_wip".to_owned(),
            rule: "impl-1 has the live run run-4".to_owned(),
            observations: vec!["in this state since then".to_owned(), "attempt 2".to_owned()],
            would_change: vec!["the end of that run".to_owned()],
            commands: vec!["pipeline logs -f --agent impl-1".to_owned()],
        },
        stages: path([Tone::Good, Tone::Good, Tone::Active, Tone::Waiting], Some(2)),
        flow: Flow {
            taken: vec![1, 1, 0, 0, 0],
            decisions: vec![
                decided("arch", "success", "architect", 2_000, "test", "One migration in three steps."),
                decided("test", "success", "tester", 1_100, "impl", "18 tests, 18 failing as expected."),
            ],
            ..waiting().flow
        },
        after: vec![related("TASK-008", "completed", Tone::Good, "Add a health check")],
        before: vec![
            related("TASK-016", "unassigned", Tone::Waiting, "Show the order history"),
            related("TASK-017", "unassigned", Tone::Waiting, "Search by category and by price"),
        ],
        before_total: 2,
        priority: 2,
        group: Some("orders".to_owned()),
        paths: vec!["src/orders/**".to_owned(), "migrations/**".to_owned()],
        branch: "pipeline/TASK-013".to_owned(),
        created_at: ago(7_300),
        started_at: Some(ago(2_400)),
        usage: Usage { tokens: 81_204, cost_usd: 0.42 },
        body: "The orders table has two columns for one date.\n\n- keep the one in UTC\n- move what is there\n- \
            no order may be lost"
            .to_owned(),
        feedback: Some("test orders::history failed: expected 3 rows, found 2".to_owned()),
        outputs: vec![
            StageOutput {
                stage: StageId::new("arch").unwrap(),
                agent: agent("architect"),
                run: run_id("run-1"),
                decision: "success".to_owned(),
                summary: "One migration in three steps; the old column goes last.".to_owned(),
                commit: commit('1'),
                at: ago(2_000),
                by: None,
                approved: false,
                approved_by: None,
            },
            StageOutput {
                stage: StageId::new("test").unwrap(),
                agent: agent("tester"),
                run: run_id("run-2"),
                decision: "success".to_owned(),
                summary: "18 tests, 18 failing as expected.".to_owned(),
                commit: commit('2'),
                at: ago(1_100),
                by: None,
                approved: false,
                approved_by: None,
            },
        ],
        runs: vec![
            run("run-1", "arch", "architect", 1, 2_400, 400, Verdict::Passed),
            run("run-2", "test", "tester", 1, 1_900, 800, Verdict::Passed),
            failed,
            live,
        ],
        history: Some(events(&[
            (7_300, Tone::Waiting, "added: Move the orders table to the new schema"),
            (2_400, Tone::Active, "arch started by architect"),
            (2_000, Tone::Waiting, "arch done: success"),
            (1_999, Tone::Waiting, "is ready for test"),
            (1_900, Tone::Active, "test started by tester"),
            (1_100, Tone::Waiting, "test done: success"),
            (1_099, Tone::Waiting, "is ready for impl"),
            (900, Tone::Active, "impl started by impl-1"),
            (340, Tone::Waiting, "impl by impl-1 failed: exited with code 1"),
            (339, Tone::Waiting, "is ready for impl: the gate does not pass"),
            (312, Tone::Active, "impl started by impl-1 (attempt 2)"),
        ])),
        output: Some(Output { run: run_id("run-4"), lines: Arc::new(printed()), is_cut: false, is_gone: false }),
        changes: known(diff_of(files())),
        ..waiting()
    }
}

/// Adds an event and a line of output.
pub(super) fn grow(detail: &mut TaskDetail) {
    if let Some(history) = &mut detail.history {
        let event = EventLine { seq: 99, at: ago(1), text: "something new".to_owned(), tone: Tone::Active };
        Arc::make_mut(&mut history.lines).push(event);
    }
    if let Some(output) = &mut detail.output {
        Arc::make_mut(&mut output.lines).push(Arc::new(Line::plain("something new")));
    }
}

/// A task whose plan a person has to agree to.
pub(super) fn approval() -> TaskDetail {
    TaskDetail {
        id: task("TASK-011"),
        title: "Sign in with a passkey".to_owned(),
        status: "awaiting_approval".to_owned(),
        tone: Tone::Attention,
        since: ago(180),
        agent: None,
        attempt: 1,
        why: Explanation {
            subject: "TASK-011".to_owned(),
            status: "awaiting_approval".to_owned(),
            rule: "the claim was checked and the stage asks a person: the plan asks for approval".to_owned(),
            observations: vec!["in this state since then".to_owned(), "attempt 1".to_owned()],
            would_change: vec!["a person's word".to_owned()],
            commands: vec![
                "pipeline task approve TASK-011".to_owned(),
                "pipeline task reject TASK-011 --message TEXT".to_owned(),
            ],
        },
        stages: path([Tone::Attention, Tone::Waiting, Tone::Waiting, Tone::Waiting], Some(0)),
        after: Vec::new(),
        before: Vec::new(),
        before_total: 0,
        priority: 1,
        branch: "pipeline/TASK-011".to_owned(),
        runs: vec![run("run-9", "arch", "architect", 1, 600, 420, Verdict::Passed)],
        outputs: Vec::new(),
        feedback: None,
        history: None,
        output: None,
        changes: known(diff_of(vec![added("docs/passkey.md", &["# Passkeys", "", "One for each device."])])),
        ..working()
    }
}

/// A task that is merged, behind a gate on exactly what was merged.
pub(super) fn completed() -> TaskDetail {
    let diff = Diff { from: commit('6'), to: commit('7'), ..diff_of(files()) };
    TaskDetail {
        status: "completed".to_owned(),
        tone: Tone::Good,
        since: ago(900),
        agent: None,
        role: None,
        attempt: 1,
        why: Explanation {
            subject: "TASK-013".to_owned(),
            status: "completed".to_owned(),
            rule: "its workflow ended, and main contains its merge 7777777777".to_owned(),
            observations: vec!["in this state since then".to_owned()],
            would_change: Vec::new(),
            commands: vec!["pipeline task rollback TASK-013".to_owned()],
        },
        stages: path([Tone::Good; 4], None),
        finished_at: Some(ago(900)),
        feedback: None,
        runs: vec![
            run("run-1", "arch", "architect", 1, 2_400, 400, Verdict::Passed),
            gate("gate-1", "impl", 1_800, 42, 101, '4'),
            gate("gate-2", "impl", 1_300, 95, 0, '5'),
            gate("gate-3", "super", 1_000, 97, 0, '7'),
        ],
        merged: Some(Merged { commit: Some(commit('7')), onto: commit('6'), at: ago(901) }),
        changes: Changes::Known { diff: Arc::new(diff), merged: true, stale: false },
        ..working()
    }
}

pub(super) fn known(diff: Diff) -> Changes {
    Changes::Known { diff: Arc::new(diff), merged: false, stale: false }
}

pub(super) fn diff_of(files: Vec<FileDiff>) -> Diff {
    Diff { from: commit('a'), to: commit('b'), files_total: files.len(), files }
}

fn file(path: &str, change: Change, hunks: Vec<Hunk>) -> FileDiff {
    let count = |side| hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.side == side).count();
    FileDiff {
        path: path.to_owned(),
        old_path: None,
        change,
        modes: None,
        binary: false,
        added: count(Side::New),
        removed: count(Side::Old),
        hunks,
        left_out: 0,
    }
}

/// A hunk of lines that begin with their sign.
fn hunk(old: u32, new: u32, heading: &str, lines: &[&str]) -> Hunk {
    let (mut at_old, mut at_new) = (old, new);
    let mut line = |text: &&str| {
        let (side, text) = match text.split_at(1) {
            ("+", text) => (Side::New, text),
            ("-", text) => (Side::Old, text),
            (_, text) => (Side::Both, text),
        };
        let (has_old, has_new) = (side != Side::New, side != Side::Old);
        let out = DiffLine {
            side,
            old: if has_old { at_old } else { 0 },
            new: if has_new { at_new } else { 0 },
            text: text.to_owned(),
            unended: false,
        };
        at_old += u32::from(has_old);
        at_new += u32::from(has_new);
        out
    };
    let lines = lines.iter().map(&mut line).collect();
    Hunk { old_start: old, new_start: new, heading: heading.to_owned(), lines }
}

/// A new file.
pub(super) fn added(path: &str, lines: &[&str]) -> FileDiff {
    let lines: Vec<String> = lines.iter().map(|line| format!("+{line}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    file(path, Change::Added, vec![hunk(0, 1, "", &lines)])
}

fn files() -> Vec<FileDiff> {
    let migrate = hunk(
        41,
        41,
        "impl Migration for Orders {",
        &[
            "     /// Moves one page of orders.",
            "     fn step(&self, page: Page) -> Result<usize, Error> {",
            "-        let rows = self.old.read(page, 100)?;",
            "-        self.new.write(&rows)?;",
            "+        // Small pages, so that a step can be undone in a second.",
            "+        let rows = self.old.read(page, PAGE_ROWS)?;",
            "+        let moved = self.new.write(&rows).map_err(|error| Error::at(\"orders\", page, error))?;",
            "+        assert_eq!(moved, rows.len(), \"no order may be lost\");",
            "         Ok(rows.len())",
            "     }",
        ],
    );
    let total = hunk(
        112,
        114,
        "fn total(rows: &[Row]) -> u64 {",
        &[" {", "-    rows.iter().map(|row| row.cents).sum()", "+    rows.iter().map(Row::cents).sum()", " }"],
    );
    let mut ended = hunk(1, 1, "", &[" mod migrate;", "+mod undo;"]);
    ended.lines[1].unended = true;
    let mut renamed = file("docs/old notes.md", Change::Renamed, Vec::new());
    renamed.old_path = Some("docs/notes.md".to_owned());
    let mut picture = file("assets/logo.png", Change::Modified, Vec::new());
    picture.binary = true;
    vec![
        file("src/orders/migrate.rs", Change::Modified, vec![migrate, total]),
        file("src/orders/mod.rs", Change::Modified, vec![ended]),
        picture,
        file("Makefile", Change::Deleted, vec![hunk(1, 0, "", &["-all:", "-\tcargo build"])]),
        renamed,
    ]
}

/// A task every word of which is hostile.
pub(super) fn hostile(evil: &str) -> TaskDetail {
    let evil = || evil.to_owned();
    let mut detail = completed();
    (detail.title, detail.status, detail.branch, detail.base) = (evil(), evil(), evil(), evil());
    (detail.body, detail.feedback, detail.group) = (evil(), Some(evil()), Some(evil()));
    detail.paths = vec![evil()];
    detail.why.rule = evil();
    detail.why.observations = vec![evil(), evil()];
    detail.why.would_change = vec![evil()];
    detail.why.commands = vec![evil()];
    detail.outputs.iter_mut().for_each(|output| (output.summary, output.decision) = (evil(), evil()));
    for related in detail.after.iter_mut().chain(&mut detail.before) {
        (related.title, related.status) = (evil(), evil());
    }
    for run in &mut detail.runs {
        (run.how, run.summary, run.stage) = (evil(), Some(evil()), evil());
        run.command = run.command.as_ref().map(|_| evil());
        if let Some(seen) = &mut run.evidence {
            (seen.command, seen.tree, seen.log_sha256) = (evil(), evil(), evil());
        }
    }
    let event = |tone| EventLine { seq: 1, at: ago(1), text: evil(), tone };
    detail.history = Some(History { lines: Arc::new(vec![event(Tone::Good), event(Tone::Bad)]), is_cut: true });
    let lines = Arc::new((0..3).map(|_| Arc::new(Line::plain(evil()))).collect::<Vec<_>>());
    detail.output = Some(Output { run: run_id("gate-3"), lines, is_cut: true, is_gone: false });
    let mut file = file(&evil(), Change::Renamed, vec![hunk(1, 1, &evil(), &[&format!("+{}", evil()), "-x", " y"])]);
    file.hunks[0].lines[1].text = evil();
    file.hunks[0].lines[2].text = evil();
    file.old_path = Some(evil());
    let mut rust = file.clone();
    rust.path = format!("{}.rs", evil());
    detail.changes = known(diff_of(vec![file, rust]));
    detail
}

fn decided(stage: &str, word: &str, who: &str, seconds: i64, to: &str, why: &str) -> Decision {
    Decision {
        stage: StageId::new(stage).unwrap(),
        word: word.to_owned(),
        who: who.to_owned(),
        run: run_id("run-1"),
        agreed: None,
        why: why.to_owned(),
        at: ago(seconds),
        to: Some(to.to_owned()),
    }
}

/// A workflow with a way back, stages that are done by other tasks, and one that is skipped.
fn release() -> Workflow {
    let document = serde_json::json!({
        "id": "release",
        "stages": [
            { "id": "build", "name": "Build it", "run": "make", "probe": "test -e out" },
            { "id": "checks", "name": "Check it everywhere", "parallel": ["unit", "nets"] },
            { "id": "unit", "run": "make unit" },
            { "id": "nets", "run": "make test NET=regtest" },
            { "id": "review", "name": "Look at it", "agent": "supervisor",
              "decisions": [{ "choice": "ship" }, { "choice": "rework" }, { "choice": "failed" }] },
            { "id": "rework", "agent": "implementation" },
            { "id": "ship", "workflow": "deployment-pipeline" }
        ],
        "connections": [
            { "from": "build", "to": "checks" },
            { "from": "checks", "to": "review" },
            { "from": "review", "to": "ship", "condition": "ship" },
            { "from": "review", "to": "rework", "condition": "rework" },
            { "from": "review", "to": null, "condition": "failed" },
            { "from": "rework", "to": "build" },
            { "from": "ship", "to": null }
        ]
    });
    parse(&document, None).expect("a workflow").0
}

/// A task on that workflow, at its review for the second time.
pub(super) fn released() -> TaskDetail {
    let picture = Picture::of(&release());
    let taken = |from: &str, to: &str| match (from, to) {
        ("build", "checks") | ("checks", "review" | "unit" | "nets") => 2,
        ("review", "rework") | ("rework", "build") => 1,
        _ => 0,
    };
    let names = |at: usize| picture.stages[picture.edges[at].from].id.to_string();
    let taken = (0..picture.edges.len()).map(|at| taken(&names(at), picture.end(at))).collect();
    let mark = |id: &str, tone: Tone, word: &'static str, visits: u32| StageMark {
        id: StageId::new(id).unwrap(),
        role: String::new(),
        tone,
        word,
        here: id == "review",
        visits,
        visits_max: 10,
        parts: Vec::new(),
        parts_total: 0,
    };
    let mut checks = mark("checks", Tone::Good, "done", 2);
    checks.parts = vec![
        related("TASK-013.checks.unit", "completed", Tone::Good, "Release 2.0 · checks.unit"),
        related("TASK-013.checks.nets", "completed", Tone::Good, "Release 2.0 · checks.nets"),
    ];
    checks.parts_total = 2;
    let stages = vec![
        mark("build", Tone::Good, "skipped", 2),
        checks,
        mark("unit", Tone::Good, "done", 0),
        mark("nets", Tone::Good, "done", 0),
        mark("review", Tone::Attention, "waits for you", 2),
        mark("rework", Tone::Waiting, "done earlier", 1),
        mark("ship", Tone::Waiting, "to come", 0),
    ];
    let mut sent_back =
        decided("review", "rework", "supervisor", 900, "rework", "Two migrations have no way back; one is enough.");
    sent_back.agreed = Some("maria".to_owned());
    let decisions = vec![
        decided("build", "success", "its command", 1_500, "checks", "built in 41s"),
        decided("checks", "success", "its parts", 1_200, "review", "2 of 2 parts succeeded"),
        sent_back,
        decided("rework", "success", "impl-1", 600, "build", "The second migration is gone."),
        decided("build", "success", "its probe", 590, "checks", "skipped: it holds already, says `test -e out`"),
        decided("checks", "success", "its parts", 300, "review", "2 of 2 parts succeeded"),
    ];
    TaskDetail {
        id: task("TASK-013"),
        title: "Release 2.0".to_owned(),
        status: "awaiting_approval".to_owned(),
        tone: Tone::Attention,
        since: ago(120),
        agent: None,
        workflow: "release".to_owned(),
        stages,
        flow: Flow { picture: Arc::new(picture), taken, decisions, is_cut: false },
        branch: "pipeline/TASK-013".to_owned(),
        why: Explanation {
            subject: "TASK-013".to_owned(),
            status: "awaiting_approval".to_owned(),
            rule: "review wants a person to agree to `ship`".to_owned(),
            observations: Vec::new(),
            would_change: Vec::new(),
            commands: vec!["pipeline task approve TASK-013".to_owned()],
        },
        ..working()
    }
}
