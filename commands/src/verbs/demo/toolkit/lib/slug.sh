# slug TEXT: the text as a word for file names and addresses.
slug() {
    words=$(lower "$(trim "$1")" | tr -cs 'a-z0-9' '-')
    words=${words#-}
    printf '%s\n' "${words%-}"
}
