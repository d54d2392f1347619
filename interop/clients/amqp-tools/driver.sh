#!/usr/bin/env bash
# The driver of amqp-tools, librabbitmq's commands: runs the features it is told, a JSON line for each.
#
# In come the broker's URLs and FEATURES from the environment (see ../README.md).
set -uo pipefail

made=0
name() { made=$((made + 1)); echo "fleet-$1-$$-$made"; }
fail() { echo "$*" >&3; exit 1; }
skip() { echo "$*" >&3; exit 2; }
remark() { echo "$*" >&3; }

# same EXPECTED ACTUAL
same() { [ "$1" = "$2" ] || fail "expected '$1', got '$2'"; }

# refused TEXT COMMAND...
refused() {
    local text=$1 said
    shift
    said=$("$@" 2>&1) && fail "not refused with $text"
    [[ $said == *"$text"* ]] || fail "expected '$text', got '$said'"
}

# round_trip OPTIONS... (where and how to connect)
round_trip() {
    local queue
    queue=$(name queue)
    same "$queue" "$(amqp-declare-queue "$@" -q "$queue")"
    amqp-publish "$@" -r "$queue" -b hello || fail "not published"
    same hello "$(amqp-get "$@" -q "$queue")"
    same 0 "$(amqp-delete-queue "$@" -q "$queue")"
}

connect() {
    round_trip -u "$AMQP_URL"
    refused "ACCESS_REFUSED - Login was refused" amqp-declare-queue -u "${AMQP_URL/:guest@/:wrong@}" -q x
    refused "NOT_ALLOWED - vhost no such not found" amqp-declare-queue -u "${AMQP_URL/\%2F/no%20such}" -q x
}

tls() {
    [ -n "${AMQPS_URL:-}" ] || skip "no AMQPS_URL"
    round_trip -u "$AMQPS_URL" --cacert="$CERTS/ca.pem"
    refused "" amqp-declare-queue -u "$AMQPS_URL" --cacert="$CERTS/stranger.pem" -q x
}

mutual_tls() {
    [ -n "${AMQPS_REQUIRED_URL:-}" ] || skip "no AMQPS_REQUIRED_URL"
    round_trip -u "$AMQPS_REQUIRED_URL" --cacert="$CERTS/ca.pem" --cert="$CERTS/client.pem" --key="$CERTS/client.key"
    refused "" amqp-declare-queue -u "$AMQPS_REQUIRED_URL" --cacert="$CERTS/ca.pem" -q x
}

topology() {
    local queue
    queue=$(name queue)
    same "$queue" "$(amqp-declare-queue -u "$AMQP_URL" -d -q "$queue")"
    refused "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '$queue' in vhost '/'" \
        amqp-declare-queue -u "$AMQP_URL" -q "$queue"
    amqp-publish -u "$AMQP_URL" -r "$queue" -b left
    same 1 "$(amqp-delete-queue -u "$AMQP_URL" -q "$queue")"
    refused "NOT_FOUND - no queue '$queue' in vhost '/'" amqp-get -u "$AMQP_URL" -q "$queue"
}

consume() {
    local queue number
    queue=$(name queue)
    amqp-declare-queue -u "$AMQP_URL" -q "$queue" >/dev/null
    for number in {0..19}; do amqp-publish -u "$AMQP_URL" -r "$queue" -b "$number "; done
    same "$(echo {0..19}) " "$(amqp-consume -u "$AMQP_URL" -q "$queue" -c 20 -p 1 cat)"
    same 0 "$(amqp-delete-queue -u "$AMQP_URL" -q "$queue")"
}

# What its command failed over comes back; the command says with its exit code what becomes of a message.
requeue() {
    local queue
    queue=$(name queue)
    amqp-declare-queue -u "$AMQP_URL" -q "$queue" >/dev/null
    amqp-publish -u "$AMQP_URL" -r "$queue" -b x
    amqp-consume -u "$AMQP_URL" -q "$queue" -c 1 false
    same x "$(amqp-consume -u "$AMQP_URL" -q "$queue" -c 1 cat)"
    same 0 "$(amqp-delete-queue -u "$AMQP_URL" -q "$queue")"
    remark "by a command that fails"
}

