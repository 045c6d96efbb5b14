# heading TEXT: the text, underlined.
heading() {
    printf '%s\n' "$1"
    repeat = "${#1}"
}
