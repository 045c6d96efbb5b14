//! Which task waits for which, ready to be drawn: the tasks around the one that is looked at and those that are not
//! finished, up to a number that can be taken in, and the chain among them that decides when all is done.

pub mod layout;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};

use super::estimate::{Durations, stages_left};
use crate::ids::{AgentName, TaskId};
use crate::pipeline::Pipeline;
use crate::task::{Task, TaskState};
use crate::text;
use crate::view::board::tone;
use crate::view::screen::Tone;
use crate::view::task_doc;

/// Tasks that are shown at most.
pub const NODES_MAX: usize = 200;
/// How many of them may be there because they are near the one that is looked at.
const NEAR_MAX: usize = 80;
/// Neighbours of a task on one side that are looked at.
const NEIGHBOURS_MAX: usize = 40;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

/// The tasks and their dependencies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// The task that it was made around; none for all that is not finished.
    pub centre: Option<TaskId>,
    /// The tasks, each behind all that it depends on.
    pub nodes: Vec<Node>,
    /// The chain of unfinished tasks that decides when all is done, from its first on, as places in `nodes`. Empty where no
    /// unfinished task waits for another.
    pub critical: Vec<usize>,
    /// How long that chain takes, in seconds, where there are runs to go by.
    pub critical_seconds: Option<f64>,
    /// Recorded runs that this rests on.
    pub runs: u64,
    /// Unfinished tasks that are not among the nodes.
    pub more_unfinished: usize,
    /// Finished tasks that are not among the nodes, archived ones not counted.
    pub more_finished: usize,
}

/// A task in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub id: TaskId,
    /// One line for people.
    pub title: String,
    /// Its public status.
    pub status: String,
    /// What kind of state that is.
    pub tone: Tone,
    /// Whether it is finished, in whichever way.
    pub finished: bool,
    /// Who works on it.
    pub agent: Option<AgentName>,
    /// Why it waits, if it does.
    pub reason: Option<String>,
    /// The tasks it depends on, as places in `nodes`.
    pub after: Vec<usize>,
    /// The task whose stage it serves, as a place in `nodes`. None where that one waits for it in its turn and stands behind.
    pub part_of: Option<usize>,
    /// Tasks it depends on that are known and not among the nodes.
    pub more_after: usize,
    /// Tasks that wait for it and are not among the nodes.
    pub more_behind: usize,
}

impl Node {
    /// The nodes that it has a line from: what it depends on, and the task it does a part of.
    pub fn before(&self) -> impl Iterator<Item = usize> {
        let part_of = self.part_of.filter(|of| !self.after.contains(of));
        self.after.iter().copied().chain(part_of)
    }
}

impl Graph {
    /// Where a task is among the nodes.
    #[must_use]
    pub fn find(&self, id: &TaskId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == *id)
    }

    /// Whether one node directly follows another on the chain that decides.
    #[must_use]
    pub fn is_critical(&self, from: usize, to: usize) -> bool {
        self.critical.windows(2).any(|pair| pair == [from, to])
    }

    /// Every node that a node waits for or serves, directly or not.
    #[must_use]
    pub fn ancestors(&self, of: usize) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut todo = vec![of];
        while let Some(at) = todo.pop() {
            let after = self.nodes.get(at).into_iter().flat_map(Node::before);
            todo.extend(after.filter(|before| found.insert(*before)));
        }
        found
    }

    /// Every node that waits for a node or serves it, directly or not.
    #[must_use]
    pub fn descendants(&self, of: usize) -> HashSet<usize> {
        let mut found = HashSet::from([of]);
        // Nodes stand behind all that they depend on, so one pass finds them all.
        for (at, node) in self.nodes.iter().enumerate().skip(of + 1) {
            if node.before().any(|before| found.contains(&before)) {
                found.insert(at);
            }
        }
        found.remove(&of);
        found
    }
}

/// The tasks around one, or all that are not finished, with their dependencies.
#[must_use]
pub fn graph(pipeline: &Pipeline, centre: Option<&TaskId>) -> Graph {
    of(pipeline, centre, chosen(pipeline, centre))
}

