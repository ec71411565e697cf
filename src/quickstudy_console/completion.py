"""quickstudy completion bash|zsh: a script that completes commands, learners, tasks and options.

    source <(quickstudy completion bash)

The script comes along as completion.bash, since a shell waits for it at every start. `quickstudy.cli.completion` makes it from
the tables and signatures of the commands, and a test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("completion.bash")
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"  # zsh runs the same script
SHELLS = ("bash", "zsh")
USAGE = """usage: quickstudy completion bash|zsh

A script that completes commands, learners, tasks and options: source <(quickstudy completion bash)"""


def completion(argv: list[str]) -> int:
    """The command."""
    if argv and argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if len(argv) != 1 or argv[0] not in SHELLS:
        got = " ".join(argv) or "none"
        do = "Give the name of your shell."
        print(f"quickstudy completion: `SHELL`: expected {' or '.join(SHELLS)}, got {got}. {do}", file=sys.stderr)
        return 2
    print((ZSH if argv[0] == "zsh" else "") + SCRIPT.read_text(encoding="utf-8"), end="")
    return 0
