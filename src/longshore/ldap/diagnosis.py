"""What result codes and Active Directory's sub-codes mean, for those who look after a registry."""

import re
from collections.abc import Mapping
from typing import Final

#: The number behind "data" in the text of a refused bind: Windows' error codes, in hexadecimal.
_SUB_CODE: Final = re.compile(r"\bdata ([0-9a-fA-F]{1,8})\b")
SUB_CODES: Final[Mapping[str, str]] = {
    "525": "the domain knows no such user",
    "52e": "the password is wrong, or the domain knows no such user",
    "530": "the account may not log in at this hour",
    "531": "the account may not log in from this machine",
    "532": "the password has expired; it must be changed in the domain",
    "533": "the account is disabled in the domain",
    "534": "the account has no right to log in this way",
    "568": "the account is in too many groups for the domain to let it in",
    "701": "the account has expired",
    "773": "the password must be changed in the domain before the first login",
    "775": "the account is locked after too many wrong passwords",
}
#: RFC 4511 section 4.1.9.
_CODES: Final[Mapping[int, str]] = {
    1: "the server wants a login before a search: set searchdn and searchpassword",
    3: "the search took longer than the server allows",
    4: "the server gives no more entries at once",
    7: "the server takes no passwords",
    8: "the server wants TLS: write ldaps:// or set starttls",
    10: "the base DN is not on this server",
    13: "the server wants TLS: write ldaps:// or set starttls",
    32: "there is no such entry: is the base DN right",
    34: "this is no DN that the server understands",
    48: "the server takes no password for this entry",
    49: "the password is wrong, or there is no such entry",
    50: "whoever searches has not the right to",
    51: "the server is busy",
    52: "the server is not available",
    53: "the server does not do this",
}
#: Codes after which another server may do better.
UNAVAILABLE: Final = frozenset({51, 52, 80})
INVALID_CREDENTIALS: Final = 49


def explain(code: int, text: str) -> str:
    """A sentence for an answer that is no success; the server's own text is behind it."""
    found = _SUB_CODE.search(text) if code == INVALID_CREDENTIALS else None
    meaning = SUB_CODES.get(found[1].lower()) if found else None
    said = " ".join(text.replace("\0", " ").split())[:300]
    sentence = meaning or _CODES.get(code, "the server refuses")
    if meaning and found:
        return f"{sentence} (result {code}, data {found[1].lower()})"
    return f"{sentence} (result {code}{f': {said}' if said else ''})"
