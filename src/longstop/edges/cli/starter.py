"""What `longstop init` writes, and the handler that makes its first event visible.

The starter configuration needs no environment variable, no account and no second service: an event that is
posted to it comes back as a line on the terminal.
"""

import json
import sys

from longstop.edges.rows.first_event import EXAMPLE_BODY
from longstop.model.event import Event

STARTER = f"""\
# Longstop's configuration. `longstop check` says all that is wrong with it, and where.

[server]
host = "127.0.0.1"              # 0.0.0.0 lets senders on other machines in
port = 8080                     # senders post to http://HOST:PORT/webhooks/SOURCE
admin_port = 8081               # the operators' side; never show it to the internet

[store]
url = "sqlite:///longstop.db"   # beside this file

# A source to try things with. It believes anybody, so keep it off the internet. Try:
#   curl -i http://127.0.0.1:8080/webhooks/hello -H 'Content-Type: application/json' \\
#     -d '{EXAMPLE_BODY}'
# Once more, and the answer is "duplicate": the same id is one event.
[sources.hello]
kind = "generic"
verify = {{ scheme = "none" }}
dedup = "id"                    # JMESPath over the body, or header:NAME
type = "type"
key = "conversationId"

# A Python function that writes each event to the terminal.
[destinations.terminal]
handler = "longstop:print_event"

[[routes]]
from = "hello"
to = ["terminal"]

# Genesys Cloud Open Messaging. The secret is the integration's signature secret token.
# [sources.genesys]
# kind = "genesys-open-messaging"
# secrets = ["${{GENESYS_WEBHOOK_SECRET}}"]   # or file:PATH; several while one is rotated

# An HTTP service of yours. Loopback and private addresses are refused where the
# line with allow_private is missing: say so only for a service that you know.
# [destinations.crm]
# url = "http://127.0.0.1:9000/events"
# allow_private = true
# timeout = "10s"
# retry = {{ first = "1s", factor = 2.0, cap = "15m", max_age = "3d" }}   # the default: it may be down for 3 days

# [[routes]]
# from = "genesys"
# when = "type == 'Text'"       # JMESPath; text stands in single quotes
# to = ["crm"]
"""


def print_event(event: Event) -> None:
    """Write one line about the event to standard output."""
    # As JSON strings, so that nothing a sender puts into them can move the cursor or start a line.
    kind, key = json.dumps(event.type), json.dumps(event.key)
    sys.stdout.write(f"{event.source}: event {event.id}, type {kind}, key {key}, {len(event.body)} bytes\n")
    sys.stdout.flush()
