"""distribution's notifications: what happens in the registry, posted to endpoints as JSON."""
