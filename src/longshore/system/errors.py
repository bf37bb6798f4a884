"""What may be wrong with a change to the configuration of the system."""


class SettingInvalid(Exception):
    """A value that a key cannot have. The message says which and why; never that of a secret."""


class SettingMistyped(SettingInvalid):
    """A value of another type."""


class SettingFixed(Exception):
    """config.yml, or what this registry is, says what the key has."""
