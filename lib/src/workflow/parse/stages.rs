//! Stages and their decisions, one by one. Whether they fit together is checked elsewhere.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::slips::{DECISION, Fields};
use super::{MERGING_ROLE, Reader, STAGES_MAX, rest_of, text_of};
use crate::ids::{Role, StageId, command_role, is_reserved};
use crate::workflow::{Choice, Doing, Exit, FAILED, Place, SUCCESS, Stage, Verify};

/// What is read of a stage. Everything else is kept as it is.
const READ: [&str; 27] = [
    "id",
    "name",
    "agent",
    "description",
    "prompt",
    "inputs",
    "decisions",
    "run",
    "probe",
    "workflow",
    "parallel",
    "hub",
    "matrix",
    "on_cancel",
    "env",
    "secrets",
    "artifacts",
    "thresholds",
    "place",
    "services",
    "verify",
    "approval",
    "merge",
    "timeout",
    "retries",
    "backoff",
    "max_visits",
];

pub(super) const FIELDS: Fields = Fields { what: "a stage", read: &READ };

impl Reader<'_> {
    pub(super) fn stage_list<'v>(&mut self, object: &'v Map<String, Value>) -> &'v [Value] {
        match object.get("stages").and_then(Value::as_array) {
            Some(list) if list.len() > STAGES_MAX => {
                let message = format!("there are {} stages; a workflow has at most {STAGES_MAX}", list.len());
                self.error("/stages", message, Some("Split it: a stage can be another workflow.".to_owned()));
                &[]
            }
            Some(list) if !list.is_empty() => list,
            _ => {
                let at = if object.contains_key("stages") { "/stages" } else { "" };
                let suggestion = "Add \"stages\": [ { \"id\": \"build\", \"run\": \"make\" } ].".to_owned();
                self.error(at, "a workflow needs a list `stages` with at least one stage", Some(suggestion));
                &[]
            }
        }
    }

    /// Reads the stages; for each that could be read, its place in the list.
    pub(super) fn stages(&mut self, list: &[Value], stages: &mut Vec<Stage>) -> Vec<usize> {
        let mut seen: HashSet<StageId> = HashSet::with_capacity(list.len());
        let mut places = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = format!("/stages/{index}");
            let Some(stage) = self.stage(value, &at) else { continue };
            if seen.insert(stage.id.clone()) {
                stages.push(stage);
                places.push(index);
            } else {
                let suggestion = Some("Give one of them another id.".to_owned());
                self.error(&format!("{at}/id"), format!("there are two stages `{}`", stage.id), suggestion);
            }
        }
        places
    }

    fn stage(&mut self, value: &Value, at: &str) -> Option<Stage> {
        let Some(object) = value.as_object() else {
            self.error(at, "a stage is a JSON object", None);
            return None;
        };
        self.slips(object, at, &FIELDS);
        let id = self.name(object, at, "id", StageId::new);
        if id.is_none() {
            (self.lost.leads_anywhere, self.lost.handles_anything) = (true, true);
        }
        let doing = self.doing(object, at);
        let role = self.role(object, at, doing.as_ref());
        let verify = self.verify(object, at);
        let decisions = self.decisions(object, at);
        let matrix = self.matrix(object, at);
        let place = self.place(object, at);
        // What it does was said to be unreadable; what leads to it and from it can be checked.
        if doing.is_none() && has_ways(object) {
            self.lost.leads_anywhere = true;
        }
        let role = role.unwrap_or_else(|| command_role().clone());
        let mut stage = Stage {
            probe: self.command(object, at, "probe"),
            on_cancel: self.command(object, at, "on_cancel"),
            env: self.environment(object, at),
            secrets: self.secrets(object, at),
            artifacts: self.artifacts(object, at),
            thresholds: self.thresholds(object, at),
            approval: self.flag(object, at, "approval").unwrap_or(false),
            services: self.flag(object, at, "services").unwrap_or(false),
            timeout: self.duration(object, at, "timeout"),
            retries: self.count(object, at, "retries", 0),
            backoff: self.duration(object, at, "backoff"),
            max_visits: self.count(object, at, "max_visits", 0),
            description: instructions(object),
            inputs: self.texts(object, at, "inputs"),
            extra: rest_of(object, &READ),
            matrix,
            place,
            decisions,
            verify,
            ..Stage::new(id?, role)
        };
        stage.doing = doing.unwrap_or(Doing::Agent);
        stage.name =
            Some(text_of(object, "name")).filter(|name| !name.is_empty()).unwrap_or_else(|| stage.id.to_string());
        let merges = self.flag(object, at, "merge");
        // One that has no word for success may be handing work on with each of its words: such a one merges what ends the
        // workflow, as others do.
        let says_done = stage.decisions.is_empty() || stage.decisions.iter().any(|choice| choice.choice == SUCCESS);
        stage.merge = merges.unwrap_or(stage.role.as_str() == MERGING_ROLE && stage.doing.is_agent() && says_done);
        self.check_exits(&stage, at);
        Some(stage)
    }

    /// Who does it. What is done without an agent may name one all the same: a hub asks it, the others do not need it.
    fn role(&mut self, object: &Map<String, Value>, at: &str, doing: Option<&Doing>) -> Option<Role> {
        let has_agent = object.get("agent").is_some_and(|agent| !agent.is_null());
        match doing {
            Some(Doing::Agent) | None => {}
            Some(Doing::Hub(_)) if has_agent => {}
            Some(Doing::Hub(_) | Doing::Command(_) | Doing::Workflow { .. } | Doing::Parallel(_)) => {
                if has_agent {
                    let suggestion = Some("Remove it, or make two stages of this one.".to_owned());
                    self.warn(&format!("{at}/agent"), "no agent is asked at this stage", suggestion);
                }
                return Some(command_role().clone());
            }
        }
        let role = match object.get("agent") {
            // What the stage does instead could not be read, which has been said.
            None | Some(Value::Null) if doing.is_none() => return None,
            None | Some(Value::Null) => {
                let suggestion = Some("Add one of `agent`, `run`, `workflow`, `parallel` and `hub`.".to_owned());
                self.error(at, "`agent` is missing, and nothing else says what is done at this stage", suggestion);
                return None;
            }
            Some(_) => self.name(object, at, "agent", Role::new)?,
        };
        let pointer = || format!("{at}/agent");
        if is_reserved(&role) {
            let suggestion = Some("Write a shell command as `run`, without an `agent`.".to_owned());
            self.error(&pointer(), format!("no agent can have the role `{role}`"), suggestion);
        } else if let Some(known) = self.roles
            && !known.contains(&role)
        {
            let meant = self.meant(role.as_str(), known.iter().map(Role::as_str));
            let names: Vec<&str> = known.iter().map(Role::as_str).collect();
            let all = format!("Use one of the roles of config.toml ({}), or add an agent.", names.join(", "));
            let suggestion = Some(meant.map_or(all.clone(), |meant| format!("{meant} {all}")));
            self.error(&pointer(), format!("no agent has the role `{role}`"), suggestion);
        }
        Some(role)
    }

    fn verify(&mut self, object: &Map<String, Value>, at: &str) -> Verify {
        match object.get("verify") {
            None | Some(Value::Bool(false) | Value::Null) => Verify::None,
            Some(Value::Bool(true)) => Verify::Project,
            Some(Value::String(command)) if !command.trim().is_empty() => Verify::Command(command.clone()),
            Some(_) => {
                self.error(&format!("{at}/verify"), "`verify` is true, false or a command", None);
                Verify::None
            }
        }
    }

    fn place(&mut self, object: &Map<String, Value>, at: &str) -> Place {
        match object.get("place").map(|place| place.as_str().unwrap_or_default()) {
            None | Some("worktree") => Place::Worktree,
            Some("repository") => Place::Repository,
            Some(_) => {
                let message = "`place` is \"worktree\" or \"repository\"";
                let suggestion = Some("Write \"repository\" to run in the main checkout as it is.".to_owned());
                self.error(&format!("{at}/place"), message, suggestion);
                Place::Worktree
            }
        }
    }

    fn decisions(&mut self, object: &Map<String, Value>, at: &str) -> Vec<Choice> {
        let mut choices: Vec<Choice> = Vec::new();
        let add = |reader: &mut Self, choices: &mut Vec<Choice>, choice: Option<Choice>, pointer: &str| match choice {
            Some(choice) if choices.iter().any(|other| other.choice == choice.choice) => {
                reader.warn(pointer, format!("`{}` is listed twice", choice.choice), Some("Remove one.".to_owned()));
            }
            Some(choice) => choices.push(choice),
            None => {
                let suggestion = Some("Write \"success\", or { \"choice\": \"success\" }.".to_owned());
                reader.error(pointer, "a decision is a word, or an object with a word as `choice`", suggestion);
            }
        };
        match object.get("decisions") {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    let pointer = format!("{at}/decisions/{index}");
                    let choice = self.choice(value, &pointer);
                    add(self, &mut choices, choice, &pointer);
                }
            }
            // Words and what they mean.
            Some(Value::Object(table)) => {
                for (word, about) in table {
                    let about = about.as_str().unwrap_or_default();
                    add(self, &mut choices, choice(word, about), &format!("{at}/decisions"));
                }
            }
            Some(_) => self.error(&format!("{at}/decisions"), "`decisions` is a list", None),
        }
        choices
    }

    fn choice(&mut self, value: &Value, pointer: &str) -> Option<Choice> {
        if let Value::String(word) = value {
            return choice(word, "");
        }
        let word = ["choice", "decision", "name"].iter().find_map(|key| value.get(*key)).and_then(Value::as_str)?;
        if let Some(object) = value.as_object() {
            self.slips(object, pointer, &DECISION);
        }
        let about = value.get("description").and_then(Value::as_str).unwrap_or_default();
        let exit = match value.get("exit") {
            None | Some(Value::Null) => Vec::new(),
            Some(exit) => exits(exit).unwrap_or_else(|| {
                let suggestion = Some("Write 0, [1, 2] or \"other\".".to_owned());
                self.error(&format!("{pointer}/exit"), "`exit` is one exit code from 0 to 255 or more", suggestion);
                Vec::new()
            }),
        };
        Some(Choice { exit, ..choice(word, about)? })
    }

    /// Whether the exit codes of a command are told apart, and belong to a command.
    fn check_exits(&mut self, stage: &Stage, at: &str) {
        let mut means: BTreeMap<Exit, &str> = BTreeMap::new();
        for (index, choice) in stage.decisions.iter().enumerate() {
            for exit in &choice.exit {
                let pointer = format!("{at}/decisions/{index}/exit");
                if let Some(other) = means.insert(*exit, &choice.choice) {
                    let code = match exit {
                        Exit::Code(code) => format!("exit code {code}"),
                        Exit::Other => "every other exit code".to_owned(),
                    };
                    self.error(&pointer, format!("{code} already means `{other}`"), None);
                }
            }
        }
        let is_command = matches!(stage.doing, Doing::Command(_));
        if !means.is_empty() && !is_command {
            let suggestion = Some("Only a stage with `run` ends with an exit code.".to_owned());
            self.warn(&format!("{at}/decisions"), "`exit` means nothing at this stage", suggestion);
        }
        let plain = |choice: &Choice| [SUCCESS, FAILED].contains(&choice.choice.as_str());
        if is_command && means.is_empty() && !stage.decisions.iter().all(plain) {
            let message = "no exit code of the command means one of these decisions";
            let suggestion = "Add \"exit\": 0 and the like, unless the command prints a line `DECISION: <word>`.";
            self.warn(&format!("{at}/decisions"), message, Some(suggestion.to_owned()));
        }
    }
}

