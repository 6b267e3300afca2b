"""The command line: what a person types, what a script reads, and the exit status of both.

`app` finds the command and turns errors into exit statuses; each command has a module of its name. What several
share: `tables` and `listings` (how rows look), `rows` (their fields for programs), `filters` and `selection` (which
are meant), `ids` and `known` (what names mean), `bulk` (carrying a decision out). Nothing in here chooses an adapter:
what commands need of the rest of the program is handed in as a `program.Program`. Nothing heavy is imported before a
command runs.
"""
