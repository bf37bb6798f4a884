"""Backup and restore of the metadata database, in one file that fits SQLite and PostgreSQL alike.

Bytes are not in it: they lie in storage, which has its own ways to be copied.
"""
