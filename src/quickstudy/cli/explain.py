"""quickstudy explain LEARNER: its equation, source, the paper's number, and the defaults."""

from __future__ import annotations

import inspect
import sys

from quickstudy.cli.names import LEARNERS, named
from quickstudy.cli.options import command, read


def explain(argv: list[str]) -> int:
    """The command."""
    made = command("explain", "What a learner does: " + ", ".join(LEARNERS))
    made.add_argument("learner", type=str, help="its name")
    options = read(made, argv)
    learner = named("LEARNER", options.learner, LEARNERS)
    module = sys.modules[learner.__module__]
    print(inspect.cleandoc(module.__doc__ or ""))
    text = (inspect.getdoc(learner) or "").partition("\nExamples:\n")[0].rstrip()  # these are for Python
    if text and text not in (module.__doc__ or ""):
        print("\n" + text)
    print("\nDefaults")
    for name, parameter in inspect.signature(learner).parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        print(f"  {name:<16}{'(to be given)' if needed else parameter.default!r}")
    print(f"\nquickstudy train {options.learner} --help  lists what the command line takes.")
    return 0
