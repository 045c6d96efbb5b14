#!/bin/sh
# What kind of project this folder is, and how it is built, tested, measured and packaged. A parameter such as
# test_command takes the place of what is found out.
. "$PIPELINE_SHIPPED/common.sh"

# Whether one of these files is there. A glob that fits nothing stays as it is.
there() {
    for file in "$@"; do [ ! -e "$file" ] || return 0; done
    return 1
}
has_script() { sed -n '/"scripts"/,/}/p' package.json | grep -q "\"$1\"[[:space:]]*:"; }

detect() {
    language=unknown build= test= coverage= package= integration= benchmark=
    if [ -f Cargo.toml ]; then
        language=rust build="cargo build" test="cargo test" package="cargo build --release"
        benchmark="cargo bench" integration="cargo test --test '*'"
        if cargo llvm-cov --version > /dev/null 2>&1; then coverage="cargo llvm-cov --summary-only"; fi
    elif [ -f go.mod ]; then
        language=go build="go build ./..." test="go test ./..." package="mkdir -p dist && go build -o dist/ ./..."
        coverage="go test -coverprofile=\"$work/cover.out\" ./... && go tool cover -func=\"$work/cover.out\""
        benchmark="go test -run '^\$' -bench . ./..." integration="go test -tags=integration ./..."
    elif there ./*.sln ./*.csproj ./*/*.csproj; then
        language=dotnet build="dotnet build" test="dotnet test" package="dotnet publish -c Release -o dist"
        coverage="dotnet test --collect:'XPlat Code Coverage'" integration="dotnet test --filter Category=Integration"
    elif [ -f package.json ]; then
        language=node manager=npm
        [ ! -f yarn.lock ] || manager=yarn
        [ ! -f pnpm-lock.yaml ] || manager=pnpm
        test="$manager test"
        if has_script build; then build="$manager run build"; else build=true; fi
        package=$build
        if has_script coverage; then
            coverage="$manager run coverage"
        elif grep -q '"test"[[:space:]]*:[[:space:]]*"node --test' package.json; then
            coverage="node --test --experimental-test-coverage"
        fi
        if has_script test:integration; then integration="$manager run test:integration"; fi
        if has_script bench; then benchmark="$manager run bench"; fi
    elif [ -f pyproject.toml ] || [ -f setup.py ] || [ -f requirements.txt ]; then
        language=python build="python3 -m compileall -q ." package=true
        if python3 -m pytest --version > /dev/null 2>&1; then runner=pytest; else runner="unittest discover"; fi
        test="python3 -m $runner"
        if python3 -m coverage --version > /dev/null 2>&1; then
            coverage="python3 -m coverage run -m $runner && python3 -m coverage report"
        fi
        if [ -d tests/integration ]; then
            integration="python3 -m $runner"
            [ "$runner" = pytest ] && integration="$integration tests/integration" ||
                integration="$integration -s tests/integration -t ."
        fi
    elif [ -f Makefile ]; then
        language=make build=make test="make test" package=make
    fi
}

# The command for a step: what a person gave, else what fits the project.
command_for() {
    given=$(param "$(printf '%s' "$1" | tr '[:lower:]' '[:upper:]')_COMMAND")
    [ -n "$given" ] || eval "given=\$$1"
    printf '%s' "$given"
}

step() {
    command=$(command_for "$1")
    [ -n "$command" ] || die "nobody knows how to $1 this $language project; say it with --param $1_command=…"
    say "$ $command"
    sh -c "$command" < /dev/null > "$work/$1.log" 2>&1
    code=$?
    tail -n 40 "$work/$1.log"
    return $code
}

# The percentage of lines in the output of a coverage tool.
percentage() {
    awk '
        /^TOTAL/ { total = ($10 ~ /%$/) ? $10 : $NF }
        /all files/ { split($0, column, "|"); total = column[2] }
        /^total:/ { total = $NF }
        /coverage:? *[0-9.]+ *%/ && total == "" { match($0, /[0-9.]+ *%/); last = substr($0, RSTART, RLENGTH) }
        END { if (total == "") total = last; gsub(/[ %]/, "", total); print total }' "$1"
}

detect
case $1 in
    detect)
        for name in language build test coverage package integration benchmark; do
            eval "say \"$name=\$$name\""
        done
        ;;
    build | test | integration | package) step "$1" || die "$1 failed with exit code $?" ;;
    # The tests have to fail: there is a test for what is wrong, and it is still wrong.
    reproduce)
        command=$(param REPRODUCE_COMMAND "$(command_for test)")
        [ -n "$command" ] || die "nobody knows how to test this project; say it with --param test_command=…"
        say "$ $command"
        if sh -c "$command" < /dev/null > "$work/reproduce.log" 2>&1; then
            say "everything passes, so the bug is not shown by any test"
            exit 1
        fi
        tail -n 20 "$work/reproduce.log"
        say "the bug is shown by a failing test"
        ;;
    # The same command has to pass now.
    fixed)
        command=$(param REPRODUCE_COMMAND "$(command_for test)")
        say "$ $command"
        sh -c "$command" < /dev/null > "$work/fixed.log" 2>&1
        code=$?
        tail -n 20 "$work/fixed.log"
        [ $code = 0 ] || die "what shows the bug still fails"
        ;;
    # What behaves as before is what passes as before: the tests, and the figures that are compared later.
    baseline)
        step test || die "the tests fail before anything was changed"
        git rev-parse HEAD > "$work/baseline.commit"
        grep -c . "$work/test.log" > "$work/baseline.lines"
        say "the tests pass at $(cat "$work/baseline.commit")"
        ;;
    compare)
        step test || die "the tests fail after the refactoring"
        say "changed since the baseline:"
        git diff --stat "$(cat "$work/baseline.commit")" HEAD
        ;;
    # The tests, measured where a tool for it is there.
    cover)
        rm -f "$work/coverage"
        if [ -n "$(command_for coverage)" ]; then
            step coverage || die "the tests failed"
            percentage "$work/coverage.log" > "$work/coverage"
            say "coverage: $(cat "$work/coverage")%"
        else
            step test || die "the tests failed"
            say "coverage: not measured, there is no tool for it here"
        fi
        ;;
    coverage-is-enough)
        least=$(param COVERAGE_THRESHOLD 80)
        if [ ! -s "$work/coverage" ]; then
            [ "$(param COVERAGE_REQUIRED false)" != true ] || die "coverage was not measured, and has to be"
            say "all tests passed; coverage was not measured"
            exit 0
        fi
        found=$(cat "$work/coverage")
        awk -v found="$found" -v least="$least" 'BEGIN { exit !(found + 0 >= least + 0) }' ||
            die "coverage is $found%, less than $least%"
        say "all tests passed; coverage is $found%, at least $least%"
        ;;
    *) die "there is no step $1" ;;
esac
