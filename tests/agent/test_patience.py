"""How long a detector is waited for."""

from dataclasses import replace

from agent.patience import PATIENCE_S, detector_patience_s, seconds_an_image
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.images.tiling import Tiling
from tests.factories.lines import a_line, a_profile


def test_patience_grows_with_batch_tiles_and_a_slow_machine(detector):
    tiled = LoadedProfile(a_profile(detector, tiling=Tiling(columns=4, rows=4, overlap=0.25)))
    line = a_line(detector)
    assert detector_patience_s(0.05, 8, [line]) == PATIENCE_S
    assert detector_patience_s(4.0, 8, [line]) == 320
    assert detector_patience_s(4.0, 8, [line, replace(line, loaded=tiled)]) == 16 * 320


def test_the_speed_is_measured_on_a_real_pass(detector):
    assert 0 < seconds_an_image(detector) < 5
