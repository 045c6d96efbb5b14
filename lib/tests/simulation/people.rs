//! People: they add, edit, cancel, approve, switch modes and change the configuration at any moment.

use std::sync::Arc;

use jiff::SignedDuration;
use pipeline_lib::agents::preset::Preset;
use pipeline_lib::event::{Busy, Event, NewTask, Request};
use pipeline_lib::fact::TaskEdit;
use pipeline_lib::ids::{Group, Role, StageId, TaskId, WorkflowId};
use pipeline_lib::mode::{Mode, Orchestration, PilotScope, Rollout};
use pipeline_lib::run::{Claim, ClaimSource, ClaimStatus};
use pipeline_lib::settings::{AgentSettings, FailedDependency, Sandbox, Settings};
use pipeline_lib::workflow::{Choice, Connection, Doing, Stage, Verify, Workflow};

use crate::outside::{AGENTS, PLACES, agent_name};
use crate::process::{COMMANDS, Done};
use crate::world::{Result, World};

/// What a kind world is configured with.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings { verify: Some("true".to_owned()), ..Settings::default() };
    let agent = |(name, role): &(&str, &str)| AgentSettings {
        name: agent_name(name),
        role: Role::new(role).expect("a role"),
        preset: if *name == "w3" { Preset::Claude } else { Preset::Custom },
        interactive: false,
        sandbox: Sandbox::Off,
        variant: None,
    };
    let place = |name: &&str| AgentSettings {
        name: agent_name(name),
        role: pipeline_lib::ids::command_role().clone(),
        preset: Preset::Command,
        interactive: false,
        sandbox: Sandbox::Off,
        variant: None,
    };
    settings.agents = PLACES.iter().map(place).chain(AGENTS.iter().map(agent)).collect();
    settings.scheduler.max_parallel = 3;
    settings.scheduler.keep_finished = 8;
    settings.post_merge = Some("true".to_owned());
    settings.rollout.breaker = 4;
    settings
}

fn stage(id: &str, role: &str) -> Stage {
    let role = Role::new(role).expect("a role");
    Stage { name: id.to_owned(), ..Stage::new(StageId::new(id).expect("an id"), role) }
}

fn workflow(id: &str, stages: Vec<Stage>, connections: &[(&str, Option<&str>, &str)]) -> Arc<Workflow> {
    let stage_id = |id: &str| StageId::new(id).expect("an id");
    let connection = |(from, to, condition): &(&str, Option<&str>, &str)| Connection {
        from: stage_id(from),
        to: to.map(stage_id),
        condition: Some((*condition).to_owned()),
    };
    let connections = connections.iter().map(connection).collect();
    let start = stages[0].id.clone();
    Arc::new(Workflow::new(WorkflowId::new(id).expect("an id"), start, stages, connections))
}

/// Work without a check; work, gate, review, merge; a command before a merge; two parts at once.
pub(crate) fn workflows() -> Vec<Arc<Workflow>> {
    let plain = workflow("plain", vec![stage("do", "worker")], &[]);
    let mut build = stage("build", "worker");
    build.verify = Verify::Project;
    let mut review = stage("review", "reviewer");
    let choice = |word: &str| Choice { choice: word.to_owned(), ..Choice::default() };
    review.decisions = vec![choice("success"), choice("rework")];
    (review.merge, review.approval, review.verify, review.max_visits) = (true, true, Verify::Project, Some(4));
    let connections = [
        ("build", Some("review"), "success"),
        ("build", None, "failed"),
        ("review", None, "success"),
        ("review", Some("build"), "rework"),
        ("review", Some("build"), "conflict"),
    ];
    let full = workflow("full", vec![build, review], &connections);
    let mut check = stage("check", "worker");
    (check.role, check.doing) = (pipeline_lib::ids::command_role().clone(), Doing::Command("make check".to_owned()));
    check.probe = Some("test -f done".to_owned());
    let mut merge = stage("merge", "worker");
    (merge.merge, merge.verify) = (true, Verify::Project);
    let command =
        workflow("command", vec![check, merge], &[("check", Some("merge"), "success"), ("merge", None, "success")]);
    let mut both = stage("both", "worker");
    both.role = pipeline_lib::ids::parts_role().clone();
    both.doing = Doing::Parallel(vec![StageId::new("left").expect("an id"), StageId::new("right").expect("an id")]);
    let parts = workflow(
        "parts",
        vec![both, stage("left", "worker"), stage("right", "reviewer")],
        &[("both", None, "success")],
    );
    vec![plain, full, command, parts]
}

const WORKFLOWS: [&str; 4] = ["plain", "full", "command", "parts"];

impl World {
    pub(crate) fn some_task(&mut self) -> TaskId {
        let all: Vec<TaskId> = self.disk.state().tasks.iter().map(|task| task.id.clone()).collect();
        self.dice.pick(&all).unwrap_or_else(|| TaskId::new("NOPE").expect("an id"))
    }

