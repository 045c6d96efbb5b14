# What the scripts beside this one share. Sourced, never run.

# The value of a parameter, or a default where it is empty.
param() {
    eval "value=\${PIPELINE_PARAM_$1-}"
    [ -n "$value" ] || value=${2-}
    printf '%s' "$value"
}
say() { printf '%s\n' "$*"; }
# Says why on stdout too, where the next attempt and the report find it.
die() {
    say "error: $*"
    exit 1
}
: "${PIPELINE_ROOT:=$PWD}" "${PIPELINE_TASK_ID:=none}"
data=$PIPELINE_ROOT/.pipeline/logs
# What the stages of one task leave for one another.
work=$data/workflows/$PIPELINE_TASK_ID
reports=$data/reports
mkdir -p "$work" "$reports" || die "cannot write in $data"

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
pause() { sleep 0.1 2> /dev/null || sleep 1; }

# Whether something answers at a URL: its answer is printed.
answer_of() {
    url=$1
    if command -v curl > /dev/null 2>&1; then
        curl -fsS --noproxy '*' --max-time 5 "$url"
    elif command -v wget > /dev/null 2>&1; then
        wget -q -T 5 -O - "$url"
    elif command -v bash > /dev/null 2>&1; then
        rest=${url#http://}
        [ "$rest" != "$url" ] || die "$url needs curl or wget"
        place=${rest%%/*}
        port=${place##*:}
        [ "$port" != "$place" ] || port=80
        bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n" "$3" "$1" >&3 &&
            IFS= read -r status <&3 && cat <&3 && case $status in *" 2"*) exit 0 ;; esac; exit 1' \
            - "${place%%:*}" "$port" "${rest#"$place"/}"
    else
        die "neither curl, wget nor bash is there to ask $url"
    fi
}

# Whether something listens on a port of a host.
listens() {
    if command -v bash > /dev/null 2>&1; then
        bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$1" "$2" 2> /dev/null
    else
        curl -s --noproxy '*' --max-time 2 "telnet://$1:$2" < /dev/null > /dev/null 2>&1
    fi
}

# A check is a URL, tcp:HOST:PORT, or a command.
check() {
    case $1 in
        http://* | https://*) answer_of "$1" > /dev/null 2>&1 ;;
        tcp:*)
            place=${1#tcp:}
            listens "${place%:*}" "${place##*:}"
            ;;
        *) sh -c "$1" < /dev/null > /dev/null 2>&1 ;;
    esac
}

# The checksum of what is on stdin, and of a file, as sha256sum and shasum print it.
digest() { if command -v sha256sum > /dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }
checksum() { digest < "$1"; }
# Whether FILE has the checksum that FILE.sha256 says.
matches() {
    [ -f "$1.sha256" ] || return 1
    [ "$(cut -d ' ' -f 1 < "$1.sha256")" = "$(checksum "$1")" ]
}

# Unpacks an archive, copies a folder or a single file, into a folder that is there and empty.
unpack() {
    case $1 in
        *.tar.gz | *.tgz) tar -xzf "$1" -C "$2" ;;
        *.tar) tar -xf "$1" -C "$2" ;;
        *.zip) unzip -q "$1" -d "$2" 2> /dev/null || python3 -m zipfile -e "$1" "$2" ;;
        *) if [ -d "$1" ]; then cp -Rp "$1/." "$2"; else cp -p "$1" "$2"; fi ;;
    esac
}
