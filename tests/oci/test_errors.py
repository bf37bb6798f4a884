"""The family of refusals: every one has a code and a status that the specification knows."""

from longshore.oci import errors


def family(cls):
    return {sub for child in cls.__subclasses__() for sub in {child, *family(child)}}


def test_every_error_carries_a_code_and_status_of_the_table():
    for cls in family(errors.RegistryError):
        assert cls.status in errors.SPECIFIED[cls.code], cls


def test_every_code_of_the_table_has_an_error():
    assert {cls.code for cls in family(errors.RegistryError)} == set(errors.SPECIFIED)


def test_every_error_is_drawn_in_the_tree_at_the_top_of_the_module():
    assert errors.__doc__ is not None
    for cls in family(errors.RegistryError):
        assert cls.__name__ in errors.__doc__, cls
