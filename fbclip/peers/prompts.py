"""The fixed prompts: states of an object, and the templates around them. `{c}` is the class, `{s}` its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_QUALITIES = ("bad", "low resolution", "cropped", "bright", "dark", "close-up", "black and white", "jpeg corrupted")
_ENSEMBLE_TEMPLATES = (
    *(f"a {q} photo of {a} {{s}}." for q in (*_QUALITIES, "blurry", "good") for a in ("a", "the")),
    *(
        f"a photo of {which} {{s}}."
        for which in ("my", "one", "a", "the", "the cool", "a cool", "a large", "the large", "a small", "the small")
    ),
    "there is a {s} in the scene.",
    "there is the {s} in the scene.",
    "this is a {s} in the scene.",
    "this is the {s} in the scene.",
    "this is one {s} in the scene.",
)
_INSPECTION_TEMPLATES = (
    *(
        f"a {p}photo of {a} {{s}}."
        for p in ("cropped ", "close-up ", "bright ", "dark ", "jpeg corrupted ", "blurry ", "")
        for a in ("the", "a")
    ),
    *(f"a photo of {which} {{s}}." for which in ("a large", "the large", "a small", "the small")),
    *(f"a photo of {a} {{s}} for {what}." for what in ("visual inspection", "anomaly detection") for a in ("a", "the")),
)
# The code that was measured has one template twice and lacks two.
_WINDOW_TEMPLATES = (
    *(t for t in _INSPECTION_TEMPLATES if t not in {"a cropped photo of a {s}.", "a jpeg corrupted photo of a {s}."}),
    "a jpeg corrupted photo of the {s}.",
)
_FLAWLESS = (
    "{c}",
    "flawless {c}",
    "perfect {c}",
    "unblemished {c}",
    "{c} without flaw",
    "{c} without defect",
    "{c} without damage",
)
_FLAWS = ("flaw", "defect", "damage", "scratch", "crack", "contamination")


@dataclass(frozen=True)
class StatePrompts:
    """Every normal and every abnormal prompt of one class."""

    normal: tuple[str, ...]
    abnormal: tuple[str, ...]


def plain_prompts(class_name: str) -> StatePrompts:
    """One prompt each."""
    return StatePrompts((f"a photo of a normal {class_name}.",), (f"a photo of an anomalous {class_name}.",))


def ensemble_prompts(class_name: str) -> StatePrompts:
    """The list that base CLIP is measured with: 7 and 5 states in 35 templates."""
    abnormal = ("damaged {c}", "broken {c}", "{c} with flaw", "{c} with defect", "{c} with damage")
    return _filled(class_name, _FLAWLESS, abnormal, _ENSEMBLE_TEMPLATES)


def clipad_prompts(class_name: str) -> StatePrompts:
    """CLIP-AD's 9 and 10 states in 22 templates."""
    normal = ("flawless {c}", "perfect {c}", "unblemished {c}", *(f"{{c}} without {flaw}" for flaw in _FLAWS))
    kinds = ("damaged {c}", "imperfect {c}", "blemished {c}", "broken {c}")
    return _filled(class_name, normal, (*kinds, *(f"{{c}} with {flaw}" for flaw in _FLAWS)), _INSPECTION_TEMPLATES)


def winclip_prompts(class_name: str) -> StatePrompts:
    """WinCLIP's 7 and 4 states in 21 templates, of which one stands twice."""
    abnormal = ("damaged {c}", "{c} with flaw", "{c} with defect", "{c} with damage")
    return _filled(class_name, _FLAWLESS, abnormal, _WINDOW_TEMPLATES)


def _filled(class_name: str, normal: Sequence[str], abnormal: Sequence[str], templates: Sequence[str]) -> StatePrompts:
    def fill(states: Sequence[str]) -> tuple[str, ...]:
        # Not str.format: a class may be called anything.
        return tuple(t.replace("{s}", s.replace("{c}", class_name)) for s in states for t in templates)

    return StatePrompts(fill(normal), fill(abnormal))
