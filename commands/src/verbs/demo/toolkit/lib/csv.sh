# csv_field TEXT: the text as a field; quoted where it has to be.
csv_field() {
    case $1 in
    *[\",]*) printf '"%s"\n' "$(printf '%s\n' "$1" | sed 's/"/""/g')" ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# csv_row TEXT...: one line of a table.
csv_row() {
    fields=$#
    while [ "$fields" -gt 0 ]; do
        set -- "$@" "$(csv_field "$1")"
        shift
        fields=$((fields - 1))
    done
    join_with , "$@"
}