/// Every task there is, with its dependencies.
#[must_use]
pub fn whole(pipeline: &Pipeline) -> Graph {
    of(pipeline, None, pipeline.tasks.in_order())
}

fn of(pipeline: &Pipeline, centre: Option<&TaskId>, chosen: Vec<&Task>) -> Graph {
    let chosen = in_order(chosen);
    let places: HashMap<&TaskId, usize> = chosen.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
    let mut nodes: Vec<Node> = chosen.iter().map(|task| node(pipeline, task, &places)).collect();
    let mut shown = vec![0_usize; nodes.len()];
    nodes.iter().flat_map(|node| &node.after).for_each(|before| shown[*before] += 1);
    for ((task, node), shown) in chosen.iter().zip(&mut nodes).zip(shown) {
        let (total, _) = pipeline.some_dependents(&task.id, 0);
        node.more_behind = total.saturating_sub(shown);
    }
    let durations = Durations::of(pipeline);
    let (critical, critical_seconds) = critical(pipeline, &durations, &chosen, &nodes);
    let unfinished = nodes.iter().filter(|node| !node.finished).count();
    let finished = pipeline.tasks.len() - pipeline.unfinished_total();
    Graph {
        centre: centre.cloned(),
        critical,
        critical_seconds,
        runs: durations.runs,
        more_unfinished: pipeline.unfinished_total().saturating_sub(unfinished),
        more_finished: finished.saturating_sub(nodes.len() - unfinished),
        nodes,
    }
}

/// The tasks to show: those near the centre, then unfinished ones as they matter, then what these waited for, then what was
/// finished last.
fn chosen<'a>(pipeline: &'a Pipeline, centre: Option<&TaskId>) -> Vec<&'a Task> {
    let mut chosen: Vec<&Task> = Vec::new();
    let mut known: HashSet<&TaskId> = HashSet::new();
    let mut take = |chosen: &mut Vec<&'a Task>, task: &'a Task, limit: usize| {
        if chosen.len() < limit && known.insert(&task.id) {
            chosen.push(task);
        }
    };
    if let Some(centre) = centre.and_then(|id| pipeline.task(id.as_str())) {
        near(pipeline, centre).into_iter().for_each(|task| take(&mut chosen, task, NEAR_MAX));
    }
    pipeline.unfinished(NODES_MAX).into_iter().for_each(|task| take(&mut chosen, task, NODES_MAX));
    for at in 0..chosen.len() {
        relatives(pipeline, chosen[at]).into_iter().for_each(|task| take(&mut chosen, task, NODES_MAX));
        let after = chosen[at].depends_on.iter().take(NEIGHBOURS_MAX).filter_map(|id| pipeline.task(id.as_str()));
        after.for_each(|task| take(&mut chosen, task, NODES_MAX));
    }
    pipeline.latest_finished().take(NODES_MAX).for_each(|task| take(&mut chosen, task, NODES_MAX));
    chosen
}

/// A task and those around it, the nearest first.
fn near<'a>(pipeline: &'a Pipeline, centre: &'a Task) -> Vec<&'a Task> {
    let mut found = vec![centre];
    let mut known = HashSet::from([&centre.id]);
    let mut todo = VecDeque::from([centre]);
    while let Some(task) = todo.pop_front().filter(|_| found.len() < NEAR_MAX) {
        let (_, behind) = pipeline.some_dependents(&task.id, NEIGHBOURS_MAX);
        let after = task.depends_on.iter().take(NEIGHBOURS_MAX).filter_map(|id| pipeline.task(id.as_str()));
        for other in relatives(pipeline, task).into_iter().chain(after).chain(behind) {
            if known.insert(&other.id) {
                found.push(other);
                todo.push_back(other);
            }
        }
    }
    found
}

/// The task whose stage a task serves, and those that do parts of its own.
fn relatives<'a>(pipeline: &'a Pipeline, task: &'a Task) -> Vec<&'a Task> {
    let parts = match &task.state {
        TaskState::Waiting { on, .. } => on.as_slice(),
        _ => &task.parts,
    };
    let parent = task.parent.as_ref().map(|parent| &parent.task);
    parent.into_iter().chain(parts.iter().take(NEIGHBOURS_MAX)).filter_map(|id| pipeline.task(id.as_str())).collect()
}

