#!/bin/sh
# The scripted agent of the end-to-end tests. What it does is a piece of shell in the sandbox's folder `plan`: the first of
# TASK.STAGE.N, TASK.STAGE, STAGE.N, STAGE and default that exists, where N counts the runs of this task at this stage.
box=@BOX@
pipeline=@PIPELINE@
key=$PIPELINE_TASK_ID.$PIPELINE_STAGE
echo "$PIPELINE_RUN_ID" >> "$box/calls/$key"
n=$(grep -c . "$box/calls/$key")
seen=$box/seen/$key.$n
env > "$seen.env"
pwd -P > "$seen.cwd"
git symbolic-ref -q HEAD > "$seen.head" || echo detached > "$seen.head"
cp "$PIPELINE_TASK_FILE" "$seen.md"
echo $$ >> "$box/pids"

# Edits a file of the task and commits.
work() {
    echo "$key $n" >> "${1:-$PIPELINE_TASK_ID.txt}"
    commit "$key"
}
# Puts a line into a file.
put() { mkdir -p "$(dirname "$1")" && echo "$2" > "$1"; }
commit() { git add -A && git commit -qm "$1"; }
# Changes the status heading of the task file.
marker() {
    status=$1
    shift
    [ "$status" = COMPLETED ] && status="COMPLETED ✅"
    sed -i "s|^## Status: IN PROGRESS\$|## Status: $status${*:+: $*}|" "$PIPELINE_TASK_FILE"
}
outcome() { echo "$1" | sed "s/@RUN@/$PIPELINE_RUN_ID/" > "$PIPELINE_OUTCOME_FILE"; }
decision() {
    echo "DECISION: $1"
    echo "REASONING: as planned"
}
# Says that it is here, and waits until it is released.
hang() {
    mkfifo "$box/fifo/$key.$n" 2> /dev/null
    : > "$box/at/$key.$n"
    read -r _ < "$box/fifo/$key.$n"
}
ignore_term() { trap '' TERM HUP INT; }
crash() { kill -9 $$; }
# Leaves a process behind that has left our session.
daemon() {
    mkfifo "$box/fifo/daemon.$key" 2> /dev/null
    setsid sh -c "echo \$\$ >> '$box/pids'; echo \$\$ > '$box/daemon.$key.new'; mv '$box/daemon.$key.new' '$box/daemon.$key'; read -r _ < '$box/fifo/daemon.$key'" > /dev/null 2>&1 &
    until [ -e "$box/daemon.$key" ]; do :; done
}
for plan in "$key.$n" "$key" "$PIPELINE_STAGE.$n" "$PIPELINE_STAGE" default; do
    if [ -e "$box/plan/$plan" ]; then
        . "$box/plan/$plan"
        exit
    fi
done
