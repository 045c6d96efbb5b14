//! Which tasks are chosen, and which chain decides.

use super::*;
use crate::decide::tests::world::*;
use crate::event::{NewTask, Request};
use crate::task::{Parent, ParentWhy};

fn drawn(w: &World, centre: Option<&str>) -> Graph {
    drawn_of(&w.p, centre)
}

fn drawn_of(pipeline: &Pipeline, centre: Option<&str>) -> Graph {
    let graph = graph(pipeline, centre.map(task).as_ref());
    for (at, node) in graph.nodes.iter().enumerate() {
        assert!(node.before().all(|before| before < at), "{} stands before what it depends on", node.id);
    }
    graph
}

fn chain(graph: &Graph) -> Vec<&str> {
    graph.critical.iter().map(|at| graph.nodes[*at].id.as_str()).collect()
}

fn world(edges: &[(&str, &[&str])]) -> World {
    let mut w = World::workers(1, |_| {});
    let tasks = edges.iter().map(|(id, after)| NewTask::named(id).after(after).on("solo")).collect();
    w.asked(Request::AddTasks(tasks));
    w
}

#[test]
fn the_longest_chain_of_what_is_not_finished_decides() {
    let mut w = world(&[("A", &[]), ("B", &["A"]), ("C", &["B"]), ("D", &["A"]), ("E", &["D", "C"]), ("F", &[])]);
    let graph = drawn(&w, None);
    assert_eq!(chain(&graph), ["A", "B", "C", "E"]);
    assert_eq!(graph.critical_seconds, None, "nothing is recorded");
    let at = |id: &str| graph.find(&task(id)).unwrap();
    assert!(graph.is_critical(at("A"), at("B")) && !graph.is_critical(at("A"), at("D")));
    let names = |set: &HashSet<usize>| {
        let mut names: Vec<&str> = set.iter().map(|at| graph.nodes[*at].id.as_str()).collect();
        names.sort_unstable();
        names.join("")
    };
    assert_eq!((names(&graph.ancestors(at("E"))), names(&graph.descendants(at("B")))), ("ABCD".into(), "CE".into()));
    w.finish("A");
    w.finish("B");
    let graph = drawn(&w, None);
    assert_eq!(chain(&graph).len(), 2);
    assert!(graph.critical_seconds.is_some());
    assert_eq!((graph.nodes.len(), graph.more_finished, graph.more_unfinished), (6, 0, 0));
}

#[test]
fn what_does_a_part_of_a_task_stands_behind_it() {
    let serving = |w: &World, parts: &[&str], of: &str| {
        let mut pipeline = w.p.clone();
        for part in parts {
            let slot = pipeline.tasks.slot(part).unwrap();
            let parent = Parent { task: task(of), stage: stage_id("do"), why: ParentWhy::Part, branch: None };
            pipeline.tasks.at_mut(slot).unwrap().parent = Some(Box::new(parent));
        }
        drawn_of(&pipeline, None)
    };
    let graph = serving(&world(&[("A", &[]), ("P", &[]), ("Q", &[])]), &["A", "P"], "Q");
    let of = |graph: &Graph, id: &str| graph.nodes[graph.find(&task(id)).unwrap()].part_of;
    let q = graph.find(&task("Q"));
    assert_eq!((of(&graph, "A"), of(&graph, "P"), of(&graph, "Q")), (q, q, None));
    assert_eq!(graph.descendants(q.unwrap()).len(), 2);
    assert_eq!(graph.ancestors(graph.find(&task("P")).unwrap()).len(), 1);
    let graph = serving(&world(&[("A", &[]), ("Q", &["A"])]), &["A"], "Q");
    assert_eq!((of(&graph, "A"), graph.nodes.len()), (None, 2), "who waits for its part stands behind it");
}

#[test]
fn a_task_alone_is_no_chain() {
    assert_eq!(chain(&drawn(&world(&[("A", &[]), ("B", &[])]), None)), [""; 0]);
    assert_eq!(drawn(&World::new(), None), Graph::default());
}

#[test]
fn of_many_tasks_those_around_the_one_looked_at_are_shown_and_the_rest_is_counted() {
    let ids: Vec<String> = (0..1_000).map(|n| format!("T{n}")).collect();
    let mut tasks: Vec<NewTask> = ids.iter().map(|id| NewTask::named(id).on("solo")).collect();
    // Two long chains far down the queue.
    for n in 501..560 {
        tasks[n] = NewTask::named(&ids[n]).after(&[&ids[n - 1]]).on("solo").priority(9);
    }
    let mut w = World::workers(1, |_| {});
    w.asked(Request::AddTasks(tasks));
    let graph = drawn(&w, Some("T530"));
    assert_eq!((graph.nodes.len(), graph.more_unfinished), (NODES_MAX, 1_000 - NODES_MAX));
    for near in ["T530", "T529", "T531", "T500", "T559"] {
        assert!(graph.find(&task(near)).is_some(), "{near}");
    }
    assert_eq!(chain(&graph).len(), 60);
    let graph = drawn(&w, Some("T5"));
    let first = graph.find(&task("T500")).map(|at| graph.nodes[at].more_behind);
    assert!(first.is_none_or(|more| more <= 1));
}

#[test]
fn neighbours_that_are_not_shown_are_counted() {
    let ids: Vec<String> = (0..300).map(|n| format!("T{n}")).collect();
    let mut tasks = vec![NewTask::named("hub").on("solo")];
    tasks.extend(ids.iter().map(|id| NewTask::named(id).after(&["hub"]).on("solo")));
    let mut w = World::workers(1, |_| {});
    w.asked(Request::AddTasks(tasks));
    let graph = drawn(&w, None);
    let hub = &graph.nodes[graph.find(&task("hub")).unwrap()];
    assert_eq!(hub.more_behind, 300 - (NODES_MAX - 1));
    assert_eq!(graph.more_unfinished, hub.more_behind);
    let whole = whole(&w.p);
    assert_eq!(
        (whole.nodes.len(), whole.more_unfinished, whole.nodes[0].more_behind),
        (301, 0, 0),
        "nothing is left out"
    );
}
