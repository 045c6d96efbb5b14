#!/bin/sh
# A document of requirements becomes tasks: it is found, and what was planned of it is taken into the queue.
. "$PIPELINE_SHIPPED/common.sh"
case $1 in
    read)
        file=$(param FILE)
        case $file in /*) ;; *) file=$PIPELINE_ROOT/$file ;; esac
        [ -s "$file" ] || die "there is nothing in $file"
        cp "$file" REQUIREMENTS.md || die "$file cannot be read"
        say "$(grep -c . REQUIREMENTS.md) lines of requirements"
        ;;
    import)
        [ -s tasks.json ] || die "there is no tasks.json"
        "$PIPELINE_PROGRAM" -C "$PIPELINE_ROOT" task import "$PWD/tasks.json" 2>&1 || die "tasks.json cannot be imported"
        ;;
esac
