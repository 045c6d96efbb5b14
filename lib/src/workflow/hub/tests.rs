//! The choices of a hub, one by one.

use super::*;

fn id(name: &str) -> StageId {
    StageId::new(name).unwrap()
}

fn requirement(name: &str, after: &[&str], probe: bool) -> Requirement {
    Requirement {
        name: name.to_owned(),
        stage: id(&format!("handle_{name}")),
        probe: probe.then(|| format!("check {name}")),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn hub() -> Hub {
    Hub {
        requirements: vec![
            requirement("configs", &[], true),
            requirement("daemon", &["configs"], true),
            requirement("pool", &["daemon"], true),
            requirement("monitoring", &["configs"], true),
        ],
        recovery: Some(id("handle_recovery")),
        validation: Some(id("validate")),
        warnings: vec![Warning { name: "low disk".to_owned(), probe: "df".to_owned() }],
        budget: Budget::default(),
    }
}

fn past_of<'a>(stage: &'a StageId, decision: &'a str, summary: &'a str) -> Past<'a> {
    static RUN: std::sync::LazyLock<RunId> = std::sync::LazyLock::new(|| RunId::new("r1").unwrap());
    Past { stage, decision, summary, run: &RUN }
}

/// A hub `hub` of a task `A`, of which nothing is known but what was done.
fn nothing_known<'a>(past: &'a [Past<'a>]) -> Known<'a> {
    static NAMES: std::sync::LazyLock<(TaskId, StageId)> =
        std::sync::LazyLock::new(|| (TaskId::new("A").unwrap(), StageId::new("hub").unwrap()));
    Known {
        task: &NAMES.0,
        hub: &NAMES.1,
        past,
        forgiven: 0,
        seen: &|_, _| 0,
        is_done: &|_, decision| decision == "success",
        expected: &|_| None,
    }
}

/// The choice where these hold, after these stages decided and said this.
fn choose(hub: &Hub, holds: &[bool], past: &[(&str, &str, &str)]) -> Chosen {
    let ids: Vec<StageId> = past.iter().map(|(stage, _, _)| id(stage)).collect();
    let past: Vec<Past<'_>> =
        past.iter().zip(&ids).map(|((_, decision, summary), stage)| past_of(stage, decision, summary)).collect();
    let well = hub.warnings.iter().map(|_| true).collect();
    let look = Look { holds: holds.iter().map(|holds| Some(*holds)).collect(), well };
    let known = Known {
        hub: &id("orchestrate"),
        is_done: &|_, decision| decision.ends_with("ready") || decision == "success",
        expected: &|stage| (stage.as_str() == "handle_monitoring").then_some(90.0),
        ..nothing_known(&past)
    };
    hub.choose(&look, &known)
}

#[test]
fn the_first_gap_is_delegated_in_the_order_of_dependencies() {
    let hub = hub();
    assert_eq!(choose(&hub, &[false; 4], &[]).step, Step::Delegate(vec![id("handle_configs")]));
    let both = choose(&hub, &[true, false, false, false], &[]);
    assert_eq!(both.step, Step::Delegate(vec![id("handle_monitoring"), id("handle_daemon")]), "the longest first");
    assert_eq!(both.decision, "delegate_monitoring_and_daemon");
    let partial = choose(&hub, &[true, true, false, true], &[]);
    assert_eq!(partial.step, Step::Delegate(vec![id("handle_pool")]), "what holds is skipped");
}

#[test]
fn what_failed_is_mended_and_nothing_else_is_repeated() {
    let past = [("handle_daemon", "daemon_ready", ""), ("handle_pool", "pool_failure", "port 3333 in use")];
    let mend = choose(&hub(), &[true, true, false, true], &past);
    assert_eq!(mend.step, Step::Mend { stage: id("handle_recovery"), hint: "port 3333 in use".to_owned() });
    let mended = [past[0], past[1], ("handle_recovery", "success", "")];
    assert_eq!(choose(&hub(), &[true, true, false, true], &mended).step, Step::Delegate(vec![id("handle_pool")]));
}

#[test]
fn the_same_failure_three_times_changes_the_strategy_and_five_times_is_a_persons_business() {
    let failure = ("handle_daemon", "daemon_failure", "corrupted block database at 0x1f3");
    let mended = ("handle_recovery", "success", "restarted");
    let mut past = Vec::new();
    let mut hints = Vec::new();
    for _ in 0..5 {
        past.push(failure);
        let chosen = choose(&hub(), &[true, false, false, true], &past);
        hints.push(match chosen.step {
            Step::Mend { hint, .. } => hint.contains(RESET_ADVICE),
            Step::Escalate => {
                assert!(chosen.reasoning.contains("5 times") && chosen.reasoning.contains("check daemon"));
                break;
            }
            other => panic!("{other:?}"),
        });
        past.push(mended);
    }
    assert_eq!(hints, [false, false, true, true]);
}

#[test]
fn a_success_forgets_only_its_own_failures() {
    let past = [
        ("handle_daemon", "daemon_failure", "x"),
        ("handle_daemon", "daemon_failure", "x"),
        ("handle_pool", "pool_ready", ""),
        ("handle_daemon", "daemon_failure", "x"),
    ];
    let Step::Mend { hint, .. } = choose(&hub(), &[true, false, true, true], &past).step else { panic!() };
    assert!(hint.contains(RESET_ADVICE));
    let past = [past[0], past[1], ("handle_daemon", "daemon_ready", ""), past[3]];
    let Step::Mend { hint, .. } = choose(&hub(), &[true, false, true, true], &past).step else { panic!() };
    assert!(!hint.contains(RESET_ADVICE));
}

#[test]
fn recoveries_in_vain_are_a_persons_business() {
    let failed = ("handle_recovery", "recovery_failed", "");
    let past = [("handle_daemon", "daemon_failure", "x"), failed, failed];
    assert_eq!(choose(&hub(), &[true, false, false, true], &past).step, Step::Escalate);
}

#[test]
fn a_warning_is_mended_once_before_anything_fails() {
    let hub = hub();
    let look = Look { holds: vec![Some(true), Some(false), Some(false), Some(true)], well: vec![false] };
    let orchestrate = id("orchestrate");
    let known = |past: &'static [(&'static str, &'static str)]| {
        let ids: Vec<StageId> = past.iter().map(|(stage, _)| id(stage)).collect();
        let past: Vec<Past<'_>> = past.iter().zip(&ids).map(|((_, d), stage)| past_of(stage, d, "")).collect();
        let known = Known { hub: &orchestrate, ..nothing_known(&past) };
        hub.choose(&look, &known)
    };
    let first = known(&[]);
    assert_eq!(first.decision, "prevent_low_disk");
    assert!(matches!(first.step, Step::Mend { .. }));
    let again = known(&[("orchestrate", "prevent_low_disk"), ("handle_recovery", "success")]);
    assert_eq!(again.step, Step::Delegate(vec![id("handle_daemon")]));
}

