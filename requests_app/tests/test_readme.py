"""The README's picture of the workflow is the table in the code."""

from __future__ import annotations

import re
from pathlib import Path

from requests_app.models import Status
from requests_app.workflow import MOVES

README = Path(__file__).parents[2] / "README.md"


def test_the_picture_in_the_readme_is_the_table_of_moves():
    drawn = re.search(r"<!-- workflow -->(.*)<!-- /workflow -->", README.read_text(), re.DOTALL)[1]
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", drawn, re.MULTILINE)
    table = {
        (came_from.name, to.name, ", ".join(sorted(role.value for role in roles)))
        for (came_from, to), roles in MOVES.items()
    }
    assert set(arrows) == table
    assert {name for arrow in arrows for name in arrow[:2]} == {status.name for status in Status}
