//! `pipeline trash`: work that was kept from being lost, its way back, and the only way in which it can be lost. Needs no
//! configuration and no state, so that it works when these do not.

use std::io::{BufRead, Write};

use jiff::{SignedDuration, Timestamp};
use pipeline_lib::text::one_line;
use pipeline_lib::view::SCHEMA_VERSION;
use pipeline_worktrees::git::{GitError, RescueInfo};

use super::status::{head, print_rows};
use crate::context::Site;
use crate::dispatch::Call;
use crate::duration;
use crate::error::{CommandError, Result, exit};
use crate::table::{age, cut};

/// Work that was kept from being lost.
#[derive(Debug, clap::Args)]
pub struct Trash {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about kept work.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Show what is kept
    List,
    /// Make a branch of kept work; it stays kept as well
    Restore {
        /// Which, as `list` names it
        #[arg(value_name = "ID")]
        id: String,
        /// The name of the branch; rescued/ID if not given
        #[arg(long, value_name = "NAME")]
        branch: Option<String>,
    },
    /// Stop keeping it: this cannot be taken back
    Empty {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Only what is older than this, such as 30d or 12h
        #[arg(long, value_name = "DUR")]
        older_than: Option<String>,
    },
}

/// Shows, restores or drops kept work.
///
/// # Errors
/// When nothing is kept under the id, the branch exists, or a person would have to be asked and cannot be.
pub fn run(call: &Call, args: &Trash) -> Result<u8> {
    let site = Site::find(&call.globals)?;
    match &args.action {
        Action::List => list(call, &site),
        Action::Restore { id, branch } => restore(call, &site, id, branch.as_deref()),
        Action::Empty { yes, older_than } => empty(call, &site, *yes, older_than.as_deref()),
    }
}

/// What is kept, the newest first.
fn kept(site: &Site) -> Result<Vec<RescueInfo>> {
    let mut kept = site.repo.rescues()?;
    kept.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
    Ok(kept)
}

fn list(call: &Call, site: &Site) -> Result<u8> {
    let kept = kept(site)?;
    let out = &call.output;
    if out.json {
        let items: Vec<_> = kept.iter().map(document).collect();
        out.json(&serde_json::json!({ "schema_version": SCHEMA_VERSION, "items": items }))?;
        return Ok(exit::OK);
    }
    if kept.is_empty() {
        out.line("nothing is kept")?;
        return Ok(exit::OK);
    }
    let now = Timestamp::now();
    let mut rows = vec![head(out, &["ID", "AGE", "COMMIT", "FILES", "WHY"])];
    for item in &kept {
        rows.push(vec![
            one_line(&item.id, 80),
            age(item.at, now),
            item.commit.short().to_owned(),
            item.files.len().to_string(),
            cut(&one_line(&item.subject, 200), 70),
        ]);
    }
    print_rows(out, &rows)?;
    out.note("look at one with `git show COMMIT`; make a branch of it with `pipeline trash restore ID`");
    Ok(exit::OK)
}

fn document(item: &RescueInfo) -> serde_json::Value {
    serde_json::json!({
        "id": item.id,
        "reference": item.reference,
        "commit": item.commit,
        "subject": item.subject,
        "at": item.at,
        "files": item.files,
    })
}

fn restore(call: &Call, site: &Site, id: &str, branch: Option<&str>) -> Result<u8> {
    let branch = branch.map_or_else(|| format!("rescued/{id}"), str::to_owned);
    let commit = site.repo.restore_rescue(id, &branch).map_err(|error| match error {
        GitError::NoSuchCommit { .. } | GitError::BadName { .. } if !kept_under(site, id) => {
            CommandError::not_found(format!("nothing is kept under `{}`", one_line(id, 80)))
                .hint("`pipeline trash list` shows what is kept.")
        }
        GitError::NameTaken { .. } => CommandError::failed(format!("the branch {branch} exists and is something else"))
            .hint(format!("Choose another name: `pipeline trash restore {id} --branch NAME`.")),
        other => other.into(),
    })?;
    if call.output.json {
        let document = serde_json::json!({
            "schema_version": SCHEMA_VERSION, "id": id, "branch": branch, "commit": commit,
        });
        call.output.json(&document)?;
    } else {
        call.output.line(&branch)?;
        call.output.note(&format!("the branch is at {}; look at it with `git log -p {branch}`", commit.short()));
    }
    Ok(exit::OK)
}

fn kept_under(site: &Site, id: &str) -> bool {
    site.repo.rescues().is_ok_and(|kept| kept.iter().any(|item| item.id == id))
}

fn empty(call: &Call, site: &Site, yes: bool, older_than: Option<&str>) -> Result<u8> {
    let before = older_than.map(|text| moment_before(text, Timestamp::now())).transpose()?;
    let mut items = kept(site)?;
    items.retain(|item| before.is_none_or(|before| item.at < before));
    if !items.is_empty() && !yes && !agreed(call, items.len())? {
        call.output.note("nothing was dropped");
        return Ok(exit::FAILED);
    }
    let mut dropped = Vec::new();
    for item in items {
        site.repo.drop_rescue(&item.id)?;
        dropped.push(item.id);
    }
    if call.output.json {
        call.output.json(&serde_json::json!({ "schema_version": SCHEMA_VERSION, "dropped": dropped }))?;
    } else {
        call.output.line(&format!("dropped {}", dropped.len()))?;
    }
    Ok(exit::OK)
}

/// Asks the person; where there is none to ask, that is a mistake in the command line.
fn agreed(call: &Call, count: usize) -> Result<bool> {
    if !call.interactive {
        return Err(CommandError::usage(format!("{count} kept pieces of work would be lost, and nobody can be asked"))
            .hint("Repeat with `pipeline trash empty --yes` if that is meant."));
    }
    let mut err = std::io::stderr().lock();
    write!(err, "Stop keeping {count} pieces of work? This cannot be taken back. [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The moment a length of time ago; days may be written as `30d`.
fn moment_before(text: &str, now: Timestamp) -> Result<Timestamp> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.parse::<i64>().ok()).filter(|days| *days >= 0);
    let length = match days.and_then(|days| days.checked_mul(24)) {
        Some(hours) => SignedDuration::try_from_hours(hours).ok_or("is too long"),
        None => duration::parse(text),
    };
    let length = length.map_err(|problem| {
        CommandError::usage(format!("`{}` {problem}", one_line(text, 40)))
            .hint("Write a length of time such as 30d or 12h.")
    })?;
    Ok(now.checked_sub(length).unwrap_or(Timestamp::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_days_or_durations() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        for (text, expected) in
            [("2d", "2026-03-08T12:00:00Z"), ("1h30m", "2026-03-10T10:30:00Z"), ("0s", "2026-03-10T12:00:00Z")]
        {
            assert_eq!(moment_before(text, now).unwrap().to_string(), expected);
        }
        assert_eq!(moment_before("9223372036854775807d", now).unwrap_err().code, exit::USAGE);
        assert_eq!(moment_before("soon", now).unwrap_err().code, exit::USAGE);
    }
}
