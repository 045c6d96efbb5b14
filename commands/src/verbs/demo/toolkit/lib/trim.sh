# trim TEXT: the text without white space at its ends.
trim() {
    text=$1
    text=${text#"${text%%[![:space:]]*}"}
    text=${text%"${text##*[![:space:]]}"}
    printf '%s\n' "$text"
}
