"""What the page asks of the running agent, answered from its parts. Any thread may ask, and nothing is changed."""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from agent.config.line import LineSection
from agent.config.sections import Config
from agent.errors import StoreError
from agent.health import HealthProbe
from agent.lineup import Lineup
from agent.pipeline.judged import Judged
from agent.pipeline.kept_frames import KeptFrames
from agent.pipeline.shadow_tally import ShadowCounts, ShadowTally
from agent.store.ballast import disk_usage
from agent.store.reader import Reader
from agent.store.views import Views
from agent.web.cards import Card, card_of
from agent.web.system import DetectorUse, DiskUse, SystemView
from agent.web.utilisation import Utilisation

log = logging.getLogger(__name__)
MOST_CHOICES = 50
_HEAD_BYTES = 4096
_SHOWN_PACKAGES = (
    "fbclip-inspect",
    "torch",
    "opencv-python-headless",
    "sqlalchemy",
    "paho-mqtt",
    "starlette",
    "uvicorn",
)


@dataclass(frozen=True)
class RunningPlant:
    """`folder`: of agent.yaml, which no switch of a profile leaves. `can_roll_back` asks the steward."""

    config: Config
    folder: Path
    run: str
    lineup: Lineup
    probe: HealthProbe
    reader: Reader
    views: Views
    tally: ShadowTally
    utilisation: Utilisation
    frames: KeptFrames
    can_roll_back: Callable[[str], bool]

    def problems(self) -> Sequence[str]:
        return self.probe.problems()

    def ready(self) -> bool:
        return self.probe.ready()

    def card(self, line: str) -> Card | None:
        plan = self.lineup.plans.get(line)
        if plan is None:
            return None
        return card_of(
            self.lineup.lines.get(line),
            line,
            plan.section.mode.value,
            enabled=plan.enabled,
            counts=self.shadow(line),
            others=list(profile_choices(plan.section, self.folder)),
            can_roll_back=self.can_roll_back(line),
        )

    def shadow(self, line: str) -> ShadowCounts | None:
        running = self.lineup.lines.get(line)
        return None if running is None or running.shadow is None else self.tally.of(line)

    def shows_pictures(self, line: str) -> bool:
        plan = self.lineup.plans.get(line)
        return plan is not None and not plan.section.is_private

    def frame(self, inspection_id: int) -> Judged | None:
        return self.frames.find(inspection_id)

    def system(self) -> SystemView:
        snapshot, detector = self.probe.snapshot(), self.lineup.detector
        try:
            store = self.reader.status()
            audit = self.views.audit(limit=15)
        except StoreError as error:
            log.warning("the store cannot be read: %s", error)
            store, audit = None, ()
        return SystemView(
            run=self.run,
            store=store,
            broker=snapshot.broker_problem or "connected",
            broker_url=self.config.mqtt.url,
            disk=DiskUse(*disk_usage(self.config.agent.data_dir)),
            detector=DetectorUse(
                detector.backbone_config.name,
                str(detector.device),
                detector.precision,
                self.utilisation.share(),
                len(detector.adapters),
                len(detector.memories),
            ),
            versions=[("Python", platform.python_version()), *((name, version(name)) for name in _SHOWN_PACKAGES)],
            problems=self.probe.problems(),
            notes=snapshot.notes,
            audit=audit,
        )


def profile_choices(section: LineSection, folder: Path) -> Iterator[str]:
    """Profiles that a line may be switched to: those of its name beside its own, by their paths below `folder`.

    Only their first lines are looked at; whether one fits is found out when somebody switches to it.
    """
    if section.profile is None:
        return
    try:
        beside = sorted(section.profile.parent.glob("*.yaml"))[:MOST_CHOICES]
    except OSError:
        return
    known = [*beside, *([] if section.shadow_profile is None else [section.shadow_profile])]
    wanted = re.compile(rf"^line: ['\"]?{re.escape(section.name)}['\"]?\s*$", re.MULTILINE)
    for path in dict.fromkeys(known):
        if path == section.profile or not path.is_relative_to(folder):
            continue
        try:
            with path.open("rb") as stream:
                head = stream.read(_HEAD_BYTES).decode(errors="replace")
        except OSError:
            continue
        if wanted.search(head):
            yield str(path.relative_to(folder))
