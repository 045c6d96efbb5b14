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
quoted() { printf '%s' "$1" | sed "s/'/'\\\\''/g; s/^/'/; s/\$/'/"; }

# A filter of the tests, as the language's own tool takes it.
filter=$(param TEST_FILTER)
filtered() {
    case $filter in
        '') ;;
        *=*) ;;
        *)
            printf ' %s "$PIPELINE_PARAM_TEST_FILTER"' "$1"
            ;;
    esac
}

# What the folder we are in is, and its commands.
detect_here() {
    language=unknown build= test= coverage= package= integration= benchmark=
    if [ -f Cargo.toml ]; then
        language=rust build="cargo build" test="cargo test$(filtered "")" package="cargo build --release"
        benchmark="cargo bench"
        if there tests/*.rs tests/*/main.rs; then integration="cargo test --test '*'"; fi
        if cargo llvm-cov --version > /dev/null 2>&1; then coverage="cargo llvm-cov --summary-only"; fi
    elif [ -f go.mod ]; then
        language=go build="go build ./..." test="go test$(filtered -run) ./..."
        package="mkdir -p dist && go build -o dist/ ./..."
        coverage="go test$(filtered -run) -coverprofile=\"$work/cover.out\" ./... && go tool cover -func=\"$work/cover.out\""
        benchmark="go test -run '^\$' -bench . ./..." integration="go test -tags=integration ./..."
    elif there ./*.sln ./*.slnx ./*.[cfv][sb]proj ./*/*.[cfv][sb]proj ./*/*/*.[cfv][sb]proj; then
        dotnet
    elif [ -f package.json ]; then
        node
    elif there pyproject.toml setup.py setup.cfg Pipfile requirements.txt; then
        python
    elif [ -f Makefile ]; then
        language=make build=make test="make test" package=make
    fi
}

dotnet() {
    language=dotnet also=
    [ -z "$filter" ] || also=' --filter "$PIPELINE_PARAM_TEST_FILTER"'
    each= end=
    if ! there ./*.sln ./*.slnx ./*.[cfv][sb]proj; then
        # Nothing here names the projects, so each is done by itself.
        each="find . -name '*.[cfv][sb]proj' -not -path '*/bin/*' -not -path '*/obj/*' | sort |
    while IFS= read -r project; do "
        end=' "$project" < /dev/null || exit 1; done'
    fi
    build="${each}dotnet build$end" test="${each}dotnet test$also$end"
    package="${each}dotnet publish -c Release -o dist$end"
    coverage="${each}dotnet test$also --collect:'XPlat Code Coverage' --results-directory \"$work/results\"$end"
    integration="${each}dotnet test --filter Category=Integration$end"
}

node() {
    language=node manager=npm
    [ ! -f yarn.lock ] || manager=yarn
    [ ! -f pnpm-lock.yaml ] || manager=pnpm
    if there bun.lock bun.lockb; then manager=bun; fi
    test="$manager test"
    # What bun calls test is its own runner.
    if [ $manager = bun ] && has_script test; then test="bun run test"; fi
    if has_script build; then build="$manager run build"; else build=true; fi
    package=$build
    if has_script coverage; then
        coverage="$manager run coverage"
    elif grep -q '"test"[[:space:]]*:[[:space:]]*"node --test' package.json; then
        coverage="node --test --experimental-test-coverage"
    fi
    if has_script test:integration; then integration="$manager run test:integration"; fi
    if has_script bench; then benchmark="$manager run bench"; fi
}

python() {
    language=python build="python3 -m compileall -q ." package=true
    if python3 -m pytest --version > /dev/null 2>&1; then runner=pytest; else runner="unittest discover"; fi
    test="python3 -m $runner$(filtered -k)"
    if python3 -m coverage --version > /dev/null 2>&1; then
        coverage="python3 -m coverage run -m $runner$(filtered -k) && python3 -m coverage report"
    fi
    if [ -d tests/integration ]; then
        integration="python3 -m $runner"
        [ "$runner" = pytest ] && integration="$integration tests/integration" ||
            integration="$integration -s tests/integration -t ."
    fi
}

# The project in this folder; where there is none, those in the folders below it, one after the other.
detect() {
    detect_here
    [ $language = unknown ] || return 0
    found= count=0
    for name in build test coverage package integration benchmark; do eval "all_$name="; done
    for folder in */; do
        case $folder in doc/ | docs/ | examples/ | node_modules/ | vendor/ | target/ | dist/ | build/ | '*/') continue ;; esac
        [ ! -L "${folder%/}" ] && cd "$folder" || continue
        detect_here
        cd ..
        case $language in unknown | make) continue ;; esac
        found=$found${found:++}$language count=$((count + 1))
        for name in build test coverage package integration benchmark; do
            eval "command=\$$name all=\$all_$name"
            [ -z "$command" ] || all="$all${all:+ && }(cd $(quoted "${folder%/}") && $command)"
            eval "all_$name=\$all"
        done
    done
    language=${found:-unknown}
    for name in build test coverage package integration benchmark; do eval "$name=\$all_$name"; done
    # A figure of one of several says nothing about the others.
    [ $count -le 1 ] || coverage=
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
    if [ -n "$filter" ] && [ -z "$(param TEST_COMMAND)$(param COVERAGE_COMMAND)" ]; then
        case $command in
            *PIPELINE_PARAM_TEST_FILTER*) ;;
            *) say "the test filter \`$filter\` means nothing to this $language project: everything is run" ;;
        esac
    fi
    say "$ $command"
    sh -c "$command" < /dev/null > "$work/$1.log" 2>&1
    code=$?
    tail -n 40 "$work/$1.log"
    return $code
}

