#!/bin/sh
# Parts of an infrastructure: each has a command that makes it and a check that tells whether it is there.
. "$PIPELINE_SHIPPED/common.sh"

name=$2
upper=$(printf '%s' "$name" | tr '[:lower:]-' '[:upper:]_')
probe=$(param "${upper}_PROBE")

holds() { if [ -n "$probe" ]; then check "$probe"; else [ -e "$work/$name.done" ]; fi; }

# A service needs a moment.
comes_up() {
    end=$(($(date +%s) + $(param TIMEOUT 30)))
    until holds; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        pause
    done
}

make() {
    echo "$name" >> "$work/made"
    command=$(param "${upper}_COMMAND")
    if [ -z "$command" ]; then
        [ -n "$probe" ] || say "nothing to do for $name: no command was given"
    else
        say "$ $command"
        sh -c "$command" < /dev/null > "$work/$name.log" 2>&1 || {
            say "$(tail -n 5 "$work/$name.log")"
            exit 1
        }
    fi
    [ -n "$probe" ] || : > "$work/$name.done"
    comes_up || die "$name is not there after it was made: $probe"
    say "$name is ready"
}

case $1 in
    holds) holds ;;
    make) make ;;
    recover)
        echo recovery >> "$work/made"
        command=$(param RECOVERY_COMMAND)
        case $HINT in
            *"full reset recommended"*)
                reset=$(param RESET_COMMAND "$command")
                say "resetting everything: $HINT"
                command=$reset
                ;;
            *) say "mending: $HINT" ;;
        esac
        [ -n "$command" ] || die "nobody said how to recover; say it with --param recovery_command=…"
        HINT=$HINT sh -c "$command" < /dev/null || die "the recovery failed"
        say "recovered"
        ;;
    validate)
        echo validation >> "$work/made"
        command=$(param VALIDATION_COMMAND)
        [ -z "$command" ] || sh -c "$command" < /dev/null || die "the whole does not work"
        say "the whole works"
        ;;
esac
