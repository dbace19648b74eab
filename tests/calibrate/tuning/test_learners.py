"""Every method that learns: its step is that of the whole batch's losses, and its adapter judges as it learned to."""

import json

import pytest
import torch
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.tuning.learner import together
from calibrate.tuning.learners import LEARNS, learner_for
from calibrate.tuning.training import Recipe, StepBatch, TuningTrainer
from fbclip.artefacts.adapter import load_adapter
from fbclip.artefacts.profile_file import load_profile
from fbclip.backbone.weights import open_backbone
from fbclip.errors import ConfigError
from fbclip.method.defaults import method_for
from fbclip.method.text import load_text_tower
from fbclip.peers.config import FBCLIP, peer_config
from tests.factories.peers import NAME, tiny_clip
from tests.factories.tuning import write_mvtec

SIZE = 104


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(5)
    masks = torch.zeros(3, SIZE, SIZE)
    masks[1, 20:70, 30:90] = masks[2, :40, :] = 1
    return torch.randn(3, 3, SIZE, SIZE), torch.tensor([0.0, 1.0, 1.0]), masks


def learner_of(name, weights):
    method = method_for(weights.config, SIZE)
    if name != FBCLIP:
        method = peer_config(name, weights.config).model_copy(update={"image_size": SIZE})
    backbone, _ = open_backbone(weights, SIZE)
    return learner_for(backbone, load_text_tower(weights.all(), weights.config), method, None, 1)


def stepped(name, weights, images, masked):
    """The losses, and the gradients of a step by name."""
    pictures, labels, masks = images
    learner = learner_of(name, weights)
    with torch.no_grad():
        features = learner.features(pictures)
    batch = StepBatch(labels, list(features), masks if masked else None)
    losses = TuningTrainer(learner, Recipe(learning_rate=1e-3)).step(batch, "here")
    named = [(prefix + n, p) for prefix, module in learner.modules.items() for n, p in module.named_parameters()]
    learner.close()
    return losses, {n: p.grad for n, p in named}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", LEARNS)
def test_a_step_goes_down_the_slope_of_the_whole_batch(name, masked, weights, images):
    losses, gradients = stepped(name, weights, images, masked)
    pictures, labels, masks = images
    masks = masks if masked else None
    learner = learner_of(name, weights)
    shared = learner.shared()
    with torch.no_grad():
        features = learner.features(pictures)
    assert features.shape[1:] == learner.feature_shape
    outputs = together(
        [learner.outputs(f, shared, None if masks is None else masks[k : k + 1]) for k, f in enumerate(features)]
    )
    whole = learner.losses(outputs, shared, labels, masks)
    assert len(whole) == len(learner.losses_named)
    assert losses == pytest.approx([part.item() for part in whole], rel=1e-5)
    whole[0].backward()
    learns = 0
    for prefix, module in learner.modules.items():
        for n, parameter in module.named_parameters():
            found = gradients[prefix + n]
            if n.endswith("selector.2.bias"):
                assert found is None
                continue
            assert (found is None) == (parameter.grad is None), n
            if found is not None:
                largest = float(parameter.grad.abs().max())
                assert float((found - parameter.grad).abs().max()) <= 1e-3 * largest + 1e-9, n
                learns += largest > 0
    assert learns > 3


def test_a_compared_method_is_tuned_evaluated_and_runs_a_line(weights, tmp_path):
    write_mvtec(tmp_path / "set" / "bolt", 5)
    write_mvtec(tmp_path / "other" / "bolt", 12, first=300)
    model = ("--backbone", NAME, "--weights", weights.path, "--device", "cpu")

    def run(*arguments):
        answer = CliRunner().invoke(app, [str(a) for a in arguments])
        assert answer.exit_code == 0, (answer.output, answer.exception)
        return answer.stdout

    tuned = tmp_path / "afclip"
    asked = ("tune", tmp_path / "set", "--split", "test", *model, "--method", "afclip", "--json")
    said = json.loads(run(*asked, "--out", tuned))
    assert (said["decision"], len(said["epochs"])) == ("no base", 2)
    manifest = load_adapter(tuned).manifest
    assert manifest.method_name == "afclip"
    assert manifest.provenance["recipe"]["learning_rate"] == 1e-4 and manifest.provenance["batch"] == 8
    further = json.loads(run(*asked, "--from", tuned, "--epochs", 1, "--keep", "--out", tmp_path / "further"))
    assert further["base"] == said["adapter"] != further["adapter"]

    judge = ("--method", "afclip", "--adapter", tuned, *model)
    run("evaluate", tmp_path / "other", *judge, "--out", tmp_path / "run", "--worst", 0)
    good = tmp_path / "other" / "bolt" / "test" / "good"
    run("threshold", good, "--line", "belt", *judge, "--best-effort", "--out", tmp_path / "belt.yaml")
    profile = load_profile(tmp_path / "belt.yaml").profile
    assert (profile.method, profile.adapter) == ("afclip", said["adapter"])


def test_what_cannot_be_tuned_is_one_line(weights, tmp_path):
    write_mvtec(tmp_path / "set" / "bolt", 3)
    asked = ("tune", tmp_path / "set", "--out", tmp_path / "a", "--backbone", NAME, "--weights", weights.path)
    cases = [
        ("vanilla", (), "learns nothing"),
        ("clipad", (), "calibrate import"),
        ("padim", (), "must be one of fb-clip, anomalyclip"),
        ("afclip", ("--without", "mstff"), "--without and fields of the method are fb-clip's"),
    ]
    for method, more, says in cases:
        answer = CliRunner().invoke(app, [str(a) for a in (*asked, "--split", "test", "--method", method, *more)])
        assert isinstance(answer.exception, ConfigError), answer.output
        assert says in str(answer.exception) and "\n" not in str(answer.exception)
