"""What the README and the docs show is run: commands exist, the first two are `make demo` and `make test`, Python runs in small.

A Python block runs as it stands, in a fresh namespace and an empty folder, with these changes and no others:

* sizes shrink (`SMALL`): meta_train takes 2 steps and validates on 2 episodes, evaluate reads 4;
* root="..." becomes the folder of the real Omniglot characters, and the test is skipped where they are not;
* a page that names `my_images` finds such a folder of drawn images;
* the names in `GIVEN` exist already: `x, y`, five labelled 28x28 images of five classes, and `new_x`, two more images.

A block that continues another starts with the comment `# continued`: it runs after the block before it, in the same namespace.
"""

import ast
import os
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from quickstudy.domains.images.drawing import draw_characters

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "README.zh-CN.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
IN_FULL = "docs/gallery/"  # run as notebooks, in full size, by test_gallery.py

SMALL = {
    r"\bvalidation_episodes=\d+, *": "",
    r"(\bmeta_train\(.*?\bsteps=)\d+": r"\g<1>2, validation_episodes=2",
    r"\bsteps=\d{3,}": "steps=2",
    r"\btasks_per_step=\d+": "tasks_per_step=2",
    r"\bepisodes=\d+": "episodes=4",
    r"\bvalidate_every=\d+": "validate_every=1",
    r"\bqueries=\d+": "queries=2",
}
DATA_ROOT = r"\broot=([\"']).*?\1"

MAKE = re.compile(r"(?:^|[`\s;&])make ([a-z][a-z-]*)", re.MULTILINE)
QUICKSTUDY = re.compile(r"^\s*(?:\$ )?(?:\S*/)?quickstudy ([a-z][a-z-]*)", re.MULTILINE)


def given() -> dict[str, object]:
    """Names that a README block may use without making them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(7, 1, 28, 28, generator=generator)
    return {"x": images[:5], "y": torch.arange(5), "new_x": images[5:]}


def write_images(root: Path) -> None:
    """A folder of drawn images, one folder a class, as the tutorial's reader has one."""
    drawn = draw_characters(20, 5, generator=torch.Generator().manual_seed(0))
    for number, images in enumerate(drawn):
        (root / f"tree{number:02d}").mkdir(parents=True)
        for index, image in enumerate(images):
            Image.fromarray(255 - image[0].numpy()).save(root / f"tree{number:02d}" / f"{index}.png")


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced code blocks of a Markdown text in one of these languages, in order."""
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def programs(text: str) -> list[str]:
    """The Python blocks, each with those that continue it."""
    whole: list[str] = []
    for block in blocks(text, "python", "py"):
        if block.lstrip().startswith("# continued") and whole:
            whole[-1] += block
        else:
            whole.append(block)
    return whole


def shrink(code: str) -> str:
    """The same program in a small size."""
    for pattern, small in SMALL.items():
        code = re.sub(pattern, small, code, flags=re.DOTALL)
    return code


def shell_lines(text: str) -> list[str]:
    """The commands of the shell blocks, without prompts, comments and empty lines."""
    lines = "".join(blocks(text, "sh", "bash", "shell", "console")).splitlines()
    stripped = (re.sub(r"\s+#.*$", "", line).removeprefix("$ ").strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def test_the_two_commands_come_first():
    assert shell_lines(README)[:2] == ["make demo", "make test"]


def test_every_make_target_named_exists():
    code = "\n".join([*re.findall(r"`([^`\n]+)`", README), *shell_lines(README)])
    named = set(MAKE.findall(code))
    defined = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= defined, f"README names make targets that the Makefile lacks: {sorted(named - defined)}"


def verbs():
    """The quickstudy commands that any page names."""
    return sorted({verb for page in PAGES for verb in QUICKSTUDY.findall("\n".join(shell_lines((ROOT / page).read_text())))})


@pytest.mark.parametrize("verb", verbs())
def test_every_quickstudy_verb_named_exists(verb):
    from quickstudy.cli import COMMANDS

    assert verb in COMMANDS


def snippets():
    """Every program of every page; once, where two pages show the same but for comments."""
    pages = [page for page in PAGES if not page.startswith(IN_FULL)]
    numbered = [(page, number, code) for page in pages for number, code in enumerate(programs((ROOT / page).read_text()), 1)]
    each = {
        ast.unparse(ast.parse(code)): pytest.param(page, code, id=f"{page}-{number}") for page, number, code in numbered[::-1]
    }
    return list(each.values())[::-1]


@pytest.mark.parametrize(("page", "program"), snippets())
def test_python_blocks_run(page, program, request, tmp_path, monkeypatch):
    code = shrink(program)
    if re.search(DATA_ROOT, code):
        root = os.fspath(request.getfixturevalue("omniglot_root"))
        code = re.sub(DATA_ROOT, lambda _: f"root={root!r}", code)
    monkeypatch.chdir(tmp_path)
    if "my_images" in code:
        write_images(tmp_path / "my_images")
    exec(compile(code, page, "exec"), {"__name__": "__main__", **given()})


EXAMPLE = """
```sh
$ make demo   # all
# a comment
make test
```

```python
a = 1
```
```python
# continued
b = a
```
```python
f(steps=20)
```
"""


def test_the_reader_of_blocks_finds_them():
    assert shell_lines(EXAMPLE) == ["make demo", "make test"]
    assert programs(EXAMPLE) == ["a = 1\n# continued\nb = a\n", "f(steps=20)\n"]
    whole = "meta_train(MAML(n, inner_steps=5), tasks, steps=2000, tasks_per_step=16)\nConjugateGradient(steps=5)"
    small = (
        "meta_train(MAML(n, inner_steps=5), tasks, steps=2, validation_episodes=2, tasks_per_step=2)\nConjugateGradient(steps=5)"
    )
    assert shrink(whole) == small
