"""Tools for the assistant that someone on call works with, by the Model Context Protocol (extra `mcp`).

What a tool does it does at the desk (`edges/desk`), on behalf of a person or a token, with no more than their scopes.
What comes from outside (payloads, errors, types, keys) is handed over as data, marked so that it cannot be taken for
anything else.
"""
