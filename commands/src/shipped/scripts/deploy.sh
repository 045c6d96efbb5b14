#!/bin/sh
# Puts a package into a folder and a service on it, with a backup before and a check after; and the way back.
. "$PIPELINE_SHIPPED/common.sh"

target=$(param TARGET)
[ -n "$target" ] || die "nothing says where to deploy to"
case $target in /*) ;; *) target=$PIPELINE_ROOT/$target ;; esac
target=${target%/}
backups=$(param BACKUPS "$target.backups")
case $backups in /*) ;; *) backups=$PIPELINE_ROOT/$backups ;; esac

service() {
    command=$(param "$2")
    if [ -z "$command" ]; then
        say "nothing to $1: no command was given"
        return 0
    fi
    say "$ $command"
    (cd "$target" 2> /dev/null || cd "$PIPELINE_ROOT" || exit 1; sh -c "$command" < /dev/null)
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

# Takes a folder that is complete into the place of the target, with what is to be kept of the old one.
swap_in() {
    for path in $(param KEEP); do
        [ -e "$target/$path" ] || continue
        rm -rf "${1:?}/$path"
        mkdir -p "$(dirname "$1/$path")"
        cp -Rp "$target/$path" "$1/$path" || die "$path cannot be kept"
    done
    rm -rf "$target.old"
    [ ! -e "$target" ] || mv "$target" "$target.old" || die "$target cannot be moved away"
    mv "$1" "$target" || die "$target cannot be put in place"
    rm -rf "$target.old"
}

make_backup() {
    if [ ! -d "$target" ] || [ -z "$(ls -A "$target")" ]; then
        say "there is nothing to keep of $target yet"
        return 0
    fi
    backup=$backups/$(date -u +%Y%m%dT%H%M%SZ)-$PIPELINE_TASK_ID
    mkdir -p "$backup" || die "cannot write $backups"
    tar -czf "$backup/files.tar.gz" -C "$target" . || die "$target cannot be backed up"
    printf '%s  files.tar.gz\n' "$(checksum "$backup/files.tar.gz")" > "$backup/files.tar.gz.sha256"
    matches "$backup/files.tar.gz" && tar -tzf "$backup/files.tar.gz" > /dev/null || die "the backup cannot be read"
    echo "$backup" > "$work/backup"
    say "backup: $backup"
    # The oldest go.
    ls -d "$backups"/*/ | sort -r | tail -n "+$(($(param KEEP_BACKUPS 5) + 1))" | while read -r old; do rm -rf "$old"; done
}

case $1 in
    validate)
        package=$(param PACKAGE)
        case $package in /*) ;; *) package=$PIPELINE_ROOT/$package ;; esac
        [ -e "$package" ] || die "there is no package $package"
        [ ! -f "$package.sha256" ] || matches "$package" || die "the checksum of $package is wrong"
        rm -rf "$target.new"
        mkdir -p "$target.new" && unpack "$package" "$target.new" || die "$package cannot be unpacked"
        [ -n "$(ls -A "$target.new")" ] || die "$package is empty"
        make_backup
        ;;
    stop) stopped || die "the service could not be stopped" ;;
    install)
        [ -d "$target.new" ] || die "nothing was unpacked to install"
        swap_in "$target.new"
        say "installed in $target"
        ;;
    start)
        service start START_COMMAND || die "the service could not be started"
        healthy || die "the service is not well after it was started"
        ;;
    validate-after)
        watched=$(($(date +%s) + $(param WATCH 0)))
        healthy || die "the service is not well any more"
        while [ "$(date +%s)" -lt "$watched" ]; do
            pause
            healthy > /dev/null || die "the service is not well any more"
        done
        say "deployed $(param PACKAGE) to $(param ENVIRONMENT staging)"
        ;;
    assess)
        case $(param FAILED_STAGE) in
            validate)
                say "nothing had been changed when it failed"
                exit 10
                ;;
        esac
        backup=$(param BACKUP_LOCATION)
        failed=$(param FAILED_TASK)
        [ -n "$backup" ] || [ -z "$failed" ] || backup=$(cat "$data/workflows/$failed/backup" 2> /dev/null)
        [ -n "$backup" ] || [ -n "$failed" ] || backup=$(ls -d "$backups"/*/ 2> /dev/null | sort | tail -n 1)
        backup=${backup%/}
        [ -n "$backup" ] || die "there is no backup to go back to"
        [ -f "$backup/files.tar.gz" ] || die "there is no backup in $backup"
        matches "$backup/files.tar.gz" || die "refused: the checksum of the backup $backup is wrong"
        echo "$backup" > "$work/backup"
        say "going back to $backup: $(param REASON "a person asked for it")"
        ;;
    evidence)
        mkdir -p "$work/evidence"
        for file in $(param LOGS); do [ ! -f "$file" ] || tail -n 200 "$file" > "$work/evidence/$(basename "$file")"; done
        (ls -lR "$target" 2>&1; ps -ef 2> /dev/null) > "$work/evidence/state.txt"
        # What failed may not be running any more.
        stopped || say "it could not be stopped, perhaps it was not running"
        say "evidence: $work/evidence"
        ;;
    restore)
        backup=$(cat "$work/backup")
        matches "$backup/files.tar.gz" || die "refused: the checksum of the backup $backup is wrong"
        rm -rf "$target.new"
        mkdir -p "$target.new" && tar -xzf "$backup/files.tar.gz" -C "$target.new" || die "the backup cannot be unpacked"
        PIPELINE_PARAM_KEEP=
        swap_in "$target.new"
        say "restored $backup"
        ;;
    report)
        report=$reports/incident-$PIPELINE_TASK_ID.md
        {
            say "# Rolled back $target"
            say
            say "- when: $(now)"
            say "- why: $(param REASON "a person asked for it")"
            say "- failed: $(param FAILED_TASK -) at $(param FAILED_STAGE -)"
            say "- restored: $(cat "$work/backup")"
            say "- evidence: $work/evidence"
        } > "$report" || die "$report cannot be written"
        say "$report"
        ;;
esac
