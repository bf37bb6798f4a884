"""Users for every test of access control."""

from pathlib import Path

import argon2
import pytest

from longshore.access.passwords import hash_password

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    """Users alice, bob and ci, each with the password NAME-secret; ci's is hashed with argon2."""
    path = tmp_path / "htpasswd"
    path.write_text(
        "# who may log in\n\n"
        f"alice:{hash_password(b'alice-secret', 4)}\n"
        f"bob:{hash_password(b'bob-secret', 4)}\n"
        f"ci:{QUICK.hash(b'ci-secret')}\n"
    )
    return path
