"""Real programs that tests talk to: how each is started, found ready, and ended cleanly.

Every module that has fixtures is a pytest plugin, loaded by `tests/conftest.py`.
"""
