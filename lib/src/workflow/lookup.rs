//! Where the stages and connections of a workflow stand, so that a step of a task costs the same in a workflow of ten
//! stages and in one of ten thousand. It is found out when it is first asked for. It decides nothing.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use foldhash::HashMap;

use super::{Connection, Doing, Stage, Workflow};
use crate::ids::{StageId, WorkflowId};

/// Belongs to one workflow. A copy begins anew, since it may be changed before it is asked; one that was asked is not
/// changed any more.
#[derive(Debug, Default)]
pub(crate) struct Lookup(OnceLock<Places>);

#[derive(Debug, Default)]
struct Places {
    stages: HashMap<StageId, usize>,
    /// The connections of each stage, in the order of the file.
    onward: HashMap<StageId, Vec<usize>>,
    hubs: Vec<usize>,
    /// The names of secrets that its stages see, each once.
    secrets: BTreeSet<String>,
}

impl Clone for Lookup {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Lookup {
    /// It follows from the rest of a workflow.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Workflow {
    /// Other workflows that this one leads to: what its stages are, and what is done where it fails.
    pub fn leads_to(&self) -> impl Iterator<Item = &WorkflowId> {
        let stages = self.stages.iter().filter_map(|stage| match &stage.doing {
            Doing::Workflow { workflow, .. } => Some(workflow),
            Doing::Agent | Doing::Command(_) | Doing::Parallel(_) | Doing::Hub(_) => None,
        });
        stages.chain(&self.on_failure)
    }

    fn places(&self) -> &Places {
        self.lookup.0.get_or_init(|| {
            let mut places = Places::default();
            for (at, stage) in self.stages.iter().enumerate() {
                // Where a name is there twice the first one counts.
                places.stages.entry(stage.id.clone()).or_insert(at);
                if matches!(stage.doing, Doing::Hub(_)) {
                    places.hubs.push(at);
                }
                places.secrets.extend(stage.secrets.iter().cloned());
            }
            for (at, connection) in self.connections.iter().enumerate() {
                places.onward.entry(connection.from.clone()).or_default().push(at);
            }
            places
        })
    }

    /// The stage of this name.
    #[must_use]
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        self.stages.get(*self.places().stages.get(id)?)
    }

    /// Where the stage stands in the file, from 0; how far a task has come.
    #[must_use]
    pub fn depth(&self, id: &StageId) -> usize {
        self.places().stages.get(id).copied().unwrap_or(0)
    }

    /// The connections of a stage, in the order of the file.
    pub fn onward(&self, from: &StageId) -> impl Iterator<Item = &Connection> + Clone {
        let places = self.places().onward.get(from).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|at| self.connections.get(*at))
    }

    /// The names of the secrets that its stages see, each once.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.places().secrets.iter()
    }

    /// The stages that are hubs, in the order of the file.
    pub(super) fn hubs(&self) -> impl Iterator<Item = &Stage> {
        self.places().hubs.iter().filter_map(|at| self.stages.get(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Role;
    use crate::workflow::{Next, SUCCESS};

    fn id(text: &str) -> StageId {
        StageId::new(text).unwrap()
    }

    fn of(stages: &[&str], connections: &[(&str, &str)]) -> Workflow {
        let stage = |name: &&str| Stage::new(id(name), Role::new("worker").unwrap());
        let connection = |(from, to): &(&str, &str)| Connection {
            from: id(from),
            to: Some(id(to)),
            condition: Some(SUCCESS.into()),
        };
        let (name, start) = (WorkflowId::new("w").unwrap(), id(stages[0]));
        let (stages, connections) = (stages.iter().map(stage).collect(), connections.iter().map(connection).collect());
        Workflow::new(name, start, stages, connections)
    }

    #[test]
    fn everything_is_found_where_a_scan_finds_it() {
        let workflow = of(&["a", "b", "c"], &[("b", "c"), ("a", "b"), ("b", "a"), ("gone", "a")]);
        for name in ["a", "b", "c", "gone", "nowhere"] {
            let name = id(name);
            let scanned: Vec<_> = workflow.connections.iter().filter(|c| c.from == name).collect();
            assert_eq!(workflow.onward(&name).collect::<Vec<_>>(), scanned, "{name}");
            assert_eq!(workflow.stage(&name), workflow.stages.iter().find(|stage| stage.id == name), "{name}");
            let depth = workflow.stages.iter().position(|stage| stage.id == name).unwrap_or(0);
            assert_eq!(workflow.depth(&name), depth, "{name}");
        }
    }

    #[test]
    fn a_copy_that_was_changed_is_looked_at_anew() {
        let workflow = of(&["a", "b"], &[("a", "b")]);
        assert!(matches!(workflow.next(&id("a"), SUCCESS), Next::Stage(stage) if stage.id == id("b")));
        let mut copy = workflow.clone();
        assert_eq!(copy, workflow);
        copy.connections[0].to = None;
        copy.stages.swap(0, 1);
        assert_eq!(copy.next(&id("a"), SUCCESS), Next::End);
        assert_eq!((copy.depth(&id("a")), workflow.depth(&id("a"))), (1, 0));
    }
}