prefetch() {
    local queue number folder
    queue=$(name queue)
    folder=$(mktemp -d)
    trap "rm -rf '$folder'" EXIT
    mkfifo "$folder/came" "$folder/go"
    amqp-declare-queue -u "$AMQP_URL" -q "$queue" >/dev/null
    for number in {0..9}; do amqp-publish -u "$AMQP_URL" -r "$queue" -b "$number"; done
    # Each message is at its command until it is told to go on.
    echo "cat >$folder/came; read -r _ <$folder/go" >"$folder/hold"
    amqp-consume -u "$AMQP_URL" -q "$queue" -p 3 -c 3 sh "$folder/hold" &
    same 0 "$(<"$folder/came")"
    for number in {3..9}; do same "$number" "$(amqp-get -u "$AMQP_URL" -q "$queue")"; done
    amqp-get -u "$AMQP_URL" -q "$queue" && fail "there is more than seven"
    echo go >"$folder/go"
    for number in 1 2; do
        same "$number" "$(<"$folder/came")"
        echo go >"$folder/go"
    done
    wait
    same 0 "$(amqp-delete-queue -u "$AMQP_URL" -q "$queue")"
}

heartbeat() {
    local queue
    queue=$(name queue)
    amqp-declare-queue -u "$AMQP_URL" -q "$queue" >/dev/null
    (sleep 7; amqp-publish -u "$AMQP_URL" -r "$queue" -b late) &
    same late "$(amqp-consume -u "$AMQP_URL" --heartbeat=2 -q "$queue" -c 1 cat)"
    amqp-delete-queue -u "$AMQP_URL" -q "$queue" >/dev/null
}

# exchange_bodies SIZE...
exchange_bodies() {
    local queue size folder
    queue=$(name queue)
    folder=$(mktemp -d)
    trap "rm -rf '$folder'" EXIT
    amqp-declare-queue -u "$AMQP_URL" -q "$queue" >/dev/null
    for size in "$@"; do
        head -c "$size" /dev/urandom >"$folder/sent"
        amqp-publish -u "$AMQP_URL" -r "$queue" <"$folder/sent"
        amqp-get -u "$AMQP_URL" -q "$queue" >"$folder/got" || fail "$size bytes did not come"
        cmp "$folder/sent" "$folder/got" || fail "$size bytes came otherwise"
    done
    amqp-delete-queue -u "$AMQP_URL" -q "$queue" >/dev/null
}

bodies() { exchange_bodies 0 1 4088 4089 8184 8185 131064 131065; }
body_64_mib() { exchange_bodies $((64 << 20)); }

unicode() {
    local queue
    queue=$(name "Grüße-κόσμε-世界-🐇")
    same "$queue" "$(amqp-declare-queue -u "$AMQP_URL" -q "$queue")"
    amqp-publish -u "$AMQP_URL" -r "$queue" -b "тело"
    same "тело" "$(amqp-get -u "$AMQP_URL" -q "$queue")"
    amqp-delete-queue -u "$AMQP_URL" -q "$queue" >/dev/null
}

IFS=, read -ra features <<<"$FEATURES"
for feature in "${features[@]}"; do
    run=${feature//-/_}
    if declare -F "$run" >/dev/null; then
        text=$( ( "$run" >/dev/null ) 3>&1 )
        case $? in 0) result=ok ;; 2) result=skip ;; *) result=fail ;; esac
    else
        result=skip text="no command for it"
    fi
    text=${text//[\"\\]/ }
    printf '{"feature": "%s", "result": "%s", "text": "%s"}\n' "$feature" "$result" "${text//$'\n'/ }"
done
