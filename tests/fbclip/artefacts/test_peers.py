"""Adapters of the compared methods: made, imported, stored, opened, and refused where they do not fit."""

import pytest
import torch

from fbclip.artefacts.adapter import Adapter, load_adapter, save_adapter
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.peers import fixed_adapter, imported_peer, with_references
from fbclip.backbone.weights import open_backbone
from fbclip.detector import Detector, Job
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import AdapterError, ConfigError
from tests.factories.models import tiny_profile
from tests.factories.peers import (
    af_checkpoint,
    anomaly_checkpoint,
    fa_checkpoint,
    linear_checkpoint,
    tiny_clip,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def detector_of(clip, *adapters: Adapter) -> Detector:
    backbone, digest = open_backbone(clip, adapters[0].manifest.image_size)
    return Detector(TorchEngine(backbone, digest, adapters, torch.device("cpu")))


def predictions(detector: Detector, adapter: Adapter, count: int = 2):
    torch.manual_seed(0)
    sigma = adapter.manifest.smoothing_sigma
    return detector.infer(
        [Job(torch.randn(1, 3, detector.size, detector.size), adapter.id, sigma) for _ in range(count)]
    )


@pytest.mark.parametrize("name", ["vanilla", "clipad", "winclip", "anomalyclip", "afclip", "faprompt", "clipad+"])
def test_each_method_judges_by_a_stored_adapter(clip, tmp_path, name):
    makers = {"anomalyclip": anomaly_checkpoint, "faprompt": fa_checkpoint, "clipad+": linear_checkpoint}
    if name == "afclip":
        made = imported_peer(af_checkpoint(tmp_path), clip)
    elif name in makers:
        made = imported_peer(makers[name](tmp_path / "c.pth"), clip, "screw" if name == "clipad+" else None)
    else:
        made = fixed_adapter(clip, name, "screw")
    assert made is not None
    assert made.manifest.method_name == name.rstrip("+")
    save_adapter(made, tmp_path / "a")
    loaded = load_adapter(tmp_path / "a")
    assert loaded.id == made.id
    detector = detector_of(clip, loaded)
    first, second = predictions(detector, loaded)
    assert first.map.shape == (detector.size, detector.size)
    assert abs(first.margin - second.margin) > 1e-6
    assert first.map.std() > 0
    # A row does not depend on its neighbours.
    alone = predictions(detector, loaded, count=1)[0]
    assert alone.margin == pytest.approx(first.margin, rel=1e-4, abs=1e-4)


def test_a_method_is_part_of_what_a_profile_and_an_adapter_are(clip):
    one, other = fixed_adapter(clip, "winclip", "screw"), fixed_adapter(clip, "winclip", "nut")
    assert one.id != other.id
    running = detector_of(clip, one).running(one.id)
    assert running.method == "winclip"
    old = tiny_profile(size=104, adapter=one.id, backbone=running.backbone, backbone_sha256=running.backbone_sha256)
    assert old.method == "fb-clip"
    assert mismatches(old, running) == ["method: the profile was measured with fb-clip, running is winclip"]
    assert mismatches(old.model_copy(update={"method": "winclip"}), running) == []


def test_a_profile_that_names_no_method_keeps_its_id():
    assert tiny_profile().id == tiny_profile(method="fb-clip").id != tiny_profile(method="winclip").id


@pytest.mark.parametrize("name", ["winclip", "afclip"])
def test_normal_images_make_the_few_shot_form(clip, tmp_path, name):
    zero = fixed_adapter(clip, name, "x") if name == "winclip" else imported_peer(af_checkpoint(tmp_path), clip)
    assert zero is not None
    backbone, _ = open_backbone(clip, zero.manifest.image_size)
    torch.manual_seed(0)
    images = torch.randn(2, 3, backbone.image_size, backbone.image_size)
    few = with_references(zero, backbone, images, ["b", "a"])
    assert few.id != zero.id
    assert few.manifest.provenance["pictures"] == ["a", "b"]
    save_adapter(few, tmp_path / "few")
    detector = detector_of(clip, load_adapter(tmp_path / "few"), zero)
    sigma = zero.manifest.smoothing_sigma
    known, unknown = detector.infer([Job(images[:1], few.id, sigma), Job(torch.randn_like(images[:1]), few.id, sigma)])
    alone = detector.infer([Job(images[:1], zero.id, sigma)])[0]
    # An image that is remembered is at no distance from the memory.
    assert known.map.mean() < alone.map.mean()
    assert known.map.max() < unknown.map.max()


def test_what_does_not_fit_is_one_line(clip, tmp_path):
    with pytest.raises(ConfigError, match="say which with --product"):
        fixed_adapter(clip, "winclip", None)
    with pytest.raises(ConfigError, match="is none of fb-clip, vanilla"):
        fixed_adapter(clip, "padim", "screw")
    torch.save({"prompt_learner": {"ctx_pos": torch.zeros(1, 1, 12, 12)}}, tmp_path / "half.pth")
    with pytest.raises(AdapterError, match=r"half\.pth: checkpoint: missing \['ctx_neg'\]"):
        imported_peer(tmp_path / "half.pth", clip)
    vanilla = fixed_adapter(clip, "vanilla", "screw")
    with pytest.raises(ConfigError, match="vanilla has no few-shot form"):
        with_references(vanilla, open_backbone(clip, vanilla.manifest.image_size)[0], torch.zeros(0), [])
    with pytest.raises(AdapterError, match="of method vanilla, this takes one of fb-clip"):
        vanilla.head()


def test_a_pickled_module_is_never_opened(clip, tmp_path):
    class Payload:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "ran",))

    prompt = af_checkpoint(tmp_path)
    torch.save(Payload(), tmp_path / "visa_adaptor.pt")
    with pytest.raises(AdapterError, match=r"in a sandbox, load it and torch\.save its state_dict"):
        imported_peer(prompt, clip)
    assert not (tmp_path / "ran").exists()
