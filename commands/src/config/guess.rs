//! Guesses the command that checks a project, from the files at the top of its repository. A guess is offered to a
//! person, never run by itself.

use std::fs;
use std::path::Path;

/// What is in a package.json that nobody has written a test script for.
const NO_TESTS: &str = "no test specified";

/// The command that most likely checks this repository.
#[must_use]
pub fn guess_verify(repo: &Path) -> Option<String> {
    let has = |name: &str| repo.join(name).is_file();
    let holds =
        |name: &str, text: &str| fs::read_to_string(repo.join(name)).is_ok_and(|content| content.contains(text));
    let command = if has("Cargo.toml") {
        "cargo test"
    } else if has_test_script(repo) {
        match () {
            () if has("pnpm-lock.yaml") => "pnpm test",
            () if has("yarn.lock") => "yarn test",
            () => "npm test",
        }
    } else if has("pytest.ini")
        || has("conftest.py")
        || has("tests/conftest.py")
        || holds("pyproject.toml", "pytest")
        || holds("setup.cfg", "[tool:pytest]")
        || holds("tox.ini", "[pytest]")
        || holds("requirements-dev.txt", "pytest")
    {
        if has("uv.lock") { "uv run pytest" } else { "pytest" }
    } else if has("go.mod") {
        "go test ./..."
    } else if has_dotnet(repo) {
        "dotnet test"
    } else if ["GNUmakefile", "makefile", "Makefile"].iter().any(|name| has_test_target(&repo.join(name))) {
        "make test"
    } else {
        return None;
    };
    Some(command.to_owned())
}

fn has_test_script(repo: &Path) -> bool {
    let text = fs::read_to_string(repo.join("package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let script = package.pointer("/scripts/test").and_then(serde_json::Value::as_str);
    script.is_some_and(|script| !script.trim().is_empty() && !script.contains(NO_TESTS))
}

fn has_dotnet(repo: &Path) -> bool {
    let entries = fs::read_dir(repo).into_iter().flatten().filter_map(Result::ok);
    let mut endings = entries.filter_map(|entry| entry.path().extension().map(|ending| ending.to_ascii_lowercase()));
    endings.any(|ending| ["sln", "slnx", "csproj", "fsproj"].iter().any(|known| ending == *known))
}

fn has_test_target(makefile: &Path) -> bool {
    let text = fs::read_to_string(makefile).unwrap_or_default();
    let is_target = |line: &str| {
        let Some((targets, rest)) = line.split_once(':') else { return false };
        // `test := x` is a variable, and an indented line is a command.
        !rest.starts_with('=')
            && !line.starts_with(['\t', ' '])
            && targets.split_whitespace().any(|target| target == "test")
    };
    text.lines().any(is_target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_say_how_to_check() {
        for (files, expected) in [
            (&[][..], None),
            (&[("Cargo.toml", "")], Some("cargo test")),
            (&[("package.json", r#"{"scripts":{"test":"vitest"}}"#)], Some("npm test")),
            (&[("package.json", r#"{"scripts":{"test":"x"}}"#), ("yarn.lock", "")], Some("yarn test")),
            (&[("package.json", r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#)], None),
            (&[("package.json", r#"{"scripts":{}}"#), ("go.mod", "")], Some("go test ./...")),
            (&[("package.json", "broken")], None),
            (&[("pyproject.toml", "[tool.pytest.ini_options]")], Some("pytest")),
            (&[("pyproject.toml", "[project]")], None),
            (&[("go.mod", "")], Some("go test ./...")),
            (&[("shop.sln", "")], Some("dotnet test")),
            (&[("Makefile", "all: test\n\ntest: build\n\ttrue\n")], Some("make test")),
            (&[("Makefile", "test := 1\nall:\n\ttest: x\n")], None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (name, content) in files {
                fs::write(dir.path().join(name), content).unwrap();
            }
            assert_eq!(guess_verify(dir.path()).as_deref(), expected, "{files:?}");
        }
    }
}
