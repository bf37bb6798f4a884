"""The management API: Harbor's v2.0 where Harbor has it, Longshore's own beside it."""
