"""Which headers of a request are shown, and which by their names alone."""

import pytest

from longstop.edges.operators.api.sent_request import _headers
from longstop.model.settings import AuthSettings, DestinationSettings

SCHEMES = [
    (AuthSettings("basic", username="u", password="hunter2"), {"Authorization"}),
    (AuthSettings("hmac-sha256", header="X-Sig", timestamp_header="X-At", secrets=("hunter2",)), {"X-Sig", "X-At"}),
    (AuthSettings("standard-webhooks", secrets=("hunter2",)), {"webhook-signature"}),
    (None, set()),
]


@pytest.mark.parametrize(("auth", "names"), SCHEMES)
def test_what_proves_a_request_is_named_and_not_shown(auth: AuthSettings | None, names: set[str]) -> None:
    settings = DestinationSettings("crm", url="http://crm.example/", headers=(("accept", "hunter2"),), auth=auth)
    told = _headers([("Accept", "*/*")], settings, [("webhook-id", "1")], traced=True)
    hidden = {each.name for each in told if each.value is None}
    assert hidden == names | {"traceparent", "accept"}, "a configured one stands in the place of ours"
    assert [(each.name, each.value) for each in told if each.value is not None] == [("webhook-id", "1")]
