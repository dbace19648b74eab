"""`calibrate paper` as one call: every row tuned where it learns, and evaluated on every set by both definitions.

Whatever an earlier call has finished is kept: adapters by what they were made of, evaluations by what they judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import DataSet, data_sha256
from calibrate.errors import DataError
from calibrate.evaluation.compare import Comparison, compare, read_compared
from calibrate.evaluation.document import EvaluationDocument, read_evaluation
from calibrate.evaluation.request import images_of
from calibrate.evaluation.run import EvaluationRun, check_out, share_evaluation
from calibrate.methods import MadeModel, open_made
from calibrate.paper.protocol import PaperRequest, PaperRow
from calibrate.paper.tuning import Report, tuned_adapter
from calibrate.processes import ALONE, ProcessGroup
from fbclip.artefacts.adapter import stored_id
from fbclip.detector import Detector, open_detector
from fbclip.errors import WeightsError

Definitions = tuple[EvaluationDocument, EvaluationDocument]


@dataclass(frozen=True, eq=False)
class PaperSet:
    """One test set. rows: name -> one pair (exact, paper's definition) a seed; comparison: of the first seeds."""

    name: str
    rows: Mapping[str, Sequence[Definitions]]
    comparison: Comparison | None


def run_paper(
    request: PaperRequest,
    report: Report = lambda *_: None,
    processes: ProcessGroup = ALONE,
    notify: Callable[[str], None] = lambda _: None,
) -> list[PaperSet]:
    """All rows on all sets, in the order in which they were named. Raises what tuning and evaluation raise.

    A row that the backbone cannot run ends the run before anything is tuned; one that was only implied is left out, of
    which `notify` hears.

    Several processes share each step and the images of each set; only the first has the sets in the end.
    """
    sets = {name: read_data(root) for name, root in request.test.items()}
    request = replace(request, rows=[row for row in request.rows if _runs(request, row, sets, notify)])
    found: dict[str, dict[str, list[Definitions]]] = {name: {row.name: [] for row in request.rows} for name in sets}
    for row in request.rows:
        for seed in range(request.seeds if row.tuned else 1):
            adapter = tuned_adapter(request, row, seed, report, processes) if row.tuned else row.adapter
            for name, data in sets.items():
                both = _evaluated(request, row, adapter, seed, name, data, report, processes)
                if both is not None:
                    found[name][row.name].append(both)
    if not processes.first:
        return []
    return [PaperSet(name, rows, _comparison(request, name)) for name, rows in found.items()]


def _runs(request: PaperRequest, row: PaperRow, sets: Mapping[str, DataSet], notify: Callable[[str], None]) -> bool:
    """Whether a method that is made on the spot can be made for this backbone."""
    if row.tuned or row.adapter is not None:
        return True
    try:
        _opener(request, row, None, next(iter(sets.values())).classes[:1])(())
    except WeightsError as error:
        if not row.implied:
            raise WeightsError(f"{row.name}: {error}") from error
        notify(f"{row.name} is left out: {error}")
        return False
    return True


def _folder(request: PaperRequest, name: str, row: PaperRow, seed: int) -> Path:
    return request.out / "runs" / name / f"{row.name}-s{seed}"


def _evaluated(
    request: PaperRequest,
    row: PaperRow,
    adapter: Path | None,
    seed: int,
    name: str,
    data: DataSet,
    report: Report,
    processes: ProcessGroup,
) -> Definitions | None:
    """By both definitions, of one look at every image; of the first process."""
    out = _folder(request, name, row, seed)
    by_paper = out.with_name(f"{out.name}-paper") if _has_probabilities(row) else None
    products = data.classes if not row.tuned and adapter is None else ()
    chosen, _ = images_of(data, None)
    known: Definitions | None = None
    if processes.first:
        made = data_sha256(chosen), None if adapter is None else stored_id(adapter), row.method
        exact, paper = _earlier(out, *made), None if by_paper is None else _earlier(by_paper, *made)
        if exact is not None and (by_paper is None or paper is not None):
            known = exact, paper or exact
    if processes.agreed(known is not None):
        return known
    check_out(out, data.root)
    run = EvaluationRun(
        data=data,
        out=out,
        open_detector=_opener(request, row, adapter, products),
        products=products,
        adapter=adapter,
        skip_bad=request.skip_bad,
        worst=4,
        command=("calibrate", "paper"),
        paper_out=by_paper,
    )
    done, total = 0, sum(s.label is not None for s in chosen)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(f"{row.name}, seed {seed}, on {name}", done, total)

    document = share_evaluation(run, advance, processes)
    if document is None:
        return None
    return document, document if by_paper is None else read_evaluation(by_paper)


def _has_probabilities(row: PaperRow) -> bool:
    """CLIP-AD's map is a sum of similarities, and FAPrompt's is too smooth: the exact definition stands for both."""
    return row.method not in {"clipad", "faprompt"}


def _opener(
    request: PaperRequest, row: PaperRow, adapter: Path | None, products: Sequence[str]
) -> Callable[[Sequence[Path]], Detector]:
    if adapter is not None:
        return partial(open_detector, request.backbone, request.weights, (adapter,), request.device, "float32")
    made = MadeModel(request.backbone, request.weights, request.device, "float32")
    return partial(open_made, made, row.method, products)


def _earlier(out: Path, data: str, adapter: str | None, method: str) -> EvaluationDocument | None:
    """What an earlier call found on the same images, by the same adapter or a method that needs none."""
    try:
        found = read_evaluation(out)
    except DataError:
        return None
    same = found.data.data_sha256 == data and found.model.method == method
    return found if same and adapter in {None, found.model.adapter} else None


def _comparison(request: PaperRequest, name: str) -> Comparison | None:
    folders = [_folder(request, name, row, 0) for row in request.rows]
    return compare([read_compared(folder) for folder in folders]) if len(folders) > 1 else None
