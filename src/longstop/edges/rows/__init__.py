"""What the command line and the API show alike: the rows of everything there is, and what names and ids stand for.

docs/cli.md describes each row. Fields may be added; none is renamed, and none changes its meaning.
"""
