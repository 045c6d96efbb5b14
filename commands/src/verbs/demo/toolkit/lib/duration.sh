# duration TEXT: the seconds in a text such as 1h30m; a bare number counts seconds.
duration() {
    rest=$1
    seconds=0
    while [ -n "$rest" ]; do
        number=${rest%%[!0-9]*}
        [ -n "$number" ] || return 1
        rest=${rest#"$number"}
        case $rest in
        h*) seconds=$((seconds + number * 3600)) ;;
        m*) seconds=$((seconds + number * 60)) ;;
        s* | '') seconds=$((seconds + number)) ;;
        *) return 1 ;;
        esac
        rest=${rest#?}
    done
    printf '%s\n' "$seconds"
}
