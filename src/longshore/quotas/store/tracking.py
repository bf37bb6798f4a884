"""Triggers that keep what projects hold equal to what the rows say, whoever changes them.

A push, a mount, a deletion, collection, an adoption, a command of an administrator in SQL: each changes
rows of the data plane, and the totals change in the same transaction. No code above has to remember it,
and a registry without projects has no trigger.

On PostgreSQL they are deferred to the commit: the row of a project's totals, which pushes into that
project wait for one after another, is locked last and shortly, so that nobody who holds it waits for
anything else. Each digest is counted under that lock, hence exactly. On SQLite there is one writer.

What a project holds is what ``project_blobs`` says: one row for each digest, with the number of its
places (links of repositories, manifests); the first adds the size, the last takes it away.
"""

from typing import Final

from sqlalchemy import Connection, text

#: Part of every name: another version replaces this one at the next start and counts anew.
VERSION: Final = "quota_v1"

_SQLITE_NAMESPACE: Final = (
    "(SELECT namespace FROM project_repositories WHERE repository_id = {row}.repository_id)"
)


def _sqlite() -> dict[str, str]:
    new, old = _SQLITE_NAMESPACE.format(row="NEW"), _SQLITE_NAMESPACE.format(row="OLD")
    project = (
        "CASE WHEN instr(NEW.repository, '/') > 0 "
        "THEN substr(NEW.repository, 1, instr(NEW.repository, '/') - 1) ELSE 'library' END"
    )

    def usage(namespace: str) -> str:
        return (
            "INSERT INTO project_usage (namespace) "
            f"SELECT {namespace} WHERE {namespace} IS NOT NULL ON CONFLICT DO NOTHING;"
        )

    held = (
        "INSERT INTO project_blobs (namespace, digest, size, holders) "
        f"SELECT {new}, NEW.digest, {{size}}, 1 WHERE {new} IS NOT NULL "
        "ON CONFLICT (namespace, digest) DO UPDATE SET holders = holders + 1;"
    )
    released = (
        "UPDATE project_blobs SET holders = holders - 1 "
        f"WHERE namespace = {old} AND digest = OLD.digest;"
        "DELETE FROM project_blobs "
        f"WHERE namespace = {old} AND digest = OLD.digest AND holders <= 0;"
    )

    def count(column: str, change: str, namespace: str) -> str:
        return (
            f"UPDATE project_usage SET {column} = {column} {change} WHERE namespace = {namespace};"
        )

    def manifests(change: str, row: str) -> str:
        return (
            f"UPDATE project_repositories SET manifests = manifests {change} "
            f"WHERE repository_id = {row}.repository_id;"
        )

    return {
        "repository_added": "AFTER INSERT ON repositories BEGIN "
        "INSERT INTO project_repositories (repository_id, namespace, manifests) "
        "VALUES (NEW.id, NEW.namespace, 0) ON CONFLICT (repository_id) "
        "DO UPDATE SET namespace = excluded.namespace, manifests = 0; END",
        "link_added": "AFTER INSERT ON repository_blobs BEGIN "
        + held.format(size="(SELECT size FROM blobs WHERE digest = NEW.digest)")
        + " END",
        "link_removed": f"AFTER DELETE ON repository_blobs BEGIN {released} END",
        "manifest_added": "AFTER INSERT ON manifests BEGIN "
        + held.format(size="NEW.size")
        + manifests("+ 1", "NEW")
        + " END",
        "manifest_removed": f"AFTER DELETE ON manifests BEGIN {released}{manifests('- 1', 'OLD')} END",
        "tag_added": f"AFTER INSERT ON tags BEGIN {usage(new)}{count('tags', '+ 1', new)} END",
        "tag_removed": f"AFTER DELETE ON tags BEGIN {count('tags', '- 1', old)} END",
        "size_changed": "AFTER UPDATE OF size ON blobs WHEN NEW.size <> OLD.size BEGIN "
        "UPDATE project_blobs SET size = NEW.size WHERE digest = NEW.digest; END",
        # What follows from those.
        "repository_filled": "AFTER UPDATE OF manifests ON project_repositories "
        "WHEN NEW.manifests = 1 AND OLD.manifests = 0 BEGIN "
        + usage("NEW.namespace")
        + count("repositories", "+ 1", "NEW.namespace")
        + " END",
        "repository_emptied": "AFTER UPDATE OF manifests ON project_repositories "
        "WHEN NEW.manifests = 0 AND OLD.manifests = 1 BEGIN "
        + count("repositories", "- 1", "NEW.namespace")
        + " END",
        "digest_added": "AFTER INSERT ON project_blobs BEGIN "
        + usage("NEW.namespace")
        + count("storage", "+ NEW.size", "NEW.namespace")
        + " END",
        "digest_removed": "AFTER DELETE ON project_blobs BEGIN "
        + count("storage", "- OLD.size", "OLD.namespace")
        + " END",
        "digest_changed": "AFTER UPDATE OF size ON project_blobs BEGIN "
        + count("storage", "- OLD.size + NEW.size", "NEW.namespace")
        + " END",
        # Uploads.
        "upload_grown": "AFTER UPDATE OF size ON uploads WHEN NEW.size <> OLD.size OR EXISTS "
        "(SELECT 1 FROM upload_reservations WHERE upload_id = NEW.id) BEGIN "
        "INSERT INTO upload_reservations (upload_id, namespace, size) "
        f"SELECT NEW.id, {project}, NEW.size WHERE true "
        "ON CONFLICT (upload_id) DO UPDATE SET size = excluded.size; END",
        "upload_removed": "AFTER DELETE ON uploads BEGIN "
        "DELETE FROM upload_reservations WHERE upload_id = OLD.id; END",
        "reservation_added": "AFTER INSERT ON upload_reservations BEGIN "
        + usage("NEW.namespace")
        + count("reserved", "+ NEW.size", "NEW.namespace")
        + " END",
        "reservation_changed": "AFTER UPDATE OF size ON upload_reservations BEGIN "
        + count("reserved", "- OLD.size + NEW.size", "NEW.namespace")
        + " END",
        "reservation_removed": "AFTER DELETE ON upload_reservations BEGIN "
        + count("reserved", "- OLD.size", "OLD.namespace")
        + " END",
    }


