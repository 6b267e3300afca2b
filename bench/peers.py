"""The handlers that ingest is measured beside. Two store nothing: what they answer 200 to is gone if they crash. The
third is Longstop itself, embedded in a FastAPI application.

`python bench/peers.py fastapi|asgi|embedded PORT` serves one on uvicorn, with the parser that Longstop uses.
"""

import asyncio
import json
import os
import sys
from typing import Any, Literal

import uvicorn


def fastapi_app() -> Any:
    """What most integrations begin with: a FastAPI route that takes the parsed body."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/webhooks/genesys")
    async def receive(payload: dict[str, Any]) -> dict[str, str]:
        return {"status": "accepted", "id": payload["id"]}

    return app


def embedded_app() -> Any:
    """Longstop within an application: mounted in FastAPI, with the configuration of the current folder."""
    from fastapi import FastAPI

    from longstop import Longstop

    gateway = Longstop("longstop.toml")
    app = FastAPI(lifespan=gateway.lifespan)
    app.mount("/webhooks", gateway.ingest)
    return app


def sqs_app() -> Any:
    """What tutorials end in: each body is a message, sent by the client that boto3 is made of. In FastAPI's threads."""
    from urllib.parse import parse_qs, urlsplit

    import botocore.session
    from fastapi import FastAPI

    url = urlsplit(os.environ["BROKER"])
    asked = parse_qs(url.query)
    client = botocore.session.get_session().create_client("sqs", url.netloc, endpoint_url=asked["endpoint"][0])
    queue = client.get_queue_url(QueueName=asked["queue"][0])["QueueUrl"]
    app = FastAPI()

    @app.post("/webhooks/genesys")
    def receive(payload: dict[str, Any]) -> dict[str, str]:
        client.send_message(QueueUrl=queue, MessageBody=json.dumps(payload))
        return {"status": "queued", "id": payload["id"]}

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
    app = {"fastapi": fastapi_app, "embedded": embedded_app, "sqs": sqs_app, "asgi": lambda: asgi_app}[name]()
    await uvicorn.Server(uvicorn_config(app, port, "on" if name == "embedded" else "off")).serve()


def uvicorn_config(app: Any, port: int, lifespan: Literal["on", "off"] = "off") -> uvicorn.Config:
    """The fastest that uvicorn has: no access log, no look for proxies, no websockets."""
    return uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="none",
        lifespan=lifespan,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(sys.argv[1], int(sys.argv[2])))
    except ImportError:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
