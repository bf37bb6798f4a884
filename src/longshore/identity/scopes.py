"""What requests and tokens are about: scopes, accesses, and the projects of both."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from longshore.access.grant import Asking
from longshore.access.issuer import Scopes, parse_scopes
from longshore.access.model import Access
from longshore.identity.naming import canonical
from longshore.oci.errors import NameInvalid
from longshore.oci.names import RepositoryName, namespace_of


def asked(asking: Asking) -> Scopes:
    """The scopes that somebody asks for, without those for names that no repository has: whoever verifies
    our tokens need not find out what `public/../private` means."""
    return {
        (kind, name): actions
        for (kind, name), actions in parse_scopes(asking.scopes).items()
        if kind != "repository" or _is_name(name)
    }


def canonical_accesses(wanted: Sequence[Access]) -> list[Access]:
    """What tokens have to cover: one of a repository's names is as good as the other."""
    return [
        replace(access, name=canonical(access.name))
        if access.type == "repository" and "/" not in access.name
        else access
        for access in wanted
    ]


def projects(resources: Iterable[tuple[str, str]]) -> list[str]:
    """The projects of repositories, each once; one empty name when there are none."""
    found = dict.fromkeys(namespace_of(name) for kind, name in resources if kind == "repository")
    return list(found) or [""]


def _is_name(text: str) -> bool:
    try:
        RepositoryName(text)
    except NameInvalid:
        return False
    return True
