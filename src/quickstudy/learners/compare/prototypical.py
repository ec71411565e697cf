"""Prototypical networks."""

from __future__ import annotations

from torch import Tensor

from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import class_means, squared_distance


class Prototypical(Comparison):
    """Classify a query by its nearest class mean in a learned space.

        c_k  = 1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                  (1)
        p(y = k | x)  =  softmax_k( - || f_phi(x) - c_k ||^2 )                       (2)

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        normalisation: "running" by default: averages over meta-training, as in most implementations.

    Source: Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, eq. 1-2.

    Examples:
        >>> learner = qs.Prototypical(qs.models.mlp(4, 8))
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5, queries=10)
        >>> run = qs.meta_train(learner, tasks, steps=2, tasks_per_step=2, progress=False)
        >>> task = tasks.test.sample(1)[0]
        >>> learner.adapt(task.support).predict_proba(task.query.x).shape
        torch.Size([30, 3])
    """

    def read(self, z: Tensor, y: Tensor, ways: int) -> dict[str, Tensor]:
        """The prototypes (ways, features)."""
        return {"prototypes": class_means(z, y, ways)}  # (1)

    def compare(self, values: dict[str, Tensor], z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(z, values["prototypes"])  # (2)
