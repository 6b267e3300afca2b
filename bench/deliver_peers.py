"""What delivery is measured beside: the same work, put together from a web handler and a task queue.

    python bench/deliver_peers.py saq|saq-as-it-comes|dramatiq|procrastinate accept|work PORT

`accept` serves `POST /webhooks/genesys` on uvicorn: it enqueues the body and answers 200 when the
broker has it. `work` takes from the queue, 32 at once, and posts to the sink. BROKER and SINK are in the environment.
"""

import asyncio
import logging
import os
import sys
from typing import Any

import uvicorn
from peers import uvicorn_config

CONCURRENCY = 32
ATTEMPTS = 8
SINK, BROKER = os.environ.get("SINK", ""), os.environ.get("BROKER", "")


async def serve(port: int, enqueue: Any, as_it_comes: bool = False) -> None:
    """Answer 200 to what `enqueue(body)` has put into the queue. as_it_comes: uvicorn without its extras."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await enqueue(body.decode())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    config = uvicorn.Config(app, port=port, http="h11", lifespan="off") if as_it_comes else uvicorn_config(app, port)
    # Its access log is its own affair, and goes to nobody; that it has started is none of ours.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    await uvicorn.Server(config).serve()


class Poster:
    """Posts bodies over kept connections."""

    def __init__(self) -> None:
        self._session: Any = None

    async def post(self, body: str) -> None:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY))
        async with self._session.post(SINK, data=body.encode()) as answer:
            answer.raise_for_status()
            await answer.read()


async def saq(role: str, port: int) -> None:
    from saq import Queue, Worker

    # As many at a time as the load has connections: by itself it lets 20.
    queue = Queue.from_url(BROKER, max_concurrent_ops=256)
    await queue.connect()
    if role == "accept":
        await serve(port, lambda body: queue.enqueue("post", body=body, retries=ATTEMPTS))
    poster = Poster()

    async def post(_context: Any, *, body: str) -> None:
        await poster.post(body)

    await Worker(queue, functions=[("post", post)], concurrency=CONCURRENCY).start()


async def saq_as_it_comes(_role: str, port: int) -> None:
    from saq import Queue

    queue = Queue.from_url(BROKER)
    await queue.connect()
    await serve(port, lambda body: queue.enqueue("post", body=body, retries=ATTEMPTS), as_it_comes=True)


async def procrastinate(role: str, port: int) -> None:
    from procrastinate import App, PsycopgConnector

    pool = int(os.environ.get("POOL", "20"))
    app = App(connector=PsycopgConnector(conninfo=BROKER, min_size=pool, max_size=pool))
    poster = Poster()

    @app.task(name="post", retry=ATTEMPTS)
    async def post(body: str) -> None:
        await poster.post(body)

    async with app.open_async():
        if role == "accept":
            await app.schema_manager.apply_schema_async()
            await serve(port, lambda body: post.defer_async(body=body))
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


def dramatiq_actor() -> Any:
    import dramatiq
    import httpx
    from dramatiq.brokers.redis import RedisBroker

    dramatiq.set_broker(RedisBroker(url=BROKER))
    client = httpx.Client(limits=httpx.Limits(max_connections=CONCURRENCY), trust_env=False)

    @dramatiq.actor(max_retries=ATTEMPTS, actor_name="post")
    def post(body: str) -> None:
        client.post(SINK, content=body.encode()).raise_for_status()

    return post


async def dramatiq(role: str, port: int) -> None:
    actor = dramatiq_actor()
    if role == "accept":
        # Its client blocks: a thread for each, as its documentation has it for asynchronous programs.
        await serve(port, lambda body: asyncio.to_thread(actor.send, body))
    from dramatiq import Worker, get_broker

    Worker(get_broker(), worker_threads=CONCURRENCY).start()
    await asyncio.Event().wait()


def main() -> None:
    name, role, port = sys.argv[1:]
    peers = {"saq": saq, "saq-as-it-comes": saq_as_it_comes, "procrastinate": procrastinate, "dramatiq": dramatiq}
    work = peers[name](role, int(port))
    # psycopg does without uvloop; the others, and Longstop, run on it.
    if name in ("procrastinate", "saq-as-it-comes"):
        asyncio.run(work)
    else:
        import uvloop

        uvloop.run(work)


if __name__ == "__main__":
    main()
