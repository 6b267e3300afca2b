"""A person at the command line is told where a list may lag."""

import pytest

from longstop.edges.cli.listing import say_what_is_not_shown
from longstop.edges.desk.desk import RowList, RowPage
from longstop.model.listing import Page


async def said(found: RowPage, capsys: pytest.CaptureFixture[str]) -> str:
    async def page(_page: Page) -> RowPage:
        raise AssertionError("nothing is to be counted")

    await say_what_is_not_shown("event", found, Page(10), RowList(page, page, 100))
    return capsys.readouterr().err


async def test_a_list_that_may_lag_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    told = await said(RowPage([], may_lag=True), capsys)
    assert told.startswith("No event matches.\nWhat came or changed a moment ago may be missing")


async def test_one_that_does_not_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert await said(RowPage([{"id": "1"}]), capsys) == ""
