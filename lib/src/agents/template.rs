//! Lists of arguments with places in them that are filled for a run.
//!
//! One argument stays one argument whatever is put into it, so no shell and no quoting is involved.

/// What a template can be filled with. Texts, not paths, since arguments are texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vars {
    /// What the agent is told.
    pub prompt: String,
    /// The task file.
    pub task_file: String,
    /// The worktree.
    pub worktree: String,
    /// The task.
    pub task: String,
    /// The run.
    pub run: String,
    /// The stage.
    pub stage: String,
    /// The role.
    pub role: String,
    /// The task's branch.
    pub branch: String,
    /// The branch to merge to.
    pub base: String,
    /// The model, where one is configured.
    pub model: Option<String>,
    /// Folders outside the worktree that a sandboxed agent must be able to write, all of which exist. `{write_roots}` is
    /// the list as JSON, which is also TOML. See [`git_write_roots`].
    pub write_roots: Vec<String>,
    /// A settings file for this session alone whose hooks say what it does, for programs that take one.
    pub hooks: Option<String>,
    /// The command that a program may call when its turn is over, as a list in JSON, which is also TOML.
    pub notify: Option<String>,
    /// The session of the program that it goes on with.
    pub resume: Option<String>,
}

const PLACEHOLDERS: [&str; 14] = [
    "prompt",
    "task_file",
    "worktree",
    "task",
    "run",
    "stage",
    "role",
    "branch",
    "base",
    "model",
    "write_roots",
    "hooks",
    "notify",
    "resume",
];

impl Vars {
    fn get(&self, name: &str) -> Option<Option<String>> {
        let text = match name {
            "prompt" => &self.prompt,
            "task_file" => &self.task_file,
            "worktree" => &self.worktree,
            "task" => &self.task,
            "run" => &self.run,
            "stage" => &self.stage,
            "role" => &self.role,
            "branch" => &self.branch,
            "base" => &self.base,
            "model" => return Some(self.model.clone().filter(|model| !model.is_empty())),
            "hooks" => return Some(self.hooks.clone()),
            "notify" => return Some(self.notify.clone()),
            "resume" => return Some(self.resume.clone()),
            "write_roots" => return Some(Some(serde_json::Value::from(self.write_roots.clone()).to_string())),
            _ => return None,
        };
        Some(Some(text.clone()))
    }
}

/// The folders of git that a commit from a linked worktree writes, given the worktree's own git directory and the common
/// one. The worktree's directory must be listed by itself: Codex protects it even within a writable folder. Hooks and
/// configuration are left out, because what is written there would later run outside the sandbox. The caller drops those
/// that do not exist (`logs` may not), since the sandbox of Codex does not start with a missing one.
#[must_use]
pub fn git_write_roots(git_dir: &str, common_dir: &str) -> [String; 4] {
    [git_dir.to_owned(), format!("{common_dir}/objects"), format!("{common_dir}/refs"), format!("{common_dir}/logs")]
}

/// Why a template cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It names something that there is not.
    #[error("unknown placeholder `{{{name}}}` in `{argument}`{}; write {{{{ for a plain brace", did_you_mean(.suggestion))]
    Unknown {
        /// The name.
        name: String,
        /// The argument it stands in, made safe.
        argument: String,
        /// A placeholder that is spelled almost so.
        suggestion: Option<&'static str>,
    },
    /// It needs something that is not set.
    #[error("`{{{name}}}` has no value here; write `{{{name}?}}` to leave the whole argument out then")]
    Missing {
        /// The name.
        name: String,
    },
}

/// Fills a template. `{name}` is replaced; an argument with `{name?}` is left out when there is no such value, one with
/// `{name+}` too and one with `{name-}` when there is one, and both of these are replaced by nothing; `{{` and `}}` are plain
/// braces, and so is a brace that does not enclose a lower-case word or that follows a `$`.
///
/// # Errors
/// When a placeholder is unknown, or has no value and is not marked as optional.
pub fn expand<S: AsRef<str>>(template: &[S], vars: &Vars) -> Result<Vec<String>, TemplateError> {
    let mut arguments = Vec::with_capacity(template.len());
    for argument in template {
        arguments.extend(expand_one(argument.as_ref(), vars)?);
    }
    Ok(arguments)
}

fn expand_one(argument: &str, vars: &Vars) -> Result<Option<String>, TemplateError> {
    let mut out = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            out.push_str(&from[..1]);
            rest = after;
            continue;
        }
        let shell_variable = out.ends_with('$');
        let Some((name, need, after)) = placeholder(from).filter(|_| !shell_variable) else {
            out.push_str(&from[..1]);
            rest = &from[1..];
            continue;
        };
        match vars.get(name) {
            Some(Some(_)) if need == Need::Presence => {}
            Some(None) if need == Need::Absence => {}
            Some(Some(_)) if need == Need::Absence => return Ok(None),
            Some(Some(value)) => out.push_str(&value),
            Some(None) if need != Need::Value => return Ok(None),
            Some(None) => return Err(TemplateError::Missing { name: name.to_owned() }),
            None => {
                return Err(TemplateError::Unknown {
                    name: name.to_owned(),
                    argument: crate::text::one_line(argument, 80),
                    suggestion: closest(name, PLACEHOLDERS),
                });
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// What a place in a template needs its value for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// `{name}`: it has to have one.
    Value,
    /// `{name?}`: the argument is for it.
    Optional,
    /// `{name+}`: the argument belongs to another one that is for it.
    Presence,
    /// `{name-}`: the argument stands in the place of another one that is for it.
    Absence,
}

/// Splits `{name}…`, or that with a `?`, `+` or `-` behind the name, into the name, what it is needed for, and what follows.
fn placeholder(text: &str) -> Option<(&str, Need, &str)> {
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let (name, need) = match inner.char_indices().next_back() {
        Some((end, '?')) => (&inner[..end], Need::Optional),
        Some((end, '+')) => (&inner[..end], Need::Presence),
        Some((end, '-')) => (&inner[..end], Need::Absence),
        _ => (inner, Need::Value),
    };
    let is_name = !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_name.then_some((name, need, after))
}

pub(super) fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The candidate that differs in the fewest letters, if it is close enough to be a misspelling.
pub(super) fn closest<const N: usize>(name: &str, candidates: [&'static str; N]) -> Option<&'static str> {
    candidates
        .into_iter()
        .map(|candidate| (crate::text::distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}
