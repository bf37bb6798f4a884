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
  upstream registry {{
    {servers}
  }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{
      proxy_pass http://registry;
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
def behind_nginx(tmp_path: Path, authority: Authority) -> Iterator[Callable[..., Registry]]:
    """Puts nginx with TLS before one registry or several, which then take turns.

    Returns the registry as it is seen from there.
    """
    started: list[Service] = []

    def start(*registries: Registry) -> Registry:
        directory = tmp_path / f"nginx{len(started)}"
        directory.mkdir(mode=0o755)
        port, pair = free_port(), authority.issue("127.0.0.1", "localhost")
        config = directory / "nginx.conf"
        text = _CONFIG.format(
            directory=directory,
            port=port,
            certificate=pair.certificate,
            key=pair.key,
            servers=" ".join(f"server {registry.host};" for registry in registries),
        )
        config.write_text(text)
        argv = (program("nginx"), "-e", "stderr", "-c", config)
        service = Service("nginx", argv, directory / "log")
        started.append(service)
        service.wait_until(lambda: listening(port))
        login = registries[0].login
        return Registry(f"127.0.0.1:{port}", service, directory, login, authority)

    yield start
    for service in started:
        service.stop_cleanly()
