"""Several processes by real torchrun: the parameters, numbers and files of one; one line where one of them fails."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.errors import DataError
from calibrate.evaluation.document import read_evaluation
from calibrate.processes import ALONE, ProcessGroup, joined, parted, processes
from fbclip.artefacts.adapter import load_adapter
from fbclip.errors import ConfigError
from tests.factories.peers import NAME, tiny_clip
from tests.factories.tuning import write_mvtec

ROOT = Path(__file__).parents[2]
# The tiny CLIP has to be known in every process before `calibrate` is asked.
DRIVER = """
import sys
from pathlib import Path
from calibrate.cli import main
from tests.factories.peers import tiny_clip
tiny_clip(Path(sys.argv.pop(1)))
if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of 5 and 3 images each of normal and anomalous ones: no number that two divides."""
    root = tmp_path_factory.mktemp("data") / "set"
    write_mvtec(root / "bolt", 5)
    write_mvtec(root / "nut", 3, first=50)
    return root


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, ("--backbone", NAME, "--weights", str(tiny_clip(folder).path), "--device", "cpu")


def together(count, clip, *arguments, folder):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
    return driven(torchrun, clip, *arguments, folder=folder)


def alone(clip, *arguments, folder):
    """A process of its own as well: threads of another number round otherwise, and other tests have set theirs here."""
    answer = driven((), clip, *arguments, folder=folder)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def driven(start, clip, *arguments, folder):
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *start, str(driver), str(clip[0]), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def largest_difference(one, other):
    a, b = (load_adapter(folder).all_tensors() for folder in (one, other))
    return max(float((value - b[name]).abs().max()) for name, value in a.items())


def test_two_processes_are_as_one(data, clip, tmp_path):
    other = data.with_name("other")
    write_mvtec(other / "bolt", 5, first=300)
    write_mvtec(other / "nut", 3, first=350)
    rows = [word for name in ("anomalyclip", "afclip", "faprompt", "winclip") for word in ("--method", name)]
    sets = ("--train", f"one={data}", "--test", f"two={other}")
    asked = ("paper", *sets, *clip[1], "--epochs", 2, "--size", 104, *rows)
    said = alone(clip, *asked, "--out", tmp_path / "one", folder=tmp_path)
    answer = together(2, clip, *asked, "--out", tmp_path / "two", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == said.strip()
    for method in ("fb-clip", "anomalyclip", "afclip", "faprompt"):
        one, two = (tmp_path / run / "adapters" / f"{method}-s0" for run in ("one", "two"))
        assert load_adapter(two).manifest.method_name == method
        assert largest_difference(one, two) < 1e-5, method
    for folder in (tmp_path / "one" / "runs" / "two").iterdir():
        a, b = (read_evaluation(tmp_path / run / "runs" / "two" / folder.name) for run in ("one", "two"))
        assert set(a.classes) == {"bolt", "nut"}
        assert a.classes == b.classes and a.curves == b.curves
    assert not list((tmp_path / "two").rglob("*.features"))


def test_tuning_stops_and_compares_alike(data, clip, tmp_path):
    small = tmp_path / "small.yaml"
    small.write_text("image_size: 104\n")
    asked = ("tune", data, "--split", "test", *clip[1], "--method", small, "--epochs", 2, "--json")
    alone(clip, *asked, "--out", tmp_path / "base", "--from-scratch", "--seed", 1, folder=tmp_path)
    asked = (*asked, "--from", tmp_path / "base", "--keep")
    one = json.loads(alone(clip, *asked, "--out", tmp_path / "a", folder=tmp_path))
    answer = together(2, clip, *asked, "--out", tmp_path / "b", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    two = json.loads(answer.stdout)
    assert {k: v for k, v in two.items() if k not in {"out", "tuned", "adapter"}} == {
        k: v for k, v in one.items() if k not in {"out", "tuned", "adapter"}
    }
    assert largest_difference(tmp_path / "a", tmp_path / "b") < 1e-5
    assert not (tmp_path / "b.work").exists()


def by_torchrun(script, folder, timeout):
    """A small script in two processes, which do without a model."""
    path = folder / "script.py"
    path.write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)


def test_where_one_fails_all_end_with_one_line(tmp_path):
    answer = by_torchrun(
        "import typer\n"
        "from calibrate.errors import DataError\n"
        "from calibrate.processes import processes\n"
        "from fbclip.command import guarded\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def run():\n"
        "    with processes() as group:\n"
        "        if group.rank == 1:\n"
        "            raise DataError('the disk is gone')\n"
        "        group.wait()\n"
        "guarded(app)()\n",
        tmp_path,
        timeout=100,
    )
    assert answer.returncode == 1
    assert [line for line in answer.stderr.splitlines() if line.startswith("error:")] == ["error: the disk is gone"]


def test_who_waits_too_long_ends(tmp_path):
    answer = by_torchrun(
        "import sys, threading\n"
        "from datetime import timedelta\n"
        "from calibrate.errors import CalibrateError\n"
        "from calibrate.processes import processes\n"
        "try:\n"
        "    with processes(timedelta(seconds=3)) as group:\n"
        "        if group.rank == 1:\n"
        "            threading.Event().wait(600)\n"
        "        group.wait()\n"
        "except CalibrateError as error:\n"
        "    sys.exit(f'error: {error}')\n",
        tmp_path,
        timeout=100,
    )
    assert answer.returncode == 1
    assert "error: process 1 of 2 lost the others, or waited longer than they may take" in answer.stderr


def test_shares_are_in_order_and_complete():
    for count in (1, 2, 3, 5):
        for total in range(12):
            shares = [ProcessGroup(rank, count).share(total) for rank in range(count)]
            assert [i for share in shares for i in share] == list(range(total))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_alone_sends_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    rows = torch.arange(6.0).reshape(3, 2)
    with processes(timedelta(seconds=1)) as group:
        assert group is ALONE
        assert group.gather(rows, 3) is rows and group.sum(rows) is rows
        assert group.collect(b"a") == [b"a"] and group.agreed(False) is False
        assert group.device("cuda:1") == "cuda:1"
    parts = [b"", b"ab", b"\0" * 9]
    assert parted(joined(parts)) == parts


def test_each_process_has_a_device_of_its_own():
    second = ProcessGroup(1, 2, 1)
    assert second.device("auto", gpus=2) == second.device("cuda", gpus=4) == "cuda:1"
    assert second.device("auto", gpus=0) == second.device("cpu", gpus=2) == "cpu"
    for asked, gpus, says in (("cuda:0", 2, "is one for 2 processes"), ("auto", 1, "2 processes and 1 GPUs")):
        with pytest.raises(ConfigError, match=says):
            second.device(asked, gpus=gpus)


def test_what_cannot_be_shared_is_refused(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(app, ["data", "."])
    assert isinstance(answer.exception, ConfigError)
    assert str(answer.exception) == "torchrun: several processes can share tune, evaluate, paper, not data"


def test_a_fault_of_one_alone_is_raised_as_it_is(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(DataError, match="no folder"), processes():
        raise DataError("no folder")
