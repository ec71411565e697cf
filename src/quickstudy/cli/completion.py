"""The script that completes commands, learners, tasks and options, made from the same tables and signatures as the commands.

`UPDATE=1 pytest tests/cli/test_completion.py` writes it to where the console reads it.
"""

from __future__ import annotations

from quickstudy.cli.config import parser
from quickstudy.cli.names import DEFAULT_NETWORK, LEARNERS, TASKS
from quickstudy.cli.options import flags
from quickstudy_console.commands import COMMANDS

BASH = """_quickstudy() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}"
    case "$before" in
        quickstudy) COMPREPLY=($(compgen -W "{commands}" -- "$word")); return ;;
        train|explain) COMPREPLY=($(compgen -W "{learners}" -- "$word")); return ;;
        --tasks) COMPREPLY=($(compgen -W "{tasks}" -- "$word")); return ;;
        resume|evaluate|compare|predict|report|export|list) COMPREPLY=($(compgen -d -- "$word")); return ;;
    esac
    if [[ "$command" == train && "$word" == -* ]]; then
        local own="" shared="{shared}"
        case "${{COMP_WORDS[2]}}" in
{options}
        esac
        [[ -n "$own" ]] && COMPREPLY=($(compgen -W "$own $shared" -- "$word"))
        return
    fi
    COMPREPLY=($(compgen -f -- "$word"))
}}
complete -F _quickstudy quickstudy
"""


def script() -> str:
    """The script for bash."""
    found = {name: _flags(name) for name in LEARNERS}
    shared = set.intersection(*found.values())
    cases = [f'            {name}) own="{" ".join(sorted(own - shared) or ["--help"])}" ;;' for name, own in found.items()]
    return BASH.format(
        commands=" ".join(COMMANDS),
        learners=" ".join(LEARNERS),
        tasks=" ".join(TASKS),
        shared=" ".join(sorted(shared)),
        options="\n".join(cases),
    )


def _flags(name: str) -> set[str]:
    """The options of `train` for this learner, with any tasks."""
    parsers = (parser(name, tasks, DEFAULT_NETWORK.get(tasks, "conv4")) for tasks in TASKS)
    return {"--tasks", "--network", "--config"}.union(*map(flags, parsers))
