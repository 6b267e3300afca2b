"""The command line: what a person types, what a script reads, and the exit status of both.

`app` finds the command and turns errors into exit statuses; the commands stand in small modules by what a person
is doing: `setup`, `running`, `sending`, `looking`, `deciding`. Nothing in here chooses an adapter: what commands
need of the rest of the program is handed in as a `program.Program`. Nothing heavy is imported before a command runs.
"""
