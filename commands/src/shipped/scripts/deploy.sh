#!/bin/sh
# Puts a package into a folder and a service on it, with a backup before and a check after; and the way back.
. "$PIPELINE_SHIPPED/common.sh"
. "$PIPELINE_SHIPPED/target.sh"

service() {
    command=$(param "$2")
    if [ -z "$command" ]; then
        say "nothing to $1: no command was given"
        return 0
    fi
    if [ ! -d "$target" ]; then
        say "nothing to $1: $target is not there"
        return 0
    fi
    say "$ $command"
    (cd "$target" && sh -c "$command" < /dev/null)
}

# What was told to end may need a moment, and holds its port until then.
stopped() {
    service stop STOP_COMMAND || return 1
    [ -n "$(param STOP_COMMAND)" ] && [ -n "$(param HEALTH_URL)" ] || return 0
    end=$(($(date +%s) + $(param HEALTH_TIMEOUT 30)))
    while check "$(param HEALTH_URL)"; do
        if [ "$(date +%s)" -ge "$end" ]; then
            say "it still answers after it was stopped"
            return 1
        fi
        pause
    done
}

# Asks until the service is well, for as long as it may take.
healthy() {
    command=$(param HEALTH_COMMAND) url=$(param HEALTH_URL) expect=$(param EXPECT)
    if [ -z "$command$url" ]; then
        say "nobody said how to check that it is well"
        return 0
    fi
    end=$(($(date +%s) + $(param HEALTH_TIMEOUT 30)))
    while :; do
        if [ -n "$command" ]; then
            said=$(sh -c "$command" < /dev/null 2>&1) && well=yes || well=no
        else
            said=$(answer_of "$url" 2>&1) && well=yes || well=no
        fi
        case $well$said in yes*"$expect"*) break ;; esac
        if [ "$(date +%s)" -ge "$end" ]; then
            say "$said" | tail -n 5
            return 1
        fi
        pause
    done
    say "it is well: $(say "$said" | head -n 1)"
}

# The package that is meant: a person's word goes first, then what the same chain built, then what was built last.
find_package() {
    package=$(param PACKAGE)
    if [ -z "$package" ] && [ -n "${PIPELINE_PARENT-}" ]; then
        package=$(cat "$data/workflows/$PIPELINE_PARENT/package" 2> /dev/null)
    fi
    if [ -z "$package" ]; then
        package=$(cat "$data/packages/latest" 2> /dev/null)
        [ -n "$package" ] || die "nothing says what to deploy; say it with --param package=…, or build it with build-and-package-pipeline"
        say "no package was named: the one that was built last is taken"
    fi
    package=$(from_root "$package")
    [ -e "$package" ] || die "there is no package $package"
    [ ! -f "$package.sha256" ] || matches "$package" || die "the checksum of $package is wrong"
    say "package: $package"
}

# A deployment that was rolled back is over: what is in the target is not what it put there.
goes_on() {
    [ ! -f "$work/rolled-back" ] || die "refused: $(cat "$work/rolled-back") rolls this deployment back, or has done so, and it cannot go on from here; add a new task to deploy again"
    holds_lock "$PIPELINE_TASK_ID" || die "this deployment does not hold the lock $lock any more; add a new task to deploy again"
    backup=$(cat "$work/backup" 2> /dev/null)
    [ -d "$backup" ] || die "the backup $backup is not there any more"
}

# Which backup a rollback goes to: the one that is named, that of the deployment that failed, or the newest.
find_backup() {
    backup=$(param BACKUP_LOCATION)
    failed=$(param FAILED_TASK)
    [ -z "$backup" ] || backup=$(from_root "$backup")
    [ -n "$backup" ] || [ -z "$failed" ] || backup=$(cat "$data/workflows/$failed/backup" 2> /dev/null)
    [ -n "$backup" ] || [ -n "$failed" ] || backup=$(all_backups | tail -n 1)
    backup=${backup%/}
    [ -n "$backup" ] || die "there is no backup to go back to"
    check_backup
}

# The service runs again on what was put back, unless there was none.
restart() {
    if [ -d "$backup/nothing" ]; then
        say "there was no service before, so none is started"
        return 0
    fi
    service start START_COMMAND || die "the service could not be started"
    healthy || die "the service is not well after it was started"
}

