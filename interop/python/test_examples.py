"""The programs in examples/ run to their end against the broker and say what they promise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_SECONDS = 120  # the first of the Rust ones may have to be built

EXPECTED = {
    "hello": "Hello, world!",
    "work_queue": "20 tasks done",
    "confirms": "order 5: returned (312 NO_ROUTE)",
    "retry": "after 3 pauses",
    "rpc": "111 squared is 12321",
    "idempotent": "3 passed over, balance 15 EUR",
}


def run(broker, command):
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "AMQP_URL": broker.amqp_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_known():
    python = {path.stem for path in (ROOT / "examples" / "pika").glob("*.py")}
    rust = {path.stem for path in (ROOT / "examples" / "lapin" / "src" / "bin").glob("*.rs")}
    assert python == rust == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_pika(broker, name):
    assert EXPECTED[name] in run(broker, [sys.executable, f"examples/pika/{name}.py"])


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo here")
@pytest.mark.parametrize("name", EXPECTED)
def test_lapin(broker, name):
    assert EXPECTED[name] in run(broker, ["cargo", "run", "--quiet", "--package", "lapin-examples", "--bin", name])
