"""Prepares and runs the interop suites against one broker: pika's (pytest) and lapin's (a binary).
What comes out is each case's outcome by name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from brokers import ROOT

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = [ROOT / "interop" / folder / "requirements.txt" for folder in ("python", "clients/python")]

PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"


def prepare(quiet: bool = False) -> None:
    """The virtual environment with what both requirements.txt pin, and the certificates."""
    stamp = VENV / "requirements.installed"
    wanted = "".join(each.read_text() for each in REQUIREMENTS)
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *(f"--requirement={each}" for each in REQUIREMENTS)], check=True)
        stamp.write_text(wanted)
    subprocess.run([str(ROOT / "certs" / "make.sh")], check=True, stdout=subprocess.DEVNULL if quiet else None)


def build(*packages: str, release: bool = False) -> Path:
    """Builds these packages; gives the folder of the binaries."""
    command = ["cargo", "build", "--quiet", *(f"--package={package}" for package in packages)]
    subprocess.run([*command, *(["--release"] if release else [])], check=True, cwd=ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / ("release" if release else "debug")


def run_pika(environment: dict[str, str], arguments: list[str], quiet: bool) -> dict[str, str]:
    """Runs the pika suite."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [str(PYTHON), "-m", "pytest", str(ROOT / "interop" / "python"), f"--junitxml={report}", *arguments]
        _run(command, environment, quiet)
        outcomes = {}
        if report.exists():
            for case in xml.parse(report).getroot().iter("testcase"):
                name = f"pika {case.get('classname', '').removeprefix('test_')}::{case.get('name')}"
                kinds = {child.tag for child in case}
                outcomes[name] = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
        return outcomes


def run_lapin(environment: dict[str, str], binary: Path, quiet: bool) -> dict[str, str]:
    """Runs the lapin suite."""
    outcomes = {}
    for line in _run([str(binary)], environment, quiet).splitlines():
        name, separator, outcome = line.partition(" ... ")
        if separator:
            kind = PASSED if outcome == "ok" else SKIPPED if outcome.startswith("skipped") else FAILED
            outcomes[f"lapin {name}"] = kind
    return outcomes


def _run(command: list[str], environment: dict[str, str], quiet: bool) -> str:
    """Runs a suite, showing what it prints unless it is to be quiet."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if not quiet:
            print(line, end="", flush=True)
    process.wait()
    return "".join(printed)
