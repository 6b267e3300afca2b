"""The log of a Redis (its append-only file): what calls have written into it, and carrying it out again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from redis import Redis

from redis_server import RedisServer

Command = tuple[bytes, ...]
AT_ONCE = 2_000


def calls_in(server: RedisServer) -> list[list[Command]]:
    """Of each call the commands that it has written, in order."""
    calls: list[list[Command]] = []
    of_one: list[Command] | None = None
    for command in _commands(_log(server.folder).read_bytes()):
        name = command[0].upper()
        if name == b"MULTI":
            of_one = []
        elif name == b"EXEC":
            calls.append(of_one or [])
            of_one = None
        elif of_one is not None:
            of_one.append(command)
        elif name != b"SELECT":
            calls.append([command])
    return calls


def _log(folder: Path) -> Path:
    (log,) = (folder / "appendonlydir").glob("*.incr.aof")
    return log


def _commands(log: bytes) -> Iterator[Command]:
    """https://redis.io/docs/latest/develop/reference/protocol-spec/ : arrays of bulk strings."""
    place = 0

    def number() -> int:
        nonlocal place
        end = log.index(b"\r\n", place)
        found, place = int(log[place + 1 : end]), end + 2
        return found

    while place < len(log):
        command = []
        for _ in range(number()):
            size = number()
            command.append(log[place : place + size])
            place += size + 2
        yield tuple(command)


def carry_out(client: Redis, commands: Sequence[Command]) -> None:
    """As a server does when it reads its log."""
    for start in range(0, len(commands), AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for command in commands[start : start + AT_ONCE]:
            pipe.execute_command(*command)
        pipe.execute()


def all_keys(client: Redis) -> dict[bytes, Any]:
    """What stands under each key."""
    keys = sorted(client.scan_iter(count=10_000))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    kinds = pipe.execute()
    for key, kind in zip(keys, kinds, strict=True):
        _READ[kind](pipe, key)
    return dict(zip(keys, pipe.execute(), strict=True))


_READ = {
    b"string": lambda pipe, key: pipe.get(key),
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
    b"set": lambda pipe, key: pipe.smembers(key),
}
