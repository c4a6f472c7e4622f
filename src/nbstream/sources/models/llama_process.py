"""The process that serves a local model: `python -m nbstream.sources.models.llama_process FILE NAME`. See `local`."""

from __future__ import annotations

import os
import socket
import sys


def main(weights: str, name: str) -> None:
    """Say the address, load, and serve on 127.0.0.1 until standard input ends."""
    try:
        import xllamacpp
    except Exception as exc:  # noqa: BLE001 - a wheel that does not fit: in one line, to whoever started it
        print(f"{type(exc).__name__}: {exc}".splitlines()[0])  # noqa: T201
        return
    # Held for as long as the server runs: nobody else can take the port before it opens.
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        params = xllamacpp.CommonParams()
        params.model.path, params.model_alias = weights, {name}
        params.hostnames, params.port, params.reuse_port = ["127.0.0.1"], port, True
        # One core stays free for the notebook.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.n_ctx, params.n_parallel, params.n_threads_http = 4096, 1, 2
        params.ui, params.offline, params.verbosity = False, True, 0
        params.cors_origins = ""  # no page of a browser's
        params.endpoint_slots = params.endpoint_props = False
        print(f"http://127.0.0.1:{port}", flush=True)  # noqa: T201 - to whoever started it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        server = xllamacpp.Server(params)
        while os.read(0, 1024):
            pass
        del server


if __name__ == "__main__":
    main(*sys.argv[1:])
    # Not by way of the interpreter's end: a call that still runs would hold it up.
    os._exit(0)
