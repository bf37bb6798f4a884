"""Who an entry is: attributes of OpenLDAP, Active Directory, 389 Directory Server and FreeIPA."""

import uuid
from typing import Final

from longshore.ldap import names
from longshore.ldap.connection import Entry
from longshore.ldap.model import LDAPServer, Person

_GUID: Final = "objectGUID"
#: What stays when an entry is renamed or moved, where it is text.
_IDENTIFIERS: Final = ("entryUUID", "nsUniqueId", "ipaUniqueID")
ATTRIBUTES: Final = (_GUID, *_IDENTIFIERS, "mail", "displayName", "cn")
_LONGEST: Final = 255


def person(entry: Entry, server: LDAPServer) -> Person:
    """An entry of ``server`` as a person, without groups."""
    return Person(
        server=server.name,
        dn=entry.dn,
        uid=entry.text(server.uid),
        subject=_subject(entry),
        mail=entry.text("mail")[:_LONGEST],
        real_name=(entry.text("displayName") or entry.text("cn"))[:_LONGEST],
        member_of=tuple(entry.texts(server.groups.membership)),
    )


def _subject(entry: Entry) -> str:
    guid = entry.value(_GUID)
    if len(guid) == 16:
        # As Windows writes it: the first three parts are little-endian (MS-DTYP section 2.3.4.2).
        return f"guid:{uuid.UUID(bytes_le=guid)}"
    for name in _IDENTIFIERS:
        if found := entry.text(name):
            return f"uuid:{found.lower()}"
    return f"dn:{names.normalized(entry.dn)}"
