"""Many clients that push at once, in every way there is to push, and never mind a lost connection."""

import itertools
import json
import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from tests.resilience.ledger import Layer, Ledger, Upload
from tests.services.images import CONFIG, INDEX, LAYER, MANIFEST, descriptor, digest_of, json_bytes

REPOSITORIES = ("storm/one", "storm/two")
MOVING_TAGS = ("latest", "stable", "edge")
#: In bytes. Those above a megabyte are staged, the others may be stored in one step.
_SIZES = ((100, 4_000), (30_000, 300_000), (1_100_000, 2_500_000))
_seeds = itertools.count(1)


class Refused(Exception):
    """A reply that is no success."""


class Storm:
    """Pushes from ``threads`` threads to any of ``hosts`` until told to stop."""

    def __init__(self, hosts: Sequence[str], ledger: Ledger, seed: str, threads: int = 6) -> None:
        self._hosts, self._ledger = hosts, ledger
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []
        base = random.Random(seed)
        # Layers that several threads push at the same time.
        self._shared = [_layer(base, seed) for _ in range(4)]
        self._threads = [
            threading.Thread(target=self._run, args=(f"{seed} thread {number}",))
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client waits for a reply that does not come"
        assert not self._failures, self._failures

    def _run(self, seed: str) -> None:
        dice = random.Random(seed)
        clients = [httpx.Client(base_url=f"http://{host}", timeout=30) for host in self._hosts]
        client = _Client(clients, dice, self._ledger, self._shared)
        try:
            while not self._stopping.is_set():
                try:
                    client.push_image(seed)
                except httpx.TransportError:
                    self._stopping.wait(0.02)
                except Refused as error:
                    self._ledger.faults.append(str(error))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self._failures.append(error)
        finally:
            for each in clients:
                each.close()


class _Client:
    """One thread's requests; each goes to a server picked by chance."""

    def __init__(
        self,
        clients: Sequence[httpx.Client],
        dice: random.Random,
        ledger: Ledger,
        shared: Sequence[Layer],
    ) -> None:
        self._clients, self._dice, self._ledger = clients, dice, ledger
        self._shared = shared

    def push_image(self, seed: str) -> None:
        dice = self._dice
        repository = dice.choice(REPOSITORIES)
        layers = [
            dice.choice(self._shared) if dice.random() < 0.2 else _layer(dice, seed)
            for _ in range(dice.randint(1, 4))
        ]
        config = json_bytes(
            {"architecture": "amd64", "os": "linux", "seed": next(_seeds), "of": seed}
        )
        self._push_small(repository, config)
        for layer in layers:
            self._push_layer(repository, layer)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(config, CONFIG),
            "layers": [
                {"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers
            ],
        }
        described = self._push_manifest(repository, manifest)
        if dice.random() < 0.2:
            self._push_manifest(
                repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}
            )

    def _push_manifest(self, repository: str, manifest: dict[str, Any]) -> dict[str, Any]:
        content = json_bytes(manifest)
        described = descriptor(content, manifest["mediaType"])
        moving = self._dice.random() < 0.6
        tag = self._dice.choice(MOVING_TAGS) if moving else f"build-{next(_seeds)}"
        with self._ledger.tagging(repository, tag, described["digest"], content):
            self._send(
                "PUT",
                f"/v2/{repository}/manifests/{tag}",
                content=content,
                headers={"Content-Type": manifest["mediaType"]},
            )
        return described

    def _push_small(self, repository: str, content: bytes) -> None:
        digest = digest_of(content)
        self._send(
            "POST", f"/v2/{repository}/blobs/uploads/", content=content, params={"digest": digest}
        )
        self._ledger.pushed(repository, digest)

    def _push_layer(self, repository: str, layer: Layer) -> None:
        answer = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        upload = Upload(repository, answer.headers["Location"], layer)
        self._ledger.opened(upload)
        content = layer.content
        way = self._dice.choice(("monolithic", "stream", "chunked", "chunked and the rest"))
        if way == "stream":
            self._patch(upload, content, ranged=False)
        elif way != "monolithic":
            pieces = self._dice.randint(2, 4)
            step = max(1, len(content) // pieces)
            end = len(content) if way == "chunked" else len(content) - step
            for start in range(0, end, step):
                self._patch(upload, content[start : min(start + step, end)], ranged=True)
        upload.finishing = True
        self._send(
            "PUT",
            upload.location,
            content=content[upload.acknowledged :],
            params={"digest": layer.digest},
        )
        self._ledger.finished(upload)

    def _patch(self, upload: Upload, piece: bytes, *, ranged: bool) -> None:
        start = upload.acknowledged
        ranges = {"Content-Range": f"{start}-{start + len(piece) - 1}"} if ranged else {}
        self._send("PATCH", upload.location, content=piece, headers=ranges)
        upload.acknowledged = start + len(piece)

    def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        answer = self._dice.choice(self._clients).request(method, path, **parts)
        if not answer.is_success:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def _layer(dice: random.Random, seed: str) -> Layer:
    low, high = dice.choices(_SIZES, weights=(4, 4, 2))[0]
    return Layer(random.Random(f"{seed} {next(_seeds)}").getrandbits(60), dice.randint(low, high))


def resume(client: httpx.Client, upload: Upload) -> None:
    """Go on with an upload after a crash, as a client does: ask for the offset, send the rest."""
    status = client.get(upload.location)
    if status.status_code == httpx.codes.NOT_FOUND:
        # Only a PUT ends a session: it must have taken effect.
        assert upload.finishing, f"{upload} is gone: {status.text}"
        blob = client.get(f"/v2/{upload.repository}/blobs/{upload.layer.digest}")
        assert digest_of(blob.content) == upload.layer.digest
        return
    assert status.status_code == httpx.codes.NO_CONTENT, status.text
    last = int(status.headers["Range"].removeprefix("0-"))
    offset = last + 1 if last else 0
    assert upload.acknowledged <= offset <= upload.layer.size
    if offset < upload.layer.size:
        span = f"{offset}-{upload.layer.size - 1}"
        patched = client.patch(
            upload.location,
            content=upload.layer.content[offset:],
            headers={"Content-Range": span},
        )
        assert patched.status_code == httpx.codes.ACCEPTED, patched.text
    done = client.put(upload.location, params={"digest": upload.layer.digest})
    assert done.status_code == httpx.codes.CREATED, done.text


def children(manifest: bytes) -> tuple[list[str], list[str]]:
    """The digests of the manifests and of the blobs that a manifest refers to."""
    document = json.loads(manifest)
    blobs = [document["config"], *document["layers"]] if "layers" in document else []
    return (
        [entry["digest"] for entry in document.get("manifests", [])],
        [entry["digest"] for entry in blobs],
    )
