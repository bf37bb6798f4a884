"""The family of refusals: every one has a code and a status that the specification knows."""

from longshore.oci import errors


def family(cls):
    return {sub for child in cls.__subclasses__() for sub in {child, *family(child)}}


def data_plane():
    """The management API has codes of its own: Harbor's."""
    return {
        cls
        for cls in family(errors.RegistryError)
        if not cls.__module__.startswith("longshore.api")
    }


def test_every_error_carries_a_code_and_status_of_the_table():
    for cls in data_plane():
        assert cls.status in errors.SPECIFIED[cls.code], cls


def test_every_code_of_the_table_has_an_error():
    assert {cls.code for cls in data_plane()} == set(errors.SPECIFIED)


def test_every_error_is_drawn_in_the_tree_at_the_top_of_the_module():
    assert errors.__doc__ is not None
    own = {cls for cls in family(errors.RegistryError) if cls.__module__ == errors.__name__}
    for cls in own:  # other packages have refusals of their own
        assert cls.__name__ in errors.__doc__, cls
