"""`notifications.endpoints` of a real server, and a real receiver."""

import re
import time
import uuid
from pathlib import Path

import httpx
import pytest

from longshore.config.explain import explain
from longshore.jobs.model import Postponed
from longshore.notifications.endpoint import Endpoint
from longshore.notifications.settings import EndpointSettings, NotificationsSettings
from longshore.oci import mediatypes
from longshore.outbox.model import Recorded
from longshore.registry.events import TagDeleted
from tests.clients import wire
from tests.config.loading import LEAST
from tests.notifications.receiver import receiving
from tests.services.images import CONFIG, LAYER, MANIFEST
from tests.services.processes import free_port
from tests.services.registries import ALICE

PAGE = Path(__file__).parents[2] / "docs" / "notifications.md"
EVENTS = "application/vnd.docker.distribution.events.v2+json"


CHANGES = {"actions": ["pull", "mount"], "mediatypes": [mediatypes.OCTET_STREAM]}


def endpoint(receiver, **more):
    """One that hears of changes of manifests and tags only, unless told otherwise."""
    times = {"timeout": "2s", "backoff": "100ms"}
    return {"name": "tests", "url": receiver.url, "ignore": CHANGES, **times, **more}


def configuration(*endpoints, **events):
    return {
        "notifications": {"endpoints": list(endpoints), "events": events},
        "longshore": {"jobs": {"poll": "50ms"}},
    }


def push(registry, tag, layer=b"layer"):
    with registry.client() as client:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": wire.blob_descriptor(client, "team/app", b"{}", CONFIG),
            "layers": [wire.blob_descriptor(client, "team/app", layer, LAYER)],
        }
        return wire.push_manifest(client, "team/app", manifest, tag)


def delete(registry, reference):
    with registry.client() as client:
        assert client.delete(f"/v2/team/app/manifests/{reference}").status_code == 202


