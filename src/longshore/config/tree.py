"""Changes to a tree of values before it is bound: words that choose, and keys that moved."""

from collections.abc import Mapping

from longshore.config.document import Entries, Node, Scalar
from longshore.config.problems import Origin, Report
from longshore.config.shape import Shape, Struct


def as_table(node: Node | None, shape: Shape | None, origin: Origin) -> Entries | None:
    """``node`` as a table: nothing is an empty one, a word is the choice it stands for
    (``storage: inmemory``). None for what can be no table."""
    if isinstance(node, Entries):
        return node
    if node is None or is_null(node):
        return Entries(origin=origin)
    if isinstance(node, Scalar) and is_choice(node, shape):
        return Entries({node.value: Entries(origin=node.origin)}, node.origin)
    return None


def is_null(node: Node) -> bool:
    """Whether a key was written without a value."""
    return isinstance(node, Scalar) and node.value is None


def is_choice(node: Node | None, shape: Shape | None) -> bool:
    """Whether ``node`` is one word for a whole table."""
    return (
        isinstance(node, Scalar)
        and isinstance(node.value, str)
        and isinstance(shape, Struct)
        and bool(shape.known)
    )


def choose(root: Entries, key: str, shape: Shape, used: Mapping[str, str], report: Report) -> None:
    """Let what variables choose win over what the file chose.

    ``used`` maps variables to the keys they set. distribution ends with "multiple storage drivers"
    when REGISTRY_STORAGE_S3_BUCKET meets a file with another driver.
    """
    table = root.entries.get(key)
    if not isinstance(shape, Struct) or not shape.known or not isinstance(table, Entries):
        return
    chosen: dict[str, str] = {}
    for variable, target in used.items():
        if target.startswith(f"{key}."):
            chosen.setdefault(target.split(".")[1].partition("[")[0], variable)
        elif target == key:
            chosen.update(dict.fromkeys(table.entries, variable))
    chosen = {word: variable for word, variable in chosen.items() if word in shape.known}
    if len(chosen) != 1:
        return
    ((word, variable),) = chosen.items()
    for other in [name for name in table.entries if name in shape.known and name != word]:
        dropped = table.entries.pop(other)
        said = f"{variable} chooses {word}, so {other} is not used"
        report.warn(key, said, dropped.origin)


def move(root: Entries, old: str, new: str, reason: str, report: Report) -> None:
    """Put the value at top-level ``old`` where ``new`` (``table.key``) is not given."""
    value = root.entries.pop(old, None)
    if value is None:
        return
    report.warn(old, reason, value.origin)
    table, _, key = new.partition(".")
    target = as_table(root.entries.get(table), None, value.origin)
    if target is not None:
        root.entries[table] = target
        target.entries.setdefault(key, value)
