"""Stock clients against a running registry: what people and machines really do."""
