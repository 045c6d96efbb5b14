# join_with SEPARATOR WORD...: the words with the separator between them.
join_with() {
    separator=$1
    shift
    joined=${1:-}
    [ "$#" -eq 0 ] || shift
    for word in "$@"; do joined=$joined$separator$word; done
    printf '%s\n' "$joined"
}
