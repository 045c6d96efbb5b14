# The folder that a deployment is for: what it may be, who is at work on it, and its backups. Sourced by deploy.sh, never
# run. Nothing is deleted here but what a deployment made: what is in the way is moved into a backup.

# The file that tells a folder of ours from all others.
marker=.pipeline-deployment

# A path without links and dots, whether or not its end is there yet; nothing where it cannot be one.
physical() {
    head=$1 tail=
    until [ -d "$head" ]; do
        [ ! -e "$head" ] && [ ! -L "$head" ] || return 1
        case ${head##*/} in . | .. | '') return 1 ;; esac
        tail=/${head##*/}$tail
        head=${head%/*}
        head=${head:-/}
    done
    head=$(cd -P "$head" && pwd -P) || return 1
    [ "$head" != / ] || head=
    head=$head$tail
    printf '%s' "${head:-/}"
}

# Whether the second path is the first one or below it.
within() { case ${2%/}/ in "${1%/}"/*) return 0 ;; *) return 1 ;; esac; }

# A path as a person means it: from the repository.
from_root() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$PIPELINE_ROOT/$1" ;; esac; }

# Finds out which folder is meant. A person's word goes first, then what a backup says, then the environment's name.
find_target() {
    target=$(param TARGET)
    said=$(param BACKUP_LOCATION)
    [ -n "$target" ] || [ -z "$said" ] || target=$(cat "$(from_root "$said")/target" 2> /dev/null)
    if [ -z "$target" ]; then
        environment=$(param ENVIRONMENT staging)
        case $environment in .* | *[!A-Za-z0-9._-]*) die "\`$environment\` names no environment" ;; esac
        target=$PIPELINE_ROOT.deployments/$environment
    fi
    named=$(from_root "$target")
    while case $named in ?*/) ;; *) false ;; esac do named=${named%/}; done
    target=$(physical "$named") || die "refused: $named is no folder and cannot become one"
    [ "$target" != / ] || die "refused: the target is /"
    backups=$(from_root "$(param BACKUPS "$target.backups")")
    backups=$(physical "${backups%/}") || die "refused: the backups' folder $backups is no folder"
    # Two targets of one name have backups of their own.
    store=$backups/${target##*/}-$(printf '%s' "$target" | digest | cut -c 1-8)
    new=$target.new.$PIPELINE_TASK_ID
    lock=$target.deploying
}

# Stops before anything is touched that is not for a deployment to touch.
guard_target() {
    root=$(physical "$PIPELINE_ROOT")
    home=$(physical "${HOME:-/}")
    ! within "$target" "$home" || die "refused: the target $target is the home directory, or contains it"
    ! within "$target" "$root" || die "refused: the target $target is the repository, or contains it"
    case $target/ in
        */.git/* | */.pipeline/*) die "refused: the target $target is inside .git or .pipeline" ;;
    esac
    common=$(cd "$root" && physical "$(git rev-parse --git-common-dir)")
    if [ -n "$common" ]; then
        ! within "$common" "$target" && ! within "$target" "$common" || die "refused: the target $target is git's folder $common"
    fi
    trees=$(git -C "$root" worktree list --porcelain 2> /dev/null | sed -n 's/^worktree //p' | while IFS= read -r tree; do
        tree=$(physical "$tree") && within "$target" "$tree" && printf '%s' "$tree" && break
    done)
    [ -z "$trees" ] || die "refused: the target $target contains the worktree $trees"
    ! within "$target" "$backups" || die "refused: the backups' folder $backups is in the target $target"
    set -f
    for path in $(param KEEP); do
        case /$path/ in
            //* | */../* | */./*) die "refused: \`keep\` names $path; it takes paths within the target, without .." ;;
        esac
    done
    set +f
    if [ -e "$target" ] && [ -n "$(ls -A "$target")" ] && [ ! -f "$target/$marker" ] && [ "$(param ADOPT false)" != true ]; then
        die "refused: $target has files that no deployment put there; --param adopt=true takes it over and keeps them in the backup"
    fi
}

# Whether the task that holds the lock may still go on with it. A rollback that is due is part of its deployment.
alive() {
    [ -d "$2" ] || return 1
    said=$("$PIPELINE_PROGRAM" -C "$2" --json task show "$1" 2> /dev/null)
    case $? in
        0) ;;
        # There is no such task.
        5) return 1 ;;
        # Who does not know does not take it away from anybody.
        *) return 0 ;;
    esac
    case $(printf '%s' "$said" | tr -d '\n ' | sed 's/.*"status":"\([a-z_]*\)".*/\1/') in
        failed) case $1 in *.on-failure) return 1 ;; *) alive "$1.on-failure" "$2" ;; esac ;;
        completed | cancelled | rolled_back) return 1 ;;
    esac
}

