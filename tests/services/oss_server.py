"""A server that behaves as Alibaba's documentation says OSS does, where the driver meets it.

There is no emulator of OSS that checks signatures, so this is a stand-in, and strict: it refuses
whatever the documentation does not allow. Objects are in memory. Run as a program:
``oss_server.py PORT BUCKET REGION KEY_ID SECRET``.

The documentation meant is the OSS API reference: "Include a V4 signature in the Authorization header",
"Include a V4 signature in a URL", and the page of each operation.
"""

import base64
import hashlib
import hmac
import itertools
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

#: The service's limits that tests can reach: bytes of a part that is not the last; bytes of a copy
#: in one request, which is 1 GB at the real one.
SMALLEST_PART, LARGEST_COPY = 100 << 10, 16 << 20
_SKEW = timedelta(minutes=15)
_LONGEST = 7 * 24 * 3600


class Refusal(Exception):
    """An error as the service tells it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass
class Object:
    content: bytes
    headers: dict[str, str]
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    etag: str = ""

    def __post_init__(self) -> None:
        self.etag = self.etag or f'"{_md5(self.content).hex().upper()}"'


@dataclass
class Upload:
    key: str
    headers: dict[str, str]
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: dict[int, Object] = field(default_factory=dict)


class Signatures:
    """Version 4, in a header or in a URL. Written from the documentation, not from the SDK."""

    def __init__(self, region: str, key_id: str, secret: str) -> None:
        self.region, self.key_id, self.secret = region, key_id, secret

    def check(self, request: web.Request, bucket: str, key: str) -> None:
        query = _query(request)
        if "x-oss-signature" in query:
            self._check_url(request, bucket, key, query)
        elif authorization := request.headers.get("Authorization"):
            self._check_header(request, bucket, key, query, authorization)
        else:
            raise Refusal(403, "AccessDenied", "anonymous access is forbidden for this operation")

    def _check_header(
        self,
        request: web.Request,
        bucket: str,
        key: str,
        query: dict[str, str],
        authorization: str,
    ) -> None:
        kind, _, rest = authorization.partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        if kind != "OSS4-HMAC-SHA256" or not {"Credential", "Signature"} <= fields.keys():
            raise Refusal(400, "InvalidArgument", "the Authorization header is not of version 4")
        if request.headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            raise Refusal(400, "InvalidArgument", "x-oss-content-sha256 must be UNSIGNED-PAYLOAD")
        moment = request.headers.get("x-oss-date", "")
        if abs(datetime.now(UTC) - _time(moment)) > _SKEW:
            raise Refusal(403, "RequestTimeTooSkewed", "the times differ too much")
        more = [name for name in fields.get("AdditionalHeaders", "").split(";") if name]
        self._compare(
            request, bucket, key, query, moment, fields["Credential"], more, fields["Signature"]
        )

    def _check_url(
        self, request: web.Request, bucket: str, key: str, query: dict[str, str]
    ) -> None:
        signature = query.pop("x-oss-signature")
        if query.get("x-oss-signature-version") != "OSS4-HMAC-SHA256":
            raise Refusal(400, "InvalidArgument", "x-oss-signature-version")
        moment, expires = query.get("x-oss-date", ""), query.get("x-oss-expires", "")
        if not expires.isdecimal() or not 1 <= int(expires) <= _LONGEST:
            raise Refusal(403, "AccessDenied", "x-oss-expires is between 1 and 604800")
        if datetime.now(UTC) > _time(moment) + timedelta(seconds=int(expires)):
            raise Refusal(403, "AccessDenied", "Request has expired.")
        more = [name for name in query.get("x-oss-additional-headers", "").split(";") if name]
        credential = query.get("x-oss-credential", "")
        self._compare(request, bucket, key, query, moment, credential, more, signature)

    def _compare(
        self,
        request: web.Request,
        bucket: str,
        key: str,
        query: dict[str, str],
        moment: str,
        credential: str,
        more: list[str],
        signature: str,
    ) -> None:
        key_id, _, scope = credential.partition("/")
        if key_id != self.key_id:
            raise Refusal(403, "InvalidAccessKeyId", "The OSS Access Key Id is not known.")
        if scope != f"{moment[:8]}/{self.region}/oss/aliyun_v4_request":
            raise Refusal(403, "InvalidArgument", f"the scope {scope} is another one's")
        resource = "/" + (f"{bucket}/{key}" if bucket else "")
        signed = {
            name.lower(): value.strip()
            for name, value in request.headers.items()
            if name.lower().startswith("x-oss-")
            or name.lower() in ("content-type", "content-md5")
            or name.lower() in more
        }
        canonical = "\n".join(
            [
                request.method,
                quote(resource, safe="/-_.~"),
                _canonical_query(query),
                "".join(f"{name}:{value}\n" for name, value in sorted(signed.items())),
                ";".join(sorted(more)),
                "UNSIGNED-PAYLOAD",
            ]
        )
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"OSS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
        secret = f"aliyun_v4{self.secret}".encode()
        for word in scope.split("/"):
            secret = hmac.digest(secret, word.encode(), "sha256")
        expected = hmac.digest(secret, to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(expected, signature):
            raise Refusal(403, "SignatureDoesNotMatch", "The signature is not the expected one.")


class Server:
    """One bucket."""

    def __init__(self, bucket: str, signatures: Signatures) -> None:
        self.bucket = bucket
        self.signatures = signatures
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self._ids = itertools.count(1)

    async def handle(self, request: web.Request) -> web.Response:
        try:
            reply = await self._answer(request)
        except Refusal as refusal:
            body = (
                f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{refusal.code}</Code>"
                f"<Message>{escape(refusal.message)}</Message><RequestId>1</RequestId>"
                f"<HostId>{request.host}</HostId></Error>"
            ).encode()
            headers = {"Content-Type": "application/xml"}
            if request.method == "HEAD":
                headers["x-oss-err"] = base64.b64encode(body).decode()
                body = b""
            reply = web.Response(status=refusal.status, body=body, headers=headers)
        reply.headers["x-oss-request-id"] = f"{next(self._ids):024X}"
        return reply

    async def _answer(self, request: web.Request) -> web.Response:
        bucket, key = self._place(request)
        self.signatures.check(request, bucket, key)
        if bucket != self.bucket:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        content = await request.read()
        if request.method in ("PUT", "POST") and "Content-Length" not in request.headers:
            raise Refusal(411, "MissingContentLength")
        told = request.headers.get("Content-MD5")
        if told and told != base64.b64encode(_md5(content)).decode():
            raise Refusal(400, "InvalidDigest", "Content-MD5 is not the body's")
        query = _query(request)
        words = [word for word in ("uploads", "uploadId", "delete") if word in query]
        verb = " ".join([request.method, "object" if key else "bucket", *words])
        operations: dict[str, Callable[[], web.Response]] = {
            "GET bucket": lambda: self._list(query),
            "GET bucket uploads": lambda: self._list_uploads(query),
            "POST bucket delete": lambda: self._delete_many(request, content),
            "GET object": lambda: self._get(request, key),
            "HEAD object": lambda: self._get(request, key),
            "PUT object": lambda: self._put(request, key, content),
            "DELETE object": lambda: self._delete(key),
            "POST object uploads": lambda: self._begin(request, key),
            "PUT object uploadId": lambda: self._put_part(request, key, query, content),
            "POST object uploadId": lambda: self._complete(key, query, content),
            "DELETE object uploadId": lambda: self._abort(key, query),
        }
        if verb not in operations:
            raise Refusal(501, "NotImplemented", verb)
        return operations[verb]()

    def _delete(self, key: str) -> web.Response:
        self.objects.pop(key, None)
        return web.Response(status=204)

    def _abort(self, key: str, query: dict[str, str]) -> web.Response:
        self._upload(key, query)
        del self.uploads[query["uploadId"]]
        return web.Response(status=204)

    def _place(self, request: web.Request) -> tuple[str, str]:
        """Bucket and key. Hosts: an address has the bucket in the path, as nothing else can; a domain
        of the bucket's own, or one that begins with it, has it not."""
        path = unquote(request.rel_url.raw_path[1:])
        host = request.host.partition(":")[0]
        if host.replace(".", "").isdecimal():
            bucket, _, key = path.partition("/")
            return bucket, key
        return self.bucket if host == "localhost" else host.partition(".")[0], path

    def _object(self, key: str) -> Object:
        if key not in self.objects:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return self.objects[key]

    def _get(self, request: web.Request, key: str) -> web.Response:
        found = self._object(key)
        headers = {
            **found.headers,
            "ETag": found.etag,
            "Last-Modified": format_datetime(found.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if request.method == "HEAD":  # or the framework leaves it out for empty objects
            headers["Content-Length"] = str(len(found.content))
        content, status = found.content, 200
        if "Range" in request.headers:
            standard = request.headers.get("x-oss-range-behavior") == "standard"
            wanted = _range(request.headers["Range"], len(content), standard=standard)
            if wanted:
                start, end = wanted
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
                content, status = content[start:end], 206
        return web.Response(status=status, body=content, headers=headers)

    def _put(self, request: web.Request, key: str, content: bytes) -> web.Response:
        headers = _kept(request)
        if source := request.headers.get("x-oss-copy-source"):
            content = self._source(source).content
            if len(content) > LARGEST_COPY:
                raise Refusal(400, "EntityTooLarge", "one request copies up to 1 GB")
            self.objects[key] = made = Object(content, headers)
            return _xml(f"<CopyObjectResult><ETag>{made.etag}</ETag><LastModified>"
                        f"{_iso(made.modified)}</LastModified></CopyObjectResult>")  # fmt: skip
        self.objects[key] = made = Object(content, headers)
        return web.Response(headers={"ETag": made.etag})

    def _source(self, named: str) -> Object:
        bucket, _, key = unquote(named).removeprefix("/").partition("/")
        if bucket != self.bucket:
            raise Refusal(404, "NoSuchBucket")
        return self._object(key)

    def _delete_many(self, request: web.Request, content: bytes) -> web.Response:
        if "Content-MD5" not in request.headers:
            raise Refusal(400, "MissingArgument", "Content-MD5")
        root = ET.fromstring(content)  # noqa: S314 -- from the tests themselves
        keys = [found.text or "" for found in root.findall("Object/Key")]
        if root.tag != "Delete" or not keys or len(keys) > 1000:
            raise Refusal(400, "MalformedXML")
        for key in keys:
            self.objects.pop(key, None)
        if root.findtext("Quiet") == "true":
            return web.Response(status=200)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml(f"<DeleteResult>{deleted}</DeleteResult>")

    def _list(self, query: dict[str, str]) -> web.Response:
        if query.get("list-type") != "2":
            raise Refusal(501, "NotImplemented", "version 1 of listing")
        limit = int(query.get("max-keys", "100"))
        if not 1 <= limit <= 1000:
            raise Refusal(400, "InvalidArgument", "max-keys is between 1 and 1000")
        after = base64.b64decode(query.get("continuation-token", "")).decode()
        after = max(after, query.get("start-after", ""))
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        url = query.get("encoding-type") == "url"
        entries: dict[str, str] = {}
        more = False
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            group = ""
            if delimiter and delimiter in key[len(prefix) :]:
                group = prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter
            name = group or key
            if name <= after or name in entries:
                continue
            if len(entries) == limit:
                more = True
                break
            shown = quote(name) if url else escape(name)
            found = self.objects[key]
            entries[name] = (
                f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
                if group
                else f"<Contents><Key>{shown}</Key><LastModified>{_iso(found.modified)}"
                f"</LastModified><ETag>{found.etag}</ETag><Type>Normal</Type>"
                f"<Size>{len(found.content)}</Size><StorageClass>Standard</StorageClass></Contents>"
            )
        token = base64.b64encode([*entries][-1].encode()).decode() if more else ""
        return _xml(
            f"<ListBucketResult><Name>{self.bucket}</Name><MaxKeys>{limit}</MaxKeys>"
            + ("<EncodingType>url</EncodingType>" if url else "")
            + f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            + (f"<NextContinuationToken>{token}</NextContinuationToken>" if more else "")
            + "".join(entries.values())
            + f"<KeyCount>{len(entries)}</KeyCount></ListBucketResult>"
        )

    def _begin(self, request: web.Request, key: str) -> web.Response:
        name = f"{next(self._ids):032X}"
        self.uploads[name] = Upload(key, _kept(request))
        return _xml(f"<InitiateMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
                    f"<Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
                    "</InitiateMultipartUploadResult>")  # fmt: skip

    def _upload(self, key: str, query: dict[str, str]) -> Upload:
        upload = self.uploads.get(query["uploadId"])
        if upload is None or upload.key != key:
            raise Refusal(404, "NoSuchUpload", "The specified upload does not exist.")
        return upload

    def _put_part(
        self, request: web.Request, key: str, query: dict[str, str], content: bytes
    ) -> web.Response:
        upload = self._upload(key, query)
        number = int(query["partNumber"])
        if not 1 <= number <= 10_000:
            raise Refusal(400, "InvalidArgument", "partNumber is between 1 and 10000")
        source = request.headers.get("x-oss-copy-source")
        if source is None:
            upload.parts[number] = part = Object(content, {})
            return web.Response(headers={"ETag": part.etag})
        content = self._source(source).content
        if wanted := request.headers.get("x-oss-copy-source-range"):
            span = _range(wanted, len(content), standard=False)
            if span is None:
                raise Refusal(400, "InvalidRange", "the source has no such bytes")
            content = content[slice(*span)]
        if len(content) > LARGEST_COPY:
            raise Refusal(400, "EntityTooLarge")
        upload.parts[number] = part = Object(content, {})
        return _xml(f"<CopyPartResult><LastModified>{_iso(part.modified)}</LastModified>"
                    f"<ETag>{part.etag}</ETag></CopyPartResult>")  # fmt: skip

    def _complete(self, key: str, query: dict[str, str], content: bytes) -> web.Response:
        upload = self._upload(key, query)
        root = ET.fromstring(content)  # noqa: S314 -- from the tests themselves
        wanted = [
            (int(part.findtext("PartNumber") or 0), part.findtext("ETag") or "")
            for part in root.findall("Part")
        ]
        numbers = [number for number, _ in wanted]
        if not wanted or numbers != sorted(set(numbers)):
            raise Refusal(400, "InvalidPartOrder")
        for number, etag in wanted:
            if number not in upload.parts or upload.parts[number].etag.strip('"') != etag.strip(
                '"'
            ):
                raise Refusal(400, "InvalidPart", f"part {number}")
        parts = [upload.parts[number].content for number in numbers]
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall", "parts but the last have 100 KB at least")
        made = Object(b"".join(parts), upload.headers, etag=f'"{query["uploadId"]}-{len(parts)}"')
        self.objects[key] = made
        del self.uploads[query["uploadId"]]
        return _xml(f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>{made.etag}</ETag>"
                    "</CompleteMultipartUploadResult>")  # fmt: skip

    def _list_uploads(self, query: dict[str, str]) -> web.Response:
        limit = int(query.get("max-uploads", "1000"))
        after = query.get("key-marker", ""), query.get("upload-id-marker", "")
        url = query.get("encoding-type") == "url"
        found = sorted(
            (upload.key, name)
            for name, upload in self.uploads.items()
            if upload.key.startswith(query.get("prefix", "")) and (upload.key, name) > after
        )
        more, found = len(found) > limit, found[:limit]

        def shown(key: str) -> str:
            return quote(key) if url else escape(key)

        entries = "".join(
            f"<Upload><Key>{shown(key)}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{_iso(self.uploads[name].begun)}</Initiated></Upload>"
            for key, name in found
        )
        last, upload_id = found[-1] if found else ("", "")
        return _xml(
            f"<ListMultipartUploadsResult><Bucket>{self.bucket}</Bucket>"
            + ("<EncodingType>url</EncodingType>" if url else "")
            + f"<NextKeyMarker>{shown(last)}</NextKeyMarker>"
            f"<NextUploadIdMarker>{upload_id}</NextUploadIdMarker><MaxUploads>{limit}</MaxUploads>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{entries}</ListMultipartUploadsResult>"
        )


def _query(request: web.Request) -> dict[str, str]:
    """Names and values, decoded. A plus sign is no space."""
    pairs = (pair.partition("=") for pair in request.rel_url.raw_query_string.split("&") if pair)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _canonical_query(query: dict[str, str]) -> str:
    """Encoded in the one way that counts, however the client wrote it."""
    encoded = {quote(name, safe="-_.~"): quote(value, safe="-_.~") for name, value in query.items()}
    return "&".join(f"{n}={v}" if v else n for n, v in sorted(encoded.items()))


def _kept(request: web.Request) -> dict[str, str]:
    """Headers that an object keeps; encryption is answered, and not done."""
    names = ("Content-Type", "x-oss-server-side-encryption", "x-oss-server-side-encryption-key-id")
    return {name: request.headers[name] for name in names if name in request.headers}


def _range(header: str, size: int, *, standard: bool) -> tuple[int, int] | None:
    """Start and end; None for the whole object, which OSS gives when it finds the range invalid and
    was not asked for the standard behaviour."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first.isdecimal():
        raise Refusal(501, "NotImplemented", "ranges from the end")
    start, end = int(first), int(last) + 1 if last else size
    if start >= size:
        if standard:
            raise Refusal(416, "InvalidRange", "The requested range cannot be satisfied.")
        return None
    if end > size and not standard:
        return None
    return start, min(end, size)


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise Refusal(403, "AccessDenied", f"x-oss-date {text!r}") from error


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _xml(body: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>{body}'
    return web.Response(text=text, content_type="application/xml")


def main() -> None:
    port, bucket, *identity = sys.argv[1:]
    server = Server(bucket, Signatures(*identity))
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", server.handle)
    web.run_app(application, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main()
