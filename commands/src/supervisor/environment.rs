//! The environment of runs: a list of what may be passed on, never the supervisor's own environment. What is not among the
//! usual names is named by somebody: by what is known of an agent's program, or in the settings.
//!
//! Of all that only the usual is written down. Everything else goes from process to process.

use std::collections::BTreeMap;
use std::ffi::OsString;

use pipeline_lib::agents::needs;
use pipeline_lib::agents::preset::Preset;
use pipeline_worktrees::host::{Claim, ENTRUSTED, HostProgram};

use super::secrets::Secrets;
use crate::config::AgentConfig;
use crate::context::Context;

/// What programs need to find their way: where things are, how to speak, whom to trust.
const USUAL: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "COLORTERM",
    "TERMINFO",
    "TERMINFO_DIRS",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "CI",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "XDG_DATA_DIRS",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "TMUX_TMPDIR",
    // Who commits, and with which settings.
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    // The way out, and whom to believe there.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
    // Where tools have their parts.
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_JOBS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "RUST_BACKTRACE",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "GOTOOLCHAIN",
    "GOFLAGS",
    "JAVA_HOME",
    "MAVEN_HOME",
    "GRADLE_USER_HOME",
    "ANDROID_HOME",
    "NVM_DIR",
    "NVM_BIN",
    "NODE_PATH",
    "NODE_OPTIONS",
    "PNPM_HOME",
    "VOLTA_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "COREPACK_HOME",
    "PYENV_ROOT",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "UV_CACHE_DIR",
    "GEM_HOME",
    "GEM_PATH",
    "RBENV_ROOT",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "NIX_PATH",
    "NIX_PROFILES",
    "LOCALE_ARCHIVE",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
    "CC",
    "CXX",
    "MAKEFLAGS",
];
/// What is set for every run and says nothing that the claim does not say besides.
const OURS: &str = "PIPELINE_";
/// Parameters of tasks are among them, and may be anything.
const PARAMETERS: &str = "PIPELINE_PARAM_";
/// How many settings git is given by its environment.
const GIT_SETTINGS: &str = "GIT_CONFIG_COUNT";
/// What an agent's git is told: to sync what it writes, for otherwise a power cut leaves references to objects that are there
/// and empty, and to tidy up in front of the agent. In the background it would be ended with the agent, and the lock that is
/// left then keeps everybody's git from ever tidying up again.
pub(super) const SETTLED: [(&str, &str); 3] =
    [("core.fsync", "added,reference"), ("gc.autoDetach", "false"), ("maintenance.autoDetach", "false")];
/// What keeps git from tidying up.
pub(super) const UNTIDIED: [(&str, &str); 2] = [("gc.auto", "0"), ("maintenance.auto", "false")];
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// In the name of a variable, that its value is nobody's business.
const SECRET_WORDS: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "AUTH"];
/// A shorter value cannot be told from other words.
const SECRET_BYTES_MIN: usize = 8;

/// What gates, set-ups and commands of workflows start from: the usual, and what `project.pass_env` names.
pub(crate) fn of_commands(context: &Context) -> BTreeMap<String, String> {
    passed(context.environment(), &context.config().project.pass_env)
}

/// What an agent starts from: the usual, what its program is known to need, what its `pass_env` names, and its `env`.
pub(super) fn of_agent(context: &Context, agent: &AgentConfig) -> BTreeMap<String, String> {
    let known = needs::variables(agent.preset).into_iter().map(str::to_owned);
    let names: Vec<String> = known.chain(agent.pass_env.iter().cloned()).collect();
    let mut env = passed(context.environment(), &names);
    env.extend(agent.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

/// Gives git settings by its environment, after those that are given so already.
pub(super) fn tell_git(env: &mut BTreeMap<String, String>, settings: &[(&str, &str)]) {
    let given = env.get(GIT_SETTINGS).and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
    env.insert(GIT_SETTINGS.to_owned(), (given + settings.len()).to_string());
    for (nth, (key, value)) in (given..).zip(settings) {
        env.insert(format!("GIT_CONFIG_KEY_{nth}"), (*key).to_owned());
        env.insert(format!("GIT_CONFIG_VALUE_{nth}"), (*value).to_owned());
    }
}

fn passed(all: &BTreeMap<String, String>, further: &[String]) -> BTreeMap<String, String> {
    let may_pass = |name: &str| needs::is_among(name, USUAL) || needs::is_among(name, further);
    let passed = all.iter().filter(|(name, _)| !name.starts_with(OURS) && may_pass(name));
    let mut env: BTreeMap<String, String> = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH_DEFAULT.to_owned());
    env
}

/// What agents are given under names which say that it is secret.
pub(crate) fn secrets_of_agents(context: &Context) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for agent in &context.config().agents {
        let given = of_agent(context, agent).into_iter();
        found.extend(given.filter(|(name, value)| is_secret(name, value)).map(|(_, value)| value));
    }
    found.sort();
    found.dedup();
    found
}

