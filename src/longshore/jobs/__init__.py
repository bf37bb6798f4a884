"""Work that outlives a request and a crash: a durable queue in the database, and who works on it."""
