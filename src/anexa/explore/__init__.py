"""The glass box: where every number of a model's computation comes from."""
