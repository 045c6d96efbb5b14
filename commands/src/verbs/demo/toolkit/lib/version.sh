# version: prints the version of the toolkit.
version() {
    printf '%s\n' 1.0.0
}