# Nobody else may be at work on the target. What this task or the one it mends holds already is held.
take_lock() {
    mkdir -p "${target%/*}" || die "cannot write ${target%/*}"
    tries=0 taken=$lock.$PIPELINE_TASK_ID
    [ ! -d "$taken" ] || drop_lock "$taken"
    until mkdir "$lock" 2> /dev/null; do
        [ -d "$lock" ] || die "cannot write $lock"
        owner=$(cat "$lock/task" 2> /dev/null) of=$(cat "$lock/root" 2> /dev/null)
        [ "$owner $of" != "$PIPELINE_TASK_ID $PIPELINE_ROOT" ] || return 0
        tries=$((tries + 1))
        if [ -z "$owner" ] && [ $tries -lt 20 ]; then
            # Whoever makes it writes into it at once.
            pause
            continue
        fi
        if [ "$owner $of" != "$(param FAILED_TASK) $PIPELINE_ROOT" ] && [ -n "$owner" ] && alive "$owner" "$of"; then
            die "refused: $owner of $of is at work on $target; wait for it, or cancel it with \`pipeline -C $of task cancel $owner\`"
        fi
        [ -n "$owner" ] || [ -z "$(ls -A "$lock")" ] || die "refused: $lock is in the way, and no deployment made it"
        [ -n "$owner" ] && [ "$owner" = "$(param FAILED_TASK)" ] || say "a stale lock of ${owner:-nobody} is taken over: that task is over"
        mv "$lock" "$taken" 2> /dev/null || continue
        if [ "$(cat "$taken/task" 2> /dev/null)" != "$owner" ]; then
            # Somebody else was quicker; theirs goes back.
            mv "$taken" "$lock"
            continue
        fi
        drop_lock "$taken"
    done
    printf '%s\n' "$PIPELINE_ROOT" > "$lock/root" && printf '%s\n' "$PIPELINE_TASK_ID" > "$lock/task" || die "cannot write $lock"
}
holds_lock() { [ "$(cat "$lock/task" 2> /dev/null) $(cat "$lock/root" 2> /dev/null)" = "$1 $PIPELINE_ROOT" ]; }
drop_lock() {
    rm -f "$1/task" "$1/root"
    rmdir "$1" 2> /dev/null || say "$1 has files of somebody else and stays"
}
release() { if holds_lock "$PIPELINE_TASK_ID"; then drop_lock "$lock"; fi; }

mark() { printf 'task %s\nat %s\n' "$PIPELINE_TASK_ID" "$(now)" > "$1/$marker"; }

# An empty folder beside the target, for what is to take its place.
fresh() {
    if [ -e "$new" ] || [ -L "$new" ]; then
        [ ! -L "$new" ] && [ -f "$new/$marker" ] || die "refused: $new is in the way, and no deployment put it there"
        rm -rf "$new"
    fi
    mkdir "$new" && mark "$new" || die "cannot write $new"
}
discard() { if [ -f "$new/$marker" ] && [ ! -L "$new" ]; then rm -rf "$new"; fi; }

