"""Repository names and tags: the grammar of OCI Distribution 1.1, "Pulling manifests"."""

import re
from typing import Final

from longshore.oci.digest import Digest
from longshore.oci.errors import NameInvalid, TagInvalid

#: Host and name together must fit 255 characters; clients enforce that, the server caps the name.
MAX_NAME_LENGTH: Final = 255
MAX_TAG_LENGTH: Final = 128
#: The namespace of names without a slash, as Docker has it.
LIBRARY: Final = "library"

COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{COMPONENT}(?:/{COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
# The fallback tag of a registry without the referrers API: the subject's digest with "-" for ":".
_REFERRERS_TAG = re.compile(r"(?:sha256-[a-f0-9]{64}|sha512-[a-f0-9]{64})")


class RepositoryName(str):
    """A repository's name, known to be well formed. Raises NameInvalid for anything else."""

    __slots__ = ()

    def __new__(cls, value: str) -> "RepositoryName":
        if len(value) > MAX_NAME_LENGTH or not _NAME.fullmatch(value):
            raise NameInvalid(_explain_name(value), detail={"name": value[:300]})
        return super().__new__(cls, value)


class Tag(str):
    """A tag, known to be well formed. Raises TagInvalid for anything else."""

    __slots__ = ()

    def __new__(cls, value: str) -> "Tag":
        if not _TAG.fullmatch(value):
            raise TagInvalid(_explain_tag(value), detail={"tag": value[:200]})
        return super().__new__(cls, value)

    @classmethod
    def for_referrers(cls, subject: Digest) -> "Tag":
        """The fallback tag under which clients list a subject's referrers (Distribution 1.1,
        "Referrers Tag Schema"): at most 32 characters of algorithm, at most 64 of hexadecimal."""
        return cls(f"{subject.algorithm[:32]}-{subject.hex[:64]}")

    @property
    def is_referrers_fallback(self) -> bool:
        return _REFERRERS_TAG.fullmatch(self) is not None

    @property
    def fallback_subject(self) -> Digest | None:
        """The subject of a fallback tag. Of a sha512 digest the tag holds only half: None."""
        algorithm, _, hexadecimal = self.partition("-")
        if algorithm != "sha256" or not self.is_referrers_fallback:
            return None
        return Digest(f"{algorithm}:{hexadecimal}")


def namespace_of(name: str) -> str:
    """What a repository belongs to: the first component of its name, or ``library``."""
    first, slash, _ = name.partition("/")
    return first if slash else LIBRARY


def parse_reference(value: str) -> Tag | Digest:
    """What stands after ``/manifests/``: a digest when it holds a colon, otherwise a tag."""
    return Digest(value) if ":" in value else Tag(value)


def _explain_name(value: str) -> str:
    shown = repr(value if len(value) <= 120 else value[:120] + "...")
    if len(value) > MAX_NAME_LENGTH:
        return f"repository name {shown} has {len(value)} characters; at most {MAX_NAME_LENGTH} fit"
    if value != value.lower() and _NAME.fullmatch(value.lower()):
        return f"repository name {shown} must be lower case: try {value.lower()!r}"
    return (
        f"{shown} is not a repository name: components of a-z and 0-9, joined inside by one '.', "
        "one or two '_' or any number of '-', and separated by '/'"
    )


def _explain_tag(value: str) -> str:
    if len(value) > MAX_TAG_LENGTH:
        return (
            f"tag {value[:60] + '...'!r} has {len(value)} characters; at most {MAX_TAG_LENGTH} fit"
        )
    return (
        f"{value!r} is not a tag: it starts with a letter, a digit or '_', followed by letters, "
        "digits, '.', '_' or '-'"
    )
