"""calibrate: fit a temperature, and a threshold below which a query is "unknown", on meta-validation tasks.

    T*         =  argmin_T  - sum_i log softmax(l_i / T)_{y_i}                  over queries of the support's classes      (1)
    threshold  :  a share `keep` of those queries has  score(l, T*) >= threshold                                         (2)

Each task has `left_out` classes without support, so that their queries belong to no class of the support. The share of them below
the threshold is measured, not guaranteed. Test tasks are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from quickstudy.arguments import PositiveFloat, Probability, checked
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.evaluation.head_choice import HEADS, OWN, with_head
from quickstudy.evaluation.ood_scores import SCORES, Energy, MaxProbability, UnknownScore, auroc, threshold_keeping
from quickstudy.evaluation.open_set import Answers, answers
from quickstudy.evaluation.reliability_curve import Reliability, reliability
from quickstudy.evaluation.temperature import fit_temperature, nll
from quickstudy.files import write_sealed
from quickstudy.learners.learner import Learner
from quickstudy.records import RecordError, read_record, record
from quickstudy.tasks.distribution.family import check_one

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution

FORMAT = 1
CALIBRATION = "calibration.json"


@checked
@dataclass(frozen=True)
class Calibration:
    """The result of `calibrate`. It holds for tasks of this protocol and for one head; calibrate again for others.

    Attributes:
        temperature: T*.
        threshold: a query with a score below it is unknown.
        score: the name of the score, "MaxProbability" or "Energy".
        keep: the share of known queries that the threshold should keep.
        kept: the share of known queries that it keeps on the tasks it was fitted to.
        caught: the share of unknown queries that it rejects there.
        auroc: the AUROC of the score, known against unknown queries.
        nll_before: mean negative log likelihood of known queries at T = 1.
        nll_after: the same at T*.
        before: reliability diagram of known queries at T = 1.
        after: the same at T*.
        protocol: ways, shots, queries, left_out, episodes, seed.
        head: the head on the learner's features that it is for: see `evaluation.head_choice`.

    Examples:
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5)
        >>> calibration = qs.calibrate(qs.Prototypical(torch.nn.Identity()), tasks.validation, episodes=20)
        >>> calibration.kept >= calibration.keep and calibration.nll_after <= calibration.nll_before
        True
        >>> calibration.probabilities(torch.zeros(2, 4)).tolist()[0]
        [0.25, 0.25, 0.25, 0.25]
    """

    temperature: PositiveFloat
    threshold: float
    score: str
    keep: Probability
    kept: Probability
    caught: Probability
    auroc: Probability
    nll_before: float
    nll_after: float
    before: Reliability = field(repr=False)
    after: Reliability = field(repr=False)
    protocol: dict[str, bool | int | str | tuple[int, int] | tuple[str, ...] | None]  # of tasks across domains, their domains too
    head: str = OWN

    def __post_init__(self) -> None:
        if missing := {"ways", "shots", "queries", "left_out", "episodes", "seed"} - self.protocol.keys():
            raise ArgumentError("protocol", expected=f"{min(missing)!r} in it", got=str(self.protocol), do="Calibrate again.")
        if self.head not in HEADS:
            raise ArgumentError("head", expected="one of " + ", ".join(HEADS), got=repr(self.head), do="Calibrate again.")
        if self.score not in SCORES:
            raise ArgumentError("score", expected="one of " + ", ".join(SCORES), got=repr(self.score), do="Calibrate again.")

    def scores(self, logits: Tensor) -> Tensor:
        """The score of each row of logits (examples, ways): (examples,)."""
        return SCORES[self.score]()(logits, self.temperature)

    def probabilities(self, logits: Tensor) -> Tensor:
        """softmax(l / T), (examples, ways)."""
        return (logits / self.temperature).softmax(-1)

    def is_unknown(self, logits: Tensor) -> Tensor:
        """Which rows belong to no class of the support: (examples,) bool."""
        return self.scores(logits) < self.threshold

    def to_dict(self) -> dict[str, Any]:
        """As a dict for JSON."""
        diagrams = {"before": self.before.to_dict(), "after": self.after.to_dict()}
        return {"format": FORMAT, **asdict(self), **diagrams}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            RecordError: another format, or other fields.
        """
        fields = dict(spec)
        if (found := fields.pop("format", None)) != FORMAT:
            raise RecordError("format", str(FORMAT), found)
        return record(cls, fields)

    def save(self, path: str | Path) -> None:
        """Write as JSON: to `path` where it ends in .json, else into that folder, to calibration.json, or for another head than
        the learner's own to calibration-HEAD.json.
        """
        write_sealed(_file(path, self.head), self.to_dict(), indent=2)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CheckpointError: there is no such file, it is not a calibration, or one of another format.
        """
        return read_record(_file(path), cls, expected="a calibration", do="calibration.save(path) writes one.")

    def __str__(self) -> str:
        return (
            f"temperature {self.temperature:.3g}: ECE {100 * self.before.ece:.2f} -> {100 * self.after.ece:.2f} %; "
            f"{self.score} >= {self.threshold:.4g} keeps {100 * self.kept:.1f} % of known and rejects "
            f"{100 * self.caught:.1f} % of unknown queries (AUROC {self.auroc:.3f}, {self.protocol['episodes']} tasks, "
            f"{self.protocol['ways']}-way {self.protocol['shots']}-shot, {self.protocol['left_out']} left out)"
        )


@checked
def calibrate(
    learner: Learner,
    tasks: TaskDistribution,
    episodes: int = 200,
    seed: int = 0,
    *,
    keep: float = 0.95,
    left_out: int = 1,
    scores: Sequence[UnknownScore] = (MaxProbability(), Energy()),
    head: str = OWN,
    progress: bool = False,
) -> Calibration:
    """Fit a temperature and a threshold on `episodes` tasks drawn from `tasks` (give meta-validation tasks) with `seed`.

    Args:
        keep: the share of known queries that the threshold lets through.
        left_out: number of classes in each task, besides its ways, that have queries but no support.
        scores: the candidates; the one that best separates known from unknown on these tasks (by AUROC) is kept.
        head: the head on the learner's features that is calibrated: see `evaluation.head_choice`.
        progress: show a progress bar on stderr.

    Raises:
        ArgumentError: `episodes` or `left_out` below 1, no score, `keep` too high for this many queries, an unknown head.
        TaskError: fewer classes than ways + left_out.
        UnsupportedError: the tasks have no classes; a head for a learner without features of each example.
        NotFiniteError: a prediction is NaN or infinite.
    """
    check_one(tasks)
    if not scores:
        raise ArgumentError("scores", expected="one or more", got="none", do="Leave it out for the usual ones.")
    found = answers(with_head(learner, head), tasks, episodes, seed, left_out=left_out, progress=progress)
    protocol = {**tasks.protocol, "left_out": left_out, "episodes": episodes, "seed": seed}
    return from_answers(found, protocol, keep=keep, scores=scores, head=head)


def from_answers(
    found: Answers, protocol: dict[str, Any], *, keep: float, scores: Sequence[UnknownScore], head: str = OWN
) -> Calibration:
    """The calibration for answers already computed."""
    logits, y = found.known, found.y
    temperature = fit_temperature(logits, y)  # (1)
    told = [(score, score(logits, temperature), score(found.unknown, temperature)) for score in scores]
    areas = [auroc(known, unknown) for _, known, unknown in told]
    area = max(areas)
    score, known, unknown = told[areas.index(area)]
    threshold = threshold_keeping(known, keep)  # (2)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        score=type(score).__name__,
        keep=keep,
        kept=float((known >= threshold).double().mean()),
        caught=float((unknown < threshold).double().mean()),
        auroc=area,
        nll_before=nll(logits, y),
        nll_after=nll(logits, y, temperature),
        before=reliability(logits.softmax(1), y),
        after=reliability((logits / temperature).softmax(1), y),
        protocol=protocol,
        head=head,
    )


def calibrations(folder: Path) -> dict[str, Calibration]:
    """All calibrations in a folder, by the head that each is for.

    Raises:
        CheckpointError: a file that is not a calibration, or one for another head than its name says.
    """
    found = {head: Calibration.load(_file(folder, head)) for head in HEADS if _file(folder, head).is_file()}
    for head, one in found.items():
        if one.head != head:
            raise CheckpointError(
                str(_file(folder, head)),
                expected=f"a calibration for the head {head!r}",
                got=f"one for {one.head!r}",
                do="Calibrate again, and save into the folder.",
            )
    return found


def _file(path: str | Path, head: str = OWN) -> Path:
    path = Path(path)
    return path if path.suffix == ".json" else path / (CALIBRATION if head == OWN else f"calibration-{head}.json")
