"""Recipes that are not among the names at the top of the package."""

from quickstudy.recipes.further.leopard import LEOPARD as LEOPARD
