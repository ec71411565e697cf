"""What `help`, `dir` and a type checker see of quickstudy, and how it is cited."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import quickstudy as qs

ROOT = Path(__file__).resolve().parents[1]
DESCENTS = [qs.MAML, qs.FOMAML, qs.ANIL, qs.MetaSGD, qs.MAMLPlusPlus, qs.JointTraining, qs.CAVIA]


@pytest.mark.parametrize("recipe", DESCENTS, ids=lambda recipe: recipe.__name__)
def test_help_lists_every_argument(recipe):
    doc, parameters = inspect.getdoc(recipe), inspect.signature(recipe).parameters
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    missing = [name for name in inspect.signature(qs.Descent).parameters if name in parameters and f"    {name}: " not in doc]
    assert missing == []


def test_help_tells_defaults_and_what_arguments_mean():
    doc = inspect.getdoc(qs.MAML)
    assert doc.startswith("Model-agnostic meta-learning")
    assert "inner_steps: K." in doc
    assert "inner_steps: 'NonNegativeInt' = 1" in str(inspect.signature(qs.MAML))
    assert ">>>" not in doc


def test_a_docstring_that_has_an_argument_keeps_it():
    doc = inspect.getdoc(qs.BOIL)
    for name in inspect.signature(qs.BOIL).parameters:
        assert doc.count(f"\n    {name}: ") <= 1, name


def test_dir_is_complete():
    assert set(qs.__all__) <= set(dir(qs))


def test_a_type_checker_knows_every_name(tmp_path):
    script = tmp_path / "uses.py"
    script.write_text(
        "from quickstudy import MAML, FewShotClassifier, FewShotRegressor, Learner, models, select\n"
        "reveal_type(MAML(models.mlp(1, 1)))\nreveal_type(FewShotClassifier)\nreveal_type(FewShotRegressor)\n"
        "reveal_type(select.recommend)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", str(script)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    revealed = [line for line in said.splitlines() if "Revealed type" in line]
    assert len(revealed) == 4, said
    assert "Descent" in revealed[0]
    assert not any('"Any"' in line or '"object"' in line or "builtins.object" in line for line in revealed), revealed


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert str(found["cff-version"]) == "1.2.0"
    assert found["title"] == project["name"]
    assert str(found["version"]) == project["version"]
    assert found["license"] == project["license"]
    assert found["authors"] == [{"name": "The quickstudy authors"}]
    assert found["abstract"] == project["description"]
    assert found["keywords"] == project["keywords"]
