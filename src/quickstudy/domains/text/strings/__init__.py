"""Strings into strings: tasks whose rules are drawn, a learner that reads pairs and writes the rest, and its controls."""

from quickstudy.domains.text.strings.controls import NearestPair as NearestPair
from quickstudy.domains.text.strings.controls import Unchanged as Unchanged
from quickstudy.domains.text.strings.transducer import Transducer as Transducer
