# report TITLE NAME=DURATION...: a heading, then a table of names and seconds.
report() {
    heading "$1"
    shift
    csv_row name seconds
    for entry in "$@"; do
        csv_row "$(slug "${entry%%=*}")" "$(duration "${entry#*=}")"
    done
}
