"""A saved learner is a folder: config.json (how it is built) and weights.safetensors (its tensors).

    config.json   {"format": 3, "library": "0.1.0", "kind": "learner", "learner": {"class": "Descent", "arguments": {...}},
                   "strides": {...},         how tensors lay that did not lie row by row
                   "sha256": "..."}          of weights.safetensors: a flipped bit, or weights of another save, are refused

Nothing in it can run code. config.json names only classes of quickstudy, and losses, optimizers and schedulers of torch, looked
up in a table; every other name is refused, and nothing is imported because a file says so. A learner, a network or a function of
the user's own is saved by name and passed in when loading (a learner class that is already defined is found). An across-task
method (`outer`) with such a part is left out, since a loaded learner adapts without it; further meta-training asks for one.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from quickstudy.arguments import checked
from quickstudy.artifacts.structure import flattened, rebuilt
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.files import read_json, sha256, writing
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import State
from quickstudy.learners.predictor import Predictor
from quickstudy.meta.outer.outer import LeftOut, cosine
from quickstudy.randomness import seeded
from quickstudy.registry import LEARNERS, is_own, qualified_name
from quickstudy.targets import Target
from quickstudy.weights import is_layout, laid_out, load_unlisted, load_weights, strides_of, unlisted_buffers

FORMAT = 3
BEFORE = {1: "bf473dd", 2: "ebd19db"}  # the last commit that reads a format: before kinds of target, before hashes
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
STATE, HIDDEN = "state.", "buffer."  # prefixes: leaves of a predictor's state, buffers outside the state dict
FUNCTIONS: dict[str, Callable] = {
    **{name: getattr(F, name) for name in ("cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")},
}
SETTINGS: dict[str, Callable] = {  # of an outer method: the callables allowed in a functools.partial
    one.__name__: one
    for space, kind in ((torch.optim, Optimizer), (lr_scheduler, LRScheduler))
    for one in vars(space).values()
    if inspect.isclass(one) and issubclass(one, kind) and one is not kind
} | {"cosine": cosine}
ROOMS = tuple(
    f"quickstudy.{room}" for room in ("models", "targets", "linear_solvers", "learners", "meta", "evaluation", "domains")
)
PRETRAINED = Path(__file__).parents[1] / "pretrained"  # bundled learners
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")


def save(learner: Learner, path: str | Path) -> None:
    """Save a learner. Files are written under temporary names and renamed, so an interruption never leaves half of one."""
    _write(Path(path), {"kind": "learner", "learner": _encode_learner(learner)}, _tensors(learner))


def save_predictor(predictor: Predictor, path: str | Path) -> None:
    """Save an adapted learner: the learner and the state that it learned from its support."""
    leaves: list[Tensor] = []
    structure = flattened(predictor.state, leaves)
    config = {
        "kind": "predictor",
        "learner": _encode_learner(predictor.learner),
        "target": _encode(predictor.target),
        "features": predictor.features,
        "seed": predictor.seed,
        "state": structure,
    }
    tensors = _tensors(predictor.learner) | {f"{STATE}{index}": leaf for index, leaf in enumerate(leaves)}
    _write(Path(path), config, tensors)


@checked
def load(path: str | Path, network: nn.Module | None = None, **foreign: Any) -> Learner | Predictor:
    """Load a learner or a predictor from its folder, or the best learner from a run's folder.

    `load("strokes")` loads the bundled learner: Prototypical, meta-trained on drawn characters.

    Args:
        path: the folder, or the name of a bundled learner.
        network: the module for a learner that was built on a network of your own.
        foreign: any other argument of your own that the learner was built with, by its name (`loss=`); `learner=`, the class
            of a learner of your own, unless it is already defined.

    Raises:
        ArgumentError: `foreign` has a name that no part of the saved learner was built with.
        CheckpointError: the folder holds no saved learner, is truncated or of another format, or names a part of your own that
            was not given.
    """
    path = _learner_in(Path(path))
    config, tensors = _read(path)
    if network is not None:
        foreign["network"] = network
    _check_foreign(foreign, config.get("learner"), path)
    with seeded(0):  # initial weights, which the saved ones replace
        learner = _decode(config.get("learner"), path, foreign)
    if not isinstance(learner, Learner):
        raise _refused(path, f"a {type(learner).__name__}", "a learner")
    strides = _strides(config, tensors, path)
    state, hidden = _taken(tensors, STATE), _taken(tensors, HIDDEN)
    dtypes = {tensor.dtype for tensor in (*tensors.values(), *hidden.values()) if tensor.is_floating_point()}
    if len(dtypes) == 1:
        learner.to(dtypes.pop())  # also its unsaved tensors: a student with random weights, some buffers
    try:
        load_weights(learner, tensors, strides)
        load_unlisted(learner, hidden)
    except RuntimeError as error:
        raise CheckpointError(
            str(path),
            expected=f"weights that fit {type(learner).__name__}",
            got=" ".join(str(error).split())[:300],
            do="Hand in the network that it was trained with, or save the learner again.",
        ) from error
    if config.get("kind") != "predictor":
        return learner
    places = [str(index) for index in range(len(state))]
    if state.keys() != set(places):
        raise _refused(path / WEIGHTS, f"the tensors {sorted(state)[:5]} of a state", "numbered tensors, state.0 and on")
    leaves = [laid_out(state[name], (strides or {}).get(STATE + name)) for name in places]
    return _predictor(learner, _state(config.get("state"), leaves, path), config, path)


def description(value: Any) -> Any:
    """What a learner or an outer method is made of, as plain data, whatever its weights are."""
    return _encode(value)


def first_difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Where two descriptions differ first: the path of names, and the two values; None where they are equal."""
    if isinstance(one, dict) and isinstance(other, dict) and one.get("class") == other.get("class"):
        for name in dict.fromkeys([*one, *other]):
            inner = path if name in ("arguments", "class") else f"{path}.{name}".lstrip(".")
            if (found := first_difference(one.get(name), other.get(name), inner)) is not None:
                return found
        return None
    return None if one == other else (path, one, other)


