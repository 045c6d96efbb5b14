#!/bin/sh
# Integration tests around an infrastructure that is set up for them and always taken away again.
. "$PIPELINE_SHIPPED/common.sh"
case $1 in
    setup)
        command=$(param SETUP_COMMAND)
        if [ -n "$command" ]; then
            say "$ $command"
            sh -c "$command" < /dev/null || die "the infrastructure could not be set up"
        fi
        ready=$(param READY_CHECK)
        [ -n "$ready" ] || exit 0
        end=$(($(date +%s) + $(param READY_TIMEOUT 60)))
        until check "$ready"; do
            [ "$(date +%s)" -lt "$end" ] || die "the infrastructure is not ready: $ready"
            pause
        done
        say "the infrastructure is ready"
        ;;
    scenarios)
        command=$(param INTEGRATION_COMMAND)
        if [ -z "$command" ]; then
            command=$(sh "$PIPELINE_SHIPPED/project.sh" detect | sed -n 's/^integration=//p')
        fi
        if [ -z "$command" ]; then
            say "nobody knows how to run the integration tests; say it with --param integration_command=…"
            echo failed > "$work/result"
            exit 1
        fi
        say "$ $command"
        if sh -c "$command" < /dev/null; then
            echo passed > "$work/result"
        else
            echo failed > "$work/result"
            die "the integration scenarios failed"
        fi
        ;;
    cleanup)
        command=$(param TEARDOWN_COMMAND)
        if [ -n "$command" ]; then
            say "$ $command"
            sh -c "$command" < /dev/null || die "the infrastructure could not be taken away"
        fi
        result=$(cat "$work/result" 2> /dev/null)
        [ "$result" = passed ] || die "the infrastructure is taken away; the scenarios did not pass"
        say "the scenarios passed, and the infrastructure is taken away"
        ;;
esac
