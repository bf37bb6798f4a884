"""The reference page lists every key, and is made from the source as it is now."""

import subprocess
import sys
from pathlib import Path

from longshore.config import shape
from longshore.config.compat import ROWS
from longshore.settings import SECTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "configuration.md"


def test_the_page_is_current():
    script = ROOT / "scripts" / "reference_configuration.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_setting_and_every_row_is_on_the_page():
    text = PAGE.read_text()
    keys = [
        key
        for key, entry in shape.walk(shape.build(SECTIONS, ()))
        if not isinstance(entry.shape, shape.Struct)
    ]

    assert [key for key in keys if f"| `{key}` |" not in text] == []
    assert [row.key for row in ROWS if f"| `{row.key}` |" not in text] == []


def test_every_setting_has_one_line_of_help():
    for key, entry in shape.walk(shape.build(SECTIONS, ())):
        if entry.field is not None:
            description = entry.field.description or ""
            assert description.endswith("."), key
            assert "\n" not in description, key
