"""A window of the browser: an error in its console, a violation of the page's policy and a dialog fail a test."""

from typing import Any

LIMIT_MS = 30_000
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 360, "height": 740}


class Visit:
    """A browser's window, and everything that it complained about."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(base_url=url, viewport=options.pop("viewport", WIDE), **options)
        self.context.set_default_timeout(LIMIT_MS)
        self.complaints: list[str] = []
        self.expected: list[str] = []
        """What a test makes go wrong on purpose: complaints that hold one of these texts are none."""
        self.page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._opened)

    def go(self, path: str) -> Any:
        """Open a page, and wait for its heading."""
        self.page.goto(path)
        self.page.get_by_role("heading", level=1).first.wait_for()
        return self.page

    def close(self) -> None:
        """Close the window. Raises AssertionError where something was complained about."""
        self.context.close()
        left = [each for each in self.complaints if not any(text in each for text in self.expected)]
        assert left == [], left

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _opened(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class Held:
    """Requests whose answers are held back until they are let go; those that come later are not held any more."""

    def __init__(self) -> None:
        self._routes: list[Any] | None = []

    def __call__(self, route: Any) -> None:
        """Hold a request, as a handler of Playwright's `route`."""
        if self._routes is None:
            route.continue_()
        else:
            self._routes.append(route)

    def release(self) -> None:
        """Let all of them go, and whatever comes."""
        routes, self._routes = self._routes or [], None
        for route in routes:
            route.continue_()
