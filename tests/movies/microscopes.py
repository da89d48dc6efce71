"""Writes small ND2 files, after the description of the format by the authors of nd2."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ALIGNED = 4096
MAGIC = 0x0ABECEDA
U32 = np.uint32


def write_nd2(
    path: Path,
    images: np.ndarray,
    *,
    loops: Sequence[tuple[str, int]] = (),
    calibration_um: float | None = None,
    times_ms: Sequence[float] = (),
    period_ms: float = 0.0,
    bits: int = 16,
    compressed: bool = False,
    skip: Sequence[int] = (),
) -> Path:
    """Write `images` (n, height, width, channels) as ND2; `loops` (T or Z, count) outermost first.

    `skip` lists images that the file promises and does not hold, as after a stopped recording.
    """
    n, height, width, channels = images.shape
    size = images.dtype.itemsize
    chunks: dict[bytes, int] = {}
    blob = bytearray(
        struct.pack("<IIQ32s64s", MAGIC, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0")
    )

    def add(name: bytes, data: bytes) -> None:
        blob.extend(bytes(-len(blob) % ALIGNED))
        chunks[name] = len(blob)
        padded = name + bytes(ALIGNED - 24 - len(name))  # pixels then start at 4096
        blob.extend(struct.pack("<IIQ", MAGIC, len(padded), len(data)) + padded + data)

    for number, image in enumerate(images):
        if number not in skip:
            pixels = image.tobytes()
            if compressed:
                pixels = zlib.compress(pixels)
            add(b"ImageDataSeq|%d!" % number, struct.pack("<d", number) + pixels)
    attributes: dict[str, Any] = {
        "uiWidth": U32(width),
        "uiWidthBytes": U32(width * channels * size),
        "uiHeight": U32(height),
        "uiComp": U32(channels),
        "uiBpcInMemory": U32(8 * size),
        "uiBpcSignificant": U32(bits),
        "uiSequenceCount": U32(n),
        "eCompression": np.int32(0 if compressed else 2),
    }
    add(b"ImageAttributesLV!", _level("SLxImageAttributes", attributes))
    picture = {
        "dTimeMSec": 0.0,
        "dCalibration": calibration_um or 1.0,
        "bCalibrated": calibration_um is not None,
        "sPicturePlanes": {
            "uiCount": U32(channels),
            "sPlaneNew": {
                f"a{k}": {
                    "uiCompCount": U32(1),
                    "sDescription": f"C{k}",
                    "pFluorescentProbe": {"m_EmissionSpectrum": {"uiCount": U32(0)}},
                }
                for k in range(channels)
            },
        },
    }
    add(b"ImageMetadataSeqLV|0!", _level("SLxPictureMetadata", picture))
    if loops:
        add(b"ImageMetadataLV!", _level("SLxExperiment", _loop(list(loops), period_ms)))
    if times_ms:
        add(b"CustomData|AcqTimesCache!", np.asarray(times_ms, "<f8").tobytes())
    blob.extend(bytes(-len(blob) % ALIGNED))
    start = len(blob)
    index = b"".join(name + struct.pack("<QQ", at, at) for name, at in chunks.items())
    index += b"ND2 CHUNK MAP SIGNATURE 0000001!"
    name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    blob.extend(struct.pack("<IIQ", MAGIC, len(name), len(index)) + name + index)
    blob.extend(struct.pack("<32sQ", b"ND2 CHUNK MAP SIGNATURE 0000001!", start))
    path.write_bytes(blob)
    return path


def _loop(loops: list[tuple[str, int]], period_ms: float) -> dict[str, Any]:
    (axis, count), *inner = loops
    kind = {"T": 1, "Z": 4}[axis]
    values: dict[str, Any] = {"uiCount": U32(count)}
    if axis == "T":
        values |= {"dStart": 0.0, "dPeriod": period_ms, "dDuration": 0.0}
    else:
        values |= {"dZStep": 0.3, "dZLow": 0.0, "dZHigh": 0.3 * (count - 1), "dZHome": 0.0}
    record: dict[str, Any] = {"eType": U32(kind), "uLoopPars": values}
    if inner:
        record["ppNextLevelEx"] = {"": _loop(inner, period_ms)}
    return record


def _item(name: str, value: Any) -> bytes:
    """Return one named value of the format's compact form."""
    word = (name + "\0").encode("utf-16-le")
    for kinds, code, form in (
        (bool, 1, "<B"),
        (np.int32, 2, "<i"),
        (np.uint32, 3, "<I"),
        (float, 6, "<d"),
    ):
        if isinstance(value, kinds):
            return bytes([code, len(name) + 1]) + word + struct.pack(form, value)
    if isinstance(value, str):
        return bytes([8, len(name) + 1]) + word + (value + "\0").encode("utf-16-le")
    return _level(name, value)


def _level(name: str, values: Mapping[str, Any]) -> bytes:
    head = bytes([11, len(name) + 1]) + (name + "\0").encode("utf-16-le")
    items = [_item(key, value) for key, value in values.items()]
    length = len(head) + 12 + sum(map(len, items))
    places = bytes(8 * len(items))
    return head + struct.pack("<IQ", len(items), length) + b"".join(items) + places


def write_czi(
    path: Path,
    planes: Mapping[tuple[int, int, int], np.ndarray],
    *,
    pixel_um: float = 0.0,
    times_s: Sequence[float] = (),
    compression: str | None = None,
    scenes: Sequence[int] = (0,),
) -> Path:
    """Write planes, keyed by (t, z, c), with Zeiss's own library; `scenes` side by side."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path), compression_options=compression) as document:
        for scene in scenes:
            for (t, z, c), image in planes.items():
                pixels = image if image.ndim == 3 else image[..., None]
                where = (scene * 2 * image.shape[1], 0)
                at = {"T": t, "Z": z, "C": c}
                document.write(np.ascontiguousarray(pixels), location=where, plane=at, scene=scene)
        document.write_metadata("test", scale_x=pixel_um * 1e-6, scale_y=pixel_um * 1e-6)
    if times_s:
        _add_time_stamps(path, times_s)
    return path


def _add_time_stamps(path: Path, times_s: Sequence[float]) -> None:
    """Append the attachment in which ZEN keeps the time of each time point."""
    blob = bytearray(path.read_bytes())
    stamps = struct.pack("<ii", 8 + 8 * len(times_s), len(times_s))
    stamps += struct.pack(f"<{len(times_s)}d", *times_s)
    blob.extend(bytes(-len(blob) % 32))
    place = len(blob)
    entry = struct.pack(
        "<2s10xqi16s8s80s", b"A1", place, 0, bytes(range(16)), b"CZTIMS", b"TimeStamps"
    )
    data = struct.pack("<i12x", len(stamps)) + entry + bytes(112) + stamps
    blob.extend(struct.pack("<16sqq", b"ZISRAWATTACH", len(data), len(data)) + data)
    blob.extend(bytes(-len(blob) % 32))
    directory = len(blob)
    data = struct.pack("<i252x", 1) + entry
    blob.extend(struct.pack("<16sqq", b"ZISRAWATTDIR", len(data), len(data)) + data)
    blob[104:112] = struct.pack("<q", directory)
    path.write_bytes(blob)
