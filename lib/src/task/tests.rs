//! How the place of a task is called.

use super::*;

#[test]
fn a_merge_that_waits_for_the_users_checkout_is_shown_as_ready() {
    let commit = CommitId::from("1".repeat(40));
    let claim = Claimed {
        decision: None,
        commit: commit.clone(),
        agent: AgentName::new("a").unwrap(),
        run: RunId::new("r1").unwrap(),
        summary: String::new(),
        approved: false,
        approved_by: None,
        by: None,
    };
    let stage = StageId::new("super").unwrap();
    let advance = |dirty| TaskState::Verifying {
        stage: stage.clone(),
        claim: claim.clone(),
        step: Step::Advance { commit: commit.clone(), onto: commit.clone(), dirty },
    };
    assert_eq!(advance(None).word(), "super_verifying");
    let dirty = Dirty { files: vec!["a".to_owned()], command: "git stash".to_owned() };
    assert_eq!(advance(Some(dirty)).word(), "super_ready");
}