#[test]
fn everything_holds_then_it_is_validated_then_it_is_done() {
    let hub = hub();
    assert_eq!(choose(&hub, &[true; 4], &[]).step, Step::Validate(id("validate")));
    assert_eq!(choose(&hub, &[true; 4], &[("validate", "success", "")]).step, Step::Complete);
    let later = [("validate", "success", ""), ("handle_pool", "pool_ready", "")];
    assert_eq!(choose(&hub, &[true; 4], &later).step, Step::Validate(id("validate")), "it is checked anew");
}

#[test]
fn requirements_that_wait_for_each_other_are_a_persons_business() {
    let hub =
        Hub { requirements: vec![requirement("a", &["b"], true), requirement("b", &["a"], true)], ..Hub::default() };
    assert_eq!(choose(&hub, &[false; 2], &[]).step, Step::Escalate);
}

#[test]
fn what_has_no_probe_holds_once_its_stage_has_succeeded() {
    let hub = Hub { requirements: vec![requirement("a", &[], false)], ..Hub::default() };
    let look = hub.read("noise\nPIPELINE-HUB r:- w:\n").unwrap();
    let known = |past: &[Past<'_>]| hub.choose(&look, &nothing_known(past)).step;
    assert_eq!(known(&[]), Step::Delegate(vec![id("handle_a")]));
    assert_eq!(known(&[past_of(&id("handle_a"), "success", "")]), Step::Complete);
}

#[test]
fn a_line_about_something_else_is_not_read() {
    let hub = hub();
    assert_eq!(hub.read("PIPELINE-HUB r:01 w:0"), None);
    assert_eq!(hub.read("nothing"), None);
    let look = hub.read("PIPELINE-HUB r:0110 w:1").unwrap();
    assert_eq!(look.holds, [Some(true), Some(false), Some(false), Some(true)]);
    assert_eq!(look.well, [false]);
    assert!(hub.script().contains("check daemon") && hub.script().ends_with("r:$r w:$w\"\n"));
}

#[test]
fn what_one_stage_left_broken_is_not_mended_by_another_ones_success() {
    let past = [
        ("handle_configs", "configs_ready", ""),
        ("handle_daemon", "daemon_failure", "no disk"),
        ("handle_monitoring", "monitoring_ready", ""),
    ];
    let mend = choose(&hub(), &[true, false, false, true], &past);
    assert_eq!(mend.step, Step::Mend { stage: id("handle_recovery"), hint: "no disk".to_owned() });
    let two = [past[1], ("handle_monitoring", "monitoring_failure", "no metric")];
    let first = choose(&hub(), &[true, false, false, false], &two);
    assert_eq!(first.decision, "recover_handle_daemon");
    let mended = [two[0], two[1], ("orchestrate", "recover_handle_daemon", ""), ("handle_recovery", "success", "")];
    let second = choose(&hub(), &[true, false, false, false], &mended);
    assert_eq!(second.decision, "recover_handle_monitoring", "only what was mended is tried again");
}

#[test]
fn a_stage_that_fails_in_another_way_each_time_is_given_up_too() {
    let words = ["no disk", "no memory", "no license", "no network", "no power"];
    let mut past = Vec::new();
    for (n, error) in words.iter().enumerate() {
        past.push(("handle_daemon", "daemon_failure", *error));
        let chosen = choose(&hub(), &[true, false, false, true], &past);
        assert_eq!(chosen.step == Step::Escalate, n == 4, "{chosen:?}");
        past.extend([("orchestrate", "recover_handle_daemon", ""), ("handle_recovery", "success", "restarted")]);
    }
    let report = choose(&hub(), &[true, false, false, true], &past[..past.len() - 2]).reasoning;
    let first = report.lines().next().unwrap();
    assert_eq!(first, "handle_daemon failed 5 times in a row, the last time with: no power.");
    for part in [
        "What failed:",
        "  1x: no license",
        "- handle_daemon daemon_failure: no disk; run r1, .pipeline/runs/r1/",
        "Recoveries tried:\n- handle_recovery success: restarted (4x)",
        "- holds now: configs, monitoring; does not: daemon, pool",
        "Suggested manual actions:\n1. Read what handle_daemon printed: pipeline logs --run r1\n2. Make this succeed: check daemon",
        "pipeline task retry A",
    ] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
}

#[test]
fn what_a_person_let_go_on_with_is_forgotten() {
    let stage = id("handle_daemon");
    let past = vec![past_of(&stage, "daemon_failure", "x"); 5];
    let hub = hub();
    let look = Look { holds: vec![Some(true), Some(false), Some(false), Some(true)], well: vec![true] };
    let step = |forgiven| hub.choose(&look, &Known { forgiven, ..nothing_known(&past) }).step;
    assert_eq!(step(0), Step::Escalate);
    assert_eq!(step(5), Step::Delegate(vec![stage.clone()]));
}

#[test]
fn a_failure_of_earlier_tasks_changes_the_strategy_and_gives_nothing_up() {
    let stage = id("handle_daemon");
    let past = [past_of(&stage, "daemon_failure", "x")];
    let hub = hub();
    let look = Look { holds: vec![Some(true), Some(false), Some(false), Some(true)], well: vec![true] };
    let chosen = |times: u32| hub.choose(&look, &Known { seen: &move |_, _| times, ..nothing_known(&past) });
    for (times, reset) in [(1, false), (2, false), (3, true), (9, true)] {
        let Step::Mend { hint, .. } = chosen(times).step else { panic!("{:?}", chosen(times)) };
        assert_eq!(hint.contains(RESET_ADVICE), reset, "{times}");
    }
    assert!(chosen(9).reasoning.contains("In earlier tasks too, 9 times"), "{}", chosen(9).reasoning);
}

#[test]
fn what_the_rules_choose_is_always_among_what_is_legal_and_nothing_unfit_is() {
    let hub = hub();
    let stages = ["handle_configs", "handle_daemon", "handle_pool", "handle_recovery", "validate"];
    for seed in 0..2_000_u32 {
        let mut random = seed;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        let ids: Vec<StageId> = (0..next(9)).map(|_| id(stages[next(5) as usize])).collect();
        let past: Vec<Past<'_>> =
            ids.iter().map(|stage| past_of(stage, ["success", "bad"][next(2) as usize], "x")).collect();
        let holds: Vec<Option<bool>> = (0..4).map(|_| Some(next(2) == 0)).collect();
        let look = Look { holds: holds.clone(), well: vec![next(2) == 0] };
        let known = nothing_known(&past);
        let options = hub.options(&look, &known);
        let chosen = hub.choose(&look, &known);
        assert!(options.contains(&chosen), "{chosen:?} is not in {options:?}");
        let complete = options.iter().any(|option| option.step == Step::Complete);
        assert!(!complete || holds.iter().all(|holds| *holds == Some(true)), "{options:?}");
        assert_eq!(options.iter().filter(|option| option.step == Step::Escalate).count(), 1);
    }
}
