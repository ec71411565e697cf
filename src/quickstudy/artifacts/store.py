"""A saved learner is a folder: config.json (how it is built) and weights.safetensors (its tensors).

    config.json   {"format": 4, "library": "0.1.0", "kind": "learner", "learner": {"class": "Descent", "arguments": {...}},
                   "strides": {...},         how tensors lay that did not lie row by row
                   "sha256": "..."}          of the config and the weights: a flipped bit, or weights of another save, are refused

Nothing in it can run code. config.json names only classes of quickstudy, and losses, optimizers and schedulers of torch, looked
up in a table; every other name is refused, and nothing is imported because a file says so. A learner, a network or a function of
the user's own is saved by name and passed in when loading (a learner class that is already defined is found). An across-task
method (`outer`) with such a part is left out, since a loaded learner adapts without it; further meta-training asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from quickstudy.arguments import NonNegativeInt, checked
from quickstudy.artifacts.allowance import Allowance, AllowanceError
from quickstudy.artifacts.building import built, check_foreign, refused
from quickstudy.artifacts.description import description
from quickstudy.artifacts.structure import flattened, rebuilt
from quickstudy.errors import CheckpointError
from quickstudy.files import SEAL, read_json, read_tensors, write_with_tensors
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import State
from quickstudy.learners.predictor import Predictor
from quickstudy.randomness import seeded
from quickstudy.records import read_record
from quickstudy.targets import Target
from quickstudy.weights import is_layout, laid_out, load_unlisted, load_weights, strides_of, unlisted_buffers

FORMAT = 4
BEFORE = {1: "bf473dd", 2: "ebd19db", 3: "0fb3161"}  # the last commit that reads a format
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
STATE, HIDDEN = "state.", "buffer."  # prefixes: leaves of a predictor's state, buffers outside the state dict
PRETRAINED = Path(__file__).parents[1] / "pretrained"  # bundled learners
GIVE = "Give the folder that learner.save(path) wrote."
AGAIN = "Save it again, or copy the whole folder again."
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")


def save(learner: Learner, path: str | Path) -> None:
    """Save a learner. Files are written under temporary names and renamed, so an interruption never leaves half of one."""
    _write(Path(path), {"kind": "learner", "learner": description(learner)}, _tensors(learner))


def save_predictor(predictor: Predictor, path: str | Path) -> None:
    """Save an adapted learner: the learner and the state that it learned from its support."""
    leaves: list[Tensor] = []
    structure = flattened(predictor.state, leaves)
    config = {
        "kind": "predictor",
        "learner": description(predictor.learner),
        "target": description(predictor.target),
        "features": predictor.features,
        "seed": predictor.seed,
        "state": structure,
    }
    tensors = _tensors(predictor.learner) | {f"{STATE}{index}": leaf for index, leaf in enumerate(leaves)}
    _write(Path(path), config, tensors)


@dataclass(frozen=True)
class Saved:
    """config.json; the last four fields are a predictor's."""

    format: int
    library: str
    kind: Literal["learner", "predictor"]
    learner: dict[str, Any]
    strides: dict[str, tuple[NonNegativeInt, ...]]
    target: Any = None
    features: tuple[tuple[NonNegativeInt, ...], ...] = ()
    seed: int = 0
    state: Any = None


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
        CheckpointError: the folder holds no saved learner, is truncated or of another format, names a part of your own that
            was not given, or asks for far more than its weights: see `quickstudy.artifacts.allowance`.
    """
    path = _learner_in(Path(path))
    config, tensors = _read(path)
    if network is not None:
        foreign["network"] = network
    check_foreign(foreign, config.learner, path)
    learner = _built(config.learner, tensors, path, foreign)
    if not isinstance(learner, Learner):
        raise refused(path, f"a {type(learner).__name__}", "a learner")
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
    if config.kind != "predictor":
        return learner
    places = [str(index) for index in range(len(state))]
    if state.keys() != set(places):
        raise refused(path / WEIGHTS, f"the tensors {sorted(state)[:5]} of a state", "numbered tensors, state.0 and on")
    leaves = [laid_out(state[name], strides.get(STATE + name)) for name in places]
    return _predictor(learner, _state(config.state, leaves, path), config, path)


# ---- writing -----------------------------------------------------------------------------------------------------------


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """The state dict, and our buffers outside it, on which the answers depend as well."""
    hidden = {f"{HIDDEN}{name}": buffer for name, buffer, ours in unlisted_buffers(learner) if ours}
    return {**learner.state_dict(), **hidden}


def _write(path: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    from quickstudy import __version__

    config = {"format": FORMAT, "library": __version__, **config, "strides": strides_of(tensors)}
    tensors = {name: laid_out(tensor.detach(), None) for name, tensor in tensors.items()}  # tied weights once for each name
    write_with_tensors(path / CONFIG, config, path / WEIGHTS, tensors)


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
    arguments = config.learner.get("arguments")
    found = _built(arguments.get(name), tensors, folder, {}, name) if isinstance(arguments, dict) else None
    return str(config.learner.get("class")), found, _taken(tensors, f"{name}.")


def weights_hash(path: str | Path) -> str | None:
    """The seal of a saved learner: the hash of how it is built and of its weights; None where none is saved."""
    return _config(Path(path)).get(SEAL) if (Path(path) / CONFIG).is_file() else None


def class_in(path: str | Path) -> str:
    """The class of the learner that is saved here: "Descent", or "Mine" for one of the user's own.

    Raises:
        CheckpointError: no such folder, or of another format.
    """
    spec = _config(Path(path)).get("learner")
    named = spec.get("class", spec.get("own")) if isinstance(spec, dict) else None
    return str(named).rpartition(".")[2]


def _learner_in(path: Path) -> Path:
    """The learner's folder within a run's folder; any other path unchanged."""
    path = run_folder(path)
    return path / "learner" if not (path / CONFIG).is_file() and (path / "learner" / CONFIG).is_file() else path


def _config(path: Path) -> dict[str, Any]:
    """config.json, of this format; whether it is whole says `_read`."""
    if not (path / CONFIG).is_file():
        raise CheckpointError(
            str(path), expected=f"a saved learner: a folder with {CONFIG} and {WEIGHTS}", got=_held(path), do=GIVE
        )
    config = read_json(path / CONFIG, expected="a config of quickstudy", do=GIVE)
    found = config.get("format")
    if type(found) is not int:
        raise refused(path / CONFIG, "no format number", "a config of quickstudy")
    if found < FORMAT:
        do = f"Train it again, or read it with the quickstudy that wrote it: git checkout {BEFORE.get(found, '')}."
        raise CheckpointError(str(path / CONFIG), expected=f"format {FORMAT}", got=f"format {found}", do=do)
    if found > FORMAT:
        got = f"format {found}, written by quickstudy {config.get('library')}"[:200]
        raise CheckpointError(str(path / CONFIG), expected=f"format {FORMAT}", got=got, do="Update quickstudy to that version.")
    return config


def _held(path: Path) -> str:
    """What there is instead of a saved learner. A pickle is named, and never opened."""
    if not path.exists():
        return "no such folder"
    held = sorted(entry.name for entry in path.iterdir())[:5] if path.is_dir() else []
    pickled = [name for name in (*held, path.name) if name.endswith(PICKLES)]
    got = f"a folder with {held}" if path.is_dir() else "a file"
    return got + (f"; {pickled[0]} may be a pickle, which can run code and is never opened" if pickled else "")


def _read(path: Path) -> tuple[Saved, dict[str, Tensor]]:
    """The config and the weights, of one save.

    Raises:
        CheckpointError: no saved learner; a config or weights other than those that were saved.
    """
    _config(path)
    read = partial(read_record, kind=Saved, expected=f"a config and {WEIGHTS} of one save", do=AGAIN)
    later = path / f"{CONFIG}.part"  # of a save that was killed when its weights were in their place already
    try:
        config = read(path / CONFIG, beside=[path / WEIGHTS])
    except CheckpointError:
        if not later.is_file():
            raise
        config = read(later, beside=[path / WEIGHTS])
    return config, read_tensors(path / WEIGHTS, do=AGAIN)


def _built(spec: Any, tensors: dict[str, Tensor], path: Path, foreign: dict[str, Any], name: str = "learner") -> Any:
    """What a description is of, with any weights, as the saved ones replace them."""
    try:
        with seeded(0), Allowance(sum(one.numel() for one in tensors.values()), len(tensors)):
            return built(spec, path, foreign, name)
    except AllowanceError as error:
        raise refused(path / CONFIG, f"a config that asks for {error}", f"parts of the size of those in {WEIGHTS}") from error


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Pop the tensors with names that start with `prefix`; keyed by the rest of the name."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in [name for name in tensors if name.startswith(prefix)]}


def _strides(config: Saved, tensors: dict[str, Tensor], path: Path) -> dict[str, tuple[int, ...]]:
    """The strides of the saved tensors that did not lie row by row, by name."""
    for name, one in config.strides.items():
        if name not in tensors or not is_layout(tensors[name].shape, one):
            raise refused(path / CONFIG, f"the strides {one} of {name!r}", f"strides that fit its shape in {WEIGHTS}")
    return config.strides


def _state(structure: Any, leaves: list[Tensor], path: Path) -> State:
    try:
        state = rebuilt(structure, leaves)
    except (ValueError, RecursionError) as error:
        raise refused(path / CONFIG, f"the state {error}", "the structure of a state") from error
    if not isinstance(state, State):
        raise refused(path / CONFIG, f"a {type(state).__name__} as state", "the structure of a state")
    return state


def _predictor(learner: Learner, state: State, config: Saved, path: Path) -> Predictor:
    target = built(config.target, path, {})
    if not isinstance(target, Target):
        raise refused(path / CONFIG, f"the target {config.target!r}", "a kind of target")
    return Predictor(learner, state, target, list(config.features), config.seed)
