"""The generated pages are those that the code would write now."""

from scripts import api_reference, cli_reference


def test_the_page_about_the_api_is_current():
    assert api_reference.PAGE.read_text() == api_reference.render(), (
        "run: python -m scripts.api_reference"
    )


def test_the_page_about_the_command_line_is_current():
    assert cli_reference.PAGE.read_text() == cli_reference.render(), (
        "run: python -m scripts.cli_reference"
    )


def test_every_endpoint_says_what_it_does():
    for line in api_reference.render().splitlines():
        assert "|  |" not in line, line
