"""The seal: what breaks it, what does not, and what is promised then."""

from datetime import UTC, datetime

import pytest
import yaml

from fbclip.artefacts.profile import Guarantee, RecallGuarantee
from fbclip.artefacts.profile_file import load_profile, read_profile, save_profile
from fbclip.artefacts.seal import ProfileChange, Seal
from fbclip.errors import ProfileError
from tests.factories.models import tiny_profile


@pytest.fixture
def sealed(tmp_path):
    profile = tiny_profile()
    promised = {
        "guarantee": Guarantee(false_alarm_rate=0.01, confidence=0.95),
        "recall_guarantee": RecallGuarantee(recall=0.9, confidence=0.95),
        "reference": (0.5, 1.0, 2.25),
        "quantiles": {"0": 0.5, "1": 2.25},
    }
    calibration = profile.calibration.model_copy(update=promised)
    save_profile(profile.model_copy(update={"calibration": calibration, "threshold": 3.0}), tmp_path / "p.yaml")
    return tmp_path / "p.yaml"


def edit(path, **changes):
    data = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if v != "away"}))


def test_what_was_written_is_sealed_and_promises(sealed):
    loaded = load_profile(sealed)
    assert loaded.seal is Seal.SEALED
    assert loaded.promise == (
        "at most 1% of normal units alarm (95% sure); at least 90% of anomalous units alarm (95% sure)"
    )


@pytest.mark.parametrize("changes", [{"threshold": 100.0}, {"line": "dock"}, {"seal": "0" * 64}, {"seal": 7}])
def test_an_edited_profile_promises_nothing(sealed, changes):
    edit(sealed, **changes)
    loaded = load_profile(sealed)
    assert (loaded.seal, loaded.promise) == (Seal.EDITED, "none (edited)")
    c = loaded.profile.calibration
    assert (c.guarantee, c.recall_guarantee, c.interval, c.measured) == (None, None, None, None)
    # What the file states can still be looked at.
    assert read_profile(sealed).profile.calibration.guarantee is not None


def test_every_number_of_it_is_under_the_seal(sealed):
    data = yaml.safe_load(sealed.read_text())
    for target_rate in (0.2, 0.05):
        sealed.write_text(yaml.safe_dump({**data, "calibration": {**data["calibration"], "target": target_rate}}))
        assert load_profile(sealed).seal is Seal.EDITED
    sealed.write_text(yaml.safe_dump({**data, "calibration": {**data["calibration"], "reference": [0.5, 1.0]}}))
    assert load_profile(sealed).seal is Seal.EDITED


def test_comments_order_and_spelling_do_not_break_it(sealed):
    data = yaml.safe_load(sealed.read_text())
    text = "# checked by the night shift\n" + yaml.safe_dump(dict(reversed(data.items())), default_flow_style=False)
    text = text.replace("threshold: 3.0", "threshold: 3").replace("'2026-01-01T00:00:00Z'", "2026-01-01 00:00:00+00:00")
    assert text.count("threshold: 3\n") == 1
    sealed.write_text(text)
    assert load_profile(sealed).seal is Seal.SEALED


def test_a_profile_without_a_seal_loads_as_before_and_is_called_unsealed(sealed):
    before = load_profile(sealed).profile
    edit(sealed, seal="away")
    loaded = load_profile(sealed)
    assert loaded.profile == before
    assert loaded.profile.id == before.id
    assert loaded.seal is Seal.UNSEALED
    assert loaded.promise.endswith(" (unsealed)")


def test_who_changed_it_is_sealed_too_but_no_part_of_the_id(sealed):
    profile = load_profile(sealed).profile
    change = ProfileChange(at=datetime(2026, 2, 3, tzinfo=UTC), by="Ada", what="threshold", note=None, basis="sealed")
    save_profile(profile, sealed, change)
    assert load_profile(sealed).changed == change
    assert load_profile(sealed).profile.id == profile.id
    sealed.write_text(sealed.read_text().replace("Ada", "Bob"))
    assert load_profile(sealed).seal is Seal.EDITED
    # A seal that is put on later does not vouch for what was before it.
    save_profile(profile, sealed, change.model_copy(update={"basis": "unsealed"}))
    assert load_profile(sealed).seal is Seal.UNSEALED


def test_a_number_that_is_none_is_one_line(sealed):
    data = yaml.safe_load(sealed.read_text())
    data["calibration"]["quantiles"] = {"0": float("nan")}
    sealed.write_text(yaml.safe_dump(data))
    with pytest.raises(ProfileError, match="calibration: holds a number that is not finite"):
        load_profile(sealed)
    sealed.write_text(yaml.safe_dump({**data, "changed": {"by": ""}}))
    with pytest.raises(ProfileError, match=r"p\.yaml: "):
        load_profile(sealed)
