"""``Chat`` and ``Compare``: live conversations with one persona, or several side by side."""
