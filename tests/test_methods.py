"""The methods of the registry are at the top of `quickstudy`, in its reference, and in the tables of README and docs.

What is made of the registry stands between two marks; after a new line there:  UPDATE=1 pytest tests/test_methods.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import quickstudy as qs
from quickstudy.cli import names
from quickstudy.registry import METHODS, Method
from tests.docs.test_guides import LEARNERS, declared_table

ROOT = Path(__file__).resolve().parents[1]
INIT, REFERENCE = ROOT / "src" / "quickstudy" / "__init__.py", ROOT / "docs" / "reference.md"
MADE = "# ---- from registry.METHODS: `UPDATE=1 pytest tests/test_methods.py` writes these lines ----"
MOST_NAMES = 76  # at the top
LAZY = ("FewShotClassifier", "FewShotRegressor", "select", "__version__")  # in `__all__`, and imported by no line

VERBS = {  # of METHODS: how it learns in a task, and what trains it across tasks; in English and in Chinese
    "compare": (
        ("comparing with the support, or with descriptions of the classes", "`Backprop`"),
        ("与支持集（或类别描述）作比较", "`Backprop`"),
    ),
    "solve": (
        ("solving for a head: ridge, logistic regression, support vectors", "`Backprop` through the solution"),
        ("直接求解分类头：岭回归、逻辑回归、支持向量机", "`Backprop`，对解求导"),
    ),
    "descend": (
        (
            "gradient descent from a learned start: of all, head, body, context or adapter; with learned rates or matrices",
            "`Backprop` through `Unrolled(recompute=)`, `FirstOrder`, `Truncated(k)`",
        ),
        (
            "从学到的起点做梯度下降：调整全部参数，或只调整分类头、主干、上下文参数、适配器；步长或预条件矩阵也可学习",
            "`Backprop`，经由 `Unrolled(recompute=)`、`FirstOrder`、`Truncated(k)`",
        ),
    ),
    "descend, first order": (
        ("the same, without second derivatives", "`Backprop` through `FirstOrder`"),
        ("同 MAML，但不用二阶导数", "`Backprop`，经由 `FirstOrder`"),
    ),
    "descend, implicit": (
        ("proximal descent to rest", "`Backprop` through `Implicit(ConjugateGradient, Neumann, Exact)`"),
        ("带近端项的下降，直至收敛", "`Backprop`，经由 `Implicit(ConjugateGradient, Neumann, Exact)`"),
    ),
    "descend, Reptile": (("descent", "`ReptileDirection`"), ("梯度下降", "`ReptileDirection`")),
    "descend, otherwise": (
        ("a learned recurrence of the weights; descent in a code of them", "`Backprop`"),
        ("用学到的循环网络更新权重；在权重的低维编码上下降", "`Backprop`"),
    ),
    "read": (("reading the support, in one pass", "`Backprop`"), ("把支持集读一遍，不做梯度下降", "`Backprop`")),
    "read, tables": (
        ("reading a table, meta-trained on synthetic ones", "`Backprop`"),
        ("直接读入一张表格；只在合成表格上做过元训练", "`Backprop`"),
    ),
    "read, strings": (
        ("reading pairs of strings, meta-trained on formats that were drawn", "`Backprop`"),
        ("读入几对字符串，再把其余的照样写出；在随机抽取的格式上做元训练", "`Backprop`"),
    ),
    "bilevel": (
        (
            "a whole training run, of which the rule, loss, weights of examples, augmentation, hyperparameters or architecture "
            "are learned",
            "`Lookahead`, `ForwardMode`, `FixedPoint`, `Evolution`, `PersistentEvolution`, `ScoreFunction`, `CMAES`, "
            "`PopulationBased`, ...",
        ),
        (
            "完整的训练过程，其中更新规则、损失、样本权重、数据增强、超参数或网络结构是学来的",
            "`Lookahead`、`ForwardMode`、`FixedPoint`、`Evolution`、`PersistentEvolution`、`ScoreFunction`、`CMAES`、"
            "`PopulationBased` 等",
        ),
    ),
    "wrap": (
        ("averaging the answers of several learners", "that of its members"),
        ("对多个学习器的预测取平均", "与其成员相同"),
    ),
    "control": (
        ("the baselines to compare every learner with", "none, `Supervised`, `Contrastive`, `Joint`"),
        ("用来与各学习器比较的基线", "无，或 `Supervised`、`Contrastive`、`Joint`"),
    ),
}


# ---- what is made ------------------------------------------------------------------------------------------------------


def imports() -> str:
    return "\n".join(f"from {one.module} import {one.name} as {one.name}" for one in sorted(METHODS, key=by_module))


def by_module(method: Method) -> tuple[str, str]:
    return method.module, method.name


def top() -> str:
    """The lines of `__all__`: what the page imports under its own name."""
    imported = re.findall(r"^from \S+ import \w+ as (\w+)$", INIT.read_text(encoding="utf-8"), re.MULTILINE)
    return "\n".join(f'    "{name}",' for name in sorted([*imported, *LAZY]))


def section(verb: str) -> str:
    """The lines of the reference page for the methods of one verb."""
    return "\n".join(f"::: quickstudy.{one.name}" for one in METHODS if one.verb == verb)


def table(language: int) -> str:
    """README's table, a row a verb."""
    head = (("learner", "learns by", "across tasks"), ("学习器", "在任务内如何学习", "跨任务如何训练"))[language]
    rows = [head, ("---",) * 3]
    for verb, words in VERBS.items():
        named = (", ", "、")[language].join(f"`{one.name}`" for one in METHODS if one.verb == verb)
        rows.append((named, *words[language]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows).replace("| --- | --- | --- |", "|---|---|---|")


BLOCKS: dict[str, tuple[Path, str, str, Callable[[], str]]] = {  # file, mark before, mark after, what stands between
    "imports": (INIT, MADE, "\n# ---- to here ----", imports),
    "README": (ROOT / "README.md", "<!-- methods -->", "<!-- to here -->", lambda: table(0)),
    "README.zh-CN": (ROOT / "README.zh-CN.md", "<!-- methods -->", "<!-- to here -->", lambda: table(1)),
    "the guide": (ROOT / "docs" / "guides" / "learner.md", "<!-- declared -->", "<!-- to here -->", declared_table),
    **{
        f"reference, {verb}": (REFERENCE, f"<!-- methods: {verb} -->", "<!-- to here -->", lambda verb=verb: section(verb))
        for verb in VERBS
    },
}


# ---- is it so ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_made_is_not_stale(block):
    path, before, after, made = BLOCKS[block]
    head, mark, rest = path.read_text(encoding="utf-8").partition(before + "\n")
    between, end, tail = rest.partition("\n" + after) if not rest.startswith(after) else ("", after, rest.removeprefix(after))
    assert mark, f"{path.name} has no {before}"
    assert end, f"{path.name} has no {after} after {before}"
    if os.environ.get("UPDATE"):
        path.write_text(head + mark + made() + "\n" + after + tail, encoding="utf-8")
        return
    assert between == made(), "stale: run this test with UPDATE=1"


def test_every_method_is_at_the_top():
    for one in METHODS:
        assert getattr(qs, one.name) is one.load()
        assert one.name in qs.__all__


def test_the_top_is_what_a_user_types_first():
    """Learners are those of the registry, apart from the base; and there is an end to the names."""
    learners = {name for name, value in vars(qs).items() if isinstance(value, type) and issubclass(value, qs.Learner)}
    assert learners - {one.name for one in METHODS} == {"Learner"}
    assert len(qs.__all__) <= MOST_NAMES


def test_every_recipe_has_its_line():
    pages = {path.stem for path in (ROOT / "src" / "quickstudy" / "recipes").glob("*.py")} - {"__init__", "options"}
    assert pages == {one.module.rpartition(".")[2] for one in METHODS if one.module.startswith("quickstudy.recipes.")}


def test_every_verb_has_its_words():
    assert list(VERBS) == list(dict.fromkeys(one.verb for one in METHODS))


def test_the_command_line_has_the_names():
    assert list(names.LEARNERS) == [one.command for one in METHODS if one.command]


def test_the_guide_has_every_method():
    """By itself, or where it is of the class of another row."""
    text = (ROOT / "docs" / "guides" / "learner.md").read_text(encoding="utf-8")
    assert not [one.name for one in METHODS if not re.search(rf"\b{one.name}\b", text)]
    assert {name for name in LEARNERS if hasattr(qs, name)} <= {one.name for one in METHODS}
