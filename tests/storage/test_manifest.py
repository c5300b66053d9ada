import hashlib
import json

import pytest

from ksim.storage.manifest import (
    MANIFEST_NAME,
    CheckpointCorruptError,
    check_sizes,
    verify_file,
    verify_manifest,
    write_manifest,
)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "folder" / "empty").write_bytes(b"")
    write_manifest(tmp_path)
    verify_manifest(tmp_path, "a.bin")
    return tmp_path


def test_records_size_and_digest_of_every_file(directory):
    files = json.loads((directory / MANIFEST_NAME).read_text())["files"]
    assert files == {
        "a.bin": {"size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
        "folder/empty": {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()},
    }


def test_changed_file_is_named_with_expected_and_found(directory):
    (directory / "a.bin").write_bytes(b"abd")
    expected, found = (hashlib.sha256(text).hexdigest() for text in (b"abc", b"abd"))
    with pytest.raises(CheckpointCorruptError, match=f"a.bin: .*{expected}.*found.*{found}"):
        verify_manifest(directory, "a.bin")
    verify_file(directory, "folder/empty")
    with pytest.raises(CheckpointCorruptError, match=r"a\.bin"):
        verify_file(directory, "a.bin")


def test_truncated_and_missing_files_are_named(directory):
    (directory / "a.bin").write_bytes(b"ab")
    with pytest.raises(CheckpointCorruptError, match=r"a\.bin: .*'size': 3.*'size': 2"):
        verify_manifest(directory, "a.bin")
    (directory / "a.bin").unlink()
    with pytest.raises(CheckpointCorruptError, match=r"a\.bin: .*no such file"):
        verify_manifest(directory, "a.bin")


def test_missing_or_foreign_manifest(directory):
    (directory / MANIFEST_NAME).write_text('{"files": {}}')
    with pytest.raises(CheckpointCorruptError, match="a table of files of format"):
        verify_manifest(directory, "a.bin")
    (directory / MANIFEST_NAME).unlink()
    with pytest.raises(CheckpointCorruptError, match=r"manifest\.json: .*no such file"):
        verify_manifest(directory, "a.bin")


def test_flipped_bits_of_the_manifest_are_found(directory):
    manifest = directory / MANIFEST_NAME
    original = manifest.read_bytes()
    for bit in range(0, 8 * len(original), 7):  # every bit position, in the names and in the hashes
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(changed)
        with pytest.raises(CheckpointCorruptError):
            verify_manifest(directory, "a.bin")


def test_a_required_file_must_be_in_the_manifest(directory):
    assert verify_manifest(directory, "a.bin").keys() == {"a.bin", "folder/empty"}
    (directory / "b.bin").write_bytes(b"")
    for verify in (verify_manifest, verify_file):
        with pytest.raises(CheckpointCorruptError, match=r"an entry for b\.bin, found none"):
            verify(directory, "b.bin")


def test_sizes_are_compared_without_reading(directory):
    verified = verify_manifest(directory, "a.bin")
    (directory / "a.bin").write_bytes(b"abd")  # as long as it was
    check_sizes(directory, verified)
    (directory / "a.bin").write_bytes(b"ab")
    with pytest.raises(CheckpointCorruptError, match=r"a\.bin: .*'size': 3.*found 2 bytes"):
        check_sizes(directory)
    (directory / MANIFEST_NAME).unlink()
    write_manifest(directory)
    check_sizes(directory)
    with pytest.raises(CheckpointCorruptError, match=r"the one that was verified.*a later one"):
        check_sizes(directory, verified)
    (directory / "a.bin").unlink()
    with pytest.raises(CheckpointCorruptError, match=r"a\.bin: .*no such file"):
        check_sizes(directory)


def test_sizes_in_a_damaged_manifest_are_found(directory):
    manifest = directory / MANIFEST_NAME
    original = manifest.read_bytes()
    for bad in (b'"size" 3', b'"sjze": 3', b'"size": 7'):
        manifest.write_bytes(original.replace(b'"size": 3', bad))
        with pytest.raises(CheckpointCorruptError):
            check_sizes(directory)
