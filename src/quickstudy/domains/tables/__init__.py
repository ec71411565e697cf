"""Tables: a prior over synthetic ones, a learner fitted to it, and the choice of a learner for a new one."""

from quickstudy.registry import Domain

DOMAIN = Domain(
    "tables",
    tasks={
        "TabularPrior": "quickstudy.domains.tables.tabular_prior:TabularPrior",
    },
    sources={},
)