# Moves something into the backup, under a name that nothing has there.
set_aside() {
    place=$backup/$2 number=1
    while [ -e "$place" ] || [ -L "$place" ]; do
        number=$((number + 1))
        place=$backup/$2-$number
    done
    mv "$1" "$place" || die "$1 cannot be moved to $place"
    say "what was in $1 is in $place"
}

# Takes the new folder, which is complete, into the place of the target, with what is to be kept of the old one.
swap_in() {
    set -f
    for path in $(param KEEP); do
        [ -e "$target/$path" ] || [ -L "$target/$path" ] || continue
        parent=$new/$path
        parent=${parent%/*}
        # A package must not lead out of its folder.
        inside=$(physical "$parent") && within "$new" "$inside" || die "refused: the package has a link where $path is kept"
        mkdir -p "$parent" && rm -rf "${new:?}/$path" && cp -Rp "$target/$path" "$new/$path" || die "$path cannot be kept"
    done
    set +f
    [ ! -e "$target" ] || set_aside "$target" "$1"
    mv "$new" "$target" || die "$target cannot be put in place; what was there is in $backup"
}

# What is in the target now, with a checksum. That there was nothing is kept as well, so that there is a way back to it.
make_backup() {
    mkdir -p "$store" || die "cannot write $store"
    first=$store/$(date -u +%Y%m%dT%H%M%SZ)-$PIPELINE_TASK_ID
    backup=$first number=1
    while [ -e "$backup" ]; do
        number=$((number + 1))
        backup=$first-$number
    done
    mkdir "$backup" || die "cannot write $backup"
    printf '%s\n' "$target" > "$backup/target"
    from=$target
    if [ ! -d "$target" ]; then
        from=$backup/nothing
        mkdir "$from" || die "cannot write $backup"
        say "there is nothing to keep of $target yet"
    fi
    tar -czf "$backup/files.tar.gz" -C "$from" . || die "$target cannot be backed up"
    printf '%s  files.tar.gz\n' "$(checksum "$backup/files.tar.gz")" > "$backup/files.tar.gz.sha256"
    matches "$backup/files.tar.gz" && tar -tzf "$backup/files.tar.gz" > /dev/null || die "the backup cannot be read"
    echo "$backup" > "$work/backup"
    say "backup: $backup"
    rotate
}

# The backups of this target, oldest first: folders that have our name and our file. Everything else is not ours.
all_backups() {
    for one in "$store"/[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z-*; do
        [ ! -f "$one/files.tar.gz" ] || [ ! -f "$one/target" ] || [ -L "$one" ] || say "$one"
    done | sort
}

# The oldest go, as far as they are too many; never the one that was just made.
rotate() {
    kept=$(param KEEP_BACKUPS 5)
    kept=${kept%.*}
    spare=$(($(all_backups | grep -c .) - kept))
    all_backups | while IFS= read -r old; do
        [ "$spare" -gt 0 ] || break
        [ "$old" != "$backup" ] || continue
        spare=$((spare - 1))
        rm -rf "$old"
        say "the backup $old is gone: $kept are kept"
    done
}

# A backup that can be gone back to.
check_backup() {
    [ -f "$backup/files.tar.gz" ] || die "there is no backup in $backup"
    matches "$backup/files.tar.gz" || die "refused: the checksum of the backup $backup is wrong"
}

# What was there before takes the target's place again; what is there now is moved into the backup.
put_back() {
    check_backup
    if [ -d "$backup/nothing" ]; then
        [ ! -e "$target" ] || set_aside "$target" "$1"
        say "there was nothing before, so $target is gone"
        return 0
    fi
    fresh
    tar -xzf "$backup/files.tar.gz" -C "$new" || die "the backup cannot be unpacked"
    # What no deployment had made is again as it was.
    tar -tzf "$backup/files.tar.gz" | grep -qxF "./$marker" || rm -f "$new/$marker"
    PIPELINE_PARAM_KEEP=
    swap_in "$1"
    say "restored $backup"
}
