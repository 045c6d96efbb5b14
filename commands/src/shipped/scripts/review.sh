#!/bin/sh
# A change that somebody else made: brought together with base on this task's branch, and what it changes.
. "$PIPELINE_SHIPPED/common.sh"
case $1 in
    fetch)
        branch=$(param BRANCH) number=$(param NUMBER)
        if [ -z "$branch" ] && [ -n "$number" ]; then
            remote=$(param REMOTE origin)
            git fetch -q "$remote" "pull/$number/head" || die "pull request $number cannot be fetched from $remote"
            branch=FETCH_HEAD
        fi
        [ -n "$branch" ] || die "nothing says what to validate; say it with --param branch=… or number=…"
        commit=$(git rev-parse --verify -q "$branch^{commit}") || die "there is no branch $branch"
        git diff --stat "$PIPELINE_BASE...$commit" > "$work/changes"
        [ -s "$work/changes" ] || die "$branch changes nothing"
        git merge -q --no-edit "$commit" > "$work/merge" 2>&1 || {
            git diff --name-only --diff-filter=U | sed 's/^/conflict: /'
            git merge --abort
            die "$branch does not fit $PIPELINE_BASE any more"
        }
        cat "$work/changes"
        ;;
    report)
        report=$reports/pull-request-$PIPELINE_TASK_ID.md
        {
            say "# $(param BRANCH "pull request $(param NUMBER)") at $(now)"
            say "The change fits $PIPELINE_BASE, builds, passes the tests, and was reviewed."
            cat "$work/changes"
        } > "$report" || die "$report cannot be written"
        say "$report"
        ;;
esac
