"""
The embedded demo model and its HTTP server: no key, no network, the same text every time.

`demo_url()` starts the server of this process on first use; `DemoServer` is one of your own, for tests.
"""

from nbstream.demo.endpoints import Served
from nbstream.demo.model import DemoModel
from nbstream.demo.server import DemoServer, demo_url

__all__ = ["DemoModel", "DemoServer", "Served", "demo_url"]
