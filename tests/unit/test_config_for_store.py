"""What is left of a configuration that is wrong, for commands that look and decide: never another store."""

import random
from pathlib import Path

import pytest

from longstop import wiring
from longstop.config import Config, load_for_store, parse_for_store
from longstop.config.values import SECRET_NOT_READ
from longstop.edges.cli.starter import STARTER
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers
from longstop.model.exchange import Reading

BASE = Path("/etc/longstop")
TEXT = """\
[server]
port = 8080
[store]
url = "sqlite:///kept.db"
[sources.shop]
kind = "github"
secrets = ["${SHOP_SECRET}", "file:nowhere"]
[sources.till]
kind = "generic"
verify = { scheme = "basic" }
secrets = ["${TILL_SECRET}"]
[destinations.crm]
url = "https://crm.example/${CRM_TOKEN}"
ordered = true
[destinations.lake]
url = "https://lake.example/"
[[routes]]
from = "shop"
to = ["crm"]
[[routes]]
from = "till"
to = ["lake"]
"""


def read(text: str) -> Config:
    return parse_for_store(text, where="longstop.toml", environ={}, base=BASE)


def names(config: Config) -> tuple[list[str], list[str], list[str]]:
    sources, destinations = [each.name for each in config.sources], [each.name for each in config.destinations]
    return sources, destinations, [each.source for each in config.routes]


def test_unset_secrets_are_no_hindrance() -> None:
    config = read(TEXT)
    assert config.store.path == "/etc/longstop/kept.db"
    assert names(config) == (["shop", "till"], ["crm", "lake"], ["shop", "till"])
    assert [each.partition(":")[0] for each in config.passed_over] == [
        "sources.shop.secrets[0]",
        "sources.shop.secrets[1]",
        "sources.till.secrets[0]",
        "destinations.crm.url",
    ]
    assert config.sources[0].secrets == (SECRET_NOT_READ,) * 2
    assert [each.ordered for each in config.destinations] == [True, False], "a replay keeps to the order all the same"


def test_its_events_can_be_read_and_routed_again() -> None:
    made = wiring.parts(read(TEXT))
    assert list(made.sources) == ["shop", "till"]
    assert list(made.router.destinations("shop", Reading({}), Headers())) == ["crm"]


def test_a_gateway_is_never_built_of_it() -> None:
    with pytest.raises(ConfigurationError):
        wiring.Gateway(read(TEXT))


def test_a_whole_configuration_is_read_whole() -> None:
    config = read(STARTER)
    assert config.passed_over == ()
    assert names(config) == (["hello"], ["terminal"], ["hello"])


def test_nothing_that_is_held_is_released_by_secrets_that_were_not_read() -> None:
    with pytest.raises(ConfigurationError):
        wiring.parts(read(TEXT)).release("shop", Caller("ann", CallerKind.CLI, ALL_SCOPES))


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ('kind = "github"', 'kind = "githob"', (["till"], ["crm", "lake"], ["till"])),
        ("port = 8080", "prot = 8080", (["shop", "till"], ["crm", "lake"], ["shop", "till"])),
        ("ordered = true", "orderd = true", (["shop", "till"], ["crm", "lake"], ["shop", "till"])),
        ('to = ["crm"]', 'to = ["cmr"]', (["shop", "till"], ["crm", "lake"], ["shop", "till"])),
        ('from = "shop"', 'from = "shoop"', (["shop", "till"], ["crm", "lake"], ["till"])),
        ("[sources.till]", "[sources.Till]", (["shop"], ["crm", "lake"], ["shop"])),
        ("[destinations.lake]", "[destinations.Lake]", (["shop", "till"], ["crm"], ["shop", "till"])),
        ("[server]", "[[server]]", (["shop", "till"], ["crm", "lake"], ["shop", "till"])),
        ("[server]", "servers = 1\n[server]", (["shop", "till"], ["crm", "lake"], ["shop", "till"])),
        ("[[routes]]", "[[[routes]]", ([], [], [])),
    ],
)
def test_what_is_wrong_is_left_out_and_the_rest_is_there(
    old: str, new: str, left: tuple[list[str], list[str], list[str]]
) -> None:
    config = read(TEXT.replace(old, new, 1))
    assert config.store.path == "/etc/longstop/kept.db"
    assert names(config) == left
    assert config.passed_over


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sqlite:///", "sqlight:///"),
        ('url = "sqlite', 'uri = "sqlite'),
        ("[store]", "[stor]]"),
        ('kept.db"', "kept.db"),
        ("kept.db", "${NOT_SET}.db"),
        ('url = "sqlite:///kept.db"', 'url = "sqlite:///kept.db"\nmax_backlog = 0'),
    ],
)
def test_a_store_that_is_not_certain_is_an_error(old: str, new: str) -> None:
    with pytest.raises(ConfigurationError):
        read(TEXT.replace(old, new, 1))


@pytest.mark.parametrize("retention", ['delivred = "1d"', 'dead = "soon"', "archive = 7", "archive = "])
def test_what_forgets_needs_its_own_table_to_be_right(retention: str) -> None:
    text = f"{TEXT}[retention]\n{retention}\n"
    assert read(text).passed_over
    with pytest.raises(ConfigurationError):
        parse_for_store(text, where="f", environ={}, base=BASE, needed=("store", "retention"))


def test_no_mistake_leads_to_another_store() -> None:
    """Characters taken out, put in and doubled anywhere: the store is this one, or it is an error."""
    rng = random.Random(7)
    outcomes = {"kept": 0, "refused": 0}
    for _ in range(400):
        place = rng.randrange(len(TEXT))
        if TEXT[place : place + 40].find("kept.db") >= 0 or TEXT[max(place - 25, 0) : place].find('"sqlite') >= 0:
            # Of a mistyped path nobody can tell.
            continue
        text = TEXT[:place] + rng.choice(("", '"', "[", "]", "=", "\n", "x", TEXT[place] * 2)) + TEXT[place + 1 :]
        try:
            config = read(text)
        except ConfigurationError:
            outcomes["refused"] += 1
        else:
            assert config.store.path == "/etc/longstop/kept.db", text
            outcomes["kept"] += 1
    assert outcomes["kept"] > 250, outcomes


def test_a_file_is_named_with_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "longstop.toml"
    path.write_text(TEXT)
    config = load_for_store(path, environ={})
    assert config.passed_over[0].startswith(f"{path}:7: sources.shop.secrets[0]: the environment variable SHOP_SECRET")
