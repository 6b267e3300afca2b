"""What is wrong with a configuration, or what it means."""

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.handlers import import_from_here
from longstop.edges.cli.options import DEFAULT_CONFIG, AppPath, AsJson, ConfigPath, Injected
from longstop.model.errors import ConfigurationError


def check(*, config: ConfigPath = DEFAULT_CONFIG, app: AppPath = None, json: AsJson = False, program: Injected) -> int:
    """Say all that is wrong with the configuration, or what it means.

    Handlers are imported, so one that is missing is found here and not at the first event. Those that an application
    registers in its code are known with --app.
    """
    from longstop.config import describe

    import_from_here()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    meaning = ""
    try:
        settings = program.load(config, app)
        problems, warnings, meaning = program.unusable(settings, config, app), settings.warnings, describe(settings)
    except ConfigurationError as error:
        problems, warnings = error.problems, error.warnings
    if json:
        row = {"config": str(config), "ok": not problems, "problems": list(problems), "warnings": list(warnings)}
        output.json_line(row)
    elif problems:
        say([*problems, *(f"warning: {each}" for each in warnings)])
        say([f"longstop: {len(problems)} problem{'s' if len(problems) > 1 else ''} in {config}"])
    else:
        for text in meaning.split("\n"):
            output.line(text)
    return FAILED if problems else DONE
