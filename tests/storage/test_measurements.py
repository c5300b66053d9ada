"""What was measured of this machine, kept in the user's cache directory."""

import json
import os
import stat
from pathlib import Path

import jax
import pytest

from ksim.storage import measurements
from ksim.storage.measurements import KeptMeasurement

NUMBERS = {"slow": 2.0, "fast": 0.5}


def kept_file():
    (path,) = Path(os.environ["XDG_CACHE_HOME"], "ksim", "measured").iterdir()
    return path


def test_numbers_come_back_and_are_the_users_alone():
    measurement = KeptMeasurement("speed", {"size": [2, 3]})
    assert measurement.read(NUMBERS) is None
    measurement.write(NUMBERS)
    assert KeptMeasurement("speed", {"size": [2, 3]}).read(NUMBERS) == NUMBERS
    assert kept_file().name.startswith("speed_")
    assert stat.S_IMODE(kept_file().parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept_file().stat().st_mode) == 0o600


def test_another_subject_or_machine_is_another_measurement(monkeypatch, tmp_path):
    subject = {"size": [2, 3]}
    KeptMeasurement("speed", subject).write(NUMBERS)
    assert KeptMeasurement("speed", {"size": [2, 4]}).read(NUMBERS) is None
    with monkeypatch.context() as patch:
        patch.setenv("NPROC", "77")
        assert KeptMeasurement("speed", subject).read(NUMBERS) is None
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_other=1")
        assert KeptMeasurement("speed", subject).read(NUMBERS) is None
    with monkeypatch.context() as patch:
        patch.setattr(jax, "__version__", "0.0.1")
        assert KeptMeasurement("speed", subject).read(NUMBERS) is None
    with monkeypatch.context() as patch:
        description = tmp_path / "cpuinfo"
        description.write_text("model name\t: Another\nflags\t\t: fpu\n\nmodel name\t: Second\n")
        patch.setattr(measurements, "CPU_DESCRIPTION", description)
        other = KeptMeasurement("speed", subject)
        assert other.read(NUMBERS) is None
        other.write(NUMBERS)
        path = next(p for p in kept_file_paths() if "Another" in p.read_text())
        assert json.loads(path.read_text())["key"]["processor"] == {
            "model name": "Another",
            "flags": "fpu",
        }
    assert KeptMeasurement("speed", subject).read(NUMBERS) == NUMBERS


def kept_file_paths():
    return sorted(Path(os.environ["XDG_CACHE_HOME"], "ksim", "measured").iterdir())


def test_a_system_without_a_description_of_its_processor(monkeypatch, tmp_path):
    monkeypatch.setattr(measurements, "CPU_DESCRIPTION", tmp_path / "missing")
    KeptMeasurement("speed", {}).write(NUMBERS)
    assert KeptMeasurement("speed", {}).read(NUMBERS) == NUMBERS


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: "[1, 2",
        lambda content: "[1, 2]",
        lambda content: "\udcff",
        lambda content: json.dumps(content | {"key": {}}),
        lambda content: json.dumps(content | {"numbers": [2.0, 0.5]}),
        lambda content: json.dumps(content | {"numbers": {"slow": 2.0}}),
        lambda content: json.dumps(content | {"numbers": NUMBERS | {"fast": 0.0}}),
        lambda content: json.dumps(content | {"numbers": NUMBERS | {"fast": float("nan")}}),
        lambda content: json.dumps(content | {"numbers": NUMBERS | {"fast": "half"}}),
    ],
)
def test_a_damaged_file_is_none_and_is_replaced(damage, caplog):
    measurement = KeptMeasurement("speed", {})
    measurement.write(NUMBERS)
    content = json.loads(kept_file().read_text())
    kept_file().write_text(damage(content), encoding="utf-8", errors="surrogateescape")
    assert measurement.read(NUMBERS) is None
    assert "anew" in caplog.text
    measurement.write(NUMBERS)
    assert measurement.read(NUMBERS) == NUMBERS


def test_a_directory_that_cannot_be_used_is_a_warning(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    measurement = KeptMeasurement("speed", {})
    measurement.write(NUMBERS)
    assert "What was measured is not kept" in caplog.text
    assert measurement.read(NUMBERS) is None
