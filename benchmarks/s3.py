"""``python -m benchmarks.s3``: both servers on one S3 service, Ceph's gateway on this machine.

The service is what the tests run too. It keeps objects in memory and shares the machine with the
servers and the clients, so what is compared is what the servers do, not how fast S3 is.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiobotocore.session
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph, create_bucket

from benchmarks import servers
from benchmarks.cases import Case, large_pull, push, small_pull
from benchmarks.comparison import compare
from benchmarks.content import FULL, QUICK, TINY
from benchmarks.failure import BenchmarkFailed
from benchmarks.report import S3_BEGIN, S3_END, circumstances, table, write_between_markers
from benchmarks.servers import Bucket, Setup

_PAGE: Final = Path(__file__).parents[1] / "docs/benchmarks.md"
_SCALES: Final = {"full": FULL, "quick": QUICK, "tiny": TINY}
_BUCKET: Final = "benchmarks"
_CLIENTS: Final = (1, 8)
#: Bytes that the service may hold: what was removed is freed a while later.
_MEMORY: Final = 8 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s3", description=__doc__)
    parser.add_argument("--rounds", type=int, help="measure every case so often")
    parser.add_argument("--scale", choices=_SCALES, default="full", help="how much work to do")
    parser.add_argument("--only", metavar="CASE", help="only cases whose name contains this")
    parser.add_argument("--write", action="store_true", help=f"write the results to {_PAGE.name}")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except BenchmarkFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    ours, others = servers.longshore(), servers.peers()
    if not others:
        raise BenchmarkFailed("install docker-registry (scripts/install-debian-packages)")
    scale = _SCALES[options.scale]
    scale = dataclasses.replace(scale, rounds=options.rounds or scale.rounds)
    with tempfile.TemporaryDirectory(prefix="longshore-bench-", dir="/var/tmp") as name:
        directory, home = Path(name) / "servers", Path(name) / "ceph"
        directory.mkdir()
        home.mkdir()
        how = circumstances([ours, *others], scale, directory)
        ceph = Ceph(home, memory=_MEMORY)
        try:
            asyncio.run(create_bucket(ceph, _BUCKET))
            cases = [case for case in _cases(ceph) if (options.only or "") in case.name]
            results = compare([ours, *others], cases, scale, directory, _say)
        finally:
            ceph.stop()
    text = "\n\n".join([how, *(table(results, ours, peer, None) for peer in others)])
    print(text)
    if options.write:
        write_between_markers(_PAGE, text, S3_BEGIN, S3_END)


def _cases(ceph: Ceph) -> list[Case]:
    def bucket(redirect: bool) -> Bucket:
        def parameters(prefix: str) -> Mapping[str, Any]:
            return {
                "s3": {
                    "region": "us-east-1",
                    "regionendpoint": ceph.url,
                    "secure": False,
                    "v4auth": True,
                    "accesskey": ACCESS_KEY,
                    "secretkey": SECRET_KEY,
                    "bucket": _BUCKET,
                    "rootdirectory": prefix,
                },
                "redirect": {"disable": not redirect},
            }

        def drop(prefix: str, larger: int, kept: Container[str]) -> None:
            asyncio.run(_drop(ceph, prefix[1:], larger, kept))

        return Bucket(parameters, drop)

    through = Setup("s3", bucket=bucket(redirect=False))
    redirected = Setup("s3-redirected", bucket=bucket(redirect=True))
    return [
        *(small_pull(clients, through, least=None) for clients in _CLIENTS),
        *(large_pull(clients, through, least=None) for clients in _CLIENTS),
        *(
            push(large, clients, chunked, through, least=None)
            for large in (False, True)
            for chunked in (False, True)
            for clients in _CLIENTS
        ),
        *(
            small_pull(clients, redirected, "redirect of a blob pull", least=None)
            for clients in _CLIENTS
        ),
    ]


async def _drop(ceph: Ceph, prefix: str, larger: int, kept: Container[str]) -> None:
    """Remove large objects, and have the service free their memory."""
    session = aiobotocore.session.AioSession()
    client = session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=ceph.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    async with client as connected:
        pages = connected.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=prefix)
        async for page in pages:
            large = [
                {"Key": found["Key"]}
                for found in page.get("Contents", ())
                if found["Size"] > larger and f"sha256:{found['Key'].split('/')[-2]}" not in kept
            ]
            if large:
                await connected.delete_objects(Bucket=_BUCKET, Delete={"Objects": large})
    ceph.collect()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
