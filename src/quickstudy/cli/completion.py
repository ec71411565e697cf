"""quickstudy completion bash|zsh: a script that completes commands, learners, tasks and options.

    source <(quickstudy completion bash)

The words come from the same tables and signatures as the commands, at the time the script is made.
"""

from __future__ import annotations

from jsonargparse import ArgumentParser

from quickstudy.cli import COMMANDS
from quickstudy.cli.config import parser
from quickstudy.cli.names import DEFAULT_NETWORK, LEARNERS, TASKS

BASH = """_quickstudy() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}"
    case "$before" in
        quickstudy) COMPREPLY=($(compgen -W "{commands}" -- "$word")); return ;;
        train|explain) COMPREPLY=($(compgen -W "{learners}" -- "$word")); return ;;
        --tasks) COMPREPLY=($(compgen -W "{tasks}" -- "$word")); return ;;
        resume|evaluate|compare|predict|report|export|list) COMPREPLY=($(compgen -d -- "$word")); return ;;
    esac
    if [[ "$command" == train && "$word" == -* ]]; then
        case "${{COMP_WORDS[2]}}" in
{options}
        esac
        return
    fi
    COMPREPLY=($(compgen -f -- "$word"))
}}
complete -F _quickstudy quickstudy
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"  # zsh runs the same script


def completion(argv: list[str]) -> int:
    """The command."""
    made = ArgumentParser(prog="quickstudy completion", description="Shell completion: source <(quickstudy completion bash)")
    made.add_argument("shell", choices=["bash", "zsh"], help="your shell")
    options = made.parse_args(argv)
    print((ZSH if options.shell == "zsh" else "") + script())
    return 0


def script() -> str:
    """The script for bash."""
    cases = []
    for name in LEARNERS:
        flags: set[str] = {"--tasks", "--network", "--config"}
        for tasks in TASKS:
            made = parser(name, tasks, DEFAULT_NETWORK.get(tasks, "conv4"))
            flags |= {
                flag
                for action in made._actions
                for flag in action.option_strings
                if flag.startswith("--") and not flag.endswith(".help")
            }
        words = " ".join(sorted(flags))
        cases.append(f'            {name}) COMPREPLY=($(compgen -W "{words}" -- "$word")) ;;')
    return BASH.format(commands=" ".join(COMMANDS), learners=" ".join(LEARNERS), tasks=" ".join(TASKS), options="\n".join(cases))
