"""Bodies that contact centres really send, for tests and demos. README.md beside them says where each is from."""

from importlib.resources import files


def load(name: str) -> bytes:
    """The payload's bytes as they are in the file, by its name with or without `.json`.

    Raises FileNotFoundError where there is no such payload.
    """
    return (files(__name__) / f"{name.removesuffix('.json')}.json").read_bytes()


def names() -> list[str]:
    """The names of all payloads, sorted."""
    return sorted(file.name.removesuffix(".json") for file in files(__name__).iterdir() if file.name.endswith(".json"))
