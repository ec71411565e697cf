"""The registry: learners, methods and domains, by name.

learner   qualified name -> class        registered when defined: "quickstudy.learners.solve.ridge.Ridge", "__main__.Mine"
method    a learner or recipe, shipped   one line each below. `quickstudy.__all__`, the names of the command line, the reference
                                         page and the tables of README and docs are made from them (tests/test_methods.py)
domain    name -> what it adds           the folders of `quickstudy.domains`, and those of other packages by an entry point:

    [project.entry-points."quickstudy.domains"]
    birds = "birds.domain:DOMAIN"
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from quickstudy.errors import ArgumentError, nearest

GROUP = "quickstudy.domains"
LEARNERS: dict[str, type] = {}


@dataclass(frozen=True)
class Method:
    """A learner or recipe that quickstudy exports at its top level.

    Args:
        verb: how it learns; its section of the reference page.
        where: its module below `quickstudy`, and its name there.
        command: its name on the command line; None if it needs arguments that a command line cannot give.
    """

    verb: str
    where: str
    command: str | None = None

    @property
    def module(self) -> str:
        return "quickstudy." + self.where.partition(":")[0]

    @property
    def name(self) -> str:
        return self.where.partition(":")[2]

    def load(self) -> Any:
        """The class or function itself."""
        return _loaded(f"{self.module}:{self.name}")


METHODS = (
    Method("compare", "learners.compare.prototypical:Prototypical", "prototypical"),
    Method("compare", "learners.compare.learned_metric:LearnedMetric"),
    Method("compare", "learners.compare.matching:MatchingNetwork", "matching"),
    Method("compare", "learners.compare.relation:RelationNetwork", "relation"),
    Method("compare", "learners.compare.feat:FEAT", "feat"),
    Method("compare", "learners.compare.zero_shot:ZeroShot"),
    Method("solve", "recipes.r2d2:R2D2", "r2d2"),
    Method("solve", "learners.solve.ridge:Ridge"),
    Method("solve", "recipes.lr_d2:LRD2", "lr_d2"),
    Method("solve", "recipes.metaoptnet:MetaOptNet", "metaoptnet"),
    Method("descend", "recipes.maml:MAML", "maml"),
    Method("descend", "recipes.anil:ANIL", "anil"),
    Method("descend", "recipes.boil:BOIL", "boil"),
    Method("descend", "recipes.metasgd:MetaSGD", "metasgd"),
    Method("descend", "recipes.meta_curvature:MetaCurvature", "meta_curvature"),
    Method("descend", "recipes.maml_plus_plus:MAMLPlusPlus", "maml_plus_plus"),
    Method("descend", "recipes.proto_maml:ProtoMAML", "proto_maml"),
    Method("descend", "recipes.cavia:CAVIA", "cavia"),
    Method("descend", "learners.descend.descent:Descent"),
    Method("descend, first order", "recipes.fomaml:FOMAML", "fomaml"),
    Method("descend, implicit", "recipes.imaml:IMAML", "imaml"),
    Method("descend, Reptile", "recipes.reptile:Reptile", "reptile"),
    Method("descend, otherwise", "learners.descend.meta_lstm:MetaLSTM", "meta_lstm"),
    Method("descend, otherwise", "learners.descend.leo:LEO", "leo"),
    Method("read", "learners.read.neural_process:NeuralProcess", "neural_process"),
    Method("read", "learners.read.neural_process:NeuralProcessClassifier", "neural_process_classifier"),
    Method("read", "learners.read.hypernetwork:Hypernetwork", "hypernetwork"),
    Method("read", "learners.read.mann:MANN", "mann"),
    Method("read", "learners.read.snail:SNAIL", "snail"),
    Method("read", "learners.read.in_context:InContext", "in_context"),
    Method("read, tables", "domains.tables.prior_fitted:PriorFitted"),
    Method("read, strings", "domains.text.strings.transducer:Transducer"),
    Method("bilevel", "learners.bilevel.learned_training:LearnedTraining"),
    Method("bilevel", "learners.bilevel.architecture:Architecture"),
    Method("wrap", "learners.wrap.ensemble:Ensemble"),
    Method("control", "learners.transfer.from_scratch:FromScratch", "from_scratch"),
    Method("control", "learners.transfer.nearest_centroid:NearestCentroid", "nearest_centroid"),
    Method("control", "recipes.simpleshot:SimpleShot"),
    Method("control", "recipes.linear_probe:LinearProbe", "linear_probe"),
    Method("control", "recipes.baseline_plus_plus:BaselinePlusPlus", "baseline_plus_plus"),
    Method("control", "recipes.pretrain_fine_tune:PretrainFineTune", "pretrain_fine_tune"),
    Method("control", "domains.images.contrastive_pretrain:ContrastivePretrain", "contrastive_pretrain"),
    Method("control", "recipes.joint_training:JointTraining", "joint_training"),
)
SOURCES = {  # of the core: names of configs -> names in `quickstudy.tasks`
    "sinusoid": "Sinusoid",
    "gaussian_process": "GaussianProcess",
    "folder": "from_folder",
    "csv": "from_csv",
}


NETWORKS = {  # of the core: names of configs -> where they are made
    "conv4": "quickstudy.models:conv4",
    "resnet12": "quickstudy.models:resnet12",
    "mlp": "quickstudy.models:mlp",
    "context_conv4": "quickstudy.models:ContextConv4",
}
DEFAULT_NETWORK = {"sinusoid": "mlp", "gaussian_process": "mlp"}  # of tasks; otherwise conv4


@functools.cache
def methods() -> dict[str, Any]:
    """The learners and recipes by their names on the command line and in configs."""
    return {method.command: method.load() for method in METHODS if method.command}


@functools.cache
def networks() -> dict[str, Any]:
    """What makes networks, of the core and of the domains, by its name on the command line and in configs."""
    every = NETWORKS | {name: where for domain in domains().values() for name, where in domain.networks.items()}
    return {name: _loaded(where) for name, where in every.items()}


def qualified_name(cls: type) -> str:
    """The module and the name of a class: "quickstudy.learners.solve.ridge.Ridge", "__main__.Mine"."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(cls: type) -> None:
    """Register a learner's class; a class defined again, as in a notebook, replaces the old one."""
    LEARNERS[qualified_name(cls)] = cls


