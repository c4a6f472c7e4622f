"""The recorder: pulls one source, appends to one log; the only writer of its stream."""

from nbstream.recorder.recorder import Recorder

__all__ = ["Recorder"]
