# repeat TEXT COUNT: the text as often as asked for.
repeat() {
    out=
    left=$2
    while [ "$left" -gt 0 ]; do
        out=$out$1
        left=$((left - 1))
    done
    printf '%s\n' "$out"
}
