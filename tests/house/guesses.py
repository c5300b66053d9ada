"""Whether an object has a member is said by its class, not guessed where the member is used."""

import ast
from collections.abc import Iterator, Mapping

# Objects of others, whose classes we cannot give a member: the file and the guess, and the reason.
OF_OTHERS = {
    ("ksim/config/help.py", "getattr(sys.modules['__main__'], '__spec__', None)"): (
        "__main__ has no __spec__ in an embedded Python"
    ),
    ("ksim/config/value.py", "getattr(origin, '__name__', origin)"): (
        "types from typing, some without a name"
    ),
    ("ksim/config/value.py", "getattr(annotation, '__name__', str(annotation))"): (
        "types from typing, some without a name"
    ),
    ("ksim/envs/brax_environment.py", "hasattr(environment, name)"): "brax's environment",
    ("ksim/envs/brax_environment.py", "hasattr(state, field)"): "brax's state",
    ("ksim/envs/type_check.py", "getattr(x, 'dtype', 0)"): "whatever a user's `reset` returns",
    ("ksim/functional/agent.py", "hasattr(rng, 'dtype')"): "whatever a user gives as a key",
    ("ksim/parallel/devices/memory.py", "getattr(os, 'sysconf_names', {})"): "not on Windows",
    ("ksim/parallel/processes/agreement.py", "getattr(module, '__file__', None)"): (
        "modules built into Python have no file"
    ),
    (
        "ksim/parallel/processes/ending.py",
        "contextlib.suppress(OSError, ValueError, AttributeError)",
    ): "a process may have no output",
    ("ksim/parallel/processes/runtime.py", "getattr(sys, 'last_value', None)"): (
        "set by Python after an uncaught exception"
    ),
    ("ksim/physics/data.py", "self.__dict__.get('fields', {})"): (
        "in __getattr__, which copy and pickle call before there are fields"
    ),
    ("ksim/physics/engines/mjx.py", "getattr(self._model, name, None)"): (
        "mjx.Model has no list of its fields; the name is a user's"
    ),
    ("ksim/physics/engines/native/engine.py", "getattr(mj_model, name, None)"): (
        "mujoco.MjModel; the name is a user's"
    ),
    ("ksim/physics/engines/native/engine.py", "getattr(mj_model, field, None)"): (
        "mujoco.MjModel lacks some of the fields that mujoco.batch names"
    ),
    ("ksim/reporting/terminal_logging.py", "getattr(stream, 'rich_proxied_file', stream)"): (
        "rich's stand-in for a stream"
    ),
    (
        "ksim/storage/measurements.py",
        "except (ValueError, KeyError, TypeError, AttributeError)",
    ): "what stands in a JSON file",
    ("ksim/storage/state_leaves.py", "hasattr(leaf, 'dtype')"): (
        "leaves of any pytree: arrays, shapes, numbers"
    ),
    ("ksim/xla/bfloat16_product.py", "except (ImportError, AttributeError, TypeError)"): "JAX",
    ("ksim/xla/convolution/images.py", "except (ImportError, AttributeError, TypeError)"): "JAX",
    ("ksim/xla/false_alarms.py", "except (ImportError, AttributeError)"): "JAX",
    ("ksim/xla/gloo.py", "except (ImportError, AttributeError)"): "JAX",
    ("ksim/xla/gloo.py", "hasattr(os, 'SCHED_BATCH')"): "Linux alone",
    ("ksim/xla/key_data.py", "hasattr(leaf, 'dtype')"): (
        "leaves of any pytree: arrays, shapes, numbers"
    ),
    ("ksim/xla/preemption.py", "except AttributeError"): "JAX",
    ("ksim/xla/threads.py", "hasattr(os, 'sched_getaffinity')"): "Linux alone",
    ("ksim/testing/engine.py", "except AttributeError"): "the data of engines of others",
}


def complaints(
    files: Mapping[str, str], of_others: Mapping[tuple[str, str], str] = OF_OTHERS
) -> Iterator[str]:
    """Yields each guess that is not among `of_others`.

    A guess is `hasattr`, `getattr` with a default, the same by `vars(x).get` or `x.__dict__.get`,
    and going on after an AttributeError.
    """
    found = set()
    for path, text in files.items():
        if not path.startswith(("ksim/", "examples/", "benchmarks/", "deploy/")):
            continue
        for line, guess in _guesses(text):
            found.add((path, guess))
            if (path, guess) not in of_others:
                yield (
                    f"{path}:{line}: {guess} guesses whether there is such a member. Give it to the"
                    " base class, with a default; for an object of others write the guess and the"
                    " reason into OF_OTHERS of tests/house/guesses.py."
                )
    for path, guess in of_others.keys() - found:
        yield f"{path}: {guess} is not there any more. Take it out of tests/house/guesses.py."


def _guesses(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case (
                ast.Call(func=ast.Name("hasattr"))
                | ast.Call(func=ast.Name("getattr"), args=[_, _, _])
                | ast.Call(func=ast.Attribute(ast.Call(ast.Name("vars")), "get"))
                | ast.Call(func=ast.Attribute(ast.Attribute(attr="__dict__"), "get"))
            ):
                yield node.lineno, ast.unparse(node)
            case ast.Call(
                func=ast.Name("suppress") | ast.Attribute(attr="suppress"), args=errors
            ) if any(map(_is_attribute_error, errors)):
                yield node.lineno, ast.unparse(node)
            case ast.ExceptHandler(type=ast.Tuple(errors)) if any(map(_is_attribute_error, errors)):
                yield node.lineno, f"except {ast.unparse(node.type)}"
            case ast.ExceptHandler(type=ast.Name("AttributeError")):
                yield node.lineno, "except AttributeError"


def _is_attribute_error(error: ast.expr) -> bool:
    return isinstance(error, ast.Name) and error.id == "AttributeError"