_POSTGRESQL_FUNCTIONS: Final = {
    # Locks the row of a project's totals, which there is from then on.
    "lock(project text) RETURNS void": """
BEGIN
  PERFORM 1 FROM project_usage WHERE namespace = project FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO project_usage (namespace) VALUES (project) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM project_usage WHERE namespace = project FOR UPDATE;
  END IF;
END""",
    "project_of(repository bigint) RETURNS text": """
BEGIN
  RETURN (SELECT namespace FROM project_repositories WHERE repository_id = repository);
END""",
    "hold(project text, held text, bytes bigint) RETURNS void": """
BEGIN
  IF project IS NULL OR bytes IS NULL THEN RETURN; END IF;
  PERFORM VERSION_lock(project);
  INSERT INTO project_blobs (namespace, digest, size, holders) VALUES (project, held, bytes, 1)
    ON CONFLICT DO NOTHING;
  IF FOUND THEN
    UPDATE project_usage SET storage = storage + bytes WHERE namespace = project;
  ELSE
    UPDATE project_blobs SET holders = holders + 1 WHERE namespace = project AND digest = held;
  END IF;
END""",
    "release(project text, held text) RETURNS void": """
DECLARE
  bytes bigint;
BEGIN
  IF project IS NULL THEN RETURN; END IF;
  PERFORM VERSION_lock(project);
  DELETE FROM project_blobs WHERE namespace = project AND digest = held AND holders <= 1
    RETURNING size INTO bytes;
  IF FOUND THEN
    UPDATE project_usage SET storage = storage - bytes WHERE namespace = project;
  ELSE
    UPDATE project_blobs SET holders = holders - 1 WHERE namespace = project AND digest = held;
  END IF;
END""",
    "manifests(repository bigint, project text, change integer) RETURNS void": """
DECLARE
  left_over integer;
BEGIN
  IF project IS NULL THEN RETURN; END IF;
  UPDATE project_repositories SET manifests = manifests + change WHERE repository_id = repository
    RETURNING manifests INTO left_over;
  IF left_over = 1 AND change = 1 OR left_over = 0 AND change = -1 THEN
    UPDATE project_usage SET repositories = repositories + change WHERE namespace = project;
  END IF;
END""",
    "tags(project text, change integer) RETURNS void": """
BEGIN
  IF project IS NULL THEN RETURN; END IF;
  PERFORM VERSION_lock(project);
  UPDATE project_usage SET tags = tags + change WHERE namespace = project;
END""",
    "reserve(upload text, project text, bytes bigint) RETURNS void": """
DECLARE
  before bigint;
BEGIN
  PERFORM VERSION_lock(project);
  SELECT size INTO before FROM upload_reservations WHERE upload_id = upload;
  IF FOUND THEN
    UPDATE upload_reservations SET size = bytes WHERE upload_id = upload;
  ELSE
    before := 0;
    INSERT INTO upload_reservations (upload_id, namespace, size) VALUES (upload, project, bytes);
  END IF;
  UPDATE project_usage SET reserved = reserved - before + bytes WHERE namespace = project;
END""",
}

