"""Garbage collection: what no tag, index, subject or manifest reaches gives its bytes back."""
