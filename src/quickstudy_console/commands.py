"""The commands by name: the module of each in `quickstudy.cli`, and a line of help."""

from __future__ import annotations

COMMANDS = {
    "train": ("train", "meta-train a learner and save the run: quickstudy train maml --tasks omniglot --tasks.root FOLDER"),
    "resume": ("train", "go on with a run that was stopped or killed"),
    "evaluate": ("evaluate", "score a run on its meta-test tasks, with a 95 % interval"),
    "compare": ("evaluate", "score runs on the same tasks, with paired differences"),
    "predict": ("predict", "learn from a folder of images a class, and name the images of another folder"),
    "report": ("report", "write report.html of a run, with its controls on the same tasks"),
    "export": ("export", "adapt to a folder of images a class, and write a file that runs without quickstudy"),
    "list": ("listing", "the runs of a folder, and how they stand"),
    "explain": ("explain", "what a learner does: equation, source, the paper's number, defaults"),
    "pretrained": ("pretrained", "the learners that come along: what each was trained on, its scores beside its controls"),
    "doctor": ("doctor", "versions, devices, which executors work here, and a check of a meta-gradient"),
    "completion": ("completion", "a script for bash or zsh that completes commands, learners and options"),
    "demo": ("demo", "meta-train Prototypical and MAML on drawn characters and compare them with the controls"),
}
USAGE = (
    "usage: quickstudy COMMAND ...\n\ncommands:\n"
    + "\n".join(f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())
    + "\n\n`quickstudy COMMAND --help` lists the options of a command."
)
