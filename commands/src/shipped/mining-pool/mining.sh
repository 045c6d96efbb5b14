#!/bin/sh
# A mining pool on a regtest chain of its own: node, pool and miner are started and stopped, and a payout is checked on
# the chain. Everything is in one folder, which is the run's own unless it is said; no other chain is touched.
. "$PIPELINE_SHIPPED/common.sh"

here=$PIPELINE_ROOT/.pipeline/mining-pool
dir=$(param DATA_DIR "$work/chain")
case $dir in /*) ;; *) dir=$PIPELINE_ROOT/$dir ;; esac
rpc=$(param RPC_PORT 18443) p2p=$(param P2P_PORT 18444) stratum=$(param STRATUM_PORT 3333)
bcoin=$(param BCOIN "$here")
case $bcoin in /*) ;; *) bcoin=$PIPELINE_ROOT/$bcoin ;; esac

js() {
    verb=$1
    shift
    node "$here/mining.js" "$verb" --data="$dir" --rpc_port="$rpc" --p2p_port="$p2p" --stratum_port="$stratum" \
        --blocks="$(param BLOCKS 101)" --amount="$(param AMOUNT 12.5)" --timeout="$(param TIMEOUT 60)" --bcoin="$bcoin" "$@"
}
has() { command -v "$1" > /dev/null 2>&1; }
has_bcoin() { has node && (cd "$bcoin" 2> /dev/null && node -e 'require.resolve("bcoin/package.json", { paths: [process.cwd()] })' 2> /dev/null); }
has_bitcoind() { has node && has bitcoind; }
nothing_there() {
    die "neither bitcoind nor bcoin is there, so there is no chain to mine on; \`npm install --ignore-scripts --prefix $bcoin bcoin\` brings one, and so does --param install=true"
}

# Whether a service of ours runs: its process is there, and is still the one that wrote the file.
runs() {
    pid=$(cat "$dir/$1.pid" 2> /dev/null)
    [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null || return 1
    [ ! -r "/proc/$pid/cmdline" ] || tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF -e "$dir"
}

# Starts one, and waits until it has proven that it is there.
start() {
    name=$1
    if runs "$name"; then
        say "the $name runs already"
        return 0
    fi
    rm -f "$dir/$name.pid"
    if [ "$name" = node ] && ! has_bcoin; then
        bitcoind -regtest -datadir="$dir" -conf="$dir/bitcoin.conf" > "$dir/node.log" 2>&1 < /dev/null &
    else
        js "$name" > "$dir/$name.log" 2>&1 < /dev/null &
    fi
    started=$!
    end=$(($(date +%s) + $(param TIMEOUT 60)))
    until [ -s "$dir/$name.pid" ] || { [ "$name" = node ] && ! has_bcoin && js answers > /dev/null 2>&1; }; do
        kill -0 "$started" 2> /dev/null || die "the $name did not start: $(grep -m 1 . "$dir/$name.log" | sed 's/^error: //')"
        if [ "$(date +%s)" -ge "$end" ]; then
            kill "$started"
            die "the $name did not come up"
        fi
        pause
    done
    [ -s "$dir/$name.pid" ] || echo "$started" > "$dir/$name.pid"
    say "$(tail -n 1 "$dir/$name.log")"
}

stop() {
    if runs "$1"; then
        pid=$(cat "$dir/$1.pid")
        kill "$pid"
        tries=0
        while kill -0 "$pid" 2> /dev/null; do
            tries=$((tries + 1))
            [ $tries -lt 100 ] || die "the $1 does not end: process $pid"
            pause
        done
        say "the $1 is stopped"
    fi
    rm -f "$dir/$1.pid"
}

configure() {
    (umask 077 && mkdir -p "$dir") || die "cannot write $dir"
    [ -s "$dir/token" ] || (umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' > "$dir/token") || die "cannot write $dir"
    (umask 077 && printf 'regtest=1\n[regtest]\nserver=1\nlisten=0\nrpcbind=127.0.0.1\nrpcallowip=127.0.0.1\nrpcport=%s\nport=%s\nrpcuser=bitcoinrpc\nrpcpassword=%s\n' \
        "$rpc" "$p2p" "$(cat "$dir/token")" > "$dir/bitcoin.conf") || die "cannot write $dir"
}

case $1 in
    has) has_bcoin || has_bitcoind ;;
    install)
        if ! has_bcoin && ! has_bitcoind; then
            [ "$(param INSTALL false)" = true ] || nothing_there
            has npm || die "npm is not there, so bcoin cannot be brought"
            mkdir -p "$bcoin" || die "cannot write $bcoin"
            # Its own code does without the native parts, which would have to be built.
            npm install --ignore-scripts --no-audit --no-fund --prefix "$bcoin" bcoin@"$(param BCOIN_VERSION 1.0.2)" > "$work/npm.log" 2>&1 ||
                die "bcoin could not be brought: $(tail -n 1 "$work/npm.log")"
        fi
        has_bcoin || has_bitcoind || nothing_there
        if has_bcoin; then say "bcoin is there, in $bcoin"; else say "bitcoind is there"; fi
        ;;
    configured) [ -s "$dir/token" ] && [ -s "$dir/bitcoin.conf" ] ;;
    configure)
        configure
        say "everything is in $dir"
        ;;
    node)
        has_bcoin || has_bitcoind || nothing_there
        configure
        start node
        js answers
        ;;
    wallets) js wallets || exit 1 ;;
    pool | miner) start "$1" ;;
    mine) js mined || exit 1 ;;
    payout)
        js payout || exit 1
        echo passed > "$work/result"
        ;;
    running) runs "$2" ;;
    stop)
        for name in miner pool node; do stop "$name"; done
        ;;
    # What is left of a service that has gone is tidied up. Whoever else listens on a port is not ours to end.
    recover)
        for name in node:$rpc pool:$stratum miner:; do
            port=${name#*:} name=${name%%:*}
            ! runs "$name" || continue
            rm -f "$dir/$name.pid"
            [ -z "$port" ] || ! listens 127.0.0.1 "$port" ||
                die "another program listens on port $port of the $name; end it, or say another port"
            say "the $name may be started again"
        done
        ;;
    # Starts over: what is there is kept under another name.
    reset)
        for name in miner pool node; do stop "$name"; done
        if [ -e "$dir" ]; then mv "$dir" "$dir.$(date -u +%Y%m%dT%H%M%SZ)" || die "$dir cannot be moved away"; fi
        say "the chain begins anew in $dir"
        ;;
    cleanup)
        for name in miner pool node; do stop "$name"; done
        [ "$(cat "$work/result" 2> /dev/null)" = passed ] || die "the cycle did not come to its payout; everything it left is in $dir"
        say "the cycle is complete"
        ;;
    *) die "there is no step $1" ;;
esac
