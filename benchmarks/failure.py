"""The one error of this package."""


class BenchmarkFailed(Exception):
    """A measurement cannot be made, or would mean nothing. The message says why."""
