"""SIGKILL around Stop: a stop that was stored holds for ever, one that was not leaves an interrupted stream."""

import random
import signal
import time

from questions import native, read, wait_until


def test_killed_between_stop_and_its_close_record(kernels, store, demo):
    """The stop row is stored, the close record never comes: the stream stays stopped, the cell asks anew."""
    kernel = kernels.start().load()
    question = native(demo, fault="stall:100")
    page = kernel.execute(question.cell, question.id).page
    page.wait_text(100)
    wait_until(lambda: read(store, page.stream).text == page.text, "everything to be shown")
    kernel.signal(signal.SIGSTOP)  # so that nothing of it can answer the row
    store.request_stop(page.stream, opened=0).result()
    kernel.kill()
    assert store.status(page.stream).close is None
    assert store.status(page.stream).state == "stopped"
    again = kernels.start().load().execute(question.cell, question.id).page
    again.wait_text(100)
    assert again.stream != page.stream
    assert question.asked() == [None, None]
    assert read(store, page.stream).text == page.text
    assert store.status(page.stream).state == "stopped"


def test_killed_right_after_stop(kernels, store, demo, soak, seed):
    """Stop is pressed 0 to 30 ms before SIGKILL (12 streams, soak: 96): stopped if that was stored, else resumed."""
    choose, outcomes = random.Random(seed), []
    for _ in range(16 if soak else 2):
        kernel = kernels.start().load()
        questions = [native(demo, f"question {n}", tokens=6000, speed=300) for n in range(6)]  # for 20 s
        pages = [kernel.execute(question.cell, question.id).page for question in questions]
        successor = kernels.start()
        for page in pages:
            page.wait_text(30)
        successor.ready()
        moments = sorted(choose.uniform(0, 0.03) for _ in pages)
        began = time.monotonic()
        for page, moment in zip(pages, moments, strict=True):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            page.press("stop")
        time.sleep(max(0.0, began + 0.03 - time.monotonic()))
        kernel.kill()
        successor.load()
        states = []
        for page, question in zip(pages, questions, strict=True):
            found = read(store, page.stream)
            close = found.status.close
            assert close is None or close.how == "stopped"
            # Row and close record are stored in whatever order; either of them holds.
            stopped = close is not None or store.stop_requested(page.stream, opened=0)
            assert found.text.startswith(page.text)
            assert found.status.state == ("stopped" if stopped else "interrupted")
            asked = question.asked()
            new = successor.execute(question.cell, question.id).page
            new.wait_text(30 if stopped else len(found.text) + 1)  # the new call has been answered
            if stopped:
                assert new.stream != page.stream
                assert question.asked() == [*asked, None]
                assert read(store, page.stream).text == found.text
            else:
                assert new.stream == page.stream
                assert question.asked() == [*asked, found.last_event_id]
            new.press("stop")
            states.append(str(found.status.state) + (" and closed" if close else ""))
        successor.kill()
        outcomes += states
    print({state: outcomes.count(state) for state in sorted(set(outcomes))})
