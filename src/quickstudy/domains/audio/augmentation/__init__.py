"""Task augmentation of recordings, `augment=`: other voices, paces, noises and rooms than those that were recorded."""

from quickstudy.domains.audio.augmentation.add_noise import AddNoise as AddNoise
from quickstudy.domains.audio.augmentation.change_pitch import ChangePitch as ChangePitch
from quickstudy.domains.audio.augmentation.change_tempo import ChangeTempo as ChangeTempo
from quickstudy.domains.audio.augmentation.reverberate import Reverberate as Reverberate
from quickstudy.domains.audio.augmentation.spec_augment import SpecAugment as SpecAugment
