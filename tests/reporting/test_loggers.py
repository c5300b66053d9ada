import json
import logging
import math

import jax.numpy as jnp
import numpy as np
import pytest

from ksim.reporting.loggers import JsonLinesLogger, TensorBoardLogger, attach_log_file


def write(logger, iterations):
    for iteration in iterations:
        logger.log(iteration, 100 * iteration, 0.5 * iteration, {"episode/return": iteration / 4})
    logger.close()


def read(path):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_one_flat_object_per_iteration_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    logger = JsonLinesLogger(path)
    metrics = {"loss/value": np.float32(0.25), "policy/kl": jnp.array(0.5), "count": 3}
    logger.log(1, 64, 0.5, metrics)
    assert read(path) == [
        {
            "iteration": 1,
            "env_steps": 64,
            "wall_seconds": 0.5,
            "loss/value": 0.25,
            "policy/kl": 0.5,
            "count": 3.0,
        }
    ]
    logger.close()


def test_what_is_not_finite_becomes_null(tmp_path):
    logger = JsonLinesLogger(tmp_path / "metrics.jsonl")
    logger.log(1, 2, 3.0, {"a": math.nan, "b": -math.inf, "c": np.float32(np.inf), "d": 0.0})
    logger.close()
    (line,) = read(tmp_path / "metrics.jsonl")
    assert [line[name] for name in "abcd"] == [None, None, None, 0.0]


def test_no_iteration_stands_twice_after_a_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(JsonLinesLogger(path), range(1, 6))
    write(JsonLinesLogger(path, first_iteration=4), range(4, 8))
    assert [line["iteration"] for line in read(path)] == [1, 2, 3, 4, 5, 6, 7]
    write(JsonLinesLogger(path), [1])
    assert [line["iteration"] for line in read(path)] == [1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "end", ['{"iteration": 3, "env_s', '{"iteration": 3}', '{"env_steps": 3}\n', "3\n", "\0\xff\n"]
)
def test_unfinished_lines_are_removed_and_reported(tmp_path, caplog, end):
    path = tmp_path / "metrics.jsonl"
    write(JsonLinesLogger(path), [1, 2])
    with path.open("ab") as file:
        file.write(end.encode("latin-1"))
    with caplog.at_level(logging.INFO):
        write(JsonLinesLogger(path, first_iteration=10), [10])
    assert [line["iteration"] for line in read(path)] == [1, 2, 10]
    assert f"{path}: removed 1 lines" in caplog.text


def scalars_of(folder):
    from tensorboardX.proto.event_pb2 import Event

    scalars, starts = [], []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # length (8 bytes), its checksum (4), the event, its checksum (4)
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            scalars += [
                (value.tag, event.step, value.simple_value) for value in event.summary.value
            ]
            if event.HasField("session_log"):
                starts.append(event.step)
    return scalars, starts


def test_tensorboard_has_the_same_names_over_the_iteration(tmp_path):
    logger = TensorBoardLogger(tmp_path / "tensorboard")
    logger.log(3, 64, 0.5, {"episode/return": 1.5, "loss/value": np.float32(2), "nan": math.nan})
    logger.close()
    scalars, starts = scalars_of(tmp_path / "tensorboard")
    assert scalars == [("episode/return", 3, 1.5), ("loss/value", 3, 2.0), ("env_steps", 3, 64.0)]
    assert starts == []


def test_resumed_tensorboard_hides_what_is_written_again(tmp_path):
    TensorBoardLogger(tmp_path, first_iteration=4).close()
    assert scalars_of(tmp_path) == ([], [4])


def test_log_file_takes_ksim_from_info_and_libraries_from_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("ksim"), "level", logging.NOTSET)
    path = tmp_path / "log.txt"
    handler = attach_log_file(path)
    logging.getLogger("ksim.training").info("started %d", 7)
    logging.getLogger("ksim.training").debug("not this")
    for name in ("absl", "jax._src"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
        logging.getLogger(name).info("nor this")
        logging.getLogger(name).warning("but this")
    handler.close()
    logging.getLogger("ksim.training").info("and not this")
    lines = path.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO ksim.training: started 7",
        "WARNING absl: but this",
        "WARNING jax._src: but this",
    ]
    assert handler not in logging.getLogger().handlers


def test_log_file_is_continued_and_keeps_a_debug_level(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("ksim"), "level", logging.DEBUG)
    for text in ("first", "second"):
        handler = attach_log_file(tmp_path / "log.txt")
        logging.getLogger("ksim").debug(text)
        handler.close()
    assert [line.split()[-1] for line in (tmp_path / "log.txt").read_text().splitlines()] == [
        "first",
        "second",
    ]
