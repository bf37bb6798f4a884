"""What happened, told to whoever listens: events are rows written with the change that they tell of."""
