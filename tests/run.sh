#!/usr/bin/env bash
# Runs all tests, installing what they need: Rust's (unit, conformance, model), then the interop suites
# of pika and lapin, the examples, and the clients of the fleet that pip and cargo have, against a Warren
# of its own on free ports.
#
#   tests/run.sh            everything
#   tests/run.sh rust       only `cargo test`
#   tests/run.sh interop    only the clients
#
# Needs a Rust toolchain, Python 3.11 or newer with venv, and openssl.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
case "$what" in all | rust | interop) ;; *) sed -n '2,10p' "$0" >&2; exit 2 ;; esac

# missing COMMAND PACKAGE: installs it where that is ours to do, says how otherwise.
missing() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2" >/dev/null
    else
        echo "tests/run.sh: $1 is not installed (on Debian or Ubuntu: apt-get install $2)" >&2
        exit 1
    fi
}
command -v cargo >/dev/null || { echo "tests/run.sh: no Rust toolchain: cargo is not there" >&2; exit 1; }
command -v openssl >/dev/null || missing openssl openssl
command -v python3 >/dev/null || missing python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || missing "Python's venv" python3-venv

if [ "$what" != interop ]; then
    cargo test --workspace
fi
if [ "$what" != rust ]; then
    interop/run
    interop/fleet --quick --broker warren
fi
