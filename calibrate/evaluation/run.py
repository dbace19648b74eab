"""`calibrate evaluate` as one call: open the model, evaluate, draw the worst images, write the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calibrate.datasets.leakage import detector_has_seen, tuned_on
from calibrate.datasets.sample import DataSet
from calibrate.evaluation.document import EvaluationDocument
from calibrate.evaluation.evaluate import evaluate
from calibrate.evaluation.finished_classes import FinishedClasses, unfinished_folder
from calibrate.evaluation.folder import check_free, write_run
from calibrate.evaluation.request import EvaluationRequest, Part
from calibrate.evaluation.worst import draw_worst, heat_limits
from calibrate.inference import Skips
from calibrate.memory.temporary import OpenDetector, open_with_memory
from calibrate.methods import adapters_by_class
from calibrate.processes import ALONE, ProcessGroup
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """A run as it is asked for.

    out: folder to write; open_detector: the model with the memories in these folders; products: the classes that its
    adapters are for, where it has one for each; adapter: its folder, None for the embedded one; memory: a memory's
    folder, or one of normal images, here or in the data set; worst: images to draw of each kind; command: as it was
    typed, without folders of this machine; paper_out: folder for the same by the paper's definition, beside `out`.
    """

    data: DataSet
    out: Path
    open_detector: OpenDetector
    products: Sequence[str] = ()
    adapter: Path | None = None
    memory: Path | None = None
    part: Part | None = None
    framing: Framing = field(default_factory=Framing)
    profile: LoadedProfile | None = None
    paper: bool = False
    skip_bad: bool = False
    worst: int = 8
    command: tuple[str, ...] = ()
    paper_out: Path | None = None


def run_evaluation(run: EvaluationRun, advance: Callable[[int], None] = lambda _: None) -> EvaluationDocument:
    """`share_evaluation` in one process."""
    found = share_evaluation(run, advance, ALONE)
    assert found is not None
    return found


def share_evaluation(
    run: EvaluationRun, advance: Callable[[int], None], processes: ProcessGroup
) -> EvaluationDocument | None:
    """Evaluate and write the folder, whole or not at all. `advance` hears how many more images are done.

    Of several processes the first one writes and has the document.

    Interrupted, the classes that were finished stay in `OUT.unfinished` and are not judged again by the same run.

    Whether `out` may be written is for `check_out` to say, before data are read. Raises what `open_with_memory`,
    `evaluate` and `write_run` raise.
    """
    made_with = frozenset() if run.adapter is None else tuned_on(run.adapter)
    if run.memory is None:
        detector, fusion = run.open_detector(()), None
    else:
        folder = _memory_folder(run.memory, run.data.root)
        detector, memory = open_with_memory(run.open_detector, folder, run.framing, run.profile, Skips(run.skip_bad))
        made_with, fusion = made_with | memory.seen, memory.fusion
    made_with |= detector_has_seen(detector)
    request = EvaluationRequest(
        part=run.part,
        framing=run.framing,
        profile=run.profile,
        paper=run.paper,
        skip_bad=run.skip_bad,
        made_with=made_with,
        memory=next(iter(detector.memories), None),
        fusion=fusion,
        adapters=adapters_by_class(detector, run.products),
        both=run.paper_out is not None,
    )
    finished = FinishedClasses(unfinished_folder(run.out), run.data.root)
    found = evaluate(detector, detector.adapters[0], run.data, request, advance, finished, processes)
    if found is None:
        return None
    limits = heat_limits(found)
    worst = list(draw_worst(found, run.worst, limits))
    rest = {"heat_limits": limits, "worst": tuple(image.about for image in worst), "command": run.command}
    document = found.document.model_copy(update=rest)
    if run.paper_out is not None and found.paper is not None:
        by_paper = found.paper.model_copy(update={"heat_limits": limits, "command": run.command})
        write_run(run.paper_out, by_paper, found.images, {})
    write_run(run.out, document, found.images, {image.about.file: image.jpeg for image in worst})
    finished.clear()
    return document


def check_out(out: Path, root: Path) -> None:
    """Raises ConfigError for a folder in the data set, DataError for one that holds something else than a run."""
    if out.resolve().is_relative_to(root.resolve()):
        # The next reading of the set would take the run's images for its own.
        raise ConfigError(f"--out {out}: lies in the data set {root}; name a folder outside")
    check_free(out)


def public_command(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line as it may be shown: of every absolute path only the last name, alone or after `=`."""
    public = []
    for word in argv:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        public.append(f"{name}{equals}{Path(value).name if Path(value).is_absolute() else value}")
    return tuple(public)


def _memory_folder(asked: Path, root: Path) -> Path:
    """`train/good` is how one thinks of the set's own normal images."""
    return root / asked if not asked.exists() and (root / asked).is_dir() else asked
