"""The configuration that administrators change while the registry runs, as every process sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption
from longshore.system import store
from longshore.system.catalogue import KEYS, Value
from longshore.system.errors import SettingFixed, SettingInvalid
from longshore.telemetry import clock

#: Decrypts a secret by the name of its key; empty when none was set.
Secret = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """What keys that begin with ``prefix`` have to be together. ``check`` raises ValueError; it is asked in
    the transaction of a change to one of them. ``secret`` is sent to ``address``, and not to another one."""

    prefix: str
    address: str
    secret: str
    check: Callable[[Mapping[str, Value], Secret], None]


@dataclass(frozen=True, slots=True)
class _Known:
    values: Mapping[str, Value]
    secrets: Mapping[str, str]


class SystemConfiguration:
    """One per process. What was read counts until any process commits a change of it (``Generation.rights``)."""

    def __init__(
        self,
        database: Database,
        encryption: Encryption,
        *,
        defaults: Mapping[str, Value] | None = None,
        fixed: Mapping[str, Value] | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        """``defaults`` and ``fixed`` come from config.yml: the former can be changed, the latter not."""
        self._database = database
        self._encryption = encryption
        self._defaults = {key.name: key.default for key in KEYS.values()} | dict(defaults or {})
        self._fixed = dict(fixed or {})
        self._rules = rules
        self._known: _Known | None = None
        self._generation: int | None = None

    async def values(self, prefix: str = "") -> Mapping[str, Value]:
        """Every key that begins like that and is no secret."""
        found = (await self._read()).values
        return {
            name: found[name]
            for name, key in KEYS.items()
            if name.startswith(prefix) and not key.secret
        }

    async def with_secrets(self, prefix: str) -> tuple[Mapping[str, Value], Secret]:
        """The same, and what decrypts the secrets as they were then: for who uses them, never to be shown. It
        raises Undecipherable."""
        known = await self._read()
        values = {name: value for name, value in known.values.items() if name.startswith(prefix)}
        return values, partial(self._decrypted, known.secrets)

    def _decrypted(self, secrets: Mapping[str, str], name: str) -> str:
        stored = secrets.get(name, "")
        return self._encryption.decrypt(stored) if stored else ""

    async def was_set(self, name: str) -> bool:
        """Whether an administrator said what the key has."""
        known = await self._read()
        return name in known.secrets or known.values[name] != self._defaults[name]

    def is_editable(self, name: str) -> bool:
        """Whether the key can be changed here."""
        return name not in self._fixed

    def change(self, given: Mapping[str, object]) -> "Change":
        """What sets the keys of ``given`` that there are; others, and those without a value, are passed over,
        as clients send back whatever they read. Raises SettingInvalid, SettingFixed."""
        values: dict[str, Value] = {}
        secrets: dict[str, str] = {}
        for name, value in given.items():
            key = KEYS.get(name)
            if key is None or value is None:
                continue
            checked = key.checked(value)
            if name in self._fixed:
                if checked != self._fixed[name]:
                    raise SettingFixed(
                        f"{name} cannot be changed here: config.yml, or what this registry can do, says "
                        f"{self._fixed[name]!r}"
                    )
            elif key.secret:
                secrets[name] = self._encryption.encrypt(str(checked)) if checked else ""
            else:
                values[name] = checked
        return Change(values, secrets, self._write)

    def _write(self, connection: Connection, change: "Change") -> None:
        """Raises SettingInvalid when the keys do not fit together then."""
        before = self._known_of(*store.read_settings(connection)).values
        store.write_settings(connection, change.values, change.secrets, clock.timestamp())
        known = self._known_of(*store.read_settings(connection))
        for rule in self._rules:
            if not any(name.startswith(rule.prefix) for name in change.names):
                continue
            address = known.values[rule.address]
            moved = address not in ("", before[rule.address])
            if moved and rule.secret in known.secrets and rule.secret not in change.secrets:
                raise SettingInvalid(
                    f"{rule.address} is another one, so {rule.secret} has to be given with it: what is kept was "
                    "meant for the former one"
                )
            try:
                rule.check(known.values, partial(self._decrypted, known.secrets))
            except ValueError as error:
                raise SettingInvalid(str(error)) from error

    def _known_of(self, stored: Mapping[str, Value], secrets: Mapping[str, str]) -> _Known:
        current = {name: value for name, value in stored.items() if name in KEYS}
        return _Known({**self._defaults, **current, **self._fixed}, secrets)

    def forget(self) -> None:
        """Read again the next time: this process has changed something."""
        self._known = None

    async def _read(self) -> _Known:
        generation = await self._database.generation()
        current = None if generation is None else generation.rights
        known = self._known
        if known is None or current is None or current != self._generation:
            known = self._known_of(*await self._database.read(store.read_settings))
            self._known, self._generation = known, current
        return known

    # What is asked often, by name

    async def read_only(self) -> bool:
        """Whether the registry takes no changes."""
        return bool((await self._read()).values["read_only"])

    async def session_timeout(self) -> float:
        """How long a session may be without use, in seconds."""
        return 60.0 * int((await self._read()).values["session_timeout"])

    async def token_lifetime(self) -> float | None:
        """How long a registry token lasts, in seconds; None: as config.yml says."""
        if not await self.was_set("token_expiration"):
            return None
        return 60.0 * int((await self._read()).values["token_expiration"])

    async def robot_token_duration(self) -> int:
        """How long a robot lasts for which nobody says, in days."""
        return int((await self._read()).values["robot_token_duration"])

    async def robot_name_prefix(self) -> str:
        """What names of robots begin with in Harbor's API."""
        return str((await self._read()).values["robot_name_prefix"])

    async def may_register(self) -> bool:
        """Whether people make themselves users: Harbor's rule, only where passwords are kept here."""
        values = (await self._read()).values
        return bool(values["self_registration"]) and values["auth_mode"] == "db_auth"

    async def only_administrators_make_projects(self) -> bool:
        """Whether others may not."""
        return (await self._read()).values["project_creation_restriction"] == "adminonly"


@dataclass(frozen=True, slots=True)
class Change:
    """Checked values, and secrets that are encrypted: what goes into the transaction, which may raise
    SettingInvalid."""

    values: Mapping[str, Value]
    secrets: Mapping[str, str]
    write: "Callable[[Connection, Change], None]"

    @property
    def names(self) -> list[str]:
        """Which keys."""
        return sorted([*self.values, *self.secrets])

    def __call__(self, connection: Connection) -> None:
        self.write(connection, self)
