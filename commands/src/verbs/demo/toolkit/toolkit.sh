#!/bin/sh
# toolkit COMMAND [ARGUMENT...]: runs a function of lib/ as a command.
cd "$(dirname "$0")" || exit 2
for file in lib/*.sh; do . "./$file"; done
COMMANDS="version"
for known in $COMMANDS; do
    if [ "${1:-}" = "$known" ]; then
        shift
        "$known" "$@"
        exit
    fi
done
printf 'usage: toolkit COMMAND, one of: %s\n' "$COMMANDS" >&2
exit 2