/// Whether it starts other stages by itself.
fn has_ways(object: &Map<String, Value>) -> bool {
    ["parallel", "hub"].iter().any(|key| object.get(*key).is_some_and(|value| !value.is_null()))
}

fn choice(word: &str, about: &str) -> Option<Choice> {
    let is_word = crate::claim::outcome::is_word(word);
    is_word.then(|| Choice { choice: word.to_owned(), description: about.to_owned(), exit: Vec::new() })
}

fn exits(value: &Value) -> Option<Vec<Exit>> {
    match value {
        Value::String(word) if word == "other" => Some(vec![Exit::Other]),
        Value::Number(number) => {
            let code = number.as_i64().filter(|code| (0..=255).contains(code))?;
            Some(vec![Exit::Code(i32::try_from(code).ok()?)])
        }
        Value::Array(list) if !list.is_empty() => {
            let all: Option<Vec<Vec<Exit>>> = list.iter().map(exits).collect();
            Some(all?.concat())
        }
        Value::String(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// What the agent is asked to do: the description, and a prompt where there is one beside it.
fn instructions(object: &Map<String, Value>) -> String {
    let (description, prompt) = (text_of(object, "description"), text_of(object, "prompt"));
    match (description.is_empty(), prompt.is_empty()) {
        (_, true) => description,
        (true, false) => prompt,
        (false, false) => format!("{description}\n\n{prompt}"),
    }
}