def is_own(cls: type) -> bool:
    """Whether the class belongs to quickstudy, not to a user."""
    return cls.__module__.partition(".")[0] == "quickstudy"


def named(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    """The entry `name` of a table; without one, an ArgumentError about `kind` that lists the names, and says which is nearest."""
    if name not in table:
        do = nearest(str(name), table)
        do = do if do.startswith("Did") else "Take one of these names."  # they are listed already
        raise ArgumentError(kind, expected="one of " + ", ".join(table), got=str(name), do=do)
    return table[name]


@dataclass(frozen=True)
class Domain:
    """A kind of data, with the tasks and sources that it adds.

    Args:
        name: "images".
        tasks: the names it adds to `quickstudy.tasks`, each with its location: {"Omniglot": "package.module:Omniglot"}.
        sources: the names it adds to the command line and configs, each for one of `tasks`: {"omniglot": "Omniglot"}.
        networks: the names of networks that it adds there, each with its location: {"byte_conv": "package.module:ByteConv"}. One
            whose outputs are its argument `features` is given the number of classes where a learner takes it as a classifier.
        kind: the location of its `Kind`, the object that reads its files and values: "package.module:IMAGES".
    """

    name: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None


@functools.cache
def domains() -> dict[str, Domain]:
    """The domains of quickstudy and of other installed packages.

    Raises:
        ArgumentError: an entry point is not a Domain; two domains share a name, or a name in `tasks`, `sources` or `networks`.
    """
    from quickstudy import domains as package

    shipped = [importlib.import_module(f"{package.__name__}.{one.name}").DOMAIN for one in pkgutil.iter_modules(package.__path__)]
    found: dict[str, Domain] = {}
    core = {"sources": SOURCES, "networks": NETWORKS}
    taken: dict[str, str] = {f"{kind}: {name}": "the core" for kind, names in core.items() for name in names}
    for domain in [*shipped, *(point.load() for point in entry_points(group=GROUP))]:
        if not isinstance(domain, Domain):
            raise ArgumentError(
                f'entry-points."{GROUP}"', expected="a quickstudy.registry.Domain", got=repr(domain)[:60], do="Mend that package."
            )
        added = {"tasks": domain.tasks, "sources": domain.sources, "networks": domain.networks}
        for name in (f"domain: {domain.name}", *(f"{kind}: {name}" for kind, names in added.items() for name in names)):
            if name in taken:
                raise ArgumentError(
                    f'entry-points."{GROUP}"',
                    expected="names of its own",
                    got=f"{name!r} in {domain.name!r} as in {taken[name]!r}",
                    do="Rename it, or uninstall one of the two packages.",
                )
            taken[name] = domain.name
        found[domain.name] = domain
    return found


def domain_task(name: str) -> Any:
    """The object that a domain adds to `quickstudy.tasks` under this name; None if no domain does."""
    for domain in domains().values():
        if name in domain.tasks:
            return _loaded(domain.tasks[name])
    return None


def kinds() -> dict[str, Any]:
    """The kinds of data that domains read (`quickstudy.tasks.sources.kind.Kind`), by name."""
    loaded = [_loaded(domain.kind) for domain in domains().values() if domain.kind is not None]
    return {kind.name: kind for kind in loaded}


def _loaded(where: str) -> Any:
    """The object at "package.module:name"."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def sources() -> dict[str, Any]:
    """Everything that makes task families, by its name on the command line and in configs."""
    from quickstudy import tasks

    names = {key: name for domain in domains().values() for key, name in domain.sources.items()}
    return {key: getattr(tasks, name) for key, name in (names | SOURCES).items()}
