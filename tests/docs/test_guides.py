"""What the guides and the reference claim, compared with the code: the table of learners, the counts, every public name."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import torch
from torch import nn

import quickstudy as qs
from quickstudy.artifacts.written import AUGMENT
from quickstudy.learners.bilevel import LearnedMomentum, LearningToReweight
from quickstudy.learners.compare import CentredCentroid, FullContext
from quickstudy.tasks.construction.augmentation import ClassAugmentation, TaskAugmentation

DOCS = Path(__file__).resolve().parents[2] / "docs"
FEATURES, OUTPUTS, MOST = 6, 3, 4
WAYS = (2, OUTPUTS, MOST, 6)


def net(outputs: int = OUTPUTS) -> nn.Module:
    return qs.models.mlp(FEATURES, outputs, hidden=(4,))


LEARNERS = {
    "Prototypical": lambda: qs.Prototypical(net()),
    "LearnedMetric": lambda: qs.LearnedMetric(net()),
    "MatchingNetwork": lambda: qs.MatchingNetwork(net()),
    "MatchingNetwork with FullContext": lambda: qs.MatchingNetwork(net(), FullContext(OUTPUTS)),
    "RelationNetwork": lambda: qs.RelationNetwork(net(), qs.models.mlp(2 * OUTPUTS, 1, hidden=(4,))),
    "FEAT": lambda: qs.FEAT(net()),
    "ZeroShot": lambda: qs.ZeroShot(net(), net()),
    "CentredCentroid": lambda: CentredCentroid(net()),
    "R2D2": lambda: qs.R2D2(net()),
    "LRD2": lambda: qs.LRD2(net()),
    "MetaOptNet": lambda: qs.MetaOptNet(net()),
    "MAML": lambda: qs.MAML(net()),
    "ANIL": lambda: qs.ANIL(net()),
    "BOIL": lambda: qs.BOIL(net()),
    "ProtoMAML": lambda: qs.ProtoMAML(net()),
    "MetaSGD": lambda: qs.MetaSGD(net()),
    "MetaCurvature": lambda: qs.MetaCurvature(net()),
    "MAMLPlusPlus": lambda: qs.MAMLPlusPlus(net()),
    "CAVIA": lambda: qs.CAVIA(qs.models.WithContext(qs.models.mlp(FEATURES + 2, OUTPUTS, hidden=(4,)), size=2)),
    "Descent on LoRA": lambda: qs.Descent(qs.models.LoRA(net()), adapts="lora_*"),
    "FOMAML": lambda: qs.FOMAML(net()),
    "Reptile": lambda: qs.Reptile(net()),
    "IMAML": lambda: qs.IMAML(net()),
    "MetaLSTM": lambda: qs.MetaLSTM(net(), hidden=3),
    "LEO": lambda: qs.LEO(features=FEATURES, latents=4),
    "NeuralProcess": lambda: qs.NeuralProcess(FEATURES, width=8),
    "NeuralProcessClassifier": lambda: qs.NeuralProcessClassifier(nn.Flatten(), FEATURES, width=8),
    "Hypernetwork": lambda: qs.Hypernetwork(nn.Flatten(), FEATURES, hidden=4, rank=2, width=8),
    "InContext": lambda: qs.InContext(features=FEATURES, max_ways=MOST, width=8, depth=1, heads=2),
    "PriorFitted": lambda: qs.PriorFitted(max_features=FEATURES, max_ways=MOST, width=8, depth=1, heads=2),
    "Transducer": lambda: qs.Transducer(5, width=8, heads=2, depth=1),
    "SNAIL": lambda: qs.SNAIL(nn.Flatten(), FEATURES, MOST, filters=4, attention=((4, 4),)),
    "MANN": lambda: qs.MANN(nn.Flatten(), FEATURES, MOST, slots=8, width=4, hidden=4),
    "FromScratch": lambda: qs.FromScratch(net(), inner_steps=2),
    "NearestCentroid": lambda: qs.NearestCentroid(),
    "PretrainFineTune": lambda: qs.PretrainFineTune(net()),
    "LinearProbe": lambda: qs.LinearProbe(net()),
    "BaselinePlusPlus": lambda: qs.BaselinePlusPlus(net(), inner_steps=2),
    "ContrastivePretrain": lambda: qs.ContrastivePretrain(net()),
    "JointTraining": lambda: qs.JointTraining(net()),
    "LearnedTraining": lambda: qs.LearnedTraining(net(), steps=2, rule=LearnedMomentum()),
    "Architecture": lambda: qs.Architecture(qs.models.search_cell(FEATURES, OUTPUTS, width=4), steps=2),
    "LearningToReweight": lambda: LearningToReweight(net(), trusted=2, steps=2),
}


def adapts(learner: qs.Learner, support: qs.Examples) -> bool:
    """Whether it learns from this support and answers; an error of its own, not torch's, where it does not."""
    try:
        learner.adapt(support)(torch.randn(2, FEATURES))
    except (ValueError, TypeError, RuntimeError, IndexError):
        return False
    return True