#: name -> (its event, whether at once instead of at the commit, what is done)
_POSTGRESQL_TRIGGERS: Final = {
    # At once: what comes later in the transaction asks for it.
    "repository_added": (
        "INSERT ON repositories",
        True,
        """INSERT INTO project_repositories (repository_id, namespace, manifests)
  VALUES (NEW.id, NEW.namespace, 0)
  ON CONFLICT (repository_id) DO UPDATE SET namespace = excluded.namespace, manifests = 0;""",
    ),
    "link_added": (
        "INSERT ON repository_blobs",
        False,
        """PERFORM VERSION_hold(VERSION_project_of(NEW.repository_id), NEW.digest,
  (SELECT size FROM blobs WHERE digest = NEW.digest));""",
    ),
    "link_removed": (
        "DELETE ON repository_blobs",
        False,
        "PERFORM VERSION_release(VERSION_project_of(OLD.repository_id), OLD.digest);",
    ),
    "manifest_added": (
        "INSERT ON manifests",
        False,
        """PERFORM VERSION_hold(VERSION_project_of(NEW.repository_id), NEW.digest, NEW.size);
  PERFORM VERSION_manifests(NEW.repository_id, VERSION_project_of(NEW.repository_id), 1);""",
    ),
    "manifest_removed": (
        "DELETE ON manifests",
        False,
        """PERFORM VERSION_release(VERSION_project_of(OLD.repository_id), OLD.digest);
  PERFORM VERSION_manifests(OLD.repository_id, VERSION_project_of(OLD.repository_id), -1);""",
    ),
    "tag_added": (
        "INSERT ON tags",
        False,
        "PERFORM VERSION_tags(VERSION_project_of(NEW.repository_id), 1);",
    ),
    "tag_removed": (
        "DELETE ON tags",
        False,
        "PERFORM VERSION_tags(VERSION_project_of(OLD.repository_id), -1);",
    ),
    "size_changed": (
        "UPDATE OF size ON blobs",
        False,
        """IF NEW.size = OLD.size THEN RETURN NULL; END IF;
  FOR held IN SELECT namespace FROM project_blobs WHERE digest = NEW.digest ORDER BY namespace LOOP
    PERFORM VERSION_lock(held.namespace);
    UPDATE project_usage SET storage = storage + now.size - old_one.size
      FROM project_blobs old_one, blobs now
      WHERE project_usage.namespace = held.namespace AND old_one.namespace = held.namespace
        AND old_one.digest = NEW.digest AND now.digest = NEW.digest;
    UPDATE project_blobs SET size = now.size FROM blobs now
      WHERE project_blobs.namespace = held.namespace AND project_blobs.digest = NEW.digest
        AND now.digest = NEW.digest;
  END LOOP;""",
    ),
    "upload_grown": (
        "UPDATE OF size ON uploads",
        False,
        """PERFORM VERSION_reserve(NEW.id, CASE WHEN position('/' IN NEW.repository) > 0
  THEN split_part(NEW.repository, '/', 1) ELSE 'library' END, NEW.size);""",
    ),
    "upload_removed": (
        "DELETE ON uploads",
        False,
        """SELECT namespace INTO held FROM upload_reservations WHERE upload_id = OLD.id;
  IF FOUND THEN
    PERFORM VERSION_reserve(OLD.id, held.namespace, 0);
    DELETE FROM upload_reservations WHERE upload_id = OLD.id;
  END IF;""",
    ),
}


