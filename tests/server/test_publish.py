"""Updates of a cell's output from a thread, in real kernels."""

import os
import textwrap
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from kernels import interpreter

SOURCE = Path(__file__).parents[2] / "src"

CELL = textwrap.dedent("""
    import threading
    from nbstream.view.publish import KernelDisplay
    go = threading.Event()
    display = KernelDisplay()
    display.show({"text/markdown": "first"})
    def later():
        go.wait()
        display.update({"text/markdown": "second"})
        display.update({"text/markdown": "third"})
    thread = threading.Thread(target=later)
    thread.start()
""")


@pytest.fixture(params=["", "7.3", "6.31"], ids=["ipykernel", "ipykernel-7.3", "ipykernel-6.31"])
def kernel(request):
    """Return the client of a real kernel."""
    argv = [interpreter(request.param), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(argv=argv, language="python", display_name="test")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": str(SOURCE)})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def until_idle(client, request, found):
    """Collect display messages until *request* is done."""
    while True:
        message = client.get_iopub_msg(timeout=30)
        if "display_data" in message["msg_type"]:
            found.append(message)
        assert message["msg_type"] != "error", message["content"]
        mine = message["parent_header"].get("msg_id") == request
        if mine and message["content"].get("execution_state") == "idle":
            return


def test_updates_from_a_thread_belong_to_the_cell_that_made_the_output(kernel):
    """After the cell has ended and another one runs, an update still names its own cell and its own output."""
    found = []
    cell = kernel.execute(CELL)
    until_idle(kernel, cell, found)
    assert [message["msg_type"] for message in found] == ["display_data"]
    until_idle(kernel, kernel.execute("go.set(); thread.join()"), found)
    while len(found) < 3:
        message = kernel.get_iopub_msg(timeout=30)
        if "display_data" in message["msg_type"]:
            found.append(message)
    assert [message["msg_type"] for message in found[1:]] == ["update_display_data"] * 2
    assert {message["parent_header"]["msg_id"] for message in found} == {cell}
    assert len({message["content"]["transient"]["display_id"] for message in found}) == 1
    assert [message["content"]["data"] for message in found] == [
        {"text/markdown": text} for text in ("first", "second", "third")
    ]


def test_captured_output_stays_captured(kernel):
    """Under %%capture the output goes where the cell's output goes."""
    found = []
    until_idle(kernel, kernel.execute("%%capture got\n" + CELL), found)
    assert found == []
    until_idle(
        kernel, kernel.execute("assert [o.data for o in got.outputs] == [{'text/markdown': 'first'}]; go.set()"), found
    )
