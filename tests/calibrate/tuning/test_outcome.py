"""tuning.json keeps its names, whatever the code calls them, and reads well."""

import json
from dataclasses import replace

from calibrate.tuning.comparison import AdapterComparison, Change
from calibrate.tuning.outcome import outcome_text, write_outcome
from tests.factories.tuning import labelled_samples, tuned


def test_the_document_has_its_stored_names_and_a_text(labelled, tmp_path):
    change = Change(before=0.7, after=0.8, difference=0.1, low=0.05, high=0.15)
    outcome = replace(
        tuned(labelled_samples(labelled), tmp_path / "work"), comparison=AdapterComparison("kept", 30, 40, change, None)
    )
    document = write_outcome(outcome, None, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert list(stored) == [
        *("schema", "adapter", "base", "tuned", "mode", "decision", "forced", "synthetic_evidence", "judge"),
        *("image_auroc", "pixel_auroc", "items", "epochs", "best_epoch"),
    ]
    assert stored["schema"] == "fbclip.tuning/1"
    assert stored["judge"] == {"good_units": 30, "defective_units": 40}
    assert stored["image_auroc"] == {"before": 0.7, "after": 0.8, "difference": 0.1, "low": 0.05, "high": 0.15}
    assert stored["pixel_auroc"] is None
    assert stored["items"] == {"tune": 10, "stop": 2, "judge": 4}
    assert [list(epoch) for epoch in stored["epochs"]] == 3 * [["train", "stop"]]
    assert document.values() == stored
    assert set(document.result()) == set(stored) - {"schema", "adapter", "base", "tuned"}
    text = outcome_text(document, tmp_path)
    assert "compared on 30 normal and 40 anomalous units" in text
    assert "image AUROC: 0.7000 -> 0.8000, difference +0.1000 (95 % interval +0.0500 to +0.1500)" in text
    assert "kept: the tuned adapter is better" in text
