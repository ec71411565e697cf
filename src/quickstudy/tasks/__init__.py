"""p(tasks): where tasks come from. N-way K-shot episodes from labelled data, splits, and the data sets of the domains.

Names that a domain adds are looked up in the registry on first use; `__init__.pyi` lists them for editors and type checkers.
"""

from typing import Any

from quickstudy import registry
from quickstudy.tasks.construction.across import across as across
from quickstudy.tasks.construction.across import domain_split as domain_split
from quickstudy.tasks.construction.across import of_domains as of_domains
from quickstudy.tasks.construction.augmentation import FeatureNoise as FeatureNoise
from quickstudy.tasks.construction.augmentation import LabelNoise as LabelNoise
from quickstudy.tasks.construction.augmentation import MergeClasses as MergeClasses
from quickstudy.tasks.construction.augmentation import MetaMix as MetaMix
from quickstudy.tasks.construction.augmentation import MixTasks as MixTasks
from quickstudy.tasks.construction.augmentation import PermuteChannels as PermuteChannels
from quickstudy.tasks.construction.augmentation import PermuteLabels as PermuteLabels
from quickstudy.tasks.construction.augmentation import Rotations as Rotations
from quickstudy.tasks.construction.augmentation import ShuffleChannels as ShuffleChannels
from quickstudy.tasks.construction.augmentation import SplitClasses as SplitClasses
from quickstudy.tasks.construction.by_domain import DomainTasks as DomainTasks
from quickstudy.tasks.construction.by_domain import by_domain as by_domain
from quickstudy.tasks.construction.classes_by import classes_by as classes_by
from quickstudy.tasks.construction.mixture import MixedTasks as MixedTasks
from quickstudy.tasks.construction.mixture import Mixture as Mixture
from quickstudy.tasks.construction.weights import ByProgress as ByProgress
from quickstudy.tasks.construction.weights import BySize as BySize
from quickstudy.tasks.distribution.class_lists import read_class_lists as read_class_lists
from quickstudy.tasks.distribution.described import DescribedTasks as DescribedTasks
from quickstudy.tasks.distribution.family import TaskFamily as TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks as GroupTasks
from quickstudy.tasks.distribution.interface import TaskDistribution as TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks as LabelledTasks
from quickstudy.tasks.distribution.splits import random_split as random_split
from quickstudy.tasks.distribution.splits import read_split as read_split
from quickstudy.tasks.distribution.streams import Streams as Streams
from quickstudy.tasks.sources.from_arrays import from_arrays as from_arrays
from quickstudy.tasks.sources.from_csv import from_csv as from_csv
from quickstudy.tasks.sources.from_dataset import from_dataset as from_dataset
from quickstudy.tasks.sources.from_folder import from_folder as from_folder
from quickstudy.tasks.sources.from_groups import from_groups as from_groups
from quickstudy.tasks.sources.from_huggingface import from_huggingface as from_huggingface
from quickstudy.tasks.synthetic.gaussian_classes import GaussianClasses as GaussianClasses
from quickstudy.tasks.synthetic.gaussian_classes import bayes_accuracy as bayes_accuracy
from quickstudy.tasks.synthetic.gaussian_process import GaussianProcess as GaussianProcess
from quickstudy.tasks.synthetic.quadratic import Quadratic as Quadratic
from quickstudy.tasks.synthetic.quadratic import half_squares as half_squares
from quickstudy.tasks.synthetic.quadratic import quadratic_of as quadratic_of
from quickstudy.tasks.synthetic.sinusoid import Sinusoid as Sinusoid


def __getattr__(name: str) -> Any:
    """A name that a domain adds, such as `Omniglot`."""
    found = None if name.startswith("_") else registry.domain_task(name)
    if found is None:
        raise AttributeError(f"module 'quickstudy.tasks' has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for domain in registry.domains().values() for name in domain.tasks)})
