"""Behind nginx, which ends TLS (over HTTP/2 too) and tells the registry what the client asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import Registry

pytestmark = pytest.mark.service


def test_an_image_is_pushed_and_pulled_through_a_proxy(
    shell: Shell,
    login_registry: Registry,
    behind_nginx: Callable[..., Registry],
    repository: str,
    tmp_path: Path,
) -> None:
    digest = single_image(tmp_path / "image")
    outside = behind_nginx(login_registry)
    assert outside.authority
    assert outside.login
    shell = shell.with_env(SSL_CERT_FILE=str(outside.authority.certificate))
    login = ["-u", outside.login.user, "--password-stdin", outside.host]
    shell("crane", "auth", "login", *login, stdin=outside.login.password)

    shell("crane", "push", tmp_path / "image", f"{outside.host}/{repository}:v1")
    shell("crane", "validate", "--remote", f"{outside.host}/{repository}:v1")
    copy = f"{outside.host}/{repository}/copy:v1"
    certificates = f"--cert-dir={outside.authority.certificate.parent}"
    shell(
        *("skopeo", "copy", f"--src-{certificates[2:]}", f"--dest-{certificates[2:]}"),
        *("--authfile", shell.home / ".docker" / "config.json"),
        *(f"docker://{outside.host}/{repository}:v1", f"docker://{copy}"),
    )

    assert shell("crane", "digest", copy).out.strip() == digest