# A number of at most a hundred; nothing where the text is anything else.
number() {
    case $1 in
        '' | *[!0-9.]* | *.*.* | .) ;;
        *) awk -v found="$1" 'BEGIN { if (found + 0 <= 100) print found }' ;;
    esac
}

# The percentage of lines in the output of a coverage tool.
printed_percentage() {
    awk '
        /^TOTAL/ { total = ($10 ~ /%$/) ? $10 : $NF }
        /all files/ { split($0, column, "|"); total = column[2] }
        /^total:/ { total = $NF }
        /coverage:? *[0-9.]+ *%/ && total == "" { match($0, /[0-9.]+ *%/); last = substr($0, RSTART, RLENGTH) }
        END { if (total == "") total = last; gsub(/[ %]/, "", total); print total }' "$1"
}

# Marks the time from which on reports count. A file's time goes in steps of some milliseconds, so that one which is written at
# once could seem no newer than the mark: the next step is waited for.
begin_measuring() {
    tries=0
    : > "$work/coverage.began"
    : > "$work/coverage.step"
    until [ "$work/coverage.step" -nt "$work/coverage.began" ] || [ $tries -ge 20000 ]; do
        : > "$work/coverage.step"
        tries=$((tries + 1))
    done
}

# The same in the Cobertura reports that it left, all of them together.
reported_percentage() {
    find . "$work/results" -newer "$work/coverage.began" -name '*.xml' -not -path './.git/*' 2> /dev/null |
        while IFS= read -r file; do
            # The root element says it; some writers put everything on one line.
            head -c 4096 "$file" | tr '\n' ' ' | sed -n 's/.*\(<coverage [^>]*\)>.*/\1/p'
        done | awk '
            function attribute(name, text) {
                if (!match($0, name "=\"[0-9.]+\"")) return -1
                text = substr($0, RSTART + length(name) + 2, RLENGTH - length(name) - 3)
                return text + 0
            }
            {
                covered = attribute("lines-covered"); valid = attribute("lines-valid"); rate = attribute("line-rate")
                if (covered >= 0 && valid > 0) { all += valid; reached += covered }
                else if (rate >= 0) { rates += rate; files += 1 }
            }
            END {
                if (all > 0) printf "%.2f\n", reached / all * 100
                else if (files == 1) printf "%.2f\n", rates * 100
            }'
}

detect
case $1 in
    detect)
        for name in language build test coverage package integration benchmark; do
            # One line each, for who reads them.
            eval "say \"$name=\$$name\"" | tr '\n' ' ' | sed 's/ *$//'
            say
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
    # The tests, measured where a tool for it is there. Only a number is a figure.
    cover)
        rm -rf "$work/coverage" "$work/results"
        why="there is no tool for it here"
        if [ -n "$(command_for coverage)" ]; then
            begin_measuring
            step coverage || die "the tests failed"
            figure=$(number "$(printed_percentage "$work/coverage.log")")
            [ -n "$figure" ] || figure=$(number "$(reported_percentage)")
            [ -z "$figure" ] || printf '%s\n' "$figure" > "$work/coverage"
            why="no figure was printed, and no Cobertura report was left"
        else
            step test || die "the tests failed"
        fi
        if [ -s "$work/coverage" ]; then say "coverage: $(cat "$work/coverage")%"; else say "coverage: not measured, $why"; fi
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
