#!/bin/sh
# Looks at services, resources, figures and logs, and says what is wrong. Nothing is mended here.
. "$PIPELINE_SHIPPED/common.sh"

problem() {
    say "problem: $*"
    say "$*" >> "$work/problems"
}
alert() {
    command=$(param ALERT_COMMAND)
    [ -n "$command" ] || return 0
    ALERT=$1 LEVEL=$2 sh -c "$command" < /dev/null || die "the alert could not be sent"
}
cpus() { getconf _NPROCESSORS_ONLN 2> /dev/null || echo 1; }
free_mb() { df -Pk "$PIPELINE_ROOT" | awk 'NR == 2 { print int($4 / 1024) }'; }
memory_mb() { awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo 2> /dev/null; }
load() { awk -v n="$(cpus)" '{ printf "%.2f", $1 / n }' /proc/loadavg 2> /dev/null; }
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 > b + 0) }'; }

# Those of a list of checks, `name=check` each, separated by `;`, that do not hold.
services() {
    {
        param SERVICES
        say
    } | tr ';' '\n' | while IFS= read -r line; do
        name=${line%%=*} what=${line#*=}
        name=$(say "$name" | sed 's/^ *//; s/ *$//')
        [ -n "$name" ] || continue
        if check "$what"; then say "up: $name"; else problem "$name does not answer: $what"; fi
    done
}

# The log files that are meant, one a line. Globs are meant as such.
files() { for file in $(param LOGS); do [ ! -f "$file" ] || say "$file"; done; }

case $1 in
    services)
        : > "$work/problems"
        services
        ! [ -s "$work/problems" ]
        ;;
    resources)
        say "free disk: $(free_mb) MB, available memory: $(memory_mb) MB, load per processor: $(load)"
        if above "$(param DISK_MIN_MB 500)" "$(free_mb)"; then problem "only $(free_mb) MB of disk space are free"; fi
        # Not every system tells these two.
        memory=$(memory_mb) busy=$(load)
        if [ -n "$memory" ] && above "$(param MEMORY_MIN_MB 64)" "$memory"; then
            problem "only $memory MB of memory are available"
        fi
        if [ -n "$busy" ] && above "$busy" "$(param LOAD_MAX 64)"; then problem "the load per processor is $busy"; fi
        ! [ -s "$work/problems" ]
        ;;
    investigate)
        {
            say "## What was seen then"
            files | while IFS= read -r file; do
                say "### $file"
                tail -n 30 "$file"
            done
            say "### Processes"
            ps -eo pid,pcpu,pmem,args 2> /dev/null | sort -k2 -rn | head -n 10
        } > "$work/investigation"
        say "looked at $(files | grep -c .) log files for $(grep -c . "$work/problems") problems"
        ;;
    health-report)
        report=$reports/health-$PIPELINE_TASK_ID.md
        {
            say "# Health at $(now)"
            if [ -s "$work/problems" ]; then sed 's/^/- /' "$work/problems"; else say "- all is well"; fi
            [ ! -f "$work/investigation" ] || cat "$work/investigation"
        } > "$report" || die "$report cannot be written"
        if [ -s "$work/problems" ]; then
            alert "$(head -n 1 "$work/problems")" critical
            die "unhealthy: $(head -n 1 "$work/problems"); see $report"
        fi
        say "healthy; see $report"
        ;;
    collect)
        : > "$work/sample"
        say "disk_used_mb $(df -Pk "$PIPELINE_ROOT" | awk 'NR == 2 { print int($3 / 1024) }')" >> "$work/sample"
        command=$(param METRICS_COMMAND)
        if [ -n "$command" ]; then
            sh -c "$command" < /dev/null > "$work/metrics" || die "the figures could not be collected: $command"
            # Lines such as `name=12.5` or `name 12.5`.
            awk -F '[= ]+' 'NF == 2 && $2 ~ /^[0-9.]+$/ { print $1, $2 }' "$work/metrics" >> "$work/sample"
        fi
        cat "$work/sample"
        ;;
    analyse-figures)
        # Each figure against the mean of its last twenty.
        history=$data/performance-$(param NAME system).txt
        touch "$history" || die "$history cannot be written"
        : > "$work/problems"
        while read -r name value; do
            mean=$(awk -v n="$name" '$1 == n { print $2 }' "$history" | tail -n 20 |
                awk '{ s += $1; c += 1 } END { if (c > 0) print s / c }')
            say "$name: $value${mean:+, mean $mean}"
            [ -z "$mean" ] || ! awk -v v="$value" -v m="$mean" -v t="$(param TOLERANCE 50)" \
                'BEGIN { exit !(v > m * (1 + t / 100)) }' || problem "$name is $value, and was $mean on average"
        done < "$work/sample"
        cat "$work/sample" >> "$history"
        ! [ -s "$work/problems" ]
        ;;
    insights)
        alert "$(head -n 1 "$work/problems")" warning
        say "told: $(head -n 1 "$work/problems")"
        ;;
    performance-report)
        report=$reports/performance-$PIPELINE_TASK_ID.md
        {
            say "# Performance at $(now)"
            sed 's/^/- /' "$work/sample"
            if [ -s "$work/problems" ]; then sed 's/^/- attention: /' "$work/problems"; fi
        } > "$report" || die "$report cannot be written"
        say "$report"
        ;;
    scan)
        # Only what is new in each file since the last look.
        [ -n "$(param LOGS)" ] || die "nothing says which logs to scan; say it with --param logs=…"
        mkdir -p "$data/scanned"
        : > "$work/errors"
        files | while IFS= read -r file; do
            mark=$data/scanned/$(printf '%s' "$file" | tr '/ ' '__')
            from=$(cat "$mark" 2> /dev/null || echo 0)
            size=$(wc -c < "$file")
            [ "$size" -ge "$from" ] || from=0
            tail -c "+$((from + 1))" "$file" | head -c "$((size - from))" |
                grep -aiE "$(param PATTERN 'error|fatal|panic|exception|critical')" >> "$work/errors"
            echo "$size" > "$mark"
        done
        found=$(grep -c . "$work/errors")
        say "$found lines with errors in $(files | grep -c .) files"
        [ "$found" = 0 ]
        ;;
    categorise)
        # The same error with other figures is the same error.
        sed -E 's/[0-9]+/#/g' "$work/errors" | sort | uniq -c | sort -rn > "$work/kinds"
        awk '{
            line = tolower($0); kind = "other"
            if (line ~ /timeout|timed out|connection|refused|network|dns|socket/) kind = "network"
            else if (line ~ /database|sql|deadlock|transaction/) kind = "database"
            else if (line ~ /memory|oom|heap/) kind = "memory"
            else if (line ~ /disk|no space|read-only file/) kind = "disk"
            else if (line ~ /permission|denied|unauthori[sz]ed|forbidden/) kind = "permission"
            level = (line ~ /fatal|panic|critical/) ? "critical" : "warning"
            print level, kind, $0
        }' "$work/kinds" > "$work/categories"
        head -n 10 "$work/categories"
        ;;
    root-cause)
        top=$(head -n 1 "$work/kinds" | sed -E 's/^ *[0-9]+ //')
        {
            say "most frequent: $top"
            first=$(head -n 1 "$work/errors")
            files | while IFS= read -r file; do
                grep -anF -B 5 -A 5 -e "$first" "$file" | head -n 20
            done
            say "last changes:"
            git -C "$PIPELINE_ROOT" log -5 --format='%h %s' 2> /dev/null
        } > "$work/cause"
        head -n 1 "$work/cause"
        ;;
    error-report)
        report=$reports/errors-$PIPELINE_TASK_ID.md
        {
            say "# Errors at $(now)"
            if [ -s "$work/errors" ]; then
                sed 's/^/- /' "$work/categories"
                cat "$work/cause"
            else
                say "- none since the last look"
            fi
        } > "$report" || die "$report cannot be written"
        if [ -s "$work/errors" ]; then
            level=warning
            ! grep -q '^critical' "$work/categories" || level=critical
            alert "$(head -n 1 "$work/categories")" "$level"
        fi
        say "$report"
        ;;
esac
