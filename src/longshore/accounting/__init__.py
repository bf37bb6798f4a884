"""Accounting: what tags, repositories and projects weigh, and what deleting them would free."""
