"""The SQL of garbage collection, over the tables of the data plane: one module a phase."""
