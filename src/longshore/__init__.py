"""Longshore: a container registry in one package, one process, one command."""

__version__ = "0.1.0"