    /// A command: what it was told is acknowledged or never happened.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Done> {
        self.say(|| format!("a person asks {request:?}"));
        self.event(Event::Ask(request))
    }

    pub(crate) fn event(&mut self, event: Event) -> Result<Done> {
        let done = self.transact(COMMANDS, &[event], false)?;
        self.processes[COMMANDS].alive = true;
        Ok(done)
    }

    pub(crate) fn configure(&mut self, settings: Settings) -> Result<Done> {
        self.configured += 1;
        let digest = format!("d{}", self.configured);
        self.event(Event::Configure { settings: Arc::new(settings), workflows: self.workflows.clone(), digest })
    }

    pub(crate) fn person(&mut self) -> Result<()> {
        match self.dice.below(24) {
            0..6 => self.add_task(),
            6 | 7 => self.edit(),
            8 => self.reconfigure(),
            9 => self.switch(),
            _ => self.request(),
        }
    }

    pub(crate) fn add_task(&mut self) -> Result<()> {
        self.added += 1;
        let mut new = NewTask::titled("a task");
        new.id = TaskId::new(&format!("T{}", self.added)).ok();
        new.workflow = WorkflowId::new(self.dice.one(&WORKFLOWS)).ok();
        new.priority = 1 + u8::try_from(self.dice.below(4)).unwrap_or_default();
        if self.dice.permille(350) {
            new.depends_on = vec![self.some_task()].into_iter().filter(|task| task.as_str() != "NOPE").collect();
        }
        if self.dice.permille(300) {
            new.paths = vec![self.dice.one(&["src/**", "src/a.rs", "docs"]).to_owned()];
        }
        if self.dice.permille(200) {
            new.group = Group::new(self.dice.one(&["g1", "g2"])).ok();
        }
        self.ask(Request::AddTasks(vec![new])).map(drop)
    }

    fn edit(&mut self) -> Result<()> {
        let mut edit = TaskEdit::default();
        match self.dice.below(5) {
            0 => edit.priority = Some(1 + u8::try_from(self.dice.below(5)).unwrap_or_default()),
            1 => edit.depends_on = Some(vec![self.some_task()]),
            2 => edit.paths = Some(vec!["src/**".to_owned()]),
            3 => edit.pinned_agent = Some(self.dice.one(&[None, Some("w1"), Some("r1")]).map(agent_name)),
            _ => edit.workflow = WorkflowId::new("plain").ok(),
        }
        let task = self.some_task();
        self.ask(Request::Edit { task, edit }).map(drop)
    }

    fn request(&mut self) -> Result<()> {
        let task = self.some_task();
        let agent = agent_name(self.dice.one(&AGENTS).0);
        let state = self.disk.state().task(task.as_str()).map(|task| task.state.clone());
        let run = state.as_ref().and_then(|state| state.run().cloned());
        let request = match self.dice.below(16) {
            0..2 => Request::Retry { task, message: None },
            2 => Request::Block { task, reason: "a person".to_owned() },
            3 => Request::Unblock { task },
            4 | 5 => Request::Cancel { task, reason: None },
            6..9 => {
                let decision = self.dice.one(&[None, None, Some("success"), Some("rework"), Some("odd")]);
                Request::Approve { task, decision: decision.map(str::to_owned), by: None }
            }
            9 => Request::Reject { task, message: None },
            10 => Request::RolledBack { tasks: vec![(task, None)] },
            11 => Request::StopAgent { agent },
            12 | 13 => Request::StartAgent { agent },
            14 => Request::Assign { task, agent: Some(agent), interrupt: self.dice.permille(500) },
            _ => {
                let claim = Claim {
                    status: ClaimStatus::Completed,
                    decision: None,
                    summary: None,
                    source: ClaimSource::Command,
                    at: self.at,
                };
                Request::Done { task: Some(task), run, claim }
            }
        };
        self.ask(request).map(drop)
    }

    fn switch(&mut self) -> Result<()> {
        let rollout = self.dice.one(&[Rollout::Production, Rollout::Production, Rollout::Pilot, Rollout::Shadow]);
        let orchestration = self.dice.one(&[Orchestration::Parallel, Orchestration::Hybrid, Orchestration::Sequential]);
        let request = match self.dice.below(4) {
            0 => {
                let task = self.some_task();
                Request::SetPilot { scope: PilotScope { tasks: [task].into(), patterns: [].into(), percent: 0 } }
            }
            1 => Request::SetRollout { rollout, unready: true },
            _ => {
                let busy = self.dice.one(&[Busy::Refuse, Busy::Drain, Busy::Stop]);
                Request::SetMode { mode: Mode { orchestration, rollout }, busy, unready: true }
            }
        };
        self.ask(request).map(drop)
    }

    fn reconfigure(&mut self) -> Result<()> {
        let mut settings = settings();
        settings.scheduler.max_parallel = u32::try_from(self.dice.below(4)).unwrap_or_default();
        settings.scheduler.failed_dependency =
            self.dice.one(&[FailedDependency::Block, FailedDependency::Skip, FailedDependency::Continue]);
        settings.scheduler.stagger = SignedDuration::from_secs(self.dice.one(&[0, 0, 7]));
        // A new worktree takes its run back, which only the one that ticks may do.
        settings.setup = self.dice.one(&[None, None, Some("npm ci".to_owned())]).filter(|_| self.one_ticks);
        let agents = settings.agents.len() - self.dice.below(3);
        settings.agents.truncate(agents);
        self.configure(settings).map(drop)
    }
}
