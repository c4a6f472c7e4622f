"""A server that is ended while clients are coming leaves no socket open."""

import gc
import random
import socket
import sys
from urllib.parse import urlsplit

import pytest
from relay_server import Relay

from nbstream.demo import DemoServer
from nbstream.log.memory import MemoryStore
from nbstream.testing import FaultServer


@pytest.mark.parametrize("kind", ["demo", "fault", "relay"])
def test_ended_while_clients_come(kind, monkeypatch):
    """Connections that are just being accepted are closed too."""
    make = {"demo": DemoServer, "fault": FaultServer, "relay": lambda: Relay(MemoryStore())}[kind]
    gc.collect()
    left = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: left.append(str(found.exc_value)))
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(20 if kind == "relay" else 60):
        with make() as server:
            port = server.port if kind == "relay" else urlsplit(server.url).port
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(rng.randint(1, 5))]
        for client in clients:
            client.close()
    gc.collect()
    assert left == []
