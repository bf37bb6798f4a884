"""What may be wrong with the access settings or the files they name."""


class AccessError(Exception):
    """Access control cannot be set up as configured. The message is for the operator: which file
    or setting, what is wrong with it, what to do."""
