#!/bin/sh
# Runs a RabbitMQ node of its own in the foreground:
#     rabbitmq.sh FOLDER PORT DISTRIBUTION_PORT [EXTRA_CONFIG_FILE]
#
# Everything the node writes stays in FOLDER. It listens on 127.0.0.1 only and uses the package's
# defaults otherwise, so that what is measured is what `apt install rabbitmq-server` gives.
set -eu
folder=$1
port=$2
distribution_port=$3
extra=${4:-}

mkdir -p "$folder"
{
    echo "listeners.tcp.default = 127.0.0.1:$port"
    echo "log.console = false"
    # A shared machine may have a nearly full disk; the alarm would block every publisher.
    echo "disk_free_limit.absolute = 50MB"
    if [ -n "$extra" ]; then cat "$extra"; fi
} > "$folder/rabbitmq.conf"
echo '[].' > "$folder/enabled_plugins"

export HOME="$folder"
export RABBITMQ_NODENAME="bench$port@localhost"
export RABBITMQ_MNESIA_BASE="$folder/mnesia"
export RABBITMQ_LOG_BASE="$folder/log"
export RABBITMQ_CONFIG_FILE="$folder/rabbitmq"
export RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins"
export RABBITMQ_PID_FILE="$folder/pid"
export RABBITMQ_NODE_IP_ADDRESS= RABBITMQ_NODE_PORT=
export RABBITMQ_DIST_PORT="$distribution_port"
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export ERL_EPMD_ADDRESS=127.0.0.1

# The script below the package's wrapper, which would change to the rabbitmq user.
exec /usr/lib/rabbitmq/bin/rabbitmq-server
