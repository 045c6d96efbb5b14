#!/bin/sh
# Builds a project and makes a package of it: an archive, its checksum and release notes.
. "$PIPELINE_SHIPPED/common.sh"

out=$(param OUTPUT "$data/packages")
case $out in /*) ;; *) out=$PIPELINE_ROOT/$out ;; esac
name=$(param NAME "$(basename "$PIPELINE_ROOT")")
version=$(cat "$work/version" 2> /dev/null)
archive=$out/$name-$version.$(param FORMAT tar.gz)

case $1 in
    prepare)
        [ -z "$(git status --porcelain)" ] || die "there are changes that are not committed"
        version=$(param VERSION "$(git describe --tags --always 2> /dev/null)")
        case $version in '' | */* | -* | *[[:space:]]*) die "\`$version\` is not a version" ;; esac
        command=$(param DEPENDENCIES_COMMAND)
        [ -z "$command" ] || sh -c "$command" < /dev/null || die "the dependencies could not be restored"
        echo "$version" > "$work/version"
        say "$name $version at $(git rev-parse --short HEAD)"
        ;;
    build)
        export PIPELINE_PARAM_PACKAGE_COMMAND="$(param BUILD_COMMAND)"
        sh "$PIPELINE_SHIPPED/project.sh" package || exit 1
        rm -rf "$work/build"
        mkdir -p "$work/build"
        files=$(param FILES)
        # The project may be in a folder of its own.
        set -- */dist
        if [ -n "$files" ]; then
            # Globs are meant as such.
            # shellcheck disable=SC2086
            tar -cf - $files | tar -xf - -C "$work/build" || die "$files cannot be packaged"
        elif [ -d dist ]; then
            cp -Rp dist/. "$work/build"
        elif [ $# = 1 ] && [ -d "$1" ]; then
            cp -Rp "$1/." "$work/build"
        elif [ -f Cargo.toml ]; then
            find "${CARGO_TARGET_DIR:-target}/release" -maxdepth 1 -type f -perm -u+x -exec cp -p {} "$work/build" \;
        else
            git archive HEAD | tar -xf - -C "$work/build"
        fi
        [ -n "$(ls -A "$work/build")" ] || die "the build left nothing to package; name it with --param files=…"
        ;;
    quick-test) sh "$PIPELINE_SHIPPED/project.sh" test ;;
    package)
        mkdir -p "$out" || die "cannot write $out"
        rm -f "$archive" "$archive.sha256"
        case $archive in
            *.zip) (cd "$work/build" && zip -qr "$archive" .) ;;
            *) tar -czf "$archive" -C "$work/build" . ;;
        esac || die "the package cannot be made"
        printf '%s  %s\n' "$(checksum "$archive")" "$(basename "$archive")" > "$archive.sha256"
        before=$(git describe --tags --abbrev=0 HEAD~1 2> /dev/null)
        {
            say "# $name $version"
            say
            git log --no-merges --format='- %s' "${before:+$before..}HEAD"
        } > "$out/$name-$version.md"
        say "$archive"
        ;;
    publish)
        matches "$archive" || die "the checksum of $archive is wrong"
        probe=$(mktemp -d) && unpack "$archive" "$probe" || die "$archive cannot be unpacked"
        count=$(find "$probe" -type f | wc -l)
        rm -rf "$probe"
        [ "$count" -gt 0 ] || die "$archive is empty"
        to=$(param PUBLISH_TO)
        # Whoever deploys it finds it: in the same chain, else as the one that was built last.
        mkdir -p "$data/packages" && printf '%s\n' "$archive" > "$data/packages/latest" || die "cannot write $data/packages"
        if [ -n "${PIPELINE_PARENT-}" ]; then
            mkdir -p "$data/workflows/$PIPELINE_PARENT" &&
                printf '%s\n' "$archive" > "$data/workflows/$PIPELINE_PARENT/package" || die "the package cannot be handed on"
        fi
        if [ -n "$to" ]; then
            mkdir -p "$to" && cp -p "$archive" "$archive.sha256" "$out/$name-$version.md" "$to" || die "cannot write $to"
        fi
        command=$(param PUBLISH_COMMAND)
        if [ -n "$command" ]; then
            PACKAGE=$archive VERSION=$version sh -c "$command" < /dev/null || die "publishing failed"
        fi
        say "$archive is valid: $count files"
        ;;
esac
