"""The operators' side, by HTTP."""
