"""Adapters: where what is forgotten is kept."""
