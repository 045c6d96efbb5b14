//! The section `[project]`: above all, that worktrees and files end up where they cannot hurt.

use std::path::{Component, Path, PathBuf};

use super::node::Node;
use super::read::{Reader, Section};
use super::{AgentConfig, Config, ProjectConfig, keys};

/// What the names of gates' worktrees begin with.
pub(crate) const GATE_PREFIX: &str = "gate-";
/// What a worktree template may name.
const PLACEHOLDERS: [&str; 3] = ["repo", "agent", "task"];

pub(crate) fn read(reader: &mut Reader, section: Section<'_>) -> ProjectConfig {
    let default = ProjectConfig::default();
    let base = reader.text(section, "base");
    if let (Some(base), Some(node)) = (&base, section.node("base"))
        && !is_branch(base)
    {
        reader.error(
            &node.at,
            format!("`base` cannot be \"{base}\""),
            Some("Write the name of a branch, such as \"main\"."),
        );
    }
    let worktrees = reader.text(section, "worktrees").unwrap_or(default.worktrees);
    if let (Err((message, hint)), Some(node)) = (check_worktrees(&worktrees), section.node("worktrees")) {
        reader.error(&node.at, message, Some(&hint));
    }
    let current = reader.text(section, "current_task_file").map_or(default.current_task_file, PathBuf::from);
    if let (false, Some(node)) = (is_inside(&current), section.node("current_task_file")) {
        let message = "`current_task_file` must be a path inside the repository";
        reader.error(
            &node.at,
            message,
            Some("Write it relative to the repository, such as \".claude/current-task.txt\"."),
        );
    }
    let verify = reader.text(section, "verify");
    let post_merge = reader.text(section, "post_merge").filter(|command| !command.trim().is_empty());
    let setup = reader.text(section, "setup");
    let pass_env = super::agents::names_to_pass(reader, section);
    let separate_approver = reader.flag(section, "separate_approver").unwrap_or(default.separate_approver);
    let default_agent = reader.text(section, "default_agent").filter(|name| !name.trim().is_empty());
    ProjectConfig {
        base,
        verify,
        post_merge,
        worktrees,
        current_task_file: current,
        setup,
        pass_env,
        separate_approver,
        default_agent,
    }
}

/// Whether a text can be a branch and not an option, a range or a revision.
fn is_branch(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !(text.starts_with('-')
        || text.ends_with('.')
        || text.contains("..")
        || text.contains("@{")
        || text == "@"
        || text.contains(bad)
        || text.split('/').any(bad_part))
}

fn is_inside(path: &Path) -> bool {
    let normal = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let in_git = path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    normal && !in_git && path.file_name().is_some()
}

fn check_worktrees(template: &str) -> Result<(), (String, String)> {
    const EXAMPLE: &str = "Write a path such as \".pipeline/worktrees/{agent}\".";
    let fail = |message: &str, hint: &str| Err((message.to_owned(), hint.to_owned()));
    let mut names = Vec::new();
    for piece in template.split('{').skip(1) {
        let Some((name, _)) = piece.split_once('}') else {
            return fail("`worktrees` has a brace that is not closed", EXAMPLE);
        };
        if !PLACEHOLDERS.contains(&name) {
            let hint = match keys::nearest(name, PLACEHOLDERS) {
                Some(meant) => format!("Did you mean {{{meant}}}?"),
                None => "The placeholders are {repo}, {agent} and {task}.".to_owned(),
            };
            return Err((format!("unknown placeholder `{{{name}}}` in `worktrees`"), hint));
        }
        names.push(name);
    }
    if !names.contains(&"agent") && !names.contains(&"task") {
        return fail("`worktrees` must contain {agent} or {task}, or agents would share a worktree", EXAMPLE);
    }
    if template.starts_with('~') {
        return fail(
            "`worktrees` starts with `~`, which is not expanded",
            "Write the path in full, or relative to the repository.",
        );
    }
    // A name cannot hold a slash or be two dots, so any name shows where all of them lead.
    let shown = PathBuf::from(fill(template, "repo", "agent", "task"));
    let parts: Vec<Component<'_>> = shown.components().collect();
    let climbs = parts.iter().position(|part| !matches!(part, Component::ParentDir)).unwrap_or(parts.len());
    if parts.iter().skip(climbs).any(|part| matches!(part, Component::ParentDir)) || climbs == parts.len() {
        return fail(
            "`worktrees` leads back with `..`",
            "Use `..` only at the beginning, such as \"../{repo}-{agent}\".",
        );
    }
    if shown.is_absolute() && parts.len() <= 2 {
        return fail("`worktrees` would put worktrees directly under the root of the file system", EXAMPLE);
    }
    if parts.iter().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
        return fail("`worktrees` leads into git's own folder", EXAMPLE);
    }
    Ok(())
}

