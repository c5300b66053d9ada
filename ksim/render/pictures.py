"""Makes a film of pictures that a world draws of itself, without MuJoCo and OpenGL."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ksim.config import ConfigError
from ksim.reporting.status import OnProgress


def write_pictures(
    pictures: Sequence[np.ndarray],
    width: int,
    height: int,
    frames_per_second: float,
    path: Path,
    on_progress: OnProgress = lambda share: None,
) -> None:
    """Writes pictures as .mp4 or .gif, by the name of `path`; it appears whole or not at all.

    Args:
      pictures: each `[rows, columns, 3]` uint8.
      width: width of the film, pixels.
      height: height of the film, pixels; pictures are as large as fits, in the middle.
      frames_per_second: pictures in a second.
      path: the file to write; its folder is made.
      on_progress: is told the share of the pictures that are done.

    Raises:
      ConfigError: if the libraries to write films are missing.
    """
    try:
        from ksim.render.drawing import write
    except ImportError as error:
        raise ConfigError(f"A film needs {error.name}. Write pip install -e .[render].") from error

    def images() -> Iterator[np.ndarray]:
        for number, picture in enumerate(pictures):
            on_progress(number / len(pictures))
            yield fitted(picture, width, height)

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".film_") as folder:
        unfinished = Path(folder) / path.name
        write(images(), frames_per_second, unfinished)
        unfinished.replace(path)


def fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Returns a picture in the middle of one of another size, as large as fits."""
    from PIL import Image

    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    canvas = Image.new("RGB", (width, height))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), (left, top))
    return np.asarray(canvas)
