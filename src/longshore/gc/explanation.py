"""Why something is still there, or will not be for long: the sentence for one digest."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from longshore.db.database import Connection
from longshore.gc.collection import CollectionOptions
from longshore.gc.store import explain as store
from longshore.oci.digest import Digest
from longshore.registry.model import BlobState

_SHOWN: Final = 20
#: How far up a chain of indexes and subjects is followed.
_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Explanation:
    """``kept`` is whether something needs the digest; ``lines`` say what, or until when it stays."""

    digest: str
    kept: bool
    lines: list[str]


def explain(connection: Connection, digest: Digest, options: CollectionOptions) -> Explanation:
    """What collection thinks of the digest."""
    lines: list[str] = []
    kept = False
    blob = store.blob_row(connection, digest)
    as_manifest, count = store.manifests_of(connection, digest, _SHOWN)
    for place in as_manifest:
        reason = _tag_above(connection, place.repository, digest)
        if reason is not None:
            lines.append(f"{place.name}: a manifest; {reason}")
            kept = True
        elif not options.delete_untagged:
            lines.append(
                f"{place.name}: a manifest that no tag reaches; kept, because "
                "longshore.gc.deleteuntagged is off"
            )
            kept = True
        else:
            lines.append(
                f"{place.name}: a manifest that no tag reaches; {_wait(place.condemned_at, options)}"
            )
    lines += _more(count)
    as_blob, count = store.links_of(connection, digest, _SHOWN)
    busy = store.has_uploads(connection, [place.name for place in as_blob])
    for place in as_blob:
        by = store.referring(connection, place.repository, digest, 1)
        if by:
            above = _tag_above(connection, place.repository, by[0])
            lines.append(
                f"{place.name}: manifest {by[0]} needs it; {above or 'no tag reaches that one'}"
            )
            kept = True
            continue
        uploading = " (an upload is under way there)" if place.name in busy else ""
        wait = _wait(place.condemned_at, options)
        lines.append(f"{place.name}: a blob that no manifest there needs{uploading}; {wait}")
    lines += _more(count)
    if not as_manifest and not as_blob:
        lines.append(_alone(blob, options))
    elif blob is not None and blob.state == BlobState.QUARANTINED:
        lines.append(
            "its stored bytes are damaged or missing (longshore scrub found that): nobody can pull it "
            "until it is pushed again"
        )
    elif blob is not None and blob.state != BlobState.STORED:
        lines.append(f"its bytes are marked as {blob.state}")
    return Explanation(digest, kept, lines)


def _alone(blob: store.BlobRow | None, options: CollectionOptions) -> str:
    if blob is None:
        return "no row knows it: if storage has such bytes, the next run finds them and they wait a lease"
    if blob.state == BlobState.DELETING:
        return f"no repository has it; its {blob.size} bytes are being removed"
    return f"no repository has it; {_wait(blob.condemned_at, options)}"


def _wait(condemned_at: float | None, options: CollectionOptions) -> str:
    if condemned_at is None:
        return "the next run finds it, and it goes a lease later"
    return f"found unused at {_moment(condemned_at)}, goes after {_moment(condemned_at + options.lease)}"


def _more(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield f"... and {count - _SHOWN} more repositories"


def _tag_above(connection: Connection, repository: int, digest: str) -> str | None:
    """The way from the manifest up to a tag, as people say it; None when there is none."""
    chains: list[tuple[str, list[str]]] = [(digest, [])]
    seen = {digest}
    for _ in range(_DEPTH):
        above: list[tuple[str, list[str]]] = []
        for current, chain in chains:
            found = store.tags_on(connection, repository, current, 1)
            if found:
                return ", ".join([*chain, f"tag {found[0]} names it"])
            parents = store.referring(connection, repository, current, _SHOWN)
            above += [(parent, [*chain, f"index {parent} contains it"]) for parent in parents]
            subject = store.subject_of(connection, repository, current)
            if subject is not None:
                above.append((subject, [*chain, f"it refers to {subject}"]))
        chains = [(name, chain) for name, chain in above if name not in seen]
        seen.update(name for name, _ in chains)
    return None


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
