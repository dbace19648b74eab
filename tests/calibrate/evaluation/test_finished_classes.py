"""An interrupted evaluation goes on: finished classes are not judged again, and nothing else passes for them."""

from dataclasses import replace

import pytest

from calibrate.datasets import read_data
from calibrate.evaluation.document import read_evaluation
from calibrate.evaluation.finished_classes import FinishedClasses, class_key, unfinished_folder
from calibrate.evaluation.run import EvaluationRun, run_evaluation
from calibrate.inference import View
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.images.framing import Framing
from fbclip.images.geometry import Roi
from tests.factories.evaluations import profile_for


class Interrupted(Exception):
    pass


def run(detector, root, out, profile, stop_after=None):
    """(the run, how many images were judged by the model); interrupted after so many."""
    judged = 0
    score = View.score

    def counted(self, samples, advance=lambda _: None):
        nonlocal judged
        for one in score(self, samples, advance):
            judged += 1
            if judged == stop_after:
                raise Interrupted
            yield one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(View, "score", counted)
        asked = EvaluationRun(read_data(root), out, lambda _: detector, profile=LoadedProfile(profile), worst=0)
        try:
            return run_evaluation(asked), judged
        except Interrupted:
            return None, judged


def test_the_same_run_goes_on_and_says_the_same(detector, root, tmp_path):
    profile = profile_for(detector)
    whole, judged = run(detector, root, tmp_path / "whole", profile)
    assert len(whole.classes) > 1
    assert not unfinished_folder(tmp_path / "whole").exists()

    out = tmp_path / "run"
    none, _ = run(detector, root, out, profile, stop_after=judged)
    assert none is None
    assert not out.exists()
    kept = list(unfinished_folder(out).iterdir())
    assert len(kept) == len(whole.classes) - 1

    again, rest = run(detector, root, out, profile)
    assert 0 < rest < judged
    assert not unfinished_folder(out).exists()
    plain = {"created", "command"}
    assert again.model_dump(exclude=plain) == whole.model_dump(exclude=plain)
    assert (out / "samples.csv").read_bytes() == (tmp_path / "whole" / "samples.csv").read_bytes()
    assert read_evaluation(out).classes == whole.classes


def test_what_differs_or_is_damaged_is_judged_again(detector, root, tmp_path):
    out, profile = tmp_path / "run", profile_for(detector)
    _, judged = run(detector, root, out, profile, stop_after=10**9)
    run(detector, root, out, profile, stop_after=judged)
    for path in unfinished_folder(out).iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    assert run(detector, root, out, profile)[1] == judged
    run(detector, root, out, profile, stop_after=judged)
    other = profile.model_copy(update={"threshold": profile.threshold + 1})
    assert run(detector, root, out, other)[1] == judged


def test_the_key_is_of_everything_that_counts(detector, root):
    samples = read_data(root).samples
    view = View(detector, detector.adapters[0])
    masked = next(s for s in samples if s.mask is not None)

    def key(samples=samples, view=view, profile=None, definitions=("exact",)):
        return class_key(samples, view, root, profile, definitions)

    keys = {
        key(),
        key(samples=samples[1:]),
        key(samples=[replace(s, unit="x") for s in samples]),
        key(samples=[replace(s, label=True) for s in samples]),
        key(samples=[replace(s, mask=None) for s in samples]),
        key(view=replace(view, framing=Framing(roi=Roi(x1=0, y1=0, x2=0.5, y2=1)))),
        key(profile="a"),
        key(definitions=("exact", "paper")),
    }
    assert len(keys) == 8
    assert key() == key()
    before = key()
    masked.mask.write_bytes(masked.mask.read_bytes() + b" ")
    assert key() != before


def test_only_its_own_files_are_deleted(tmp_path):
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    (folder / f"{'a' * 64}.json").write_text("{}")
    (folder / "mine.txt").write_text("kept")
    FinishedClasses(folder, tmp_path).clear()
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]
