"""Scrubbing: stored bytes are read again and hashed, before somebody pulls what a disk has spoilt."""
