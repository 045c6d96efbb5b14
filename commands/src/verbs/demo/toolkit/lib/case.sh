# upper TEXT, lower TEXT: the text in capital or small letters.
upper() {
    printf '%s\n' "$1" | tr '[:lower:]' '[:upper:]'
}

lower() {
    printf '%s\n' "$1" | tr '[:upper:]' '[:lower:]'
}
