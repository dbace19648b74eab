"""The paper's protocol as one HTML file that needs nothing else, like the page of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from calibrate.paper.run import PaperSet
from calibrate.paper.table import classes, differences, means, paper_lead, published
from calibrate.report.page import template


def paper_page(sets: Sequence[PaperSet], trained_on: str) -> str:
    """The page's text."""
    first = next((pairs[0][0] for one in sets for pairs in one.rows.values() if pairs), None)
    return template("paper.html").render(
        # The style sheet is a file of this package, not something that was read from a run.
        css=Markup((Path(__file__).parent / "template" / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        lead=paper_lead(trained_on),
        model=None if first is None else first.model,
        versions=None if first is None else " · ".join(f"{name} {number}" for name, number in first.versions.items()),
        sets=[(one.name, [means(one), *published(one), *classes(one), *differences(one)]) for one in sets],
    )
