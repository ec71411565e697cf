"""The scores of the learner that comes along beside two controls on pixels, on data that no choice about it looked at.

python -m benchmarks.make.pretrained_scores --data FOLDER      writes src/quickstudy/pretrained/strokes/scores.json
    [--only controls|strokes] [--tasks 400]                    rows of the other learners stay as they are

FOLDER holds mnist/ (the test images are used), fashion_mnist_sprite/ and omniglot/. Tasks of Omniglot draw their classes within
one alphabet of the evaluation part. All learners see the same tasks. The controls: the nearest centroid of the pixels, and
multinomial logistic regression on pixels with scikit-learn's default penalty, C = 1, without an intercept. Where a class has
several examples, the head on the learner's features is chosen by the support, as `quickstudy predict` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.make.pretrained import PRETRAINED, TRAINED_ON
from benchmarks.studies.pretrained_strokes.books import books, rows_of
from benchmarks.studies.pretrained_strokes.validation import embedded
from quickstudy.artifacts.store import weights_hash
from quickstudy.domains.images.omniglot_images import read_images
from quickstudy.evaluation.head_choice import choose_head
from quickstudy.files import read_json, write_json
from quickstudy.learners.solve.newton import logistic_regression

COMMAND = "python -m benchmarks.make.pretrained_scores --data FOLDER"
WAYS, SHOTS, QUERIES = 5, (1, 5), 15
FIRST_BOOK, BOOKS, BOOK = 20_000_000, 20, 60  # drawn characters: seeds, number and classes of the books
OWN, CENTROID, LOGISTIC = "strokes", "nearest centroid of the pixels", "logistic regression on pixels"
Answer = Callable[[qs.Examples, Tensor], Tensor]  # the classes of queries, from a support
Groups = list[Tensor]  # classes (classes, examples, ...) that a task may draw together


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    made.add_argument("--tasks", type=int, default=400, help="tasks of each set")
    made.add_argument("--only", choices=("controls", OWN), help="score only these, and keep the other rows")
    options = made.parse_args()
    learners = {OWN: (own(), by_chosen_head), CENTROID: (nn.Flatten(), by_centroid), LOGISTIC: (nn.Flatten(), by_regression)}
    wanted = [name for name in learners if options.only is None or (name == OWN) == (options.only == OWN)]
    file = PRETRAINED / "scores.json"
    kept = read_json(file, expected="measured scores", do="")["scores"] if options.only else []
    rows = [row for row in kept if row["learner"] not in wanted]
    for name, groups in sets(options.data).items():
        for who in wanted:
            network, answer = learners[who]
            features = [embedded(network, group) for group in groups]
            for shots in SHOTS:
                row = {"tasks": name, "learner": who, "ways": WAYS, "shots": shots, "queries": QUERIES, "episodes": options.tasks}
                rows.append(row | {"seed": 0} | scored(features, answer, shots, options.tasks))
                print(name, who, shots, rows[-1]["accuracy"], rows[-1]["ci95"], flush=True)
    order = list(dict.fromkeys(row["tasks"] for row in rows))
    rows.sort(key=lambda row: (order.index(row["tasks"]), row["shots"], list(learners).index(row["learner"])))
    record = {"trained_on": TRAINED_ON, "of": weights_hash(PRETRAINED / "learner"), "scores": rows}
    write_json(file, {**record, "command": COMMAND, "date": date.today().isoformat()}, indent=1)


# ---- the data -------------------------------------------------------------------------------------------------------------


def sets(data: Path) -> dict[str, Groups]:
    """The test data by name."""
    drawn = list(books(FIRST_BOOK, BOOKS, BOOK))
    return {"Drawn": drawn, "MNIST": [mnist(data / "mnist")], "Fashion": [fashion(data / "fashion_mnist_sprite")]} | {
        f"Omniglot, {name.replace('_', ' ')}": [images] for name, images in alphabets(data / "omniglot").items()
    }


def mnist(root: Path) -> Tensor:
    """MNIST's test images: the first of each digit, as many as every digit has."""
    found = qs.tasks.mnist(root)
    least = int(torch.bincount(found.test_y).min())
    return torch.stack([found.test_x[found.test_y == digit][:least, 0] for digit in range(10)])


def fashion(root: Path) -> Tensor:
    """The 90 images of each class of Fashion-MNIST that its sprite shows."""
    from PIL import Image

    pixels = np.asarray(Image.open(root / "fashion-mnist-sprite.png").convert("L"))
    tiles = pixels.reshape(30, 28, 30, 28).transpose(0, 2, 1, 3).reshape(10, 90, 28, 28)
    return torch.from_numpy(tiles.copy())


def alphabets(root: Path) -> dict[str, Tensor]:
    """The alphabets of Omniglot's evaluation part."""
    groups: dict[str, list[Tensor]] = {}
    for name, drawings in read_images(root).items():
        part, alphabet, _ = name.split("/")
        if part == "images_evaluation":
            groups.setdefault(alphabet, []).append(drawings[:, 0])
    return {name: torch.stack(one) for name, one in groups.items()}


# ---- the scores -----------------------------------------------------------------------------------------------------------


def own() -> nn.Module:
    """The network of the learner that comes along."""
    learner = qs.load(OWN)
    assert isinstance(learner, qs.Prototypical)
    return learner.embed


@torch.no_grad()
def scored(groups: Groups, answer: Answer, shots: int, tasks: int) -> dict[str, float]:
    """Accuracy, and the half width of its 95 % interval over tasks; each group has its share of the tasks."""
    y, truth = torch.arange(WAYS).repeat_interleave(shots), torch.arange(WAYS).repeat_interleave(QUERIES)
    right = []
    for index, group in enumerate(groups):
        rows = rows_of(group[None], tasks // len(groups), WAYS, shots + QUERIES, torch.Generator().manual_seed(index))
        for z in group.flatten(0, 1)[rows]:
            support, query = z[:, :shots].flatten(0, 1), z[:, shots:].flatten(0, 1)
            right.append(float((answer(qs.Examples(support, y, ways=WAYS), query) == truth).float().mean()))
    values = torch.tensor(right, dtype=torch.float64)
    return {"accuracy": float(values.mean()), "ci95": 1.96 * float(values.std()) / len(values) ** 0.5}


def by_chosen_head(support: qs.Examples, query: Tensor) -> Tensor:
    """The learner's answer from its features."""
    choice = choose_head(qs.Prototypical(nn.Identity()), support)
    return choice.adapt(support)(query).argmax(1)


def by_centroid(support: qs.Examples, query: Tensor) -> Tensor:
    """The class of the nearest mean."""
    return qs.Prototypical(nn.Identity()).adapt(support)(query).argmax(1)


def by_regression(support: qs.Examples, query: Tensor) -> Tensor:
    """Multinomial logistic regression."""
    weights: Any = logistic_regression(support.x.double(), support.y, WAYS, 1.0, 15)
    return (query.double() @ weights.T).argmax(1)


if __name__ == "__main__":
    main()
