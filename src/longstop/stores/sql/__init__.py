"""What the stores in SQL share: the columns of what they keep, and between those and the model."""
