"""The metadata database: SQLite by default, PostgreSQL by one setting.

Stores are plain functions that take a SQLAlchemy ``Connection``; this package runs them in threads,
one hop for a whole transaction, so that no statement ever runs on the event loop.
"""
