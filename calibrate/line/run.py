"""`calibrate line` as one call: memory, threshold, evaluation, report; nothing is put in place before all are done."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.datasets.capture_order import CaptureOrder
from calibrate.datasets.line_data import LineData
from calibrate.datasets.sample import DataSet, Sample, data_sha256
from calibrate.evaluation.document import EvaluationDocument
from calibrate.evaluation.highest import draw_highest, write_highest
from calibrate.evaluation.run import EvaluationRun, run_evaluation
from calibrate.inference import Skips, View
from calibrate.line.plan import UnitPlan
from calibrate.memory.build import MemoryRequest, build_memory, default_tokens
from calibrate.memory.provenance import framing_record
from calibrate.memory.temporary import OpenDetector
from calibrate.profiles.placing import place_profile
from calibrate.report.page import render
from calibrate.report.reading import read_run
from calibrate.threshold.profile import ProfileResult, make_profile
from calibrate.threshold.request import ThresholdRequest
from calibrate.threshold.sees import PAINTED_MOST
from fbclip.artefacts.profile import IgnoreMask
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.errors import MemoryBankError
from fbclip.files import canonical_json, write_atomically
from fbclip.images.framing import Framing
from fbclip.memory.bank import load_memory, save_memory
from fbclip.memory.features import default_config

TIMED = 4
Report = Callable[[str, int, int], None]
"""(what is done, how much, of how much)."""


@dataclass(frozen=True, eq=False)
class LineJob:
    """What is to be done for one line, and where it goes.

    mask: the image of an ignore mask that is new to the line. out: folder of the run, the report and unfinished work;
    profile, memory: where agent.yaml names them, or in `out`.
    """

    line: str
    data: DataSet
    plan: UnitPlan
    open_detector: OpenDetector
    adapter: Path | None
    framing: Framing
    ignore_mask: IgnoreMask | None
    out: Path
    profile: Path
    memory: Path
    order: CaptureOrder
    unit_from: str | None = None
    best_effort: bool = False
    assume_independent: bool = False
    mask: Path | None = None
    notes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LineResult:
    """outliers: normal images that the memory left out; evaluation: None where no image was left for one.

    drawn: heat maps of the normal units that set the threshold.
    """

    result: ProfileResult
    outliers: tuple[str, ...]
    evaluation: EvaluationDocument | None
    report: Path | None
    drawn: tuple[Path, ...] = ()


def run_line(job: LineJob, skips: Skips, report: Report, note: Callable[[str], None]) -> LineResult:
    """Raises what the steps raise; the old profile and memory are then still in place."""
    work, outliers = _memory(job, skips, report, note)
    result = _threshold(job, work, skips, report)
    document, page = None, None
    if job.plan.evaluated:
        reference = None if result.picture is None else result.picture.as_compared
        document = _evaluate(job, work, LoadedProfile(result.profile, job.framing.mask, reference), report)
        page = job.out / "run" / "report.html"
        shown = replace(read_run(job.out / "run"), highest=draw_highest(result))
        write_atomically(page, render(shown).encode())
    put_in_place(job, work, result)
    return LineResult(result, outliers, document, page, tuple(write_highest(job.profile, result)))


def seconds(job: LineJob, detector: Detector) -> float:
    """About how long all of it takes, by a few images that are timed after one that is not."""
    view, some = View(detector, detector.adapters[0], job.framing), job.plan.threshold[: TIMED + 1]
    list(view.score(some[:1]))
    start = time.perf_counter()
    list(view.score(some[1:] or some))
    each = (time.perf_counter() - start) / max(1, len(some) - 1)
    # The scale's images are scored again and painted to choose the fusion; a memory takes about as long to ask as to
    # fill.
    images = len(job.plan.memory) + len(job.plan.threshold) + 4 * job.plan.shares.scale + PAINTED_MOST
    return each * 1.3 * (images + len(job.plan.evaluated))


def _memory(job: LineJob, skips: Skips, report: Report, note: Callable[[str], None]) -> tuple[Path, tuple[str, ...]]:
    """(folder of a memory of these very images by this very model, made unless it is there; its outliers)."""
    detector = job.open_detector(())
    model, samples = detector.backbone_config, job.plan.memory
    request = MemoryRequest(default_config(model), default_tokens(model), job.framing)
    work = job.out / f"memory-{_inputs(detector, samples, request)}"
    try:
        load_memory(work)
        note("the memory of these images is there already")
        report("memory", len(samples), len(samples))
        return work, ()
    except MemoryBankError:
        pass
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        report("memory", done, len(samples))

    built = build_memory(detector, samples, request, skips, advance)
    for old in job.out.glob("memory-*"):
        shutil.rmtree(old)
    save_memory(built.memory, work)
    for line in built.notes:
        note(line)
    return work, built.outliers


def _inputs(detector: Detector, samples: Sequence[Sample], request: MemoryRequest) -> str:
    network = detector.network(request.config.features)
    values = {
        "data": data_sha256(samples),
        "network": [network.name, network.sha256, detector.size, detector.precision, detector.running("").export],
        "config": request.config.model_dump(mode="json"),
        "tokens": request.tokens,
        "seed": request.seed,
        "framing": framing_record(request.framing),
    }
    return hashlib.sha256(canonical_json(values)).hexdigest()[:12]


def _threshold(job: LineJob, memory: Path, skips: Skips, report: Report) -> ProfileResult:
    detector = job.open_detector((memory,))
    anomalous = tuple(s for s in job.plan.evaluated if s.label)
    request = ThresholdRequest(
        line=job.line,
        data=LineData(job.plan.threshold, (), (), anomalous),
        target=job.plan.target,
        unit_from=job.unit_from,
        framing=job.framing,
        ignore_mask=job.ignore_mask,
        best_effort=job.best_effort,
        memory=next(iter(detector.memories)),
        order=job.order,
        assume_independent=job.assume_independent,
        profile_name=job.profile.stem,
    )
    total, done = len(job.plan.threshold) + len(anomalous) + PAINTED_MOST, 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        report("threshold", min(done, total), total)

    return make_profile(detector, detector.adapters[0], request, advance, skips)


def _evaluate(job: LineJob, memory: Path, profile: LoadedProfile, report: Report) -> EvaluationDocument:
    """On images that neither memory nor threshold has seen."""
    used, paths = profile.profile.memory is not None, {s.path for s in job.plan.evaluated}
    done, total = 0, len(job.plan.evaluated)

    def advance(more: int) -> None:
        nonlocal done
        done += more
        report("evaluation", done, total)

    run = EvaluationRun(
        data=replace(job.data, samples=tuple(s for s in job.data.samples if s.path in paths)),
        out=job.out / "run",
        open_detector=job.open_detector,
        adapter=job.adapter,
        memory=memory if used else None,
        part="all",
        profile=profile,
        skip_bad=True,
        command=job.command,
    )
    return run_evaluation(run, advance)


def put_in_place(job: LineJob, work: Path, result: ProfileResult) -> None:
    """Memory and profile where the agent finds them, the old profile as a version of its history.

    The memory first: a profile refuses one that it was not made with, so between the two no line judges wrongly.
    """
    if result.profile.memory is not None:
        _replace_folder(work, job.memory)
    place_profile(job.profile, result, job.mask)


def _replace_folder(source: Path, target: Path) -> None:
    """A copy of `source` in the place of `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = (target.with_name(f".{target.name}.{os.getpid()}.{word}") for word in ("new", "old"))
    shutil.copytree(source, new)
    try:
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