def is_installed(connection: Connection) -> bool:
    """Whether totals are kept, by the triggers of this version."""
    return _present(connection) == _expected(connection)


def is_absent(connection: Connection) -> bool:
    """Whether no totals are kept, by any version."""
    return not _present(connection)


def install(connection: Connection) -> None:
    """Make the triggers of this version, and of no other. The totals have to be counted after that, in
    the same transaction."""
    remove(connection)
    for statement in _statements(connection):
        connection.exec_driver_sql(statement)


def remove(connection: Connection) -> None:
    """Keep no totals any more."""
    if connection.dialect.name == "sqlite":
        for name in _present(connection):
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        return
    # Another registry may have its own in another schema of the same database.
    query = text(
        "SELECT proname FROM pg_proc WHERE proname LIKE 'quota\\_%' "
        "AND pronamespace = CAST(current_schema() AS regnamespace)"
    )
    for name in connection.scalars(query).all():
        connection.exec_driver_sql(f'DROP FUNCTION "{name}" CASCADE')


def settle(connection: Connection) -> None:
    """Bring the totals up to date now, before the transaction ends, and hold their rows."""
    if connection.dialect.name != "sqlite":
        connection.execute(_AT_ONCE)


_AT_ONCE: Final = text("SET CONSTRAINTS ALL IMMEDIATE")


def _present(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'quota\\_%' ESCAPE '\\'"
    else:
        query = (
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND tgname LIKE 'quota\\_%' "
            "AND relnamespace = current_schema()::regnamespace"
        )
    return set(connection.scalars(text(query.replace("::", "\\:\\:"))))


def _expected(connection: Connection) -> set[str]:
    names = _sqlite() if connection.dialect.name == "sqlite" else _POSTGRESQL_TRIGGERS
    return {f"{VERSION}_{name}" for name in names}


def _statements(connection: Connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        return [f"CREATE TRIGGER {VERSION}_{name} {body}" for name, body in _sqlite().items()]
    made = [
        f"CREATE FUNCTION {VERSION}_{head} LANGUAGE plpgsql AS $${body}$$"
        for head, body in _POSTGRESQL_FUNCTIONS.items()
    ]
    for name, (event, at_once, body) in _POSTGRESQL_TRIGGERS.items():
        made.append(
            f"CREATE FUNCTION {VERSION}_{name}() RETURNS trigger LANGUAGE plpgsql AS $$\n"
            f"DECLARE\n  held record;\nBEGIN\n  {body}\n  RETURN NULL;\nEND$$"
        )
        constraint, deferred = (
            ("", "") if at_once else ("CONSTRAINT ", "DEFERRABLE INITIALLY DEFERRED ")
        )
        made.append(
            f"CREATE {constraint}TRIGGER {VERSION}_{name} AFTER {event} {deferred}"
            f"FOR EACH ROW EXECUTE FUNCTION {VERSION}_{name}()"
        )
    return [statement.replace("VERSION_", f"{VERSION}_") for statement in made]
