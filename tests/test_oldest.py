"""The constraints of `make test-oldest` are those of constraints.txt with the floors of pyproject.toml in their place."""

import tomllib

from tests.oldest import FREE, ROOT, floors, oldest


def test_floors_are_those_of_pyproject():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert f"torch>={floors()['torch']}" in dependencies


def test_pins_give_way_to_floors_and_else_stay():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    changed = {line.partition("==")[0] for line in set(pins) - set(oldest().splitlines())}
    assert changed == {*floors(), *FREE}
    assert set(oldest().splitlines()) - set(pins) == {f"{name}=={floor}" for name, floor in floors().items()}
