"""What `fbclip info` says."""

import hashlib
import json

from typer.testing import CliRunner

import fbclip
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.cli import app


def test_info_names_versions_and_the_embedded_model():
    answer = CliRunner().invoke(app, ["info", "--json"])
    assert answer.exit_code == 0, answer.output
    facts = json.loads(answer.stdout)
    assert set(facts) == {"version", "torch", "device", "backbones", "features", "embedded"}
    assert facts["version"] == fbclip.__version__
    [imagenet] = facts["features"]
    assert (imagenet["name"], imagenet["licence"], imagenet["installed"]) == ("imagenet", "Apache-2.0", True)
    assert {"embedded", "ViT-L-14-336"} <= set(facts["backbones"])
    embedded = facts["embedded"]
    assert embedded["tuned_on_same_weights"] is True
    weights = (EMBEDDED_DIR / "backbone.safetensors").read_bytes()
    assert embedded["file_sha256"] == hashlib.sha256(weights).hexdigest()
    assert embedded["backbone"]["name"] == "embedded"
    assert embedded["method"]["image_size"] == 256
    assert embedded["adapter_provenance"]
    assert "embedded" in CliRunner().invoke(app, ["info"]).output
