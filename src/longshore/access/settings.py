"""Settings of who may do what."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting


class NoneSettings(Table):
    """Everybody may do everything."""


class SillySettings(Table):
    realm: str = setting("silly", "Realm of the challenge.")
    service: str = setting("silly", "Service of the challenge.")


class HtpasswdSettings(Table):
    realm: str = setting("Registry Realm", "What a client shows when it asks for a password.")
    path: Path = required("The password file. Made, with one user, when it does not exist.")


SigningAlgorithm = Literal[
    "EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512",
    "PS256", "PS384", "PS512",
]  # fmt: skip


class LongshoreSettings(Table):
    """Users, projects and roles in the database: longshore.identity."""


class TokenSettings(Table):
    realm: str = setting("", "URL of the token server; may be empty with autoredirect.")
    service: str = required("The name of this registry in tokens (audience).")
    issuer: str = required("The name of the token server in tokens.")
    rootcertbundle: Path | None = setting(None, "PEM file of certificates that sign tokens.")
    jwks: Path | None = setting(None, "JSON Web Key Set of keys that sign tokens.")
    autoredirect: bool = setting(False, "The token server is on this registry's own host.")
    autoredirectpath: str = Field(
        default="/auth/token", description="Its path there.", pattern="^/"
    )
    signingalgorithms: tuple[SigningAlgorithm, ...] = setting(
        (), "Algorithms that tokens may be signed with; empty: all that distribution takes."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.realm and not self.autoredirect:
            raise ValueError("realm is missing; write the URL of the token server")
        if self.rootcertbundle is None and self.jwks is None:
            raise ValueError("rootcertbundle and jwks are missing; one of them must be given")
        return self


#: The kinds of login, as keys below ``auth``.
METHODS: Final = ("none", "silly", "htpasswd", "token", "longshore")


class AuthSettings(Section):
    key = "auth"
    one_of = METHODS

    none: NoneSettings | None = setting(None, "Everybody may do everything; the default.")
    silly: SillySettings | None = setting(
        None, "Any Authorization header is believed; for development, with --dev only."
    )
    htpasswd: HtpasswdSettings | None = setting(None, "Users and passwords in a file.")
    token: TokenSettings | None = setting(None, "Tokens of somebody else's token server.")

    longshore: LongshoreSettings | None = setting(
        None, "Users with roles in projects, kept in the database."
    )

    @property
    def method(self) -> str:
        """The one of METHODS that is given, ``none`` otherwise."""
        return next((name for name in METHODS if getattr(self, name) is not None), "none")


class AccessRule(Table):
    repository: str = Field(
        description="A repository; * is anything within a component, ** any components.",
        pattern=r"^[a-z0-9._*-]+(/[a-z0-9._*-]+)*$",
    )
    users: Annotated[tuple[str, ...], Field(min_length=1)] = required(
        "Names; * is everybody who logged in, anonymous who did not."
    )
    actions: tuple[Literal["pull", "push", "delete", "*"], ...] = required(
        "What they may do; push includes pull, an empty list forbids."
    )


class LoginBackoffSettings(Table):
    """Failed logins are counted per user and address."""

    attempts: int = Field(default=5, description="Failed logins that cost no waiting.", ge=1)
    longest: Seconds = setting(300.0, "The longest wait; it starts at 1s and doubles.")


class AccessSettings(Section):
    key = "longshore.access"

    anonymouspull: bool = setting(False, "Pulling needs no login (beside htpasswd or token).")
    rules: tuple[AccessRule, ...] = setting(
        (), "Who may do what where; the first rule for user and repository decides, none: no."
    )
    credentialcache: Seconds = setting(60.0, "How long a verified password is remembered.")
    loginbackoff: LoginBackoffSettings = setting(LoginBackoffSettings(), "Slows down guessing.")

    @model_validator(mode="after")
    def _one_of_them_decides(self) -> Self:
        if self.anonymouspull and self.rules:
            raise ValueError(
                "anonymouspull and rules are both given, and which of them is to win is not clear; "
                "remove anonymouspull and write as the last rule: "
                '{repository: "**", users: [anonymous, "*"], actions: [pull]}'
            )
        return self
