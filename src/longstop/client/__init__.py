"""The client of the operators' API, and what the API shows, as classes."""
