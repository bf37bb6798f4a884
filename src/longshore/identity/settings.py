"""Settings of users and projects."""

from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr

from longshore.config.quantities import Seconds
from longshore.config.section import Section, setting


class AdminSettings(Section):
    key = "longshore.admin"

    password: SecretStr = setting(
        SecretStr(""),
        "Password of the user admin, who is made at the first start with auth.longshore. Empty: one "
        "is made up and shown once, on standard error.",
    )


_DAY: Final = 86400.0


#: Whose passwords are not enough.
Demand = Literal["optional", "administrators", "everybody"]


class LoginSettings(Section):
    key = "longshore.logins"

    sessionlifetime: Annotated[Seconds, Field(ge=60, le=365 * _DAY)] = setting(
        _DAY, "How long a session of a browser lasts, however much it is used."
    )
    secondfactor: Demand = setting(
        "optional",
        "Who needs a code beside a password; who has none yet can do nothing but enrol.",
    )


class TokenServiceSettings(Section):
    key = "longshore.tokens"

    algorithm: Literal["ES256", "RS256"] = setting(
        "ES256", "What new keys of the registry's own tokens are for."
    )
    # docker and skopeo take every token for a minute's and do not ask again before.
    lifetime: Annotated[Seconds, Field(ge=60, le=_DAY)] = setting(
        300.0, "How long a token of the registry lasts; clients get new ones by themselves."
    )
    keylifetime: Seconds = setting(
        90 * _DAY, "How long a key signs until the next one does; 0s: until it is rotated by hand."
    )
    refreshlifetime: Seconds = setting(
        90 * _DAY,
        "How long what `docker login` keeps instead of a password lasts without being used; 0s: none "
        "is given, and clients keep the password.",
    )
    path: Literal["/v2/token", "/service/token"] = setting(
        "/v2/token", "Where the challenge sends clients; both paths answer."
    )
