"""What the scores of a run say, with their uncertainty."""
