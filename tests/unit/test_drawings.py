"""`picture`: the question of a page for what happened."""

import asyncio

import pytest

from nbstream.errors import StreamGone
from nbstream.pictures.story import Story
from nbstream.pictures.timeline import Timeline
from nbstream.view.drawings import DrawingAnswers


class Shown:
    """What of a stream is needed; its store says what it *raises*."""

    id = "s1"

    def __init__(self, raises=None):
        self.log, self.raises = self, raises

    def read(self, after=-1, *, limit=1000):
        if self.raises:
            raise self.raises
        return []

    def timeline(self):
        return Timeline("s1", Story().read_on(self), "its state")


def asked(shown, **message):
    """Return the answers to one question."""
    sent = []
    message = {"type": "picture", "view": "v", "id": 7, "stream": "s1", **message}
    asyncio.run(DrawingAnswers(sent.append).answer(shown, message))
    return sent


@pytest.mark.parametrize(
    ("what", "fields"), [("timeline", {"svg", "text"}), ("wire", {"head", "first", "more", "last", "summary"})]
)
def test_an_answer_repeats_view_and_id(what, fields):
    """The timeline as SVG and in words, the wire as rows; whose answer it is stands in it."""
    (answer,) = asked(Shown(), what=what)
    about = {name: answer.pop(name) for name in ("type", "view", "id", "stream")}
    assert about == {"type": "picture", "view": "v", "id": 7, "stream": "s1"}
    assert set(answer) == fields


def test_what_cannot_be_read_says_why_and_another_stream_gets_no_answer():
    """A stream that is gone is a reason in one line; a question about one that is no more shown is none."""
    for what in ("timeline", "wire"):
        (answer,) = asked(Shown(StreamGone("stream s1 is gone")), what=what)
        assert answer["reason"] == "stream s1 is gone"
    assert asked(Shown(), what="wire", stream="s0") == []
