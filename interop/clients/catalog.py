"""Who is in the fleet: each client's driver, what it needs to be installed or built, and its version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import suites
from brokers import ROOT
from clients.features import CELERY_FEATURES, FEATURES

HERE = Path(__file__).resolve().parent
BUILT = ROOT / "target" / "interop"
"""Where compiled drivers of other languages go."""


class NotInstalled(Exception):
    """What a client needs is not to be had here; the text says what was tried."""


@dataclass(frozen=True)
class Client:
    """A client of the fleet."""

    name: str
    language: str
    prepare: Callable[[], list[str]]
    """Installs and builds what the driver needs; gives the command that runs it."""
    version: Callable[[], str]
    quick: bool = False
    """Needs nothing but pip and cargo: part of the normal tests."""
    features: tuple[str, ...] = tuple(FEATURES)


def run(command: list[str], **more: object) -> str:
    """Runs a command of an installation; what it prints, or NotInstalled with its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    except OSError as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing said"]
        raise NotInstalled(f"{' '.join(command[:3])}: {said[-1]}")
    return done.stdout


def debian(*packages: str) -> None:
    """Has these packages of Debian (or Ubuntu) installed; root installs them, others are told to."""
    missing = [package for package in packages if not debian_version(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise NotInstalled(f"apt-get install {' '.join(missing)}")
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    try:
        run(install, env=quietly)
    except NotInstalled:
        run(["apt-get", "update", "-qq"])
        run(install, env=quietly)


def debian_version(package: str) -> str:
    """The installed version, without Debian's revision; empty if it is not installed."""
    asked = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package]
    try:
        state, _, version = run(asked).partition(" ")
    except NotInstalled:
        return ""
    return version.split(":")[-1].split("-")[0].split("+")[0] if state == "installed" else ""


def python(driver: str, *arguments: str) -> Callable[[], list[str]]:
    """A driver in Python; suites.prepare has installed what it imports."""
    return lambda: [str(suites.PYTHON), str(HERE / "python" / driver), *arguments]


def pip_version(package: str) -> Callable[[], str]:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return lambda: run([str(suites.PYTHON), "-c", code]).strip()


def rust(client: str) -> Callable[[], list[str]]:
    return lambda: [str(suites.build("interop-rust") / "interop-rust"), client]


def cargo_version(package: str) -> Callable[[], str]:
    def version() -> str:
        listed = json.loads(run(["cargo", "metadata", "--format-version=1"], cwd=ROOT))["packages"]
        return next(each["version"] for each in listed if each["name"] == package)

    return version


def node(client: str) -> Callable[[], list[str]]:
    """A driver in JavaScript, with what its package.json pins."""

    def prepare() -> list[str]:
        if not shutil.which("npm"):
            debian("nodejs", "npm")
        folder = HERE / "node"
        wanted = (folder / "package.json").read_text()
        stamp = folder / "node_modules" / "package.installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], cwd=folder)
            stamp.write_text(wanted)
        return ["node", str(folder / "driver.js"), client]

    return prepare


def npm_version(package: str) -> Callable[[], str]:
    return lambda: json.loads((HERE / "node/node_modules" / package / "package.json").read_text())["version"]


def java() -> list[str]:
    """RabbitMQ's own client, as Debian has it; any JDK from 17 on."""
    debian("librabbitmq-client-java", "libslf4j-java")
    if not shutil.which("javac"):
        debian("default-jdk-headless")
    jars = ":".join(f"/usr/share/java/{name}.jar" for name in ("amqp-client", "slf4j-api", "slf4j-nop"))
    sources = [str(source) for source in sorted((HERE / "java").glob("*.java"))]
    run(["javac", "-encoding", "UTF-8", "-d", str(BUILT / "java"), "-cp", jars, *sources])
    return ["java", "-Xmx1g", "-cp", f"{BUILT / 'java'}:{jars}", "Driver"]


def go() -> list[str]:
    """Built from Debian's sources of the client, without modules."""
    debian("golang-github-rabbitmq-amqp091-go-dev")
    if not shutil.which("go"):
        debian("golang-go")
    without_modules = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    built = BUILT / "go-driver"
    run(["go", "build", "-o", str(built), "."], cwd=HERE / "go", env=without_modules)
    return [str(built)]


def c() -> list[str]:
    debian("librabbitmq-dev")
    if not shutil.which("cc"):
        debian("gcc", "libc6-dev")
    BUILT.mkdir(parents=True, exist_ok=True)
    built = BUILT / "c-driver"
    sources = [str(HERE / "c" / name) for name in ("driver.c", "scenarios.c")]
    run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-O1", "-o", str(built), *sources, "-lrabbitmq"])
    return [str(built)]


def tools() -> list[str]:
    debian("amqp-tools")
    return ["bash", str(HERE / "amqp-tools" / "driver.sh")]


def ruby() -> list[str]:
    debian("ruby", "ruby-bunny")
    return ["ruby", str(HERE / "ruby" / "driver.rb")]


def php() -> list[str]:
    debian("php-cli", "php-amqplib")
    return ["php", "-d", "memory_limit=1G", str(HERE / "php" / "driver.php")]


CLIENTS = [
    Client("pika", "Python", python("driver.py", "pika"), pip_version("pika"), quick=True),
    Client("aio-pika", "Python", python("driver.py", "aio-pika"), pip_version("aio-pika"), quick=True),
    Client("py-amqp", "Python", python("driver.py", "py-amqp"), pip_version("amqp"), quick=True),
    Client("kombu", "Python", python("driver.py", "kombu"), pip_version("kombu"), quick=True),
    Client(
        "Celery", "Python", python("celery_driver.py"), pip_version("celery"), quick=True,
        features=tuple(CELERY_FEATURES),
    ),
    Client("lapin", "Rust", rust("lapin"), cargo_version("lapin"), quick=True),
    Client("amqprs", "Rust", rust("amqprs"), cargo_version("amqprs"), quick=True),
    *(
        Client(name, "Node", node(name), npm_version(name))
        for name in ("amqplib", "amqp-connection-manager", "@cloudamqp/amqp-client")
    ),
    Client("amqp-client", "Java", java, lambda: debian_version("librabbitmq-client-java")),
    Client("amqp091-go", "Go", go, lambda: debian_version("golang-github-rabbitmq-amqp091-go-dev")),
    Client("librabbitmq", "C", c, lambda: debian_version("librabbitmq-dev")),
    Client("amqp-tools", "shell", tools, lambda: debian_version("amqp-tools")),
    Client("bunny", "Ruby", ruby, lambda: debian_version("ruby-bunny")),
    Client("php-amqplib", "PHP", php, lambda: debian_version("php-amqplib")),
]  # fmt: skip
"""In the order in which they run and stand in the table."""
