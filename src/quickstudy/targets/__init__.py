"""Kinds of target: what y is. The kind decides the loss, the scores, how to read an output, and which shapes fit.

    kind               y                                output             loss                      score
    Labels(ways)       int64 (n,)                       (n, ways)          cross-entropy             accuracy
    Values()           float (n, *target)               (n, *target)       mean squared error        mse
    Values("normal")   float (n, *target)               (n, *target, 2)    negative log likelihood   nll
    MultiLabel()       0, 1 (n, c), NaN = not known     (n, c)             binary cross-entropy      mean_average_precision
    Binary()           0, 1 (n,)                        (n,) or (n, 2)     binary cross-entropy      roc_auc
    SoftLabels(ways)   float (n, ways), sum 1           (n, ways)          cross-entropy             nll
    TokenLabels(ways)  int64 (n, length), -100 = none   (n, length, ways)  cross-entropy             token_accuracy, or span_f1
    Tokens(vocabulary) int64 (n, length), 0 = the end   (n, length, v)     cross-entropy             exact_match
    Transcripts(chars) int64 (n, length), 0 = the end   (n, frames, 1 + c) CTC                       character_error_rate
    Pairs()            float (n, features)              (n, features)      contrastive               mrr, recall_at_1

A kind is static metadata of `Examples`: it is never a tensor, so vmap and torch.compile look through it. By default,
integers are labels and floating-point numbers are values. The shapes of prediction and y are checked only here, so that nothing
broadcasts.
"""

from quickstudy.targets.binary import Binary as Binary
from quickstudy.targets.binary import MultiLabel as MultiLabel
from quickstudy.targets.labels import NONE as NONE
from quickstudy.targets.labels import Labels as Labels
from quickstudy.targets.pairs import Pairs as Pairs
from quickstudy.targets.soft_labels import SoftLabels as SoftLabels
from quickstudy.targets.target import Target as Target
from quickstudy.targets.target import check_fit as check_fit
from quickstudy.targets.target import check_fit_of_own as check_fit_of_own
from quickstudy.targets.token_labels import TokenLabels as TokenLabels
from quickstudy.targets.tokens import Tokens as Tokens
from quickstudy.targets.transcripts import Transcripts as Transcripts
from quickstudy.targets.values import Values as Values
