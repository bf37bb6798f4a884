"""``/api/longshore/v1``: what Harbor's API has no words for."""
