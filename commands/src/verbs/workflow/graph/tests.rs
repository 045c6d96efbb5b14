//! Drawings of workflows.

use std::collections::BTreeSet;

use pipeline_lib::workflow::parse::parse;
use pipeline_lib::workflow::tdd;
use unicode_width::UnicodeWidthStr;

use super::super::scaffold::{self, Template};
use super::*;

fn hub() -> Workflow {
    parse(&scaffold::document("setup", Template::Hub, &BTreeSet::new()), None).unwrap().0
}

#[test]
fn a_terminal_shows_the_way_and_the_ways_back() {
    insta::assert_snapshot!(terminal::draw(&Picture::of(&tdd())).join("\n"), @"
      ● arch Design · architect  (start)
      │  success
      ▼
      ● test Tests · test
      │  success
      ▼
    ┌▶● impl Implementation · implementation
    │ │  success
    │ ▼
    │ ● super Review and merge · supervisor
    │ ├─ success → end
    └─┴─ rework, conflict → impl
    ");
}

#[test]
fn a_hub_shows_what_it_starts() {
    insta::assert_snapshot!(terminal::draw(&Picture::of(&hub())).join("\n"), @"
    ┌────────▶● orchestrate Orchestrate · hub of 2  (start)
    │       ┌─┼─ configuration ⇢ configure
    │     ┌─┼─┼─ service ⇢ start
    │   ┌─┼─┼─┼─ recovery ⇢ recover
    │ ┌─┼─┼─┼─┴─ validation ⇢ validate
    │ │ │ │ │
    │ │ │ │ └▶● configure Configure · $ echo port=8080 > service.conf
    ├─┼─┼─┼───┴─ always → orchestrate
    │ │ │ │
    │ │ │ └──▶● start Start · $ echo started > service.pid
    ├─┼─┼─────┴─ always → orchestrate
    │ │ │
    │ │ └────▶● recover Recover · $ rm -f service.pid
    ├─┼───────┴─ always → orchestrate
    │ │
    │ └──────▶● validate Validate · $ test -e service.conf && test -e service…
    └─────────┴─ always → orchestrate
    ");
}

#[test]
fn a_drawing_fits_eighty_columns_whatever_there_is() {
    let stages: Vec<Value> = (0..40)
        .map(|n| json!({ "id": format!("stage-number-{n}"), "name": "漢".repeat(60), "agent": "x", "decisions": ["success", "back"] }))
        .collect();
    let connections: Vec<Value> = (0..40)
        .flat_map(|n: usize| {
            let to = if n < 39 { json!(format!("stage-number-{}", n + 1)) } else { Value::Null };
            let from = format!("stage-number-{n}");
            [
                json!({ "from": from, "to": to, "condition": "success" }),
                json!({ "from": from, "to": format!("stage-number-{}", n / 2), "condition": "back" }),
            ]
        })
        .collect();
    let document = json!({ "id": "w", "stages": stages, "connections": connections });
    let (workflow, _) = parse(&document, None).unwrap();
    let lines = terminal::draw(&Picture::of(&workflow));
    assert!(lines.iter().all(|line| line.width() <= 80), "{lines:#?}");
    assert!(svg::draw(&Picture::of(&workflow), "w").ends_with("</svg>\n"));
}

#[test]
fn mermaid_names_every_stage_and_connection() {
    insta::assert_snapshot!(mermaid::draw(&Picture::of(&tdd())), @r#"
    flowchart TD
        begin([start])
        s0["arch Design<br/><small>architect</small>"]
        s1["test Tests<br/><small>test</small>"]
        s2["impl Implementation<br/><small>implementation</small>"]
        s3["super Review and merge<br/><small>supervisor</small>"]
        finish([end])
        begin --> s0
        s0 -->|"success"| s1
        s1 -->|"success"| s2
        s2 -->|"success"| s3
        s3 -->|"success"| finish
        s3 -->|"rework, conflict"| s2
    "#);
}

#[test]
fn an_image_is_complete_and_takes_no_text_for_markup() {
    let document = json!({ "id": "w", "stages": [{ "id": "a", "name": "<b>&\"", "run": "echo <x> | cat" }] });
    let (workflow, _) = parse(&document, None).unwrap();
    let image = svg::draw(&Picture::of(&workflow), "A & B");
    assert!(image.contains("<title>A &amp; B</title>") && image.contains("a &lt;b&gt;&amp;&quot;"), "{image}");
    assert!(!image.contains("<b>") && !image.contains("href"), "{image}");
    for workflow in [&*tdd(), &hub()] {
        let picture = Picture::of(workflow);
        let image = svg::draw(&picture, "x");
        assert_eq!(image.matches("<rect").count(), picture.stages.len());
        assert_eq!(image.matches("marker-end").count(), picture.edges.len());
    }
}