fn fill(template: &str, repo: &str, agent: &str, task: &str) -> String {
    // From left to right, so that a name that looks like a placeholder stays a name.
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(match name {
            "repo" => repo,
            "agent" => agent,
            _ => task,
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Refuses a template that would put some agent's worktree at the main checkout or around it, which depends on names.
/// Whether the agent that lends its program is there.
pub(crate) fn check_default_agent(reader: &mut Reader, document: &Node, config: &Config) {
    let (Some(node), Some(name)) = (document.find("project.default_agent"), &config.project.default_agent) else {
        return;
    };
    let known = || config.agents.iter().map(|agent| agent.name.as_str());
    if known().any(|agent| agent == name) {
        return;
    }
    let hint = match pipeline_lib::text::nearest(name, known()) {
        Some(meant) => format!("Did you mean \"{meant}\"?"),
        None => "Write the name of one of the `[[agents]]`.".to_owned(),
    };
    reader.error(&node.at, format!("there is no agent `{name}`"), Some(&hint));
}

pub(crate) fn check_worktrees_of_agents(reader: &mut Reader, document: &Node, config: &Config, root: &Path) {
    let Some(node) = document.find("project.worktrees") else { return };
    let at_root = |agent: &&AgentConfig| root.starts_with(config.worktree(root, agent.name.as_str(), "{task}"));
    if let Some(agent) = config.agents.iter().find(at_root) {
        let message = format!("the worktree of agent `{}` would be the repository itself", agent.name);
        reader.error(&node.at, message, Some("Write a path such as \".pipeline/worktrees/{agent}\"."));
    }
}

/// The worktree for these names. `root` is the main checkout; the path is made absolute without asking the disk.
pub(crate) fn worktree(template: &str, root: &Path, agent: &str, task: &str) -> PathBuf {
    let of_gate;
    let task = if agent.starts_with(GATE_PREFIX) && !template.contains("{agent}") {
        // A gate does not run where an agent works, also where the path names no agent. No task can be called so.
        of_gate = format!("{task}+gate");
        &of_gate
    } else {
        task
    };
    let repo = root.file_name().map_or_else(|| "repository".into(), |name| name.to_string_lossy());
    let mut path = PathBuf::new();
    for part in root.join(fill(template, &repo, agent, task)).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// Whether a path is what the template makes of this agent and some task.
pub(crate) fn is_worktree(template: &str, root: &Path, agent: &str, path: &Path) -> bool {
    task_of_worktree(template, root, agent, path).is_some()
}

/// The task for which the template makes this path of this agent; empty where the path names no task.
pub(crate) fn task_of_worktree(template: &str, root: &Path, agent: &str, path: &Path) -> Option<String> {
    // No name holds this, so that it shows where the task's stands.
    const SOME_TASK: &str = "\u{1}";
    let shown = worktree(template, root, agent, SOME_TASK);
    if shown.components().count() != path.components().count() {
        return None;
    }
    let mut found = String::new();
    for (shown, part) in shown.components().zip(path.components()) {
        let (shown, part) = (shown.as_os_str().to_string_lossy(), part.as_os_str().to_string_lossy());
        match shown.split_once(SOME_TASK) {
            None if shown == part => {}
            None => return None,
            Some((before, after)) => {
                let task = part.strip_prefix(before)?.strip_suffix(after)?;
                if task.is_empty() {
                    return None;
                }
                found = task.to_owned();
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worktree_is_known_by_its_path() {
        let is = |template: &str, agent: &str, path: &str| {
            is_worktree(template, Path::new("/w/shop"), agent, Path::new(path))
        };
        assert!(is(".pipeline/worktrees/{agent}", "dev", "/w/shop/.pipeline/worktrees/dev"));
        assert!(!is(".pipeline/worktrees/{agent}", "dev", "/w/shop/.pipeline/worktrees/other"));
        for path in ["/w/trees/shop-T-1", "/w/trees/shop-setup"] {
            assert!(is("../trees/{repo}-{task}", "dev", path), "{path}");
        }
        for path in ["/w/trees/shop-", "/w/trees/other-T-1", "/w/trees/shop-T-1/src", "/w/trees", "/w/shop"] {
            assert!(!is("../trees/{repo}-{task}", "dev", path), "{path}");
        }
        assert!(is("../{agent}/{task}.tree", "dev", "/w/dev/T-1.tree"));
        assert!(!is("../{agent}/{task}.tree", "dev", "/w/test/T-1.tree"));
    }

    #[test]
    fn a_gate_has_a_worktree_of_its_own() {
        for template in ["../{task}", "../{agent}", "../{repo}-{agent}-{task}"] {
            let at = |name: &str| worktree(template, Path::new("/w/shop"), name, "T-1");
            assert_ne!(at("dev"), at("gate-dev"), "{template}");
        }
        assert!(is_worktree("../{task}", Path::new("/w/shop"), "gate-dev", Path::new("/w/T-1+gate")));
    }

    #[test]
    fn worktree_templates_lead_where_they_may() {
        for (template, expected) in [
            (".pipeline/worktrees/{agent}", "/w/shop/.pipeline/worktrees/dev"),
            ("../{repo}-{agent}", "/w/shop-dev"),
            ("../trees/{repo}/{task}", "/w/trees/shop/TASK-1"),
            ("/var/trees/{agent}", "/var/trees/dev"),
        ] {
            assert_eq!(check_worktrees(template), Ok(()), "{template}");
            assert_eq!(worktree(template, Path::new("/w/shop"), "dev", "TASK-1"), Path::new(expected));
        }
        assert_eq!(fill("{agent}/{task}", "r", "{task}", "t"), "{task}/t");
    }

    #[test]
    fn dangerous_worktree_templates_are_refused() {
        for (template, message) in [
            ("trees", "`worktrees` must contain {agent} or {task}, or agents would share a worktree"),
            ("../{repo}", "`worktrees` must contain {agent} or {task}, or agents would share a worktree"),
            ("trees/{agnet}", "unknown placeholder `{agnet}` in `worktrees`"),
            ("trees/{agent", "`worktrees` has a brace that is not closed"),
            ("~/trees/{agent}", "`worktrees` starts with `~`, which is not expanded"),
            ("/{agent}", "`worktrees` would put worktrees directly under the root of the file system"),
            ("{agent}/..", "`worktrees` leads back with `..`"),
            ("trees/{agent}/../../..", "`worktrees` leads back with `..`"),
            (".git/{agent}", "`worktrees` leads into git's own folder"),
        ] {
            assert_eq!(check_worktrees(template).unwrap_err().0, message, "{template}");
        }
    }

    #[test]
    fn branches_are_branches() {
        for text in ["main", "release/1.2", "feat_x", "a@b"] {
            assert!(is_branch(text), "{text}");
        }
        for text in ["-f", "a..b", "a b", "a~1", "a^", "@{u}", "/a", "a/", "a.lock", ".a", "@", "a:b"] {
            assert!(!is_branch(text), "{text}");
        }
    }
}
