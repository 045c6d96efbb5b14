//! Whether the stages of a workflow fit together: every stage is reached, every decision leads somewhere, every loop can
//! end.

use std::collections::HashSet;

use super::fields::escape;
use super::flow::{Index, Ways, delegates};
use super::loops::loops;
use super::{Reader, SEARCHES_MAX};
use crate::ids::StageId;
use crate::workflow::{CONFLICT, Doing, FAILED, SUCCESS, Stage, Workflow, choose};

/// So many stages of a loop are named.
const NAMED_MAX: usize = 6;

impl Reader<'_> {
    /// Stages that others start or are told of: whether they are there, and can be started so.
    pub(super) fn check_named(&mut self, stages: &[Stage], places: &[usize], index: &Index) {
        for (stage, place) in stages.iter().zip(places) {
            let at = format!("/stages/{place}");
            for (position, input) in stage.inputs.iter().enumerate() {
                self.check_input(input, index, &format!("{at}/inputs/{position}"));
            }
            match &stage.doing {
                Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } => {}
                Doing::Parallel(parts) => {
                    if !stage.matrix.is_empty() {
                        let suggestion = Some("Give the parts another workflow, and that a matrix.".to_owned());
                        self.error(&format!("{at}/matrix"), "a stage with `parallel` has no matrix", suggestion);
                    }
                    for (position, part) in parts.iter().enumerate() {
                        let pointer = format!("{at}/parallel/{position}");
                        self.check_part(stage, part, stages, index, &pointer);
                    }
                }
                Doing::Hub(hub) => {
                    if !stage.matrix.is_empty() {
                        let suggestion = Some("Give the matrix to the stages it delegates to.".to_owned());
                        self.error(&format!("{at}/matrix"), "a hub has no matrix", suggestion);
                    }
                    for (position, requirement) in hub.requirements.iter().enumerate() {
                        let pointer = format!("{at}/hub/requirements/{position}/stage");
                        self.check_delegate(stage, &requirement.stage, index, &pointer);
                    }
                    for (key, to) in [("recovery", &hub.recovery), ("validation", &hub.validation)] {
                        if let Some(to) = to {
                            self.check_delegate(stage, to, index, &format!("{at}/hub/{key}"));
                        }
                    }
                }
            }
        }
    }

    fn check_input(&mut self, input: &str, index: &Index, pointer: &str) {
        if index.get(input).is_some() {
            return;
        }
        let meant = self.meant(input, index.names());
        let suggestion = meant
            .unwrap_or_else(|| "Name stages of this workflow, or none to be told what all of them said.".to_owned());
        let input = crate::text::one_line(input, 80);
        self.error(pointer, format!("there is no stage `{input}` to be told of"), Some(suggestion));
    }

    fn check_part(&mut self, stage: &Stage, part: &StageId, stages: &[Stage], index: &Index, pointer: &str) {
        if !self.check_delegate(stage, part, index, pointer) {
            return;
        }
        let Some(part) = index.get(part.as_str()).map(|at| &stages[at]) else { return };
        let what = match part.doing {
            Doing::Parallel(_) => "starts stages itself",
            Doing::Hub(_) => "is a hub",
            Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } if !part.matrix.is_empty() => "has a matrix",
            Doing::Agent | Doing::Command(_) | Doing::Workflow { .. } => return,
        };
        let message = format!("`{}` {what}, so it cannot be a part of `{}`", part.id, stage.id);
        self.error(pointer, message, Some("Make a workflow of it, and a stage of that.".to_owned()));
    }

    fn check_delegate(&mut self, stage: &Stage, to: &StageId, index: &Index, pointer: &str) -> bool {
        if *to == stage.id {
            self.error(pointer, format!("stage `{to}` would start itself"), None);
            return false;
        }
        if index.get(to.as_str()).is_some() {
            return true;
        }
        self.no_stage(to.as_str(), pointer, index);
        self.lost.leads_anywhere = true;
        false
    }

    /// Everything that takes stages and connections together. `places` are those of the stages in the file.
    pub(super) fn check(&mut self, workflow: &Workflow, places: &[usize], index: &Index) {
        let ways = Ways::of(&workflow.connections);
        let targets = targets(workflow, &ways, index);
        self.check_reach(workflow, places, index, &targets);
        let parts: HashSet<&StageId> = workflow
            .stages
            .iter()
            .filter(|stage| matches!(stage.doing, Doing::Parallel(_)))
            .flat_map(delegates)
            .collect();
        let slipped = self.check_conditions(workflow, places, index);
        for (stage, place) in workflow.stages.iter().zip(places) {
            // Whatever a part decides, the stage that started it goes on.
            if !parts.contains(&stage.id) {
                self.check_ways(stage, *place, &ways, &slipped);
            }
        }
        self.check_loops(workflow, places, &targets);
    }

    fn check_reach(&mut self, workflow: &Workflow, places: &[usize], index: &Index, targets: &[Targets]) {
        if self.lost.leads_anywhere {
            return;
        }
        let start = index.get(workflow.start.as_str());
        let mut reached = vec![false; workflow.stages.len()];
        let mut todo: Vec<usize> = start.into_iter().collect();
        todo.extend(self.lost.led_to.iter().filter_map(|stage| index.get(stage.as_str())));
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                todo.extend(targets[at].stages.iter().filter(|to| !reached[**to]));
            }
        }
        for (at, stage) in workflow.stages.iter().enumerate().filter(|(at, _)| !reached[*at]) {
            let suggestion = Some("Add a connection to it, or remove it.".to_owned());
            let message = format!("nothing leads to stage `{}`", stage.id);
            self.error(&format!("/stages/{}", places[at]), message, suggestion);
        }
    }

    /// Decisions that lead nowhere.
    fn check_ways(&mut self, stage: &Stage, place: usize, ways: &Ways<'_>, slipped: &HashSet<(usize, String)>) {
        if self.lost.handles_anything || self.lost.handled.contains(&stage.id) {
            return;
        }
        for word in stage.words() {
            if choose(ways.from(&stage.id), word).is_some() || slipped.contains(&(place, word.to_owned())) {
                continue;
            }
            let at = format!("/stages/{place}");
            let message = format!("stage `{}` may decide `{word}`, and no connection handles it", stage.id);
            let suggestion = format!(
                "Add {{ \"from\": \"{}\", \"to\": …, \"condition\": \"{word}\" }} to the connections.",
                stage.id
            );
            // A failure or a conflict without a connection hands the task to a person, which may be meant.
            if word == FAILED || word == CONFLICT {
                self.warn(&at, message, Some(suggestion));
            } else {
                self.error(&at, message, Some(suggestion));
            }
        }
    }

    /// Connections for decisions that their stages do not have. What they were probably meant for counts as handled: those
    /// words with the places of their stages.
    fn check_conditions(&mut self, workflow: &Workflow, places: &[usize], index: &Index) -> HashSet<(usize, String)> {
        let mut slipped = HashSet::new();
        for (at, connection) in workflow.connections.iter().enumerate() {
            let Some(word) = connection.condition.as_deref() else { continue };
            let Some(from) = index.get(connection.from.as_str()) else { continue };
            let stage = &workflow.stages[from];
            let known = stage.decisions.is_empty()
                || [FAILED, CONFLICT].contains(&word)
                || stage.decisions.iter().any(|choice| choice.choice == word);
            if known {
                continue;
            }
            let choices = stage.choices();
            let near = self.near(word, choices.iter().copied()).map(str::to_owned);
            let suggestion = match &near {
                Some(near) => format!("Did you mean `{near}`?"),
                None => format!("Its decisions are: {}.", choices.join(", ")),
            };
            slipped.extend(near.map(|near| (places[from], near)));
            let shown = crate::text::one_line(word, 80);
            let message = format!("a connection is for `{shown}`, which stage `{}` does not decide", stage.id);
            let pointer = match self.listed.get(at) {
                Some(listed) => format!("{listed}/condition"),
                // The others a stage states itself.
                None => format!("/stages/{}/routing/{}", places[from], escape(word)),
            };
            self.error(&pointer, message, Some(suggestion));
        }
        slipped
    }

    /// Says that a stage is not there; the stage that was probably meant, if there is one.
    pub(super) fn no_stage(&mut self, name: &str, pointer: &str, index: &Index) -> Option<StageId> {
        let near = self.near(name, index.names());
        let suggestion = match near {
            Some(near) => Some(format!("Did you mean `{near}`?")),
            // Who has so many mistakes needs no list with each.
            None => (self.searches <= SEARCHES_MAX).then(|| format!("There are {}.", index.listed())),
        };
        let shown = crate::text::one_line(name, 80);
        let near = near.and_then(|near| StageId::new(near).ok());
        self.error(pointer, format!("there is no stage `{shown}`"), suggestion);
        near
    }

    /// Loops that nothing ends.
    fn check_loops(&mut self, workflow: &Workflow, places: &[usize], targets: &[Targets]) {
        if workflow.max_steps.is_some() {
            return;
        }
        let edges: Vec<Vec<usize>> = targets.iter().map(|targets| targets.stages.clone()).collect();
        for ring in loops(&edges) {
            let inside: HashSet<usize> = ring.iter().copied().collect();
            let leaves = |at: &usize| {
                targets[*at].ends
                    || workflow.stages[*at].max_visits.is_some()
                    || targets[*at].stages.iter().any(|to| !inside.contains(to))
            };
            let Some(first) = ring.first().filter(|_| !ring.iter().any(leaves)) else { continue };
            let named = ring.iter().take(NAMED_MAX).map(|at| format!("`{}`", workflow.stages[*at].id));
            let more =
                if ring.len() > NAMED_MAX { format!(" and {} more", ring.len() - NAMED_MAX) } else { String::new() };
            let named = named.collect::<Vec<_>>().join(", ");
            let message = match ring.len() {
                1 => format!("stage {named} leads only to itself, so the workflow never ends"),
                _ => format!("stages {named}{more} lead only to one another, so the workflow never ends"),
            };
            let suggestion = "Add a connection that leaves the loop, or `max_visits` to one of its stages.";
            self.error(&format!("/stages/{}", places[*first]), message, Some(suggestion.to_owned()));
        }
    }
}

/// Where a stage can lead.
struct Targets {
    stages: Vec<usize>,
    ends: bool,
}

fn targets(workflow: &Workflow, ways: &Ways<'_>, index: &Index) -> Vec<Targets> {
    let of = |stage: &Stage| {
        let mut connections = ways.from(&stage.id).peekable();
        let unconnected = connections.peek().is_none() && stage.words().contains(&SUCCESS);
        let mut targets = Targets { stages: Vec::new(), ends: unconnected };
        for connection in connections {
            match connection.to.as_ref().map(|to| index.get(to.as_str())) {
                None => targets.ends = true,
                Some(to) => targets.stages.extend(to),
            }
        }
        let delegated = delegates(stage).into_iter().filter_map(|to| index.get(to.as_str()));
        targets.stages.extend(delegated);
        targets.stages.sort_unstable();
        targets.stages.dedup();
        targets
    };
    workflow.stages.iter().map(of).collect()
}
