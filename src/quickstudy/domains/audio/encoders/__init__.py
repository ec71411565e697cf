"""Small trainable encoders of recordings: raw samples (examples, samples) by `LogMel` or `Cepstra`, then a network."""

from quickstudy.domains.audio.encoders.cepstra import Cepstra as Cepstra
from quickstudy.domains.audio.encoders.log_mel import LogMel as LogMel
from quickstudy.domains.audio.encoders.mel_conv4 import MelConv4 as MelConv4
from quickstudy.domains.audio.encoders.tc_resnet import TCResNet as TCResNet
from quickstudy.domains.audio.encoders.word_conv import WordConv as WordConv
