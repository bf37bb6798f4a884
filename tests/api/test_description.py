"""The description of the API: for programs and for people."""

import pytest

pytestmark = pytest.mark.anyio


async def test_the_document_describes_every_operation_and_what_it_needs(management):
    document = (await management.ask("", "GET", "/openapi.json")).json()

    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) > 30
    for operation in operations:
        assert operation["description"].endswith("."), operation["operationId"]
        assert operation["x-longshore-needs"]
        assert operation["tags"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


async def test_the_page_needs_no_other_host_and_no_script(management):
    page = await management.ask("", "GET", "/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text
    document = (await management.ask("", "GET", "/openapi.json")).json()
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page.text
        assert all(f'id="{one["operationId"]}"' in page.text for one in methods.values())
