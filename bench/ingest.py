"""
Ingest rate: nbstream with every record on disk, against a bare httpx-sse + json.loads loop over the same bytes.

    python bench/ingest.py [--mb 4]

One server process sends OpenAI chat chunks of 8-byte tokens as fast as the reader takes them. Rounds alternate, the
best of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time

FRAME = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "delta": {"content": "%s"}, "finish_reason": None}],
    }
)
END = FRAME.replace('{"content": "%s"}, "finish_reason": null', '{}, "finish_reason": "stop"')


def body(tokens: int) -> bytes:
    """Return the event stream: each token is 8 bytes."""
    frames = "".join(f"data: {FRAME.replace('%s', f'{i % 10**7:07d} ')}\n\n" for i in range(tokens))
    return (frames + f"data: {END}\n\ndata: [DONE]\n\n").encode()


def serve(listener: socket.socket, payload: bytes) -> None:
    """Answer every request with *payload*, close-delimited."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(head + payload)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # closing on unread bytes would reset the connection
                    pass
            except OSError:
                continue


async def bare(url: str) -> int:
    """Read as a user would without us."""
    import httpx
    import httpx_sse

    chars = 0
    async with (
        httpx.AsyncClient(trust_env=False, timeout=None) as client,
        httpx_sse.aconnect_sse(client, "POST", url, json={}) as source,
    ):
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                break
            for choice in json.loads(event.data)["choices"]:
                chars += len(choice["delta"].get("content") or "")
    return chars


def ours(url: str) -> int:
    """Record with nbstream, on disk."""
    import nbstream

    stream = nbstream.start(nbstream.chat("bench", model="bench", base_url=url), fresh=True)
    stream.wait()
    assert stream.state == "complete", stream
    return stream.facts().chars


def main() -> None:
    """Print events/s of both and the ratio."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--mb", type=float, default=4)
    args.add_argument("--rounds", type=int, default=3)
    args = args.parse_args()
    tokens = int(args.mb * 1e6 / 8)
    payload = body(tokens)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, payload), daemon=True)
    server.start()
    os.environ["NBSTREAM_HOME"] = tempfile.mkdtemp(prefix="nbstream-bench-")
    best = {"bare": float("inf"), "nbstream": float("inf")}
    for _ in range(args.rounds):
        for name, read in (("bare", lambda: asyncio.run(bare(url))), ("nbstream", lambda: ours(url))):
            began = time.perf_counter()
            chars = read()
            took = time.perf_counter() - began
            assert chars == tokens * 8, (name, chars)
            best[name] = min(best[name], took)
    for name, took in best.items():
        print(f"{name:10} {tokens / took:>12,.0f} tokens/s   {took:.2f} s for {args.mb:g} MB of text")
    print(f"ratio      {best['bare'] / best['nbstream']:.2f} (bare / nbstream; at least 0.5 is promised)")
    server.terminate()


if __name__ == "__main__":
    main()
