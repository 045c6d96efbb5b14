//! The tables of what comes with the program, by name. Everything else about them is said where they are used.

/// The workflows, sorted by name.
pub(super) const WORKFLOWS: [(&str, &str); 18] = [
    ("build-and-package-pipeline", include_str!("build-and-package-pipeline.json")),
    ("claudito-chain", include_str!("claudito-chain.json")),
    ("deployment-pipeline", include_str!("deployment-pipeline.json")),
    ("error-detection-pipeline", include_str!("error-detection-pipeline.json")),
    ("feature-development", include_str!("feature-development.json")),
    ("health-check-pipeline", include_str!("health-check-pipeline.json")),
    ("integration-test-pipeline", include_str!("integration-test-pipeline.json")),
    ("meta-pipeline-orchestrator", include_str!("meta-pipeline-orchestrator.json")),
    ("orchestrated-infrastructure-setup", include_str!("orchestrated-infrastructure-setup.json")),
    ("performance-monitoring-pipeline", include_str!("performance-monitoring-pipeline.json")),
    ("performance-test-pipeline", include_str!("performance-test-pipeline.json")),
    ("pool-bug-fix", include_str!("pool-bug-fix.json")),
    ("pr-validation", include_str!("pr-validation.json")),
    ("prd-import", include_str!("prd-import.json")),
    ("refactoring-pipeline", include_str!("refactoring-pipeline.json")),
    ("rollback-pipeline", include_str!("rollback-pipeline.json")),
    ("scripted-infrastructure-setup", include_str!("scripted-infrastructure-setup.json")),
    ("unit-test-pipeline", include_str!("unit-test-pipeline.json")),
];

/// What their commands are made of, by file name.
pub(super) const SCRIPTS: [(&str, &str); 11] = [
    ("common.sh", include_str!("scripts/common.sh")),
    ("deploy.sh", include_str!("scripts/deploy.sh")),
    ("infrastructure.sh", include_str!("scripts/infrastructure.sh")),
    ("integration.sh", include_str!("scripts/integration.sh")),
    ("monitor.sh", include_str!("scripts/monitor.sh")),
    ("package.sh", include_str!("scripts/package.sh")),
    ("performance.sh", include_str!("scripts/performance.sh")),
    ("project.sh", include_str!("scripts/project.sh")),
    ("requirements.sh", include_str!("scripts/requirements.sh")),
    ("review.sh", include_str!("scripts/review.sh")),
    ("target.sh", include_str!("scripts/target.sh")),
];

/// What agents of these names and roles are told, where no definition says it.
pub(super) const AGENTS: [(&str, &str); 22] = [
    ("bitcoin_daemon_manager", include_str!("agents/bitcoin_daemon_manager.json")),
    ("block_validator", include_str!("agents/block_validator.json")),
    ("committer", include_str!("agents/committer.json")),
    ("config_generator", include_str!("agents/config_generator.json")),
    ("cycle_integration_tester", include_str!("agents/cycle_integration_tester.json")),
    ("daemon_pool_connector", include_str!("agents/daemon_pool_connector.json")),
    ("debugger", include_str!("agents/debugger.json")),
    ("dependency_installer", include_str!("agents/dependency_installer.json")),
    ("error_recovery_agent", include_str!("agents/error_recovery_agent.json")),
    ("fixer", include_str!("agents/fixer.json")),
    ("forensics", include_str!("agents/forensics.json")),
    ("infrastructure_orchestrator", include_str!("agents/infrastructure_orchestrator.json")),
    ("miner_manager", include_str!("agents/miner_manager.json")),
    ("orchestrator", include_str!("agents/orchestrator.json")),
    ("payment_processor", include_str!("agents/payment_processor.json")),
    ("pool_server_manager", include_str!("agents/pool_server_manager.json")),
    ("proof_validator", include_str!("agents/proof_validator.json")),
    ("share_validator", include_str!("agents/share_validator.json")),
    ("stratum_monitor", include_str!("agents/stratum_monitor.json")),
    ("task_executor", include_str!("agents/task_executor.json")),
    ("task_planner", include_str!("agents/task_planner.json")),
    ("wallet_manager", include_str!("agents/wallet_manager.json")),
];

/// Files of a repository that belong together, for one purpose.
pub(crate) struct Pack {
    /// Its name.
    pub(crate) name: &'static str,
    /// The files, by their paths below `.pipeline/`.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// What to do with them.
    pub(crate) next: &'static str,
}

/// The packs.
pub(crate) const PACKS: [Pack; 2] = [MINING_POOL, MONITORING];

/// What looks at the project by itself, at the times of the registry.
const MONITORING: Pack = Pack {
    name: "monitoring",
    files: &[("registry.json", include_str!("monitoring/registry.json"))],
    next: "say in .pipeline/registry.json what is to be looked at; it counts from the next tick of `pipeline monitor`",
};

/// A pool on a chain of its own.
const MINING_POOL: Pack = Pack {
    name: "mining-pool",
    files: &[
        ("mining-pool/mining.js", include_str!("mining-pool/mining.js")),
        ("mining-pool/mining.sh", include_str!("mining-pool/mining.sh")),
        (
            "workflows/intelligent-mining-infrastructure-setup.json",
            include_str!("mining-pool/intelligent-mining-infrastructure-setup.json"),
        ),
        ("workflows/mining-cycle.json", include_str!("mining-pool/mining-cycle.json")),
        ("workflows/mining-infrastructure-setup.json", include_str!("mining-pool/mining-infrastructure-setup.json")),
        ("mining-pool/mining-pool.md", include_str!("mining-pool/mining-pool.md")),
    ],
    next: "read .pipeline/mining-pool/mining-pool.md, then see a cycle with `pipeline workflow graph mining-cycle`",
};
