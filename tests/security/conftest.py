"""The people whom the tests of attacks are about."""

from tests.security.neighbours import at_home, embedded, neighbours

__all__ = ["at_home", "embedded", "neighbours"]
