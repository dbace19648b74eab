"""What an evaluation is asked for, and what is checked before it scores anything.

What was measured on images that a model or a threshold was fitted to says nothing; such data are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from calibrate.datasets.leakage import check_unseen
from calibrate.datasets.line_data import select
from calibrate.datasets.sample import DataSet, Sample, data_sha256
from calibrate.datasets.sizes import measure
from calibrate.errors import DataError
from calibrate.evaluation.document import Definition
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.images.window import DEFAULT_WINDOW
from fbclip.memory.fusion import Fusion

ADVICE = "evaluate on other ones"
Part = Literal["test", "train", "all"]


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked for. With a profile the framing is the profile's, and `framing` must stay empty.

    part: None takes test where the set has splits, else everything; made_with: sha256 of the images that adapter or
    memory were made with; memory: id of one that the detector has, and fusion how it counts, the profile's where it
    has one; adapters: class -> id of its own one, of a method whose prompts name the class; both: exact numbers, and of
    the same predictions those by the paper's definition.
    """

    part: Part | None = None
    framing: Framing = field(default_factory=Framing)
    profile: LoadedProfile | None = None
    paper: bool = False
    skip_bad: bool = False
    made_with: Set[str] = frozenset()
    memory: str | None = None
    fusion: Fusion | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)
    both: bool = False

    @property
    def by_paper(self) -> bool:
        """Whether the paper's definition is asked for, alone or beside the exact one."""
        return self.paper or self.both

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """The first is the document's."""
        return ("exact", "paper") if self.both else ("paper",) if self.paper else ("exact",)

    def adapter_of(self, class_name: str, default: str) -> str:
        """The id of the adapter that judges a class."""
        return self.adapters.get(class_name, default)


def images_of(data: DataSet, part: Part | None) -> tuple[list[Sample], Part]:
    """(images of the part in order, which part it is); raises DataError for a part without any."""
    has_test = any(s.split == "test" for s in data.samples)
    chosen: Part = part or ("test" if has_test else "all")
    samples = [s for s in data.samples if chosen in {"all", s.split}]
    if not samples:
        what = "images" if chosen == "all" else f"images in the split {chosen}"
        raise DataError(f"{data.root}: no {what}; `calibrate data` shows what the set holds")
    return samples, chosen


def framing_of(detector: Detector, adapter: str, request: EvaluationRequest) -> Framing:
    """The profile's framing where there is one; raises ConfigError unless the profile belongs to what runs."""
    framing = request.framing
    if request.profile is not None:
        given = (framing.roi, framing.tiling, framing.mask)
        if any(part is not None for part in given) or framing.window != DEFAULT_WINDOW:
            options = "--roi, --tiles, --ignore-mask and --window"
            raise ConfigError(f"{options} come from the profile; leave them out with --profile")
        profile, sigma = request.profile.profile, detector.smoothing[adapter]
        wrong = mismatches(profile, detector.running(adapter, request.memory))
        if profile.smoothing != sigma:
            wrong.append(f"smoothing: the profile has {profile.smoothing}, the adapter {sigma}")
        if wrong:
            raise ConfigError(f"--profile: {'; '.join(wrong)}")
        framing = request.profile.framing
    if request.by_paper and request.fusion is not None:
        raise ConfigError("--paper: the released code knows no memory; leave --paper or --memory out")
    if request.by_paper and detector.running(adapter).method == "clipad":
        raise ConfigError("--paper: CLIP-AD's maps are sums of similarities, no probabilities; leave it out")
    if request.by_paper and framing.tiling is not None:
        raise ConfigError("--paper: the released code knows no tiles; leave --paper or the tiles out")
    return framing


def check_not_fitted(data: DataSet, samples: Sequence[Sample], request: EvaluationRequest) -> None:
    """Raises DataError when some of `samples`, a part of `data`, made adapter or memory or set the profile's threshold.

    A profile keeps one digest of all its images, so what it was set on is found only when it was made from this set,
    with the same units.
    """
    check_unseen(samples, {"the data of this adapter or memory": request.made_with}, ADVICE)
    if request.profile is None:
        return
    profile = request.profile.profile
    for used in _threshold_data(data, samples):
        if data_sha256(used) != profile.calibration.data_sha256:
            continue
        digests = {s.sha256 for s in used}
        count = sum(s.sha256 in digests for s in samples)
        if count:
            raise DataError(
                f"{data.root}: the threshold of profile {profile.id[:12]} was set on these images, {count} of "
                f"{len(samples)}; {ADVICE}"
            )


@dataclass(frozen=True)
class FileFaults:
    """images: unreadable ones, one line each; masks: path of the image -> what is wrong with its mask."""

    images: tuple[str, ...]
    masks: dict[Path, str]


def find_faults(samples: Sequence[Sample], root: Path) -> FileFaults:
    """Read every file's header once, so that a long run does not end at a file that could have been named at once."""
    images: list[str] = []
    masks: dict[Path, str] = {}
    # Of the slices of a volume the first stands for its file.
    for sample in {one.path: one for one in reversed(samples)}.values():
        measured = measure([sample], root)
        if not measured.sizes:
            images.append(measured.unreadable[0])
        elif measured.unreadable or measured.mask_sizes:
            masks[sample.path] = (*measured.unreadable, *measured.mask_sizes)[0]
    return FileFaults(tuple(images), masks)


def _threshold_data(data: DataSet, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """What a threshold made from this set may have used: see `line_data.select`; or just these samples."""
    yield samples
    yield [s for s in samples if s.label is False]
    for name in data.classes:
        if any(s.class_name == name and s.label is False for s in data.samples):
            for with_anomalous in (False, True):
                yield select(data, name, with_anomalous).samples
