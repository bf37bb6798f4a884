"""An adoption in the hands of a test: begun, and worked on when the test says so."""

from typing import Any

from longshore.adoption.beginning import Beginning, begin
from longshore.adoption.task import Adoption
from longshore.adoption.upstream import OnDemand
from longshore.jobs.foreground import until_done
from longshore.registry import store
from longshore.registry.model import AdoptionState
from tests.services.in_process import Registry


async def begun(registry: Registry) -> Beginning:
    """Mark the installation as adopting; this registry notices at once."""
    beginning = await begin(registry.database, registry.driver)
    await notice(registry)
    return beginning


async def finished(registry: Registry) -> list[str]:
    """Do all the work of the job."""
    again = await begin(registry.database, registry.driver)
    assert again.job is not None
    task = Adoption(registry.database, registry.driver)
    log = await until_done(registry.database, task, again.job, lambda line: None)
    await notice(registry)
    assert await registry.database.read(store.adoption_state) is AdoptionState.FINISHED
    return log


async def adopted(registry: Registry) -> None:
    await begun(registry)
    await finished(registry)


async def notice(registry: Registry) -> None:
    """Do what a server does every two seconds."""
    assert isinstance(registry.upstream, OnDemand)
    await registry.upstream.look()


async def names(registry: Registry, query: str = "") -> list[str]:
    return list((await get(registry, f"/v2/_catalog{query}"))["repositories"])


async def tags(registry: Registry, name: str) -> list[str]:
    return list((await get(registry, f"/v2/{name}/tags/list"))["tags"])


async def referrers(registry: Registry, name: str, digest: str) -> list[str]:
    found = await get(registry, f"/v2/{name}/referrers/{digest}")
    return [entry["digest"] for entry in found["manifests"]]


async def get(registry: Registry, path: str) -> Any:
    answer = await registry.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def resolve(registry: Registry, name: str, reference: str) -> str | None:
    """The digest that a reference names, or None."""
    answer = await registry.client.head(f"/v2/{name}/manifests/{reference}")
    if answer.status_code == 404:
        return None
    assert answer.status_code == 200
    return str(answer.headers["docker-content-digest"])
