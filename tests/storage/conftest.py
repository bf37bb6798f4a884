"""Assertions of the shipped contract explain themselves when they fail."""

import pytest

pytest.register_assert_rewrite("longshore.testing.storage_objects")
pytest.register_assert_rewrite("longshore.testing.storage_staging")
pytest.register_assert_rewrite("longshore.testing.storage_elsewhere")
pytest.register_assert_rewrite("longshore.testing.storage_faults")