find_target
case $1 in
    validate)
        guard_target
        find_package
        take_lock
        # What fails here has changed nothing.
        trap 'code=$?; [ $code = 0 ] || { discard; release; }; exit $code' EXIT
        fresh
        unpack "$package" "$new" || die "$package cannot be unpacked"
        [ -n "$(ls -A "$new" | grep -vxF "$marker")" ] || die "$package is empty"
        mark "$new"
        make_backup
        printf '%s\n' "$package" > "$work/deployed"
        say "target: $target"
        ;;
    stop)
        goes_on
        stopped || die "the service could not be stopped"
        ;;
    install)
        goes_on
        guard_target
        [ -f "$new/$marker" ] || die "nothing was unpacked to install"
        swap_in replaced
        : > "$work/installed"
        say "installed in $target"
        ;;
    start)
        goes_on
        service start START_COMMAND || die "the service could not be started"
        healthy || die "the service is not well after it was started"
        ;;
    validate-after)
        goes_on
        watched=$(($(date +%s) + $(param WATCH 0)))
        healthy || die "the service is not well any more"
        while [ "$(date +%s)" -lt "$watched" ]; do
            pause
            healthy > /dev/null || die "the service is not well any more"
        done
        release
        say "deployed $(cat "$work/deployed") to $(param ENVIRONMENT staging): $target"
        ;;
    # The deployment was cancelled: what was there before is there again.
    cancelled)
        cancelled=${PIPELINE_PARENT:-none}
        if ! holds_lock "$cancelled"; then
            say "$cancelled had changed nothing, or was over"
            exit 0
        fi
        PIPELINE_PARAM_FAILED_TASK=$cancelled
        backup=$(cat "$data/workflows/$cancelled/backup" 2> /dev/null)
        new=$target.new.$cancelled
        discard
        new=$target.new.$PIPELINE_TASK_ID
        if [ "$PIPELINE_STAGE" != validate ] && [ -n "$backup" ]; then
            guard_target
            take_lock
            echo "$PIPELINE_TASK_ID" > "$data/workflows/$cancelled/rolled-back"
            stopped || say "it could not be stopped, perhaps it was not running"
            if [ -f "$data/workflows/$cancelled/installed" ] || [ ! -e "$target" ]; then put_back cancelled; fi
            restart
            : > "$work/finished"
            release
        else
            drop_lock "$lock"
        fi
        say "$cancelled is cancelled, and $target is as it was before"
        ;;
    assess)
        if [ "$(param FAILED_STAGE)" = validate ]; then
            if holds_lock "$(param FAILED_TASK)"; then
                # It was ended before it could tidy up.
                new=$target.new.$(param FAILED_TASK)
                discard
                drop_lock "$lock"
            fi
            say "nothing had been changed when it failed"
            exit 10
        fi
        earlier=$(cat "$data/workflows/$(param FAILED_TASK none)/rolled-back" 2> /dev/null)
        if [ -n "$earlier" ] && [ -f "$data/workflows/$earlier/finished" ]; then
            say "$earlier has rolled it back already"
            exit 10
        fi
        find_backup
        guard_target
        take_lock
        echo "$backup" > "$work/backup"
        [ -z "$(param FAILED_TASK)" ] || echo "$PIPELINE_TASK_ID" > "$data/workflows/$(param FAILED_TASK)/rolled-back"
        say "going back to $backup: $(param REASON "a person asked for it")"
        ;;
    evidence)
        goes_on
        mkdir -p "$work/evidence"
        for file in $(param LOGS); do [ ! -f "$file" ] || tail -n 200 "$file" > "$work/evidence/$(basename "$file")"; done
        (ls -lR "$target" 2>&1; ps -ef 2> /dev/null) > "$work/evidence/state.txt"
        # What failed may not be running any more.
        stopped || say "it could not be stopped, perhaps it was not running"
        say "evidence: $work/evidence"
        ;;
    restore)
        goes_on
        guard_target
        put_back rolled-back
        ;;
    restart)
        goes_on
        restart
        ;;
    report)
        goes_on
        report=$reports/incident-$PIPELINE_TASK_ID.md
        {
            say "# Rolled back $target"
            say
            say "- when: $(now)"
            say "- why: $(param REASON "a person asked for it")"
            say "- failed: $(param FAILED_TASK -) at $(param FAILED_STAGE -)"
            say "- restored: $backup"
            [ ! -d "$backup/nothing" ] || say "- there was nothing before: the service is stopped and $target is gone"
            say "- evidence: $work/evidence"
        } > "$report" || die "$report cannot be written"
        # What was unpacked and never put in place.
        new=$target.new.$(param FAILED_TASK none)
        discard
        : > "$work/finished"
        release
        say "$report"
        ;;
    *) die "there is no step $1" ;;
esac
