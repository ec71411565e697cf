"""Task augmentation, `augment=`: further meta-training tasks, made from existing ones.

Each says what it makes (`makes`). One that makes new classes acts on the data once, as a source opens them. The others change
episodes as they are drawn, augment(episode, generator) -> episode, a batch of them with a leading axis `tasks`.
"""

from quickstudy.tasks.construction.augmentation.derived_names import TURN as TURN
from quickstudy.tasks.construction.augmentation.feature_noise import FeatureNoise as FeatureNoise
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation as ClassAugmentation
from quickstudy.tasks.construction.augmentation.kinds import EpisodeAugmentation as EpisodeAugmentation
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation as TaskAugmentation
from quickstudy.tasks.construction.augmentation.label_noise import LabelNoise as LabelNoise
from quickstudy.tasks.construction.augmentation.merge_classes import MergeClasses as MergeClasses
from quickstudy.tasks.construction.augmentation.meta_mix import MetaMix as MetaMix
from quickstudy.tasks.construction.augmentation.mix_tasks import MixTasks as MixTasks
from quickstudy.tasks.construction.augmentation.permute_channels import PermuteChannels as PermuteChannels
from quickstudy.tasks.construction.augmentation.permute_labels import PermuteLabels as PermuteLabels
from quickstudy.tasks.construction.augmentation.rotations import Rotations as Rotations
from quickstudy.tasks.construction.augmentation.shuffle_channels import ShuffleChannels as ShuffleChannels
from quickstudy.tasks.construction.augmentation.split_classes import SplitClasses as SplitClasses