/// The tasks in an order in which each stands behind all that it depends on and behind the task whose stage it serves, and
/// otherwise by age. Where both cannot be, because a task waits for what serves it, the first counts.
fn in_order(mut tasks: Vec<&Task>) -> Vec<&Task> {
    tasks.sort_unstable_by_key(|task| task.order);
    let count = tasks.len();
    let ordered = ordered(&tasks, true);
    if ordered.len() == count { ordered } else { self::ordered(&tasks, false) }
}

fn ordered<'a>(tasks: &[&'a Task], with_parents: bool) -> Vec<&'a Task> {
    let places: HashMap<&TaskId, usize> = tasks.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut open = vec![0_usize; tasks.len()];
    for (at, task) in tasks.iter().enumerate() {
        let parent = task.parent.as_ref().filter(|_| with_parents).map(|parent| &parent.task);
        for before in task.depends_on.iter().chain(parent).filter_map(|id| places.get(id)) {
            behind[*before].push(at);
            open[at] += 1;
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..tasks.len()).filter(|at| open[*at] == 0).collect();
    let mut ordered = Vec::with_capacity(tasks.len());
    while let Some(at) = ready.pop_first() {
        ordered.push(tasks[at]);
        for next in &behind[at] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    ordered
}

fn node(pipeline: &Pipeline, task: &Task, places: &HashMap<&TaskId, usize>) -> Node {
    let document = task_doc(pipeline, task);
    let mut after: Vec<usize> = task.depends_on.iter().filter_map(|id| places.get(id).copied()).collect();
    after.sort_unstable();
    after.dedup();
    let live = task.depends_on.iter().filter(|id| pipeline.task(id.as_str()).is_some()).count();
    let own = places.get(&task.id).copied();
    let part_of = task.parent.as_ref().and_then(|parent| places.get(&parent.task).copied());
    Node {
        part_of: part_of.filter(|of| Some(*of) < own),
        id: task.id.clone(),
        title: text::one_line(&task.title, TITLE_CHARS_MAX),
        status: document.status,
        tone: tone(pipeline, task),
        finished: task.state.is_final(),
        agent: document.assigned_to.cloned(),
        reason: document.reason.map(|reason| text::one_line(&reason, REASON_CHARS_MAX)),
        more_after: live.saturating_sub(after.len()),
        more_behind: 0,
        after,
    }
}

/// The longest chain of unfinished tasks, and how long it takes. A task counts for the time that is left of it; without runs
/// to go by, for the stages that are left.
fn critical(pipeline: &Pipeline, durations: &Durations, tasks: &[&Task], nodes: &[Node]) -> (Vec<usize>, Option<f64>) {
    // The longest way to the end of each task, and the task before it on that way.
    let mut ways: Vec<(f64, Option<usize>)> = Vec::with_capacity(nodes.len());
    for (task, node) in tasks.iter().zip(nodes) {
        if node.finished {
            ways.push((0.0, None));
            continue;
        }
        let own = durations.left(pipeline, task).unwrap_or_else(|| stages_left(pipeline, task).len() as f64);
        let before = node.after.iter().filter(|at| !nodes[**at].finished);
        let longest = before.max_by(|a, b| ways[**a].0.total_cmp(&ways[**b].0).then(b.cmp(a))).copied();
        ways.push((own + longest.map_or(0.0, |at| ways[at].0), longest));
    }
    let mut chain = Vec::new();
    let ends = ways.iter().enumerate().filter(|(at, (_, before))| before.is_some() && !nodes[*at].finished);
    let mut at = ends.max_by(|a, b| a.1.0.total_cmp(&b.1.0).then(b.0.cmp(&a.0))).map(|(at, _)| at);
    let length = at.map(|at| ways[at].0);
    while let Some(node) = at {
        chain.push(node);
        at = ways[node].1;
    }
    chain.reverse();
    (chain, length.filter(|_| durations.runs > 0))
}
