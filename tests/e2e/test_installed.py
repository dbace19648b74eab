"""Wheel and sdist as a user gets them: built, checked, installed without the checkout, run; upgraded, and undone."""

import json
import os
import shutil
import signal
import site
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.factories.brokers import free_port, wait_until

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = shutil.ignore_patterns(".git", ".venv", "var", "runs", "tests", "build", "dist", "*.egg-info", ".*_cache")
# What an installation may see of its surroundings: neither the checkout nor this run's settings.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL"))}
PATIENCE_S = 300


def run(*command: object, **options) -> subprocess.CompletedProcess[str]:
    options = {"env": PLAIN, **options}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """sdist, and the wheel that is built from it."""
    source = tmp_path_factory.mktemp("build") / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SHIPPED)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source.parent / "dist", source)
    return source.parent / "dist"


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("*.whl")
    return found


def test_wheel_and_sdist_hold_what_a_user_needs(dist, wheel):
    (sdist,) = dist.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    samples = {p.relative_to(ROOT / "deploy").as_posix(): p.stat().st_size
               for p in (ROOT / "deploy" / "samples").rglob("*") if p.is_file()}  # fmt: skip
    wanted = {f"agent/{name}": size for name, size in samples.items()}
    for name in ("agent/template/agent.yaml", "agent/web/static/page.js", "fbclip/py.typed"):
        wanted[name] = (ROOT / name).stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        assert wanted.items() <= {info.filename: info.file_size for info in archive.infolist()}.items()
        assert not [name for name in archive.namelist() if name.startswith(("tests/", "deploy/"))]
    with tarfile.open(sdist) as archive:
        # Real files: a link would lead nowhere on another machine.
        sizes = {member.name.partition("/")[2]: member.size for member in archive.getmembers() if member.isreg()}
    assert wanted.items() <= sizes.items()


def test_an_installed_wheel_inspects_without_the_checkout(wheel, tmp_path):
    home = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    run(sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    # Its dependencies are those of this environment, without the checkout that is installed there.
    (packages,) = home.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    agent = home / "bin" / "agent"
    folder = tmp_path / "site"
    folder.mkdir()
    told = run(agent, "init", "--samples", cwd=folder).stdout
    assert "agent.yaml: written" in told
    config = folder / "agent.yaml"
    text = config.read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:1883", f"127.0.0.1:{free_port()}").replace(":8088", f":{free_port()}")
    config.write_text(text, encoding="utf-8")
    log = (folder / "log").open("wb")
    process = subprocess.Popen([agent, "run"], cwd=folder, stdout=log, stderr=log, env=PLAIN)
    try:
        done = folder / "inbox.done"
        wait_until(
            lambda: process.poll() is not None or (done.is_dir() and len(list(done.iterdir())) == 10), PATIENCE_S
        )
        assert process.poll() is None, (folder / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        log.close()
    verdicts = json.loads(run(agent, "status", "--json", cwd=folder).stdout)["lines"]
    inbox = verdicts["inbox"]
    assert (inbox["ok"] + inbox["uncertain"], inbox["anomaly"], inbox["rejected"]) == (6, 4, 0)
    assert sum(verdicts["belt"].values()) > 0


SYSTEMCTL = """#!/bin/sh
# Starts what starts, and nothing else: the second release changes the tables and then fails.
echo "$@" >> "$LOG"
case "$*" in
  "start fbclip-agent")
    grep -c "start fbclip-agent" "$LOG" | grep -qx "$FAILS" || exit 0
    "$DATABASE_OF_TOMORROW"; exit 1 ;;
esac
"""


def test_an_upgrade_that_fails_is_undone_with_the_database_it_changed(wheel, tmp_path):
    prefix, tools = tmp_path / "root", tmp_path / "tools"
    tools.mkdir()
    database = prefix / "var" / "lib" / "fbclip" / "agent.db"
    (tools / "systemctl").write_text(SYSTEMCTL, encoding="utf-8")
    (tools / "tomorrow").write_text(
        f"#!{sys.executable}\nimport sqlite3\nc = sqlite3.connect({str(database)!r})\n"
        "c.execute(\"UPDATE meta SET value = '9999' WHERE key = 'schema_version'\")\nc.commit()\n",
        encoding="utf-8",
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    log = tools / "log"
    environment = PLAIN | {
        "PREFIX": str(prefix), "PATH": f"{tools}:{PLAIN['PATH']}", "LOG": str(log), "FAILS": "1",
        "DATABASE_OF_TOMORROW": str(tools / "tomorrow"), "PYTHON": sys.executable,
        # The dependencies are there; only our own package is installed.
        "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_IGNORE_INSTALLED": "1",
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
    }  # fmt: skip

    def install() -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "deploy" / "install.sh"), str(wheel)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    first = install()
    assert first.returncode == 0, first.stderr
    current = prefix / "opt" / "fbclip" / "current"
    release = current.resolve()
    config = prefix / "etc" / "fbclip" / "agent.yaml"
    assert str(database.parent) in config.read_text(encoding="utf-8")
    unit = (prefix / "etc" / "systemd" / "system" / "fbclip-agent.service").read_text(encoding="utf-8")
    assert f"ExecStart={current}/bin/agent run -c {config}" in unit
    make_store(database)
    before = rows(database)

    second = install()
    assert second.returncode == 1
    assert "the upgrade failed and is undone" in second.stderr
    assert current.resolve() == release
    assert "putting" in second.stdout
    assert rows(database) == before
    assert len(list(release.parent.iterdir())) == 1
    assert log.read_text().split("\n")[-5:] == ["stop fbclip-agent", "start fbclip-agent", "stop fbclip-agent",
                                               "start fbclip-agent", ""]  # fmt: skip


def make_store(path: Path) -> None:
    from agent.store.access import open_writer
    from agent.store.writer import Writer

    database = open_writer(f"sqlite:///{path}")
    Writer(database).start_run("run-1", lambda _: None)
    database.close()


def rows(path: Path) -> list:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT run, started FROM runs").fetchall()
    finally:
        connection.close()
