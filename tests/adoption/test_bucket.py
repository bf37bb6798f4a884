"""A bucket that distribution wrote, taken over and given back: there are no directories, only keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adoption.test_command import longshore, push, tags_of
from tests.adoption.test_there_and_back import everything
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.services.certificates import Authority
from tests.services.programs import program
from tests.services.registries import RegistryFactory

pytestmark = pytest.mark.service

#: The SDK that distribution is built with cannot start when this is set.
PLAIN = {"AWS_CA_BUNDLE": ""}


@pytest.fixture
def distribution(tmp_path: Path, authority: Authority) -> Iterator[RegistryFactory]:
    """Starts Debian's docker-registry."""
    factory = RegistryFactory(tmp_path / "distribution", authority, program("docker-registry"))
    yield factory
    factory.close()


def in_bucket(ceph: Ceph, bucket: str, tmp_path: Path) -> dict[str, Any]:
    """The configuration that both understand; Longshore's database is beside the test's files."""
    return {
        "storage": {
            "filesystem": None,
            "s3": {
                "accesskey": ACCESS_KEY,
                "secretkey": SECRET_KEY,
                "region": "us-east-1",
                "regionendpoint": ceph.url,
                "bucket": bucket,
                "rootdirectory": f"/{tmp_path.name}",
                "secure": False,
            },
            "redirect": {"disable": True},
        },
    }


def test_a_bucket_goes_there_and_back(
    distribution: RegistryFactory,
    registry_factory: RegistryFactory,
    ceph: Ceph,
    bucket: str,
    tmp_path: Path,
) -> None:
    config = in_bucket(ceph, bucket, tmp_path)
    old = distribution(config, env=PLAIN)
    for name in ("team/app", "team/app/nested"):
        for tag in ("v1", "v2"):
            push(old, name, tag)
    before = everything(old)
    distribution.stop(old)
    url = f"sqlite:///{old.directory}/longshore.db"
    ours = config | {"longshore": {"database": {"url": url}}}
    new = registry_factory(ours, directory=old.directory)
    path = old.directory / "config.yml"

    assert "2 repositories, 4 tags" in longshore("adopt", path, "--check")
    longshore("adopt", path, "--wait")
    assert everything(new) == before
    push(new, "team/app", "v3")
    with new.client() as client:
        assert client.delete("/v2/team/app/manifests/v1").status_code == 202
    meanwhile = everything(new)
    registry_factory.stop(new)
    longshore("export-links", path)

    back = distribution(config, directory=old.directory, env=PLAIN)
    assert everything(back) == meanwhile
    assert list(tags_of(back, "team/app")) == ["v2", "v3"]
