"""A registry whose object storage breaks: clients are told, nothing hangs, nothing is wrong afterwards."""

import re
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from longshore.testing.faulty_proxy import Fault, FaultyProxy
from tests.clients import wire
from tests.clients.test_object_storage import azure_parameters, gcs_parameters, s3_parameters
from tests.services.faulty_proxy import StartProxy
from tests.services.images import digest_of
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

MIB = 1 << 20
#: The keys that say where a service is, as http://host:port/...
ADDRESSES = ("regionendpoint", "serviceurl", "endpoint")


@dataclass
class Broken:
    """A registry, and what lies between it and its storage."""

    registry: Registry
    proxy: FaultyProxy
    repository: str
    #: Requests that go well before a pull breaks off in its middle: some drivers need several.
    whole: int

    def push(self, client: httpx.Client, content: bytes) -> httpx.Response:
        """A blob in one PATCH and one PUT; the first answer that is no success."""
        started = client.post(f"/v2/{self.repository}/blobs/uploads/")
        if started.is_error:
            return started
        sent = client.patch(started.headers["Location"], content=content)
        if sent.is_error:
            return sent
        location = wire.with_query(sent.headers["Location"], digest=digest_of(content))
        return client.put(location)


@pytest.fixture(
    params=[("s3", s3_parameters), ("azure", azure_parameters), ("gcs", gcs_parameters)],
    ids=lambda it: it[0],
)
def broken(
    request: pytest.FixtureRequest,
    registry_factory: RegistryFactory,
    faulty_proxy: StartProxy,
    repository: str,
) -> Iterator[Broken]:
    driver, parameters_of = request.param
    parameters = {**parameters_of(request), "rootdirectory": f"/{uuid.uuid4().hex}"}
    (key,) = [key for key in ADDRESSES if key in parameters]
    address = re.sub(r"^http://([^/]+).*", r"\1", parameters[key])
    proxy = faulty_proxy(address)
    parameters[key] = parameters[key].replace(address, proxy.address)
    if driver == "azure":
        parameters["max_retries"] = 2
    directory = registry_factory.directory / "here"
    registry = registry_factory(
        {
            "storage": {"filesystem": None, driver: parameters, "redirect": {"disable": True}},
            "longshore": {"database": {"url": f"sqlite:///{directory}/registry.db"}},
        },
        directory=directory,
    )
    yield Broken(registry, proxy, repository, 1 if driver == "azure" else 0)
    proxy.mend()


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET], ids=lambda fault: fault.name)
def test_clients_are_told_that_the_storage_does_not_answer_until_it_does(
    broken: Broken, fault: Fault
) -> None:
    content = secrets.token_bytes(2 * MIB)
    with broken.registry.client() as client:
        assert broken.push(client, content).status_code == httpx.codes.CREATED
        blob = f"/v2/{broken.repository}/blobs/{digest_of(content)}"

        broken.proxy.inject(fault)
        replies = [
            broken.push(client, secrets.token_bytes(2 * MIB)),
            client.get(blob),
            broken.push(client, b"small"),
        ]
        for reply in replies:
            assert reply.status_code == httpx.codes.SERVICE_UNAVAILABLE, reply.text
            (error,) = reply.json()["errors"]
            assert "the registry's storage does not answer" in error["message"]
            assert reply.headers["Retry-After"]
        # What needs no storage goes on.
        assert client.get("/v2/").status_code == httpx.codes.OK
        assert client.head(blob).status_code == httpx.codes.OK

        broken.proxy.mend()
        assert client.get(blob).content == content
        again = secrets.token_bytes(3 * MIB)
        assert broken.push(client, again).status_code == httpx.codes.CREATED
        assert client.get(blob.replace(digest_of(content), digest_of(again))).content == again


@pytest.mark.parametrize(
    "fault", [Fault.CUT_ANSWER, Fault.RESET_IN_ANSWER], ids=lambda fault: fault.name
)
def test_a_pull_that_the_storage_breaks_off_is_not_taken_for_a_whole_one(
    broken: Broken, fault: Fault
) -> None:
    content = secrets.token_bytes(20 * MIB)
    with broken.registry.client() as client:
        assert broken.push(client, content).status_code == httpx.codes.CREATED
        blob = f"/v2/{broken.repository}/blobs/{digest_of(content)}"

        def reads_it(method: str, target: str) -> bool:
            # Not what looks after the storage's health meanwhile.
            return method == "GET" and digest_of(content).removeprefix("sha256:") in target

        # What was answered already cannot be taken back: the connection ends instead.
        broken.proxy.inject(fault, skip=broken.whole, concerns=reads_it)
        with pytest.raises(httpx.TransportError), client.stream("GET", blob) as reply:
            assert reply.status_code == httpx.codes.OK
            assert int(reply.headers["Content-Length"]) == len(content)
            reply.read()
        broken.proxy.inject(fault, times=1, concerns=reads_it)
        assert client.get(blob).content == content
