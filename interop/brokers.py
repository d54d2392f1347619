"""Starts a broker of its own for the interop suites: Warren or RabbitMQ, on loopback, in a
temporary folder, and stops it again. What comes out is where it listens, as URLs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parent.parent
CERTS = ROOT / "certs" / "out"
START_TIMEOUT_SECONDS = 90

RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
RABBITMQ_CTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
# What recorded conversations need; the package has them all.
PLUGINS = [
    "rabbitmq_management",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
]
HOW_TO_INSTALL_RABBITMQ = (
    "RabbitMQ is not installed. On Debian or Ubuntu: `apt-get install rabbitmq-server`, "
    "or run this command with --install."
)


def with_vhost(url: str | None) -> str:
    """The URL with the vhost `/` if it names none: not all clients take one without, and those that do take it
    for one thing or another. Empty if there is no URL."""
    parts = urlsplit(url or "")
    return urlunsplit(parts._replace(path="/%2F")) if url and parts.path in ("", "/") else url or ""


class DidNotStart(Exception):
    """The broker did not come up; the message says what it printed."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Broker:
    """A running broker. Use it as a context manager."""

    label = "broker"

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> "Broker":
        # Whoever ends us means the broker too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        self.folder = Path(tempfile.mkdtemp(prefix=f"interop-{self.label}-"))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Asks to stop, then insists; the folder goes too."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, kill: bool) -> None:
        """Ends the broker, by force or in good order, and starts it again with its data where it was."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What the suites read: AMQP_URL, AMQPS_URL, AMQPS_REQUIRED_URL, CERTS."""
        return {**self.urls, "CERTS": str(CERTS)}


