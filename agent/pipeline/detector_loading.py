"""Configuration -> the detector with what its lines bring of their own, or one clear refusal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from fbclip.artefacts.adapter import load_adapter, stored_id
from fbclip.artefacts.generation import embedded_model
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.weights import EmbeddedModel
from fbclip.detector import Detector, open_detector
from fbclip.engines.exported_engine import runs_on
from fbclip.engines.processor import inference_threads, slow_precision
from fbclip.errors import AdapterError, ConfigError, FbclipError
from fbclip.memory.bank import load_memory, stored_memory_id
from fbclip.runtime import pick_device

log = logging.getLogger(__name__)


def load_detector(
    model: ModelSection, sections: Sequence[LineSection] = (), embedded: EmbeddedModel | None = None
) -> Detector:
    """The detector of `model:` with the adapters and memories of all lines; the first adapter is that of lines that
    name none. `embedded`: which of the embedded models, else the one that the sections' files were made with.

    Raises fbclip's WeightsError, AdapterError, MemoryBankError, ExportError or ConfigError.
    """
    slow = slow_precision(model.runtime, model.precision)
    if slow is not None and pick_device(model.device).type == "cpu":
        log.warning("%s", slow)
    torch.set_num_threads(inference_threads(model.threads))
    own = [section.adapter for section in sections]
    # The model's own adapter comes first; it is left out where every line names another.
    adapters = [*([model.adapter] if model.adapter is not None or not own or None in own else []), *filter(None, own)]
    memories = [section.memory for section in sections if section.memory is not None]
    embedded = embedded or embedded_model_of(model, sections)
    return open_detector(
        model.backbone,
        model.weights,
        adapters,
        model.device,
        model.precision,
        memories,
        embedded=embedded,
        runs=runs_on(model.runtime, model.export, model.threads),
    )


def embedded_model_of(model: ModelSection, sections: Sequence[LineSection]) -> EmbeddedModel:
    """The embedded model that the files of all lines were made with."""
    adapters = filter(None, [model.adapter, *(section.adapter for section in sections)])
    memories = filter(None, (section.memory for section in sections))
    profiles = filter(None, (section.profile for section in sections))
    return embedded_model(tuple(adapters), tuple(memories), tuple(profiles))


def load_model(model: ModelSection, sections: Sequence[LineSection]) -> Detector:
    """The detector of `model:` with the one adapter that opens it; `equip` adds what lines bring of their own.

    So a line's damaged adapter or memory keeps no other from running. Raises as `load_detector`.
    """
    embedded = embedded_model_of(model, sections)
    bare = [section.model_copy(update={"memory": None}) for section in sections if section.adapter is not None]
    if model.adapter is not None or not bare or (len(bare) < len(sections) and model.backbone == EMBEDDED.name):
        return load_detector(model, embedded=embedded)
    for section in bare[:-1]:
        try:
            return load_detector(model, [section], embedded)
        except AdapterError as error:
            log.debug("line %s: its adapter does not open the model: %s", section.name, error)
    return load_detector(model, bare[-1:], embedded)


def equip(detector: Detector, section: LineSection) -> Detector:
    """A detector that has the line's own adapter and memory as well, the same one where nothing is missing.

    Raises ConfigError naming the line, or AdapterError, MemoryBankError and WeightsError made into one.
    """
    try:
        adapters, memories = [], []
        if section.adapter is not None and stored_id(section.adapter) not in detector.adapters:
            adapters.append(load_adapter(section.adapter))
        if section.memory is not None and stored_memory_id(section.memory) not in detector.memories:
            memories.append(load_memory(section.memory))
        return detector.extended(adapters, memories) if adapters or memories else detector
    except FbclipError as error:
        raise ConfigError(f"line {section.name}: {error}") from error
