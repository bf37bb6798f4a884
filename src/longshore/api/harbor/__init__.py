"""``/api/v2.0``, as Harbor's clients know it: paths, fields, statuses and error bodies."""
