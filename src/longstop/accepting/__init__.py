"""What happens to a request until it is on disk: whether it is taken, whose turn it is, verify, read, append."""
