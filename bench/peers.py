"""The handlers that ingest is measured beside. They store nothing: what they answer 200 to is gone if they crash.

`python bench/peers.py fastapi|asgi PORT` serves one on the server that Longstop uses, with its settings.
"""

import asyncio
import json
import sys
from typing import Any

from longstop.edges.senders_http.server import HttpServer, bind


def fastapi_app() -> Any:
    """What most integrations begin with: a FastAPI route that takes the parsed body."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/webhooks/genesys")
    async def receive(payload: dict[str, Any]) -> dict[str, str]:
        return {"status": "accepted", "id": payload["id"]}

    return app


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """As little as a handler can do: read the body, parse it, answer."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = json.dumps({"status": "accepted", "id": json.loads(body)["id"]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def main(name: str, port: int) -> None:
    server = HttpServer(fastapi_app() if name == "fastapi" else asgi_app, bind("127.0.0.1", port))
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(sys.argv[1], int(sys.argv[2])))
    except ImportError:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
