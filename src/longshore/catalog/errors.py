"""What may be wrong with a wish about artifacts, beside what is missing or taken."""


class PartOfIndex(Exception):
    """It cannot go while an index lists it."""


class Unfit(Exception):
    """What is asked for makes no sense for this artifact."""