fn is_secret(name: &str, value: &str) -> bool {
    has_secret_name(name) && value.len() >= SECRET_BYTES_MIN
}

/// Takes everything out of a claim that must not be written down and gives it to the host that is to be started for it.
pub(crate) fn entrust(secrets: &Secrets, claim: &mut Claim, host: &HostProgram) -> HostProgram {
    let mut host = host.clone();
    let names: Vec<String> =
        claim.env.iter().filter(|(name, value)| !is_plain(name, value)).map(|e| e.0.clone()).collect();
    for name in names {
        let Some(value) = claim.env.remove(&name) else { continue };
        let is_secret = secrets.has(&name) || is_secret(&name, &value);
        host.environment.push((OsString::from(format!("{ENTRUSTED}{name}")), OsString::from(value)));
        if is_secret { claim.secrets.push(name) } else { claim.given.push(name) }
    }
    host
}

/// Whether a variable may be written down.
fn is_plain(name: &str, value: &str) -> bool {
    let ours = name.starts_with(OURS) && !name.starts_with(PARAMETERS);
    // An address may hold a password.
    let usual = needs::is_among(name, USUAL) && !(value.contains("://") && value.contains('@'));
    let names_hooks = Preset::ALL.iter().any(|preset| preset.info().hooks_variable == Some(name));
    ours || usual || names_hooks || name == "TRACEPARENT" || is_setting_of_ours(name, value)
}

/// Whether it is part of what we tell git, and of nothing else that somebody tells it.
fn is_setting_of_ours(name: &str, value: &str) -> bool {
    let said = || SETTLED.iter().chain(&UNTIDIED).any(|(key, set)| [*key, *set].contains(&value));
    name == GIT_SETTINGS || (name.starts_with("GIT_CONFIG_") && said())
}

/// Whether a name says that its value is a secret.
fn has_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| upper.contains(word))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use pipeline_lib::ids::RunId;
    use pipeline_worktrees::host::RunKind;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_is_named_is_passed_on() {
        let all = map(&[
            ("HOME", "/h"),
            ("LC_ALL", "C"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("SSH_AUTH_SOCK", "/s"),
            ("PIPELINE_RUN_ID", "r"),
            ("NPM_TOKEN", "n"),
        ]);
        let names = |further: &[&str]| {
            let further: Vec<String> = further.iter().map(|name| (*name).to_owned()).collect();
            passed(&all, &further).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["HOME", "LC_ALL", "PATH"]);
        assert_eq!(names(&["NPM_TOKEN", "AWS_*"]), ["AWS_SECRET_ACCESS_KEY", "HOME", "LC_ALL", "NPM_TOKEN", "PATH"]);
        assert_eq!(names(&["PIPELINE_*"]), ["HOME", "LC_ALL", "PATH"], "ours are set for each run");
    }

    #[test]
    fn a_claim_keeps_only_what_may_be_written_down() {
        let mut env = map(&[
            ("PATH", "/bin"),
            ("HTTPS_PROXY", "http://me:hunter2@proxy:1"),
            ("http_proxy", "http://proxy:1"),
            ("OPENAI_API_KEY", "sk-1234567890"),
            ("MODEL", "large"),
            ("PIPELINE_STAGE", "arch"),
            ("PIPELINE_PARAM_WHAT", "anything"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "http.extraHeader"),
            ("GIT_CONFIG_VALUE_0", "Authorization: Basic hunter2"),
        ]);
        tell_git(&mut env, &SETTLED);
        assert_eq!(env["GIT_CONFIG_COUNT"], "4", "what somebody else tells git is told all the same");
        let mut claim = Claim::new(RunId::new("r").unwrap(), RunKind::Agent, Vec::new(), env, PathBuf::new());
        let host = entrust(&Secrets::default(), &mut claim, &HostProgram::this());
        assert_eq!(
            claim.env.keys().collect::<Vec<_>>(),
            [
                "GIT_CONFIG_COUNT",
                "GIT_CONFIG_KEY_1",
                "GIT_CONFIG_KEY_2",
                "GIT_CONFIG_KEY_3",
                "GIT_CONFIG_VALUE_1",
                "GIT_CONFIG_VALUE_2",
                "GIT_CONFIG_VALUE_3",
                "PATH",
                "PIPELINE_STAGE",
                "http_proxy"
            ]
        );
        assert_eq!(claim.secrets, ["GIT_CONFIG_KEY_0", "OPENAI_API_KEY"]);
        assert_eq!(claim.given, ["GIT_CONFIG_VALUE_0", "HTTPS_PROXY", "MODEL", "PIPELINE_PARAM_WHAT"]);
        assert_eq!(host.environment.len(), 6);
        assert!(!serde_json::to_string(&claim).unwrap().contains("hunter2"));
    }
}
