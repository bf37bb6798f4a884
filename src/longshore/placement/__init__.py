"""Where bytes lie, and moving them from one backend to another while the registry serves."""
