//! The workflow that is there without any file: design, tests, implementation, review and merge.

use std::sync::Arc;

use super::{CONFLICT, Choice, Connection, SUCCESS, Stage, Verify, Workflow};
use crate::ids::{Role, StageId, WorkflowId};

fn stage(id: &str, role: &str, name: &str, description: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        description: description.to_owned(),
        ..Stage::new(
            StageId::new(id).expect("a literal stage id is well formed"),
            Role::new(role).expect("a literal role is well formed"),
        )
    }
}

/// The default workflow: design, tests, implementation, merge.
#[must_use]
pub fn tdd() -> Arc<Workflow> {
    let choice = |word: &str, description: &str| Choice {
        choice: word.to_owned(),
        description: description.to_owned(),
        exit: Vec::new(),
    };
    let connection = |from: &str, to: Option<&str>, condition: &str| Connection {
        from: StageId::new(from).expect("a literal stage id is well formed"),
        to: to.map(|to| StageId::new(to).expect("a literal stage id is well formed")),
        condition: Some(condition.to_owned()),
    };
    let mut arch = stage(
        "arch",
        "architect",
        "Design",
        "Decide how the task is to be done, in the terms of this code base: which files change, which names and \
         signatures, which cases matter. Write the design down where the next stages will find it. Do not implement it.",
    );
    arch.decisions = vec![choice(SUCCESS, "the design is clear enough to write tests against")];
    let mut test = stage(
        "test",
        "test",
        "Tests",
        "Write the tests that the design asks for, in the style of the tests that are already there. They fail until \
         the task is implemented; that is right. Do not implement it.",
    );
    test.decisions = vec![choice(SUCCESS, "the tests say what the task means")];
    let mut implementation = stage(
        "impl",
        "implementation",
        "Implementation",
        "Make the tests pass with the simplest code that does what the task asks. Run the project's checks. Do not \
         weaken a test to make it pass.",
    );
    implementation.decisions = vec![choice(SUCCESS, "the task is implemented and the checks pass")];
    implementation.verify = Verify::Project;
    let mut supervisor = stage(
        "super",
        "supervisor",
        "Review and merge",
        "Review the whole change as it will be merged. Mend small things; send it back with the decision `rework` when \
         it does not do what the task asks. The merge itself is done for you.",
    );
    supervisor.decisions = vec![
        choice(SUCCESS, "the change is good: merge it"),
        choice("rework", "the implementation has to be done again; say why"),
        choice(CONFLICT, "the change no longer fits the base branch"),
    ];
    supervisor.verify = Verify::Project;
    supervisor.merge = true;
    let connections = vec![
        connection("arch", Some("test"), SUCCESS),
        connection("test", Some("impl"), SUCCESS),
        connection("impl", Some("super"), SUCCESS),
        connection("super", None, SUCCESS),
        connection("super", Some("impl"), "rework"),
        connection("super", Some("impl"), CONFLICT),
    ];
    let id = WorkflowId::new("tdd").expect("a literal workflow id is well formed");
    let start = arch.id.clone();
    Arc::new(Workflow {
        name: "Test-driven development".to_owned(),
        version: "1.0.0".to_owned(),
        // No category: those have limits, and how many of these tasks run at once is the mode's and the agents' business.
        category: String::new(),
        description: "Design, then tests, then the implementation, then review and merge.".to_owned(),
        ..Workflow::new(id, start, vec![arch, test, implementation, supervisor], connections)
    })
}
