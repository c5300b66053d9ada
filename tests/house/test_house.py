"""The checks of the house, each given what breaks its rule."""

import pytest

from tests.house import __main__ as house
from tests.house import guesses, private_fields, sizes, undefined_names


def test_the_repository_keeps_its_rules(capsys):
    assert house.main() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "guess",
    [
        "hasattr(task, 'run')",
        "getattr(task, 'run', None)",
        "vars(task).get('run')",
        "task.__dict__.get('run', None)",
        "contextlib.suppress(KeyError, AttributeError)",
    ],
)
def test_a_guess_is_found_unless_the_object_is_of_others(guess):
    files = {"ksim/rl/ppo.py": f"x = 1\ny = {guess}\n"}
    (complaint,) = guesses.complaints(files, {})
    assert complaint.startswith(f"ksim/rl/ppo.py:2: {guess} guesses")
    assert not list(guesses.complaints(files, {("ksim/rl/ppo.py", guess): "of others"}))
    # The same guess in another file is another one.
    assert len(list(guesses.complaints(files, {("ksim/rl/gae.py", guess): "of others"}))) == 2


@pytest.mark.parametrize("errors", ["AttributeError", "(KeyError, AttributeError)"])
def test_going_on_after_an_attribute_error_is_a_guess(errors):
    text = f"try:\n    task.run()\nexcept {errors}:\n    pass\n"
    (complaint,) = guesses.complaints({"deploy/ray.py": text}, {})
    assert complaint.startswith(f"deploy/ray.py:3: except {errors} guesses")


def test_reading_a_field_by_its_name_is_no_guess():
    text = "y = getattr(task, name)\ntry:\n    y = {}.get(vars(x))\nexcept KeyError:\n    pass\n"
    files = {"ksim/rl/ppo.py": text, "tests/a.py": "hasattr(x, 'y')\n"}
    assert not list(guesses.complaints(files, {}))


def test_a_guess_that_is_gone_leaves_the_list():
    (complaint,) = guesses.complaints({}, {("ksim/a.py", "hasattr(os, 'fork')"): "Windows"})
    assert complaint.startswith("ksim/a.py: hasattr(os, 'fork') is not there any more.")


@pytest.mark.parametrize(
    "line",
    [
        "size = data._impl.efc_J.size",
        "model.tree_replace({'opt._impl.warn_overflow': 0})",
        "from mujoco.mjx.third_party.mujoco_warp import OverflowType",
        "from mujoco.mjx.third_party import mujoco_warp",
        "import mujoco.mjx.third_party.mujoco_warp as mjw",
        "mjx.third_party.mujoco_warp.step(model, data)",
        "core = importlib.import_module('jax._src.core')",
        "inside = import_module('jax.extend')",
        "client = __import__('jaxlib.xla_client')",
    ],
)
def test_a_private_field_is_found_outside_its_rooms(line):
    (complaint,) = private_fields.complaints({"ksim/rl/ppo.py": f"x = 1\n{line}\n"})
    assert complaint.startswith("ksim/rl/ppo.py:2: ")
    for room in ("ksim/xla/rows.py", "ksim/physics/engines/warp.py"):
        assert not list(private_fields.complaints({room: line}))


def test_what_is_only_named_like_a_private_field_is_free():
    text = "config.mjx_impl = 'jax'\nkey_impl = jax.random.key_impl(key)\nx = 'any _impl.'\n"
    text += "import_module('jaxtyping')\nversion('jaxlib')\n"
    assert not list(private_fields.complaints({"ksim/rl/ppo.py": text}))


def test_sizes_at_the_bound_are_free_and_above_it_are_found():
    def function(lines):
        return "def f():\n" + "    pass\n" * (lines - 1)

    assert not list(sizes.complaints({"ksim/a.py": function(60), "ksim/b.py": "x = 1\n" * 400}))
    files = {"ksim/a.py": function(61), "ksim/b.py": "x = 1\n" * 401}
    assert [complaint.split(",")[0] for complaint in sizes.complaints(files)] == [
        "ksim/a.py:1: f has 61 lines",
        "ksim/b.py: 401 lines",
    ]


def test_folders_at_the_bound_are_free_and_above_it_are_found():
    def folder(name, count):
        return {f"{name}/file_{index}.py": "" for index in range(count)}

    files = folder("ksim/rl", 20) | folder("ksim/terms/rewards", 30) | folder("ksim/training", 21)
    (complaint,) = sizes.complaints(files)
    assert complaint.startswith("ksim/training: 21 files side by side")


@pytest.mark.parametrize(
    "line",
    [
        "y = jnp.zeros(num_envs)",
        "def f(x: 'Trajectory') -> None: ...",
        "def f(x: dict[str, 'Trajectory']) -> None: ...",
        "def f(x: Float[Aray, 'size']) -> None: ...",
        # One on a line of axes, behind letters that are two bytes each.
        "def f(x: Float[Array, 'n'] = 'éé', y: Flaot = 0) -> None: ...",
    ],
)
def test_an_undefined_name_is_found(line):
    imports = "import jax.numpy as jnp\nfrom jaxtyping import Array, Float\n"
    (complaint,) = undefined_names.complaints({"ksim/rl/ppo.py": f"{imports}{line}\n"})
    assert complaint.startswith("ksim/rl/ppo.py:3: Undefined name `")


def test_axes_of_arrays_are_no_names():
    text = """
from jaxtyping import Array, Float, Float as Real

def f(é: Float[Array, "size"], y: Float[Array, "size"]) -> Real[Array, "rows"]: ...
def g(y: list[Float[Array, "n"]], z: dict[str, Float[Array, "n"]] | None) -> None: ...
"""
    files = {"ksim/rl/ppo.py": text, "ksim/a.py": "x = 1\n", "ksim/b.py": "x\n"}
    (complaint,) = undefined_names.complaints(files)
    assert complaint.startswith("ksim/b.py:1: Undefined name `x`")
