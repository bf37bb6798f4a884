"""What may be wrong with a change to users, projects and members."""


class IdentityError(Exception):
    """A change that cannot be made. The message says which value is wrong and what to do."""


class Missing(IdentityError):
    """There is nothing of that name or number."""


class Taken(IdentityError):
    """There is one already."""


class StillNeeded(IdentityError):
    """It cannot go, because something depends on it."""


class Forbidden(IdentityError):
    """Nobody may do that, whatever their rights."""
