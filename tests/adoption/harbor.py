"""As much of Harbor's API v2.0 as tells tags, and as strict as Harbor is.

Paging (10 by default, at most 100), names that count as names only when a header says so, repository
names encoded twice, children and accessories hidden unless ``base=*`` asks for them.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/v2.0"


@dataclass
class Artifact:
    """``hidden``: an index names it, or it is an accessory."""

    digest: str
    tags: Mapping[str, str]
    hidden: bool = False


@dataclass
class Harbor:
    """``repositories``: their names, with the project in front, and what they hold."""

    repositories: dict[str, list[Artifact]] = field(default_factory=dict)
    password: str = "Harbor12345"
    requests: list[str] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL where it answers."""
        harbor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                harbor.requests.append(self.path)
                status, document, total = harbor.answer(self.path, dict(self.headers))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Total-Count", str(total))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, target: str, headers: Mapping[str, str]) -> tuple[int, Any, int]:
        login = base64.b64encode(f"admin:{self.password}".encode()).decode()
        if headers.get("Authorization") != f"Basic {login}":
            return 401, _error("UNAUTHORIZED", "unauthorized"), 0
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        size = int(query.get("page_size", "10"))
        if size > 100:
            return 422, _error("UNPROCESSABLE_ENTITY", "page_size should be less than 100"), 0
        found = self._list(url.path.removeprefix(API).strip("/").split("/"), query, headers)
        if found is None:
            return 404, _error("NOT_FOUND", f"{url.path} not found"), 0
        start = (int(query.get("page", "1")) - 1) * size
        return 200, found[start : start + size], len(found)

    def _list(
        self, path: list[str], query: Mapping[str, str], headers: Mapping[str, str]
    ) -> list[Any] | None:
        by_name = headers.get("X-Is-Resource-Name") == "true"
        match path:
            case ["projects"]:
                projects = sorted({name.partition("/")[0] for name in self.repositories})
                return [{"project_id": n, "name": name} for n, name in enumerate(projects, 1)]
            case ["projects", project, "repositories"] if by_name or not project.isdigit():
                own = [name for name in self.repositories if name.startswith(f"{project}/")]
                return [{"name": name} for name in sorted(own)]
            case ["projects", project, "repositories", name, "artifacts"] if "%2F" not in name:
                artifacts = self.repositories.get(f"{project}/{unquote(unquote(name))}")
                if artifacts is None:
                    return None
                words = dict(part.split("=", 1) for part in query.get("q", "").split(",") if part)
                return [
                    _artifact(one)
                    for one in artifacts
                    if (words.get("base") == "*" or not one.hidden)
                    and (words.get("tags") != "*" or one.tags)
                ]
        return None


def _artifact(one: Artifact) -> dict[str, Any]:
    tags = [{"name": name, "push_time": at, "immutable": False} for name, at in one.tags.items()]
    return {"digest": one.digest, "type": "IMAGE", "tags": tags or None}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message}]}
