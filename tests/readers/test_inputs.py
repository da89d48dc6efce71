import gzip
import os
import threading

import pytest

from spt_explain.errors import SptError
from spt_explain.readers.inputs import HEAD_BYTES, Input


def test_head_and_stream(tmp_path):
    path = tmp_path / "f"
    content = os.urandom(HEAD_BYTES + 10)
    path.write_bytes(b"a" + content)
    source = Input.of(path)
    assert source.head == b"a" + content[: HEAD_BYTES - 1]
    for _ in range(2):
        with source.open() as stream:
            assert stream.read() == b"a" + content
    assert source.plain_path == path


def test_gzip_is_unpacked_whatever_its_name(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(gzip.compress(b"abc", mtime=0))
    source = Input.of(path)
    assert source.head == b"abc"
    assert source.compressed
    assert source.plain_path is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"abc" * 50_000,))
    writer.start()
    source = Input.of(path)
    writer.join()
    for _ in range(2):
        with source.open() as stream:
            assert len(stream.read()) == 150_000


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-4], lambda b: b[:20] + b"\xff\xff\xff" + b[23:], lambda b: b[:10]]
)
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "f.gz"
    path.write_bytes(damage(gzip.compress(b"0123456789abcdef" * 9, mtime=0)))
    with pytest.raises(SptError, match="gzip"):
        Input.of(path)


def test_a_name_that_no_file_can_have():
    with pytest.raises(SptError, match="can't be opened"):
        Input.of("a\0b")
