"""Switch off what the libraries report about their users."""

from __future__ import annotations

import os


def disable_telemetry() -> None:
    """Switch off the telemetry of libraries, in this process and in those it starts.

    It must run before ONNX Runtime is imported: from 1.29 on, the import writes a device id and a
    queue of events into the user's cache, and a thread looks up Microsoft's server 9 s later.
    ``onnxruntime.disable_telemetry_events()`` stops neither. The environment reaches workers too.
    A value that is there already, such as "0", is replaced: nothing may leave a microscope room.

    Hugging Face's libraries (diffusers, for generators) only report when they download, which
    spt-explain never asks for. ``HF_HUB_OFFLINE`` is not set: it would break the downloads of
    others' code in the same process.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
