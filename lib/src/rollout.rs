//! Whether the evidence allows a bolder rollout mode: every check with the number it used and the number it needs.

use serde::Serialize;

use crate::metrics::ratio;
use crate::mode::Rollout;
use crate::pipeline::Pipeline;

/// What has to be found out outside before shadow can end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groundwork {
    /// What `doctor` found wrong.
    pub doctor_problems: Vec<String>,
    /// What `workflow validate` found wrong.
    pub workflow_problems: Vec<String>,
    /// How the gate ended on base; `None` where there is no gate.
    pub gate_on_base: Option<Result<(), String>>,
}

/// One check of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// Whether it allows the step.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What is needed.
    pub needs: String,
}

/// Whether the evidence allows the step from one mode to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Readiness {
    /// The mode now.
    pub from: Rollout,
    /// The next one; none after production.
    pub to: Option<Rollout>,
    /// Whether every check allows it.
    pub ready: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// Whether the evidence allows the next mode.
#[must_use]
pub fn readiness(pipeline: &Pipeline, from: Rollout, groundwork: Option<&Groundwork>) -> Readiness {
    let checks = match from {
        Rollout::Shadow => groundwork.map(shadow_checks).unwrap_or_default(),
        Rollout::Pilot => pilot_checks(pipeline),
        Rollout::Production => Vec::new(),
    };
    let ready = from != Rollout::Production && !checks.is_empty() && checks.iter().all(|check| check.ok);
    Readiness { from, to: from.next(), ready, checks }
}

fn shadow_checks(groundwork: &Groundwork) -> Vec<Check> {
    let list = |problems: &[String], fine: &str| match problems {
        [] => fine.to_owned(),
        some => some.join("; "),
    };
    let gate = match &groundwork.gate_on_base {
        Some(Ok(())) => (true, "it passes".to_owned()),
        Some(Err(why)) => (false, why.clone()),
        None => (false, "no verify command is configured, so nothing could be checked".to_owned()),
    };
    vec![
        Check {
            name: "doctor",
            ok: groundwork.doctor_problems.is_empty(),
            found: list(&groundwork.doctor_problems, "clean"),
            needs: "clean".to_owned(),
        },
        Check {
            name: "workflows",
            ok: groundwork.workflow_problems.is_empty(),
            found: list(&groundwork.workflow_problems, "valid"),
            needs: "valid".to_owned(),
        },
        Check { name: "gate_on_base", ok: gate.0, found: gate.1, needs: "it passes".to_owned() },
    ]
}

fn pilot_checks(pipeline: &Pipeline) -> Vec<Check> {
    let counted = &pipeline.core.metrics;
    let needs = &pipeline.core.settings.rollout;
    let rate = ratio(counted.gates - counted.gates_failed, counted.gates);
    let planned = counted.shadow_agreed + counted.shadow_differed;
    vec![
        Check {
            name: "runs",
            ok: counted.runs >= u64::from(needs.min_runs),
            found: format!("{} settled, {} of them failed", counted.runs, counted.runs_failed),
            needs: format!("at least {}", needs.min_runs),
        },
        Check {
            name: "gate_pass_rate",
            ok: counted.gates > 0 && rate >= needs.min_gate_pass_rate,
            found: format!("{rate:.2} ({} of {} gates passed)", counted.gates - counted.gates_failed, counted.gates),
            needs: format!("at least {:.2}", needs.min_gate_pass_rate),
        },
        Check {
            name: "rollbacks",
            ok: counted.rollbacks <= u64::from(needs.max_rollbacks),
            found: counted.rollbacks.to_string(),
            needs: format!("at most {}", needs.max_rollbacks),
        },
        // Shown as evidence; agents may rightly do otherwise than planned when a person steps in.
        Check {
            name: "shadow_agreement",
            ok: true,
            found: format!("{} of {planned} planned starts happened as planned", counted.shadow_agreed),
            needs: "shown, not required".to_owned(),
        },
    ]
}
