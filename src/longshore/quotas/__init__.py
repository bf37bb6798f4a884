"""How much a project may hold: limits, what is used, and who is refused."""
