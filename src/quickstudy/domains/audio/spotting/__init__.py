"""Words in a stream: a long recording made of short ones, what a predictor hears in it, and how much of that is none."""

from quickstudy.domains.audio.spotting.score import Accepts as Accepts
from quickstudy.domains.audio.spotting.score import accepts as accepts
from quickstudy.domains.audio.spotting.score import threshold_for as threshold_for
from quickstudy.domains.audio.spotting.spot import Spots as Spots
from quickstudy.domains.audio.spotting.spot import spot as spot
from quickstudy.domains.audio.spotting.stream import Stream as Stream
from quickstudy.domains.audio.spotting.stream import make_stream as make_stream
