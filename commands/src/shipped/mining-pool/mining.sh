#!/bin/sh
# One mining cycle on a regtest chain of its own: node, wallets, blocks, payout, and nothing left behind.
. "$PIPELINE_SHIPPED/common.sh"

dir=$(param DATA_DIR "$data/chain")
rpc=$(param RPC_PORT 18443)
cli() { bitcoin-cli -regtest -datadir="$dir" -rpcport="$rpc" "$@"; }
of() { cli -rpcwallet="$@"; }

case $1 in
    node)
        command -v bitcoind > /dev/null 2>&1 && command -v bitcoin-cli > /dev/null 2>&1 ||
            die "bitcoind and bitcoin-cli are not there, so there is no chain to mine on"
        mkdir -p "$dir" || die "cannot write $dir"
        bitcoind -regtest -datadir="$dir" -rpcport="$rpc" -port="$(param P2P_PORT 18444)" -listen=0 -fallbackfee=0.0001 \
            -daemon > "$work/node.log" 2>&1 || die "the node does not start: $(tail -n 1 "$work/node.log")"
        end=$(($(date +%s) + 30))
        until cli getblockchaininfo > /dev/null 2>&1; do
            [ "$(date +%s)" -lt "$end" ] || die "the node does not answer"
            pause
        done
        say "the node answers at $rpc"
        ;;
    wallets)
        for wallet in pool worker; do
            cli listwallets | grep -q "\"$wallet\"" || cli createwallet "$wallet" > /dev/null || die "no wallet $wallet"
        done
        ;;
    mine)
        # The first reward can be spent a hundred blocks later.
        of pool generatetoaddress 101 "$(of pool getnewaddress)" > "$work/blocks" || die "no block was mined"
        say "$(cli getblockcount) blocks"
        ;;
    payout)
        amount=$(param AMOUNT 12.5)
        of pool sendtoaddress "$(of worker getnewaddress)" "$amount" > "$work/payout" || die "nothing was paid out"
        of pool generatetoaddress 1 "$(of pool getnewaddress)" > /dev/null || die "the payout was not confirmed"
        got=$(of worker getbalance)
        awk -v got="$got" -v paid="$amount" 'BEGIN { exit !(got + 0 >= paid + 0) }' ||
            die "the worker has $got and should have $amount"
        echo passed > "$work/result"
        say "the worker has $got"
        ;;
    cleanup)
        cli stop > /dev/null 2>&1
        [ "$(cat "$work/result" 2> /dev/null)" = passed ] || die "$(param WHY "the cycle did not come to its payout")"
        say "the cycle is complete"
        ;;
esac
