"""Learners made of learners: they change the data or average the answers of any other."""

from quickstudy.learners.wrap.by_family import ByFamily as ByFamily
from quickstudy.learners.wrap.ensemble import Ensemble as Ensemble
from quickstudy.learners.wrap.standardised import Standardised as Standardised
from quickstudy.learners.wrap.tables import Tables as Tables
from quickstudy.learners.wrap.wrapper import Wrapper as Wrapper
