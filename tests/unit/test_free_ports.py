"""The ports that tests are given: two that are asked for one after the other are two, before anybody listens."""

from acceptance.harness import free_port


def test_no_port_is_given_out_again_soon() -> None:
    given = [free_port() for _ in range(100)]
    assert len(set(given)) == len(given)
