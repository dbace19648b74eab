"""What a command changes of what operators changed before."""

from pathlib import Path

import pytest

from agent.config.line import LineSection
from agent.pipeline.lines import ManualThreshold
from agent.steering.commands import (
    CommandError,
    DisableCommand,
    EnableCommand,
    ProfileCommand,
    ReloadCommand,
    ThresholdCommand,
)
from agent.steering.decisions import Situation, decide
from agent.steering.overrides import LineOverride, Overrides, load_overrides, save_overrides
from fbclip.errors import ConfigError
from tests.factories.lines import ENDLESS


@pytest.fixture
def situation(tmp_path):
    belt = LineSection(name="belt", source=ENDLESS, profile=tmp_path / "p.yaml", mode="shadow")
    dock = LineSection(name="dock", source=ENDLESS, mode="learning")
    return Situation({"belt": belt, "dock": dock}, {"belt": "id-of-p"}, tmp_path)


def judged_by(overrides, situation, line="belt"):
    plan = overrides.plan(situation.sections[line])
    return plan.section.profile and plan.section.profile.name, plan.threshold and plan.threshold.value


def follow(situation, *commands) -> Overrides:
    overrides = Overrides()
    for command in commands:
        overrides = decide(command, overrides, situation)
    return overrides


def test_off_and_on(situation):
    off = follow(situation, DisableCommand(line="dock"))
    assert not off.plan(situation.sections["dock"]).enabled
    assert off.plan(situation.sections["belt"]).enabled
    assert decide(EnableCommand(line="dock"), off, situation).plan(situation.sections["dock"]).enabled


def test_profile_and_threshold_are_switched_and_rolled_back_step_by_step(situation):
    back = ProfileCommand(line="belt", rollback=True)
    overrides = follow(situation, ThresholdCommand(line="belt", threshold=2.5))
    assert judged_by(overrides, situation) == ("p.yaml", 2.5)
    assert overrides.of("belt").choice.threshold == ManualThreshold(value=2.5, profile_id="id-of-p")
    overrides = decide(ProfileCommand(line="belt", profile="new/q.yaml"), overrides, situation)
    # The threshold was for the other profile.
    assert judged_by(overrides, situation) == ("q.yaml", None)
    overrides = decide(back, overrides, situation)
    assert judged_by(overrides, situation) == ("p.yaml", 2.5)
    overrides = decide(back, overrides, situation)
    assert judged_by(overrides, situation) == ("p.yaml", None)
    with pytest.raises(CommandError, match="line belt: there is nothing to roll back to"):
        decide(back, overrides, situation)


def test_null_goes_back_to_the_threshold_of_the_profile_that_was_switched_to(situation):
    overrides = follow(
        situation,
        ProfileCommand(line="belt", profile="q.yaml"),
        ThresholdCommand(line="belt", threshold=9.0),
        ThresholdCommand(line="belt", threshold=None),
    )
    assert judged_by(overrides, situation) == ("q.yaml", None)


def test_a_choice_ends_when_the_configuration_names_another_profile(situation, tmp_path):
    overrides = follow(situation, ProfileCommand(line="belt", profile="q.yaml"))
    newer = situation.sections["belt"].model_copy(update={"profile": tmp_path / "r.yaml"})
    later = Situation({"belt": newer}, {"belt": "id-of-r"}, tmp_path)
    assert judged_by(overrides, later) == ("r.yaml", None)
    with pytest.raises(CommandError, match="nothing to roll back"):
        decide(ProfileCommand(line="belt", rollback=True), overrides, later)
    assert judged_by(decide(ThresholdCommand(line="belt", threshold=1.0), overrides, later), later) == ("r.yaml", 1.0)


@pytest.mark.parametrize("name", ["../q.yaml", "/etc/passwd", "a/../../q.yaml", "link/q.yaml"])
def test_no_command_reaches_a_file_outside_the_folder(situation, tmp_path, name):
    (tmp_path / "link").symlink_to(Path("/etc"))
    with pytest.raises(CommandError, match="must lie in the folder"):
        decide(ProfileCommand(line="belt", profile=name), Overrides(), situation)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (EnableCommand(line="moon"), "line moon: there is no such line"),
        (ThresholdCommand(line="dock", threshold=1.0), "line dock: runs without a profile"),
        (ReloadCommand(), "changes no line"),
    ],
)
def test_what_cannot_be_decided_is_refused(situation, command, says):
    with pytest.raises(CommandError, match=says):
        decide(command, Overrides(), situation)


def test_what_was_changed_survives_a_restart(situation, tmp_path):
    assert load_overrides(tmp_path) == Overrides()
    overrides = follow(situation, DisableCommand(line="dock"), ThresholdCommand(line="belt", threshold=2.5))
    save_overrides(overrides, tmp_path)
    assert load_overrides(tmp_path) == overrides


@pytest.mark.parametrize("text", ["{", '{"lines": {"belt": {"enabled": "maybe"}}}', '{"other": 1}'])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path, text):
    (tmp_path / "steering.json").write_text(text)
    with pytest.raises(ConfigError, match=r"steering\.json: cannot be read; remove it"):
        load_overrides(tmp_path)


def test_only_the_latest_choices_are_kept(situation):
    overrides = follow(situation, *(ThresholdCommand(line="belt", threshold=float(n)) for n in range(40)))
    assert len(overrides.of("belt").before) == 10
    assert LineOverride().before == ()