# ---- writing -----------------------------------------------------------------------------------------------------------


def _encode_learner(learner: Learner) -> dict[str, Any]:
    arguments = {name: _encode(value) for name, value in learner.arguments.items() if value is not learner and value is not None}
    if "outer" in arguments and (foreign := _foreign(arguments["outer"])):
        arguments["outer"] = {"left_out": foreign}
    if is_own(type(learner)):
        return {"class": type(learner).__name__, "arguments": arguments}
    return {"own": qualified_name(type(learner)), "arguments": arguments}


def _foreign(spec: Any) -> str | None:
    """The first part of an encoded value that cannot be saved."""
    if isinstance(spec, dict):
        parts = [spec.get("left_out"), spec.get("foreign"), *map(_foreign, spec.values())]
        return next((str(part) for part in parts if part), None)
    return next(filter(None, map(_foreign, spec)), None) if isinstance(spec, list) else None


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(one) for one in value]
    if isinstance(value, Learner):
        return _encode_learner(value)
    known = _classes().get(type(value).__name__)
    if known is type(value):
        if dataclasses.is_dataclass(value):
            fields = {field.name: _encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"class": type(value).__name__, "arguments": fields}
        taken = inspect.signature(type(value).__init__).parameters.values()
        names = [one.name for one in taken if one.name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        return {"class": type(value).__name__, "arguments": {name: _encode(getattr(value, name)) for name in names}}
    for name, function in FUNCTIONS.items():
        if value is function:
            return {"function": name}
    if isinstance(value, LeftOut):
        return {"left_out": value.what}
    made = value if isinstance(value, partial) else partial(value) if callable(value) else None
    if made is not None and not made.args:
        for name, one in SETTINGS.items():
            if made.func is one:
                return {"setting": name, "arguments": _encode(made.keywords)}
    owner = value if hasattr(value, "__qualname__") else type(value)
    return {"foreign": f"{owner.__module__}.{owner.__qualname__}"}


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """The state dict, and our buffers outside it, on which the answers depend as well."""
    hidden = {f"{HIDDEN}{name}": buffer for name, buffer, ours in unlisted_buffers(learner) if ours}
    return {**learner.state_dict(), **hidden}


def _write(path: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    from quickstudy import __version__

    config = {"format": FORMAT, "library": __version__, **config, "strides": strides_of(tensors)}
    tensors = {name: laid_out(tensor.detach(), None) for name, tensor in tensors.items()}  # tied weights once for each name
    with writing(path / CONFIG) as text, writing(path / WEIGHTS) as part:  # both whole, before either is in its place
        save_file(tensors, part)
        text.write_text(json.dumps(config | {"sha256": sha256(part)}, indent=2) + "\n", encoding="utf-8")


# ---- reading -----------------------------------------------------------------------------------------------------------


def run_folder(path: str | Path) -> Path:
    """The path itself, or, for the name of a bundled learner ("strokes"), its folder within the package."""
    path = Path(path)
    bundled = PRETRAINED / path.name
    return bundled if not path.exists() and len(path.parts) == 1 and bundled.is_dir() else path


def read_argument(path: str | Path, name: str) -> tuple[str, Any, dict[str, Tensor]]:
    """One argument of a saved learner: the learner's class, the argument as it was built, and its tensors by name.

    Raises:
        CheckpointError: see `load`.
    """
    folder = _learner_in(Path(path))
    config, tensors = _read(folder)
    spec = config.get("learner")
    arguments = spec.get("arguments") if isinstance(spec, dict) else None
    found = _decode(arguments.get(name), folder, {}, name) if isinstance(arguments, dict) else None
    return str(spec.get("class") if isinstance(spec, dict) else None), found, _taken(tensors, f"{name}.")


def weights_hash(path: str | Path) -> str | None:
    """The hash of a saved learner's weights, from its config; None where none is saved."""
    return _read_config(Path(path)).get("sha256") if (Path(path) / CONFIG).is_file() else None


def class_in(path: str | Path) -> str:
    """The class of the learner that is saved here: "Descent", or "Mine" for one of the user's own.

    Raises:
        CheckpointError: no such folder, or of another format.
    """
    spec = _read_config(Path(path)).get("learner")
    named = spec.get("class", spec.get("own")) if isinstance(spec, dict) else None
    return str(named).rpartition(".")[2]


def _learner_in(path: Path) -> Path:
    """The learner's folder within a run's folder; any other path unchanged."""
    path = run_folder(path)
    return path / "learner" if not (path / CONFIG).is_file() and (path / "learner" / CONFIG).is_file() else path


def _read_config(path: Path, name: str = CONFIG) -> dict[str, Any]:
    if not (path / name).is_file():
        held = sorted(entry.name for entry in path.iterdir())[:5] if path.is_dir() else []
        pickled = [name for name in held if name.endswith(PICKLES)]
        got = f"a folder with {held}" if path.is_dir() else "no such folder"
        raise CheckpointError(
            str(path),
            expected=f"a saved learner: a folder with {CONFIG} and {WEIGHTS}",
            got=got + (", where " + pickled[0] + " may be a pickle, which can run code and is never opened" if pickled else ""),
            do="Give the folder that learner.save(path) wrote.",
        )
    config = read_json(path / name, expected="a config of quickstudy", do="Give a folder that learner.save(path) wrote.")
    if not isinstance(config.get("format"), int):
        raise _refused(path / CONFIG, "no format number", "a config of quickstudy")
    if config["format"] < FORMAT:
        raise CheckpointError(
            str(path / CONFIG),
            expected=f"format {FORMAT}",
            got=f"format {config['format']}",
            do=f"Train it again, or read it with the quickstudy that wrote it: git checkout {BEFORE.get(config['format'], '')}.",
        )
    if config["format"] > FORMAT:
        raise CheckpointError(
            str(path / CONFIG),
            expected=f"format {FORMAT}",
            got=f"format {config['format']}, written by quickstudy {config.get('library')}",
            do="Update quickstudy to that version.",
        )
    return config


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the weights, of one save.

    Raises:
        CheckpointError: weights that are not those that the config was written with.
    """
    config = _read_config(path)
    if not (path / WEIGHTS).is_file():
        raise _refused(path, f"no {WEIGHTS}", f"{WEIGHTS} beside {CONFIG}")
    found = sha256(path / WEIGHTS)
    if config.get("sha256") != found:
        later = path / f"{CONFIG}.part"  # of a save that was killed when its weights were in their place already
        config = _read_config(path, later.name) if later.is_file() else config
    if config.get("sha256") != found:
        raise CheckpointError(
            str(path / WEIGHTS),
            expected=f"the weights that {CONFIG} was written with, sha256 {str(config.get('sha256'))[:12]}...",
            got=f"sha256 {found[:12]}...",
            do="Save the learner again, or copy the whole folder again: a file was changed, cut or damaged.",
        )
    return config, _read_weights(path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            str(path / WEIGHTS),
            expected="a whole safetensors file",
            got=f"what does not read as one ({error}); a pickle is never opened, since it can run code",
            do="Save the learner again, or use the checkpoint before it.",
        ) from error


def _decode(spec: Any, path: Path, foreign: dict[str, Any], name: str = "learner") -> Any:
    if isinstance(spec, list):
        return tuple(_decode(one, path, foreign, name) for one in spec)
    if not isinstance(spec, dict):
        return spec
    if "foreign" in spec:
        if name not in foreign:
            raise CheckpointError(
                str(path),
                expected=f"`{name}=` to be handed in: {spec['foreign']} is not quickstudy's own",
                got="none",
                do=f"Call load(path, {name}=...) with one built as it was for training.",
            )
        return foreign[name]
    if "function" in spec:
        if spec["function"] not in FUNCTIONS:
            raise _refused(path, f"the function {spec['function']!r}", f"one of {sorted(FUNCTIONS)}")
        return FUNCTIONS[spec["function"]]
    if "left_out" in spec:
        return LeftOut(str(spec["left_out"]))
    if "setting" in spec:
        if spec["setting"] not in SETTINGS or not isinstance(spec.get("arguments"), dict):
            raise _refused(path, f"the setting {spec['setting']!r}", "an optimizer or scheduler of torch")
        return partial(SETTINGS[spec["setting"]], **_decode(spec["arguments"], path, foreign, name))
    if "own" in spec:
        return _decode_own(spec, path, foreign, name)
    if "class" in spec:
        cls = _classes().get(str(spec["class"]))
        if cls is None or not isinstance(spec.get("arguments"), dict):
            raise _refused(path, f"the class {spec['class']!r}", "only classes of quickstudy, by their plain names")
        if issubclass(cls, nn.Module) and isinstance(foreign.get(name), nn.Module):
            return foreign[name]
        arguments = {key: _decode(value, path, foreign, key) for key, value in spec["arguments"].items()}
        try:
            return cls(**arguments)
        except TypeError as error:
            raise _refused(path, f"arguments {sorted(arguments)} ({error})", f"the arguments of {cls.__name__}") from error
    return {key: _decode(value, path, foreign, key) for key, value in spec.items()}


def _check_foreign(foreign: Mapping[str, Any], spec: Any, path: Path) -> None:
    """Raise ArgumentError for what is handed in under a name that no part of the saved learner has."""
    names = _argument_names(spec)
    for name in foreign:
        if name not in names and name != "learner":
            raise ArgumentError(
                name,
                expected=f"an argument that the learner in {path} was built with: " + (", ".join(sorted(names)) or "it has none"),
                got=f"{name}={foreign[name]!r}"[:100],
                do="Check the spelling, or leave it out.",
            )


def _argument_names(spec: Any) -> set[str]:
    """The names of the arguments of a saved value, and of the parts that it was built with."""
    if isinstance(spec, list):
        return {name for one in spec for name in _argument_names(one)}
    if not isinstance(spec, dict):
        return set()
    own = spec.get("arguments")
    below = {name for one in spec.values() for name in _argument_names(one)}
    return below | ({str(name) for name in own} if isinstance(own, dict) else set())


def _decode_own(spec: dict[str, Any], path: Path, foreign: dict[str, Any], name: str) -> Any:
    """A learner of the user's own class: passed in, as class or instance, or already defined. It is never imported."""
    given = foreign.get(name, foreign.get("learner"))
    cls = given if isinstance(given, type) else LEARNERS.get(str(spec["own"]))
    named = str(spec["own"]).rpartition(".")[2]
    if isinstance(given, Learner) and type(given).__qualname__.rpartition(".")[2] == named:
        return given
    if cls is None or not issubclass(cls, Learner) or cls.__name__ != named or not isinstance(spec.get("arguments"), dict):
        raise CheckpointError(
            str(path),
            expected=f"the class {spec['own']}, which is not quickstudy's own, to be handed in, or defined already",
            got="none" if given is None else repr(given)[:60],
            do=f"Call load(path, learner={named}).",
        )
    arguments = {key: _decode(value, path, {**foreign, "learner": given}, key) for key, value in spec["arguments"].items()}
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind_partial(None)
        bound.arguments.update({key: arguments[key] for key in signature.parameters if key in arguments})
        return cls(*bound.args[1:], **bound.kwargs)
    except TypeError as error:
        raise _refused(path, f"arguments {sorted(arguments)} ({error})", f"the arguments of {cls.__name__}") from error


def _classes() -> dict[str, type]:
    """Every class that a config may name: the networks, learners, and their parts that quickstudy's packages export."""
    packages = [module for name, module in sys.modules.copy().items() if name.startswith(ROOMS) and hasattr(module, "__path__")]
    handed_on = [cls for package in packages for cls in vars(package).values() if isinstance(cls, type)]
    return {cls.__name__: cls for cls in handed_on if issubclass(cls, nn.Module) or dataclasses.is_dataclass(cls)}


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Pop the tensors with names that start with `prefix`; keyed by the rest of the name."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in [name for name in tensors if name.startswith(prefix)]}


def _strides(config: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> dict[str, list[int]] | None:
    """The strides of the saved tensors by name; None for a folder that predates them."""
    strides = config.get("strides")
    if strides is None:
        return None
    if not isinstance(strides, dict):
        raise _refused(path / CONFIG, f"strides {strides!r}", "strides by the names of tensors")
    for name, one in strides.items():
        if name not in tensors or not isinstance(one, list) or not is_layout(tensors[name].shape, one):
            raise _refused(path / CONFIG, f"the strides {one!r} of {name!r}", f"strides that fit its shape in {WEIGHTS}")
    return strides


def _state(structure: Any, leaves: list[Tensor], path: Path) -> State:
    try:
        state = rebuilt(structure, leaves)
    except (ValueError, RecursionError) as error:
        raise _refused(path / CONFIG, f"the state {error}", "the structure of a state") from error
    if not isinstance(state, State):
        raise _refused(path / CONFIG, f"a {type(state).__name__} as state", "the structure of a state")
    return state


def _predictor(learner: Learner, state: Any, config: dict[str, Any], path: Path) -> Predictor:
    target = _decode(config.get("target"), path, {})
    if not isinstance(target, Target):
        raise _refused(path / CONFIG, f"the target {config.get('target')!r}", "a kind of target")
    return Predictor(learner, state, target, [tuple(shape) for shape in config["features"]], config.get("seed", 0))


def _refused(path: Path, got: str, expected: str) -> CheckpointError:
    return CheckpointError(str(path), expected=expected, got=got, do="Give a folder that learner.save(path) wrote.")
