"""Controls for strings into strings, which learn nothing: the answer of the nearest pair, and the string as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from quickstudy.episode import Examples
from quickstudy.errors import LabelError
from quickstudy.learners.functional import one_hot
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Values
from quickstudy.targets import Tokens
from quickstudy.targets.tokens import edit_distance

SURE = 20.0  # the logit of the answer; the others are 0


class Control(Learner):
    """The base of both."""

    meta_learns = False
    sure: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sure", torch.tensor(SURE), persistent=False)

    def says(self, y: Tensor, vocabulary: int) -> Tensor:
        """Logits (n, length, vocabulary) of an answer."""
        return self.sure * one_hot(y, vocabulary, self.sure)


class NearestPair(Control):
    """The answer of the support pair whose input is the fewest edits away; the first pair, where several are.

        y(x)  =  y_k,     k = argmin_k distance(x, x_k)

    Raises:
        LabelError: a support that is not of `Tokens`.

    Examples:
        >>> from quickstudy.domains.text.strings import NearestPair
        >>> strings = qs.tasks.Strings(length=8)
        >>> predictor = NearestPair().adapt(strings.pairs(["anna", "bert"], ["A.", "B."]))
        >>> predictor.predict(strings.inputs(["hanna"]))
        array(['A.'], dtype='<U2')
    """

    order_invariant = False

    def learn(self, support: Examples) -> Values:
        """The pairs' inputs (pairs, length), and logits of their answers (pairs, length, vocabulary)."""
        return {"inputs": support.x["ids"], "answers": self.says(support.y, vocabulary_of(support))}

    def predict(self, values: Values, x: Any) -> Tensor:
        """(examples, length, vocabulary)."""
        n, pairs = len(x["ids"]), len(values["inputs"])
        asked = x["ids"].repeat_interleave(pairs, 0)
        distance = edit_distance(asked, values["inputs"].repeat(n, 1)).reshape(n, pairs)
        return values["answers"].index_select(0, distance.argmin(1))


class Unchanged(Control):
    """The string as it is.

    Raises:
        LabelError: a support that is not of `Tokens`.

    Examples:
        >>> from quickstudy.domains.text.strings import Unchanged
        >>> strings = qs.tasks.Strings(length=8)
        >>> Unchanged().adapt(strings.pairs(["anna"], ["A."])).predict(strings.inputs(["bert"]))
        array(['bert'], dtype='<U4')
    """

    def learn(self, support: Examples) -> Values:
        """Nothing but which logits there are: (vocabulary,) of zeros."""
        return {"none": self.sure.new_zeros(vocabulary_of(support))}

    def predict(self, values: Values, x: Any) -> Tensor:
        """(examples, length, vocabulary)."""
        return self.says(x["ids"], len(values["none"]))


def vocabulary_of(support: Examples) -> int:
    """The number of tokens.

    Raises:
        LabelError: a support of another kind.
    """
    if not isinstance(support.target, Tokens):
        raise LabelError("support.y", expected="strings, of `Tokens`", got=repr(support.target), do="Take another control.")
    return support.target.vocabulary
