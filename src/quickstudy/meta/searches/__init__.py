"""Outer methods that search by loss values, without gradients."""

from quickstudy.meta.searches.cmaes import CMAES as CMAES
from quickstudy.meta.searches.population_based import PopulationBased as PopulationBased
from quickstudy.meta.searches.regularised_evolution import RandomSearch as RandomSearch
from quickstudy.meta.searches.regularised_evolution import RegularisedEvolution as RegularisedEvolution
