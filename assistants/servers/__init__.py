"""Servers of our own: what GPUs there are, what a model needs, and which model goes where."""
