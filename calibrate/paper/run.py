"""`calibrate paper` as one call: every row tuned where it learns, and evaluated on every set by both definitions.

Whatever an earlier call has finished is kept: adapters by what they were made of, evaluations by what they judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import DataSet, data_sha256
from calibrate.errors import DataError
from calibrate.evaluation.compare import Comparison, compare, read_compared
from calibrate.evaluation.document import EvaluationDocument, read_evaluation
from calibrate.evaluation.request import images_of
from calibrate.evaluation.run import EvaluationRun, check_out, run_evaluation
from calibrate.methods import MadeModel, open_made
from calibrate.paper.protocol import PaperRequest, PaperRow
from calibrate.paper.tuning import Report, tuned_adapter
from fbclip.artefacts.adapter import stored_id
from fbclip.detector import Detector, open_detector

Definitions = tuple[EvaluationDocument, EvaluationDocument]


@dataclass(frozen=True, eq=False)
class PaperSet:
    """One test set. rows: name -> one pair (exact, paper's definition) a seed; comparison: of the first seeds."""

    name: str
    rows: Mapping[str, Sequence[Definitions]]
    comparison: Comparison | None


def run_paper(request: PaperRequest, report: Report = lambda *_: None) -> list[PaperSet]:
    """All rows on all sets, in the order in which they were named. Raises what tuning and evaluation raise."""
    sets = {name: read_data(root) for name, root in request.test.items()}
    found: dict[str, dict[str, list[Definitions]]] = {name: {row.name: [] for row in request.rows} for name in sets}
    for row in request.rows:
        for seed in range(request.seeds if row.tuned else 1):
            adapter = tuned_adapter(request, row, seed, report) if row.tuned else row.adapter
            for name, data in sets.items():
                what = f"{row.name}, seed {seed}, on {name}"
                exact, paper = (_evaluated(request, row, adapter, seed, name, data, p, what, report) for p in (0, 1))
                found[name][row.name].append((exact, paper))
    return [PaperSet(name, rows, _comparison(request, name)) for name, rows in found.items()]


def _folder(request: PaperRequest, name: str, row: PaperRow, seed: int, paper: int) -> Path:
    return request.out / "runs" / name / f"{row.name}-s{seed}{'-paper' if paper else ''}"


def _evaluated(
    request: PaperRequest,
    row: PaperRow,
    adapter: Path | None,
    seed: int,
    name: str,
    data: DataSet,
    paper: int,
    what: str,
    report: Report,
) -> EvaluationDocument:
    out = _folder(request, name, row, seed, paper)
    products = data.classes if not row.tuned and adapter is None else ()
    chosen, _ = images_of(data, None)
    known = _earlier(out, data_sha256(chosen), None if adapter is None else stored_id(adapter), row.method)
    if known is not None:
        return known
    check_out(out, data.root)
    run = EvaluationRun(
        data=data,
        out=out,
        open_detector=_opener(request, row, adapter, products),
        products=products,
        adapter=adapter,
        paper=bool(paper) and _has_probabilities(row),
        skip_bad=request.skip_bad,
        worst=0 if paper else 4,
        command=("calibrate", "paper"),
    )
    done, total = 0, sum(s.label is not None for s in chosen)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(what, done, total)

    return run_evaluation(run, advance)


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
    folders = [_folder(request, name, row, 0, 0) for row in request.rows]
    return compare([read_compared(folder) for folder in folders]) if len(folders) > 1 else None