def served(learner: qs.Learner) -> str:
    """The largest number of ways that it serves, of a network of 3 outputs and a max_ways of 4, as the page's word."""
    most = max((ways for ways in WAYS if adapts(learner, labelled(ways))), default=0)
    return {0: "none", OUTPUTS: "outputs", MOST: "max_ways", max(WAYS): "any"}[most]


def labelled(ways: int) -> qs.Examples:
    return qs.Examples(torch.randn(2 * ways, FEATURES), torch.arange(2 * ways) % ways, ways)


def declared(learner: qs.Learner) -> list[str]:
    """The row of the page after the learner's name."""
    flags = learner.label_equivariant, learner.order_invariant, learner.exact_gradient
    outputs = learner.targets if isinstance(learner, qs.NeuralProcess) else OUTPUTS
    targets = adapts(learner, qs.Examples(torch.randn(6, FEATURES), torch.randn(6, outputs)))
    trained = learner.meta_learns and any(parameter.requires_grad for parameter in learner.parameters())
    words = ["yes" if flag else "no" for flag in (*flags, targets)]
    return [*words, served(learner), learner.normalisation, "yes" if trained else "no"]


COLUMNS = (
    "learner",
    "renumbering classes permutes the answer",
    "order of the support is free",
    "exact meta-gradient",
    "targets",
    "ways",
    "normalisation",
    "meta-trained",
)


def declared_table() -> str:
    """The table "What each declares" of the guide, which tests/test_methods.py compares."""
    rows = []
    for name, made in LEARNERS.items():
        torch.manual_seed(0)
        rows.append([" ".join(word if word in ("with", "on") else f"`{word}`" for word in name.split()), *declared(made())])
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(COLUMNS), *lines[1:]])


def public() -> list[str]:
    """Every public name, as the reference writes it."""
    modules = {name for name, value in vars(qs).items() if inspect.ismodule(value)}
    names = [f"quickstudy.{name}" for name in qs.__all__ if name not in {"__version__", "select", *modules}]
    for module in (qs.tasks, qs.models, qs.optim, qs.select):
        own = getattr(module, "__all__", None) or [name for name, value in vars(module).items() if _own(module, name, value)]
        names += [f"{module.__name__}.{name}" for name in own]
    return names


def _own(module: object, name: str, value: object) -> bool:
    """Defined below this package, and not a helper or a submodule."""
    if name.startswith("_") or not callable(value):
        return False
    home = getattr(value, "__module__", "")
    return home.startswith(module.__name__) and name not in HELPERS  # type: ignore[attr-defined]


HELPERS = ("load_rule", "prepared", "cross_validated", "fitted", "warm_search")  # imported, and not handed on


def test_the_reference_has_every_public_name():
    found = set(re.findall(r"^::: (\S+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    found |= set(re.findall(r"heading: (\S+)}$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    found |= {name.replace("quickstudy.sklearn.", "quickstudy.") for name in found}
    found = {name.replace("quickstudy.select.", f"{qs.select.__name__}.") for name in found}
    found.add(f"{qs.select.__name__}.search")  # by hand: see the next test
    assert not sorted(set(public()) - found)


def test_the_page_on_augmentation_has_every_one_and_what_it_makes():
    page = (DOCS / "guides" / "augmentation.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `(\w+)\(\w*\)` \| (new \w+) \|", page, re.MULTILINE)
    bases = ClassAugmentation, TaskAugmentation
    ours = [one for one in vars(qs.tasks).values() if inspect.isclass(one) and issubclass(one, bases)]
    assert dict(said) == {one.__name__: one.makes for one in ours}
    assert set(AUGMENT) == dict(said).keys()


def test_the_signature_written_by_hand_is_that_of_the_code():
    """mkdocstrings takes the module quickstudy.domains.tables.select.search for the function of that name."""
    parameters = inspect.signature(qs.select.search).parameters.values()
    bare = inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters])
    assert f"\nsearch{bare}\n" in (DOCS / "reference.md").read_text(encoding="utf-8")


def test_the_counts_of_the_page_on_tables_are_the_measured_ones():
    counts: dict[str, list[int]] = {}
    for sizes in json.loads((DOCS.parent / "benchmarks" / "studies" / "tables.json").read_text())["tables"].values():
        for one in sizes.values():
            for name, method in one["methods"].items():
                if (difference := method["ours_minus_it"]) is not None:
                    low, high = difference["mean"] - difference["ci95"], difference["mean"] + difference["ci95"]
                    counts.setdefault(name, [0, 0, 0])[0 if low > 0 else 2 if high < 0 else 1] += 1
    page = (DOCS / "guides" / "tables.md").read_text(encoding="utf-8")
    for name, (wins, open_, loses) in counts.items():
        assert f"| {name} | {wins} | {open_} | {loses} |" in page
    wins, open_, loses = (sum(column) for column in zip(*counts.values(), strict=True))
    assert f"It loses {loses}, wins {wins}, and {open_} cannot be told" in page
    assert f"{wins + open_ + loses} paired" in page.replace("\n", " ")
