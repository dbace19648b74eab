"""Damaged configurations, profiles, adapters and memories: each is loaded or refused in one line, whatever is in it.

The very functions by which `agent check` and `agent run` load them, in one process; nothing is started.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent.config.line import LineSection
from agent.config.loader import load_config
from agent.pipeline.detector_loading import equip
from agent.pipeline.line_loading import load_line
from fbclip.artefacts.adapter import save_adapter
from fbclip.artefacts.profile_file import save_profile
from fbclip.detector import Detector
from fbclip.errors import InspectError
from fbclip.memory.bank import save_memory
from tests.factories.lines import ENDLESS, a_profile
from tests.factories.models import tiny_adapter, tiny_detector, tiny_fusion, tiny_memory
from tests.faults.mutants import mutant

SECRET = "Tr0ub4dor&3xkcd"
# So much of it would be enough to guess the rest.
TELLING = 6
LONGEST_LINE = 4000
MOST_SECONDS = 5.0
MOST_GAIN_MB = 1500
CONFIG = f"""\
agent: {{name: demo, data_dir: var}}
model:
  backbone: embedded
  device: cpu
  batch: 8
mqtt:
  url: mqtts://operator:{SECRET}@broker.plant.example:8883
  password: {SECRET}
  backlog: {{rows: 1000, mb: 10, hours: 2.5}}
store:
  url: postgresql://agent:{SECRET}@db.plant.example/inspections
  retention: {{days: 30, ok_every: 10}}
web: {{listen: "127.0.0.1:8080", token_env: TOKEN}}
lines:
  - name: belt
    source: {{type: camera, url: "rtsp://viewer:{SECRET}@10.0.0.7/stream"}}
    profile: belt.yaml
    mode: shadow
  - name: dock
    source: {{type: folder, path: in, settle_s: 0.5, rescan_s: 10}}
    alert: {{on: [anomaly], open_after: 2}}
"""


@dataclass(frozen=True)
class Target:
    """`file` is damaged, `load` reads it with all that belongs to it."""

    file: Path
    load: Callable[[], object]


def fuzz(folder: Path, count: int, seed: int) -> str:
    """`count` mutants in all, of six kinds of files by turns."""
    random = Random(seed)
    folder.mkdir(parents=True)
    targets = _targets(folder)
    whole = {name: target.file.read_bytes() for name, target in targets.items()}
    outcomes: Counter[str] = Counter()
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for number in range(count):
        name = list(targets)[number % len(targets)]
        target = targets[name]
        target.file.write_bytes(mutant(random, whole[name]))
        # Of this process: another one that is busy must not count.
        began = time.process_time()
        outcomes[_outcome(f"{name} {number} of seed {seed}", target.load)] += 1
        slowest = max(slowest, time.process_time() - began)
        target.file.write_bytes(whole[name])
    gain = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert slowest < MOST_SECONDS and gain < MOST_GAIN_MB, f"{slowest:.1f} s, {gain} MB more"
    told = ", ".join(f"{many} {outcome}" for outcome, many in sorted(outcomes.items()))
    return f"{count} damaged files of {len(targets)} kinds: {told}; slowest {slowest:.2f} s, at most {gain} MB more"


def _targets(folder: Path) -> Mapping[str, Target]:
    config = folder / "agent.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    plain, other, memory = tiny_detector(), tiny_adapter(seed=9), tiny_memory()
    save_adapter(other, folder / "adapter")
    save_memory(memory, folder / "memory")
    save_profile(a_profile(plain), folder / "plain.yaml")
    remembering = plain.extended([], [memory])
    fused = {"memory": memory.id, "fusion": tiny_fusion()}
    save_profile(a_profile(remembering, **fused), folder / "fused.yaml")
    named = {"name": "belt", "source": ENDLESS, "mode": "shadow"}
    save_profile(a_profile(plain, adapter=other.id), folder / "tuned.yaml")
    tuned = LineSection(**named, profile=folder / "tuned.yaml", adapter=folder / "adapter")
    calibrated = LineSection(**named, profile=folder / "plain.yaml")
    kept = LineSection(**named, profile=folder / "fused.yaml", memory=folder / "memory")
    found = {
        "configuration": Target(config, lambda: load_config(config)),
        "profile": Target(folder / "plain.yaml", lambda: _load(plain, calibrated)),
        "adapter.json": Target(folder / "adapter" / "adapter.json", lambda: _load(plain, tuned)),
        "adapter.safetensors": Target(folder / "adapter" / "adapter.safetensors", lambda: _load(plain, tuned)),
        "memory.json": Target(folder / "memory" / "memory.json", lambda: _load(plain, kept)),
        "memory.safetensors": Target(folder / "memory" / "memory.safetensors", lambda: _load(plain, kept)),
    }
    for name, target in found.items():
        if name != "configuration":
            target.load()
    return found


def _load(detector: Detector, section: LineSection) -> object:
    return load_line(equip(detector, section), section)


def _outcome(what: str, load: Callable[[], object]) -> str:
    """How it ended; an error that is no line for the user breaks the promise."""
    try:
        load()
    except InspectError as error:
        text = str(error)
        assert text and len(text.splitlines()) == 1, f"{what}: not one line: {text[:500]!r}"
        assert len(text) < LONGEST_LINE, f"{what}: {len(text)} characters: {text[:500]!r}"
        pieces = (SECRET[at : at + TELLING] for at in range(len(SECRET) - TELLING + 1))
        assert not any(piece in text for piece in pieces), f"{what}: tells the secret: {text!r}"
        return "refused"
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of a line for the user: {error}") from error
    return "loaded"