class Warren(Broker):
    """Warren, from the binary that was built last in the profile asked for."""

    label = "warren"

    def __init__(self, binary: Path) -> None:
        super().__init__()
        self.binary = binary

    def start(self) -> None:
        self.ports = self._run("first", [])
        self.urls["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{self.ports['amqp']}/%2F"
        self.urls["AMQPS_URL"] = f"amqps://guest:guest@localhost:{self.ports['amqps']}/%2F"
        # A second process that demands a client certificate.
        config = self.folder / "required.toml"
        config.write_text('[tls]\nclient_certificate = "required"\n')
        second = self._run("second", ["--config", str(config)])
        self.urls["AMQPS_REQUIRED_URL"] = f"amqps://guest:guest@localhost:{second['amqps']}/%2F"

    def restart(self, kill: bool) -> None:
        """The process that demands client certificates goes on."""
        first = self.processes.pop(0)
        first.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        first.wait(timeout=30)
        self._run("first", [], self.ports)
        self.processes.insert(0, self.processes.pop())

    def _run(self, name: str, more: list[str], at: dict[str, int] | None = None) -> dict[str, int]:
        at = at or {"amqp": 0, "amqps": 0}
        log = self.folder / f"{name}.log"
        command = [
            str(self.binary), "serve", *more,
            "--data-dir", str(self.folder / name),
            "--listen", f"127.0.0.1:{at['amqp']}",
            "--listen-tls", f"127.0.0.1:{at['amqps']}",
            "--tls-cert", str(CERTS / "server.pem"),
            "--tls-key", str(CERTS / "server.key"),
            "--tls-ca", str(CERTS / "ca.pem"),
            "--management", "127.0.0.1:0",
        ]  # fmt: skip
        # What the tests are told in variables of ours is no setting, and would be refused.
        env = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            printed = plain(log.read_text(errors="replace"))
            ports = listening(printed)
            if {"amqp", "amqps"} <= ports.keys():
                return ports
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{' '.join(command)}\n{printed}")
            time.sleep(0.02)


def plain(text: str) -> str:
    """The text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def listening(printed: str) -> dict[str, int]:
    """Port by protocol, from the lines in which Warren says where it listens."""
    ports = {}
    for line in printed.splitlines():
        if "listening" in line:
            protocol = re.search(r'protocol="?(\w+)', line)
            address = re.search(r'address="?\S*:(\d+)', line)
            if protocol and address:
                ports[protocol[1]] = int(address[1])
    return ports


class RabbitMQ(Broker):
    """A RabbitMQ node from the distribution's package, apart from any that runs already."""

    label = "rabbitmq"

    def __init__(self, node: str | None = None, bare: bool = False) -> None:
        """`node` is the node's name; `bare` is without TLS, with the management API and what exchanges
        there are in plugins."""
        super().__init__()
        self.node = node
        self.bare = bare

    def start(self) -> None:
        if not RABBITMQ_SERVER.exists():
            raise DidNotStart(HOW_TO_INSTALL_RABBITMQ)
        amqp, amqps, required, distribution, self.epmd_port, management = free_ports(6)
        config = self.folder / "rabbitmq.conf"
        tls = (
            f"listeners.ssl.default = 127.0.0.1:{amqps}\n"
            f"ssl_options.cacertfile = {CERTS}/ca.pem\n"
            f"ssl_options.certfile = {CERTS}/server.pem\n"
            f"ssl_options.keyfile = {CERTS}/server.key\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = false\n"
        )
        api = f"management.tcp.port = {management}\nmanagement.tcp.ip = 127.0.0.1\n"
        config.write_text(
            f"listeners.tcp.default = 127.0.0.1:{amqp}\n"
            f"{api if self.bare else tls}"
            "log.console = false\n"
            "disk_free_limit.absolute = 50MB\n"
        )
        (self.folder / "plugins").write_text(f"[{', '.join(PLUGINS)}].\n" if self.bare else "[].\n")
        self.env = {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"{self.node or f'interop-{amqp}'}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_NODE_IP_ADDRESS": "",
            "RABBITMQ_NODE_PORT": "",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.amqps, self.required = amqps, required
        # The one that listens last.
        self.last = management if self.bare else amqps
        self._run()
        self.urls["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{amqp}/%2F"
        if self.bare:
            self.urls["MANAGEMENT"] = f"127.0.0.1:{management}"
            return
        self.urls["AMQPS_URL"] = f"amqps://guest:guest@localhost:{amqps}/%2F"
        self.urls["AMQPS_REQUIRED_URL"] = f"amqps://guest:guest@localhost:{required}/%2F"

    def _run(self) -> None:
        log = self.folder / "out"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [RABBITMQ_SERVER], env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.processes = [process]
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not accepts(self.last):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(log.read_text(errors="replace"))
            time.sleep(0.1)
        if not self.bare:
            self._listen_with_required_certificate(self.required)

    def restart(self, kill: bool) -> None:
        """In good order only RabbitMQ stops, not its node, which is quicker."""
        if kill:
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
            self.processes[0].wait(timeout=60)
            self._run()
        else:
            for command in ("stop_app", "start_app"):
                subprocess.run([RABBITMQ_CTL, command], env=self.env, check=True, stdout=subprocess.DEVNULL)
            self._listen_with_required_certificate(self.required)

    def _listen_with_required_certificate(self, port: int) -> None:
        """RabbitMQ's configuration has one set of TLS options for all listeners, so the one that
        demands a client certificate is opened by hand."""
        expression = (
            f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}}, '
            f'rabbit_ssl_options:fix([{{cacertfile, "{CERTS}/ca.pem"}}, {{certfile, "{CERTS}/server.pem"}}, '
            f'{{keyfile, "{CERTS}/server.key"}}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}]), 2).'
        )
        done = subprocess.run(
            [RABBITMQ_CTL, "eval", expression], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0 or not accepts(port):
            raise DidNotStart(done.stdout + done.stderr)

    def stop(self) -> None:
        if hasattr(self, "env"):
            for process in self.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(timeout=60)
            subprocess.run(["epmd", "-port", str(self.epmd_port), "-kill"], env=self.env, capture_output=True)
        super().stop()


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def install_rabbitmq() -> None:
    """Installs the distribution's package, without letting it start a node of its own."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    policy = Path("/usr/sbin/policy-rc.d")
    if sudo or policy.exists():
        policy = None  # somebody else's business
    else:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", "rabbitmq-server"],
        ):
            subprocess.run([*sudo, *command], check=True, stdout=sys.stderr)
    finally:
        if policy:
            policy.unlink()
