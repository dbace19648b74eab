"""Few-shot curves as `calibrate few-shot --out` writes them, made up."""

from datetime import UTC, datetime

from calibrate.few_shot.document import METHODS, Curve, Estimate, FewShot, Step


def estimate(mean):
    return Estimate(values=(mean, mean), mean=mean, low=mean - 0.05, high=min(1.0, mean + 0.04))


def few_shot_curve(name, images=35, pixel=True):
    steps = []
    for k, count in enumerate((1, 2, 4, 8, 16, 35)):
        ways = {method: estimate(0.45 + 0.1 * place + 0.02 * k) for place, method in enumerate(METHODS)}
        took = {"fused": 4, "memory": 1} if count < 35 else {"fused": 1}
        steps.append(Step(images=count, took=took, image=ways, pixel=ways if pixel else None))
    return Curve(name=name, images=images, test_normal=30, test_anomalous=22, steps=tuple(steps))


def few_shot(*curves, mean=None, **changes):
    fields = {"backbone": "ViT-L-14-336", "adapter": "12" * 32, "confidence": 0.95, "resamples": 1000} | changes
    return FewShot(created=datetime(2026, 11, 24, tzinfo=UTC), curves=curves, mean=mean, **fields)
