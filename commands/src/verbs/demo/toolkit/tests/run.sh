#!/bin/sh
# Runs every test of this repository; exit code 1 if a check fails.
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 2
checks=0
failures=0
check() { # NAME ACTUAL EXPECTED
    checks=$((checks + 1))
    if [ "$2" != "$3" ]; then
        failures=$((failures + 1))
        printf 'FAIL %s: expected [%s], got [%s]\n' "$1" "$3" "$2"
    fi
}
for file in lib/*.sh tests/*.test.sh; do . "./$file"; done
printf '%s checks, %s failed\n' "$checks" "$failures"
[ "$failures" -eq 0 ]
