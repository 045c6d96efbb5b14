#!/bin/sh
# Measures a command: the time of each run in milliseconds, or the number of its last line `figure: N`. Less is better.
. "$PIPELINE_SHIPPED/common.sh"

kept=$data/baselines/$(param NAME performance)
command=$(param BENCHMARK_COMMAND)
if [ -z "$command" ]; then
    found=$(sh "$PIPELINE_SHIPPED/project.sh" detect)
    command=$(say "$found" | sed -n 's/^benchmark=//p')
    [ -n "$command" ] || command=$(say "$found" | sed -n 's/^test=//p')
fi
[ -n "$command" ] || die "nobody knows what to measure; say it with --param benchmark_command=…"

# The least of some runs: what disturbs a run makes it slower, never faster.
measure() {
    least=
    run=0
    while [ $run -lt "$2" ]; do
        run=$((run + 1))
        began=$(date +%s%N)
        sh -c "$1" < /dev/null > "$work/run.log" 2>&1 || {
            tail -n 20 "$work/run.log"
            die "what is measured fails: $1"
        }
        took=$((($(date +%s%N) - began) / 1000000))
        figure=$(sed -n 's/^figure: *\([0-9.]*\).*/\1/p' "$work/run.log" | tail -n 1)
        figure=${figure:-$took}
        least=$(awk -v a="$least" -v b="$figure" 'BEGIN { print (a == "" || b + 0 < a + 0) ? b : a }')
    done
}

case $1 in
    baseline)
        if [ -s "$kept" ]; then
            say "the baseline is kept: $(cat "$kept")"
            exit 0
        fi
        measure "$command" "$(param RUNS 3)"
        mkdir -p "${kept%/*}" && echo "$least" > "$kept" || die "the baseline cannot be kept"
        say "the baseline is $least, from now on"
        ;;
    stress)
        measure "$(param STRESS_COMMAND "$command")" "$(param RUNS 3)"
        echo "$least" > "$work/figure"
        say "measured: $least"
        ;;
    analyse)
        baseline=$(cat "$kept") found=$(cat "$work/figure") tolerance=$(param TOLERANCE 20)
        {
            say "# Performance"
            say "measured $found, baseline $baseline, tolerance $tolerance% ($(now))"
        } > "$reports/performance-$PIPELINE_TASK_ID.md"
        awk -v f="$found" -v b="$baseline" -v t="$tolerance" 'BEGIN { exit !(f <= b * (1 + t / 100)) }' ||
            die "regression: $found is more than $tolerance% above the baseline of $baseline"
        say "$found is within $tolerance% of the baseline of $baseline"
        ;;
esac
