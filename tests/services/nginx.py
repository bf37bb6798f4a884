"""nginx as people put it before a registry: it ends TLS and passes everything on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.certificates import Authority
from tests.services.processes import Service, free_port, listening
from tests.services.programs import program
from tests.services.registries import Registry

_CONFIG = """
daemon off;
pid {directory}/pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{
      proxy_pass {backend};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffering off;
    }}
  }}
}}
"""


@pytest.fixture
def behind_nginx(tmp_path: Path, authority: Authority) -> Iterator[Callable[[Registry], Registry]]:
    """Puts nginx with TLS before a registry: the registry as it is seen from there."""
    started: list[Service] = []

    def start(registry: Registry) -> Registry:
        directory = tmp_path / f"nginx{len(started)}"
        directory.mkdir(mode=0o755)
        port, pair = free_port(), authority.issue("127.0.0.1", "localhost")
        config = directory / "nginx.conf"
        text = _CONFIG.format(
            directory=directory,
            port=port,
            certificate=pair.certificate,
            key=pair.key,
            backend=registry.url,
        )
        config.write_text(text)
        argv = (program("nginx"), "-e", "stderr", "-c", config)
        service = Service("nginx", argv, directory / "log")
        started.append(service)
        service.wait_until(lambda: listening(port))
        seen = f"127.0.0.1:{port}"
        return Registry(seen, service, registry.directory, registry.login, authority)

    yield start
    for service in started:
        service.stop_cleanly()
