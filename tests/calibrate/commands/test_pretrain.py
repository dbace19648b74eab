"""`calibrate pretrain`: its options, alone and under torchrun."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from torch.distributed.run import get_args_parser

from calibrate.cli import app
from calibrate.commands.pretrain import PretrainOptions


def options() -> list[str]:
    command = typer.main.get_command(app).commands["pretrain"]
    return [parameter.opts[0] for parameter in command.params if parameter.name != "help"]


def test_torchrun_hands_every_option_on() -> None:
    """It takes an option of the script that is the beginning of several of its own for an ambiguous one."""
    assert {"--cache", "--pictures", "--adapter-pictures", "--device"} <= set(options())
    found = get_args_parser().parse_args(["calibrate", "pretrain", *options()])
    assert found.training_script_args == ["pretrain", *options()]


def test_a_plain_cuda_is_the_gpu_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    request = PretrainOptions(tmp_path, tmp_path, device="cuda", images=7, adapter_images=16, seed=2).request()
    assert request.backbone.device == request.adapter.device == "cuda:3"
    assert (request.backbone.images, request.adapter.images) == (7, 16)
    assert request.backbone.config.seed == request.adapter.recipe.seed == 2
    assert request.backbone.config.mixed
