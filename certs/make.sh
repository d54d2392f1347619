#!/usr/bin/env bash
# Makes a development CA, a server certificate and client certificates in certs/out/.
# Does nothing when they are there and still good for a month. `--force` makes new ones.
# Needs openssl (1.1.1 or newer).
set -euo pipefail
cd "$(dirname "$0")"

force=no
case "${1:-}" in
    "") ;;
    --force) force=yes ;;
    *) echo "usage: certs/make.sh [--force]" >&2; exit 2 ;;
esac
command -v openssl >/dev/null || { echo "certs/make.sh: openssl is not installed" >&2; exit 1; }

month_seconds=$((30 * 24 * 3600))
names=(ca server client stranger)

good() {
    local name
    for name in "${names[@]}"; do
        [ -s "out/$name.key" ] || return 1
        openssl x509 -in "out/$name.pem" -noout -checkend "$month_seconds" >/dev/null 2>&1 || return 1
    done
    openssl verify -CAfile out/ca.pem out/server.pem out/client.pem >/dev/null 2>&1 && [ -s out/client.p12 ]
}

if [ "$force" = no ] && good; then
    echo "certs/out is up to date"
    exit 0
fi

# Everything is made beside the old set and put in its place by one rename, so that a run that is
# stopped half way never leaves a mixture of two sets.
work=$(mktemp -d "./out.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$work/$1.key"; }

# authority NAME SUBJECT
authority() {
    key "$1"
    openssl req -x509 -new -config /dev/stdin -key "$work/$1.key" -sha256 -days 3650 -out "$work/$1.pem" <<CONF
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = $2
[extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONF
}

# leaf NAME SUBJECT USE ALTERNATIVE_NAMES AUTHORITY
leaf() {
    key "$1"
    cat >"$work/$1.conf" <<CONF
[req]
prompt = no
distinguished_name = name
[name]
CN = $2
[extensions]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = $3
subjectAltName = $4
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONF
    openssl req -new -config "$work/$1.conf" -key "$work/$1.key" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$5.pem" -CAkey "$work/$5.key" \
        -set_serial "0x01$(openssl rand -hex 15)" -sha256 -days 825 \
        -extfile "$work/$1.conf" -extensions extensions -out "$work/$1.pem" 2>/dev/null
    rm "$work/$1.csr" "$work/$1.conf"
}

authority ca "Warren development CA"
authority stranger-ca "Somebody else's CA"
leaf server localhost serverAuth "DNS:localhost, IP:127.0.0.1, IP:::1" ca
leaf client warren-client clientAuth "DNS:warren-client" ca
leaf stranger stranger clientAuth "DNS:stranger" stranger-ca
rm "$work/stranger-ca.key" "$work/stranger-ca.pem"
openssl pkcs12 -export -inkey "$work/client.key" -in "$work/client.pem" -certfile "$work/ca.pem" \
    -name warren-client -passout pass:warren -out "$work/client.p12"

rm -rf out
mv "$work" out
trap - EXIT
echo "made certs/out: $(cd out && ls | tr '\n' ' ')"
