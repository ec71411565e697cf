"""Small trainable encoders of recordings: raw samples (examples, samples) by `LogMel` as bands of frequency, then a network."""

from quickstudy.domains.audio.encoders.log_mel import LogMel as LogMel
from quickstudy.domains.audio.encoders.mel_conv4 import MelConv4 as MelConv4
from quickstudy.domains.audio.encoders.tc_resnet import TCResNet as TCResNet
