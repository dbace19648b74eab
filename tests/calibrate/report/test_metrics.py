"""Bootstrap intervals of image numbers."""

import numpy as np

from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.metrics.ranking import auroc, average_precision
from calibrate.report.metrics import image_intervals


def image(class_name, anomalous, unit, margin):
    return EvaluatedImage("", class_name, anomalous, None, unit, "", margin)


def images_of(rng, name, shift, n=60):
    return [image(name, k < n // 3, f"u{k // 2}", float(rng.normal(shift if k < n // 3 else 0))) for k in range(n)]


def test_intervals_of_images_hold_the_number_and_shrink_with_more_units():
    rng = np.random.default_rng(5)
    few, many = images_of(rng, "few", 1.5), images_of(rng, "many", 1.5, 1200)
    normal_only = [image("normal only", False, "u", 0.0), image("normal only", True, "v", None)]
    intervals = image_intervals([*few, *many, *normal_only])
    assert set(intervals.classes) == {"few", "many"}
    for images in (few, many):
        margins, labels = np.array([i.margin for i in images]), np.array([i.anomalous for i in images])
        found = intervals.classes[images[0].class_name]
        for name, number in (("image_auroc", auroc), ("image_ap", average_precision)):
            low, high = found[name]
            assert low < number(margins, labels) < high
    widths = {name: np.ptp(found["image_auroc"]) for name, found in intervals.classes.items()}
    assert widths["many"] < 0.4 * widths["few"]
    assert widths["many"] < np.ptp(intervals.mean["image_auroc"]) < widths["few"]
    assert image_intervals([*few, *many, *normal_only]) == intervals
    assert image_intervals(normal_only).classes == {} == image_intervals([]).mean