def test_pushes_and_deletes_arrive_as_distribution_tells_them(registry_factory):
    with receiving() as receiver:
        headers = {"Authorization": ["Bearer secret"]}
        config = configuration(endpoint(receiver, headers=headers), includereferences=True)
        registry = registry_factory(config, login=ALICE)
        pushed = push(registry, "v1")
        delete(registry, "v1")
        delete(registry, pushed["digest"])
        first, untagged, gone = receiver.until(3)
        sent = receiver.requests[0][0]

    assert (sent["Content-Type"], sent["Authorization"]) == (EVENTS, "Bearer secret")
    target = first["target"]
    references = target.pop("references")
    assert target == {
        "mediaType": MANIFEST,
        "digest": pushed["digest"],
        "size": pushed["size"],
        "length": pushed["size"],
        "repository": "team/app",
        "tag": "v1",
        "url": f"{registry.url}/v2/team/app/manifests/{pushed['digest']}",
    }
    assert [found["mediaType"] for found in references] == [CONFIG, LAYER]
    assert (first["action"], first["actor"]) == ("push", {"name": "alice"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first["timestamp"])
    assert str(uuid.UUID(first["id"])) == first["id"]
    assert first["request"]["host"] == registry.host
    assert (first["request"]["addr"], first["request"]["method"]) == ("127.0.0.1", "PUT")
    assert first["request"]["useragent"].startswith("python-httpx")
    assert first["source"]["addr"].endswith(registry.host.rpartition(":")[2])
    assert untagged["action"] == gone["action"] == "delete"
    assert untagged["target"] == {"repository": "team/app", "tag": "v1"}
    assert gone["target"] == {"repository": "team/app", "digest": pushed["digest"]}


def test_pulls_mounts_and_blobs_are_told_to_who_wants_them(registry_factory):
    with receiving() as receiver:
        registry = registry_factory(configuration(endpoint(receiver, ignore={})))
        with registry.client() as client:
            blob = wire.push_blob(client, "team/app", b"a blob")
            mount = client.post(f"/v2/other/blobs/uploads/?mount={blob}&from=team/app")
            assert mount.status_code == 201
            assert client.get(f"/v2/other/blobs/{blob}").content == b"a blob"
            assert client.head(f"/v2/other/blobs/{blob}").status_code == 200
        pushed = push(registry, "v1")
        with registry.client() as client:
            for reference in ("v1", pushed["digest"]):
                assert client.get(f"/v2/team/app/manifests/{reference}").status_code == 200
        told = [
            (event["action"], event["target"])
            for event in receiver.until(8)
            if event["target"]["digest"] in (blob, pushed["digest"])
        ]

    about_blob = [found for found in told if found[1]["digest"] == blob]
    assert [action for action, _ in about_blob] == ["push", "mount", "pull"]
    assert about_blob[1][1] == {
        "mediaType": mediatypes.OCTET_STREAM,
        "digest": blob,
        "size": 6,
        "length": 6,
        "repository": "other",
        "fromRepository": "team/app",
        "url": f"{registry.url}/v2/other/blobs/{blob}",
    }
    about_manifest = [found for found in told if found[1]["digest"] == pushed["digest"]]
    # The push is committed with its event; pulls follow within a second.
    assert [(action, target.get("tag")) for action, target in about_manifest] == [
        ("push", "v1"),
        ("pull", "v1"),
        ("pull", None),
    ]


def test_an_endpoint_that_fails_hears_everything_later_in_order_and_others_at_once(
    registry_factory,
):
    with receiving(500, 0, 503) as unsteady, receiving() as steady:
        config = configuration(endpoint(unsteady, timeout="500ms"), endpoint(steady, name="steady"))
        registry = registry_factory(config)
        for number in range(4):
            push(registry, f"v{number}", f"layer {number}".encode())
        expected = [f"v{number}" for number in range(4)]
        assert [event["target"]["tag"] for event in steady.until(4)] == expected
        assert [event["target"]["tag"] for event in unsteady.until(4)] == expected
        ids = [event["id"] for event in steady.events]
        assert [event["id"] for event in unsteady.events] == ids


def test_events_wait_while_the_server_is_down(registry_factory):
    with receiving() as receiver:
        config = configuration(endpoint(receiver))
        off = {**config, "longshore": {"jobs": {"enabled": False}}}
        registry = registry_factory(off)
        push(registry, "v1")
        registry.service.process.kill()
        registry.service.process.wait()
        assert receiver.events == []
        registry_factory(config, directory=registry.directory)

        (event,) = receiver.until(1)
        assert event["target"]["tag"] == "v1"


def test_what_an_endpoint_ignores_is_not_told(registry_factory):
    with receiving() as some, receiving() as other:
        config = configuration(
            endpoint(some, ignore={**CHANGES, "actions": ["delete"]}),
            endpoint(other, name="other", ignoredmediatypes=[MANIFEST]),
            {"name": "off", "url": "http://127.0.0.1:1/", "disabled": True},
        )
        registry = registry_factory(config)
        pushed = push(registry, "v1")
        delete(registry, pushed["digest"])
        push(registry, "v2", b"another")
        assert [event["action"] for event in some.until(2)] == ["push", "push"]
        assert [event["action"] for event in other.until(2)] == ["delete", "delete"]


def test_metrics_say_what_was_told(registry_factory):
    debug = f"127.0.0.1:{free_port()}"
    metrics = {"http": {"debug": {"addr": debug, "prometheus": {"enabled": True}}}}
    with receiving(500) as receiver:
        registry = registry_factory({**configuration(endpoint(receiver)), **metrics})
        push(registry, "v1")
        receiver.until(1)
        wanted = (
            'longshore_jobs_total{kind="events:endpoint-tests",outcome="done"} 1.0',
            'longshore_jobs_total{kind="events:endpoint-tests",outcome="postponed"} 1.0',
            'longshore_events_total{listener="endpoint-tests",outcome="delivered"} 1.0',
            'longshore_events_total{listener="endpoint-tests",outcome="failed"} 1.0',
        )
        deadline = time.monotonic() + 20
        while not all(
            line in (text := httpx.get(f"http://{debug}/metrics").text) for line in wanted
        ):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ({"name": "a", "url": "ftp://me:pass@x"}, "endpoints[0].url: this is no URL to post to"),
        ({"name": "", "url": "http://x"}, "endpoints[0].name"),
        ({"url": "http://x"}, "endpoints[0].name"),
        ({"name": "a"}, "endpoints[0].url"),
        ({"name": "a", "url": "http://x", "ignore": {"actions": ["pulls"]}}, "ignore.actions"),
    ],
)
def test_an_endpoint_that_cannot_be_told_is_a_problem(config, endpoint, said):
    (problem,) = config.problems({**LEAST, "notifications": {"endpoints": [endpoint]}})

    assert said in problem
    assert "pass" not in problem


def test_two_endpoints_of_one_name_are_a_problem(config):
    two = [{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"}]
    (problem,) = config.problems({**LEAST, "notifications": {"endpoints": two}})

    assert "two endpoints are called 'a'" in problem


def test_secrets_of_an_endpoint_are_not_shown(config):
    endpoint = {
        "name": "a",
        "url": "https://me:s3cret@x/y?token=s3cret",
        "headers": {"Authorization": ["Bearer s3cret"]},
    }
    shown = list(explain(config({**LEAST, "notifications": {"endpoints": [endpoint]}})))

    assert "notifications.endpoints[0].url" in [value.key for value in shown]
    assert "s3cret" not in "".join(value.text for value in shown)


@pytest.mark.anyio
async def test_a_header_that_cannot_be_sent_is_not_shown():
    with receiving() as receiver:
        settings = EndpointSettings.model_validate(
            endpoint(receiver, headers={"Authorization": ["Bearer hidden\n"]})
        )
        telling = Endpoint(settings)
        event = TagDeleted(at=1.0, repository="team/app", tag="v1", digest="sha256:0")
        with pytest.raises(Postponed, match="a header cannot be sent") as refused:
            await telling.deliver([Recorded(uuid.uuid4().hex, event)])
        await telling.close()

    assert "hidden" not in str(refused.value)


def test_the_pages_example_is_a_configuration(config):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)

    settings = config(example)[NotificationsSettings]

    assert [found.name for found in settings.active] == ["deploy"]
    assert mediatypes.OCTET_STREAM in settings.active[0].ignored_types
