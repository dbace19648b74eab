"""The systemd unit, what it may reach, and the shell scripts beside it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

import agent.cli

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "fbclip-agent.service"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
# What `systemd-analyze security` counts against a service: 0 is locked up, 10 wide open. Documented in the guide.
MOST_EXPOSED = 1.8

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_the_unit_is_valid(tmp_path):
    # Its program is not installed here.
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8")))
    done = analyze("verify", str(copy))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_as_locked_up_as_the_guide_says():
    done = analyze("security", "--offline=yes", "--no-pager", str(UNIT))
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found.group(1)) <= MOST_EXPOSED


def test_the_unit_reaches_cameras_and_gpu_and_hears_of_hangs():
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    for wanted in (
        "Type=notify", "WatchdogSec=60", "SupplementaryGroups=video", "DeviceAllow=char-video4linux rw",
        "DeviceAllow=char-nvidia* rw", "StateDirectory=fbclip",
    ):  # fmt: skip
        assert wanted in lines
    # Each of these would take the agent's own work away: kernels made at run time, cameras.
    assert not [line for line in lines if line.startswith(("MemoryDenyWriteExecute=", "PrivateDevices="))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash_that_parses(script):
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).returncode == 0
    shellcheck = shutil.which("shellcheck")
    if shellcheck is not None:
        done = subprocess.run([shellcheck, "-x", "-s", "bash", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_commands_in_scripts_and_unit_are_the_agents():
    commands = typer.main.get_command(agent.cli.app).commands
    text = "\n".join(path.read_text(encoding="utf-8") for path in (UNIT, *SCRIPTS))
    called = re.findall(r'/agent"? ([a-z]+)([^\n|;>]*)', text)
    assert {"run", "init", "backup", "restore", "status"} <= {name for name, _ in called}
    for name, rest in called:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= known, name


def test_camera_rules_name_the_pictures_device():
    rules = [line for line in (DEPLOY / "udev" / "70-fbclip-cameras.rules").read_text().splitlines()
             if line and not line.startswith("#")]  # fmt: skip
    assert len(rules) == 2
    for rule in rules:
        assert 'ATTR{index}=="0"' in rule
        assert re.search(r'SYMLINK\+="fbclip/[a-z0-9_-]+"', rule)


SMALL_TORCH = "-m pip install --quiet --index-url INDEX torch torchvision"
RECORDER = '#!/bin/sh\necho "$@" >> "$CALLS"\ncase "$*" in *--index-url*) exit "$INDEX_FAILS" ;; esac\n'


@pytest.mark.parametrize(
    ("settings", "code", "asked"),
    [
        ({}, 0, ["-m pip install --quiet x.whl"]),
        ({"CPU": "1"}, 0, [SMALL_TORCH, "-m pip install --quiet x.whl"]),
        ({"CPU": "1", "INDEX_FAILS": "1"}, 1, [SMALL_TORCH]),
        ({"CPU": "1", "WHEELHOUSE": "w"}, 0, ["-m pip install --quiet --no-index --find-links w x.whl"]),
    ],
)  # fmt: skip
def test_torch_without_cuda_comes_first_or_the_installation_ends(settings, code, asked, tmp_path):
    """What pip is asked for, in which order; there is no falling back to the large torch."""
    python, calls = tmp_path / "env" / "bin" / "python", tmp_path / "calls"
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER, encoding="utf-8")
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "CALLS": str(calls), "CPU_INDEX": "INDEX", "INDEX_FAILS": "0"} | settings
    script = f". {DEPLOY / 'environment.sh'}; install_into {tmp_path / 'env'} x.whl"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert calls.read_text(encoding="utf-8").splitlines() == asked
    assert ("no torch without CUDA from INDEX" in done.stderr) is (code == 1)


# `pip download` of the recorder leaves wheels as pip does, and what is asked of it in a file.
FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in *version_info*) exit 0 ;; esac
echo "$@" >> "$CALLS"
out=""; for word in "$@"; do [ "$last" = -d ] || [ "$last" = -w ] && out="$word"; last="$word"; done
case "$*" in
    *--index-url*) echo a > "$out/torch-2.9.0+cpu-cp311-x.whl"; echo a > "$out/torchvision-0.24.0+cpu-cp311-x.whl" ;;
    *" wheel "*) echo ours > "$out/fbclip_inspect-0.1.0-py3-none-any.whl" ;;
    *) echo a > "$out/numpy-2.0-x.whl" ;;
esac
"""


@pytest.mark.parametrize("cpu", [True, False])
def test_a_wheelhouse_holds_the_wanted_torch_and_can_be_checked(cpu, tmp_path):
    """What pip is asked for, and that the checks printed at the end pass there and fail for a changed wheel."""
    python, calls, house = tmp_path / "python", tmp_path / "calls", tmp_path / "wheels"
    python.write_text(FAKE_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "CALLS": str(calls), "CPU_INDEX": "INDEX"}
    environment |= {"CPU": "1"} if cpu else {}
    script = DEPLOY / "wheelhouse.sh"
    subprocess.run(["bash", script, house, "postgresql", "plc"], env=environment, check=True, capture_output=True)
    asked = calls.read_text(encoding="utf-8").splitlines()
    assert ("--index-url INDEX torch torchvision" in asked[0]) is cpu and len(asked) == 2 + cpu
    assert asked[-1].endswith(f"{house}/fbclip_inspect-0.1.0-py3-none-any.whl[postgresql,plc] setuptools")
    limits = house / "constraints.txt"
    assert (f"--constraint {limits}" in asked[-1]) is cpu is limits.exists()
    if cpu:
        assert limits.read_text(encoding="utf-8").split() == ["torch==2.9.0+cpu", "torchvision==0.24.0+cpu"]

    def check() -> int:
        command = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
        return subprocess.run(command, cwd=house, capture_output=True, check=False).returncode

    assert check() == 0
    (house / "numpy-2.0-x.whl").write_text("another", encoding="utf-8")
    assert check() == 1
