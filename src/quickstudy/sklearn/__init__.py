"""quickstudy with scikit-learn's interface: fit adapts to a support set, predict answers queries.

Needs scikit-learn (`pip install quickstudy[sklearn]`); `import quickstudy` alone does not import it.
"""

from quickstudy.errors import MissingPackageError

try:
    from quickstudy.sklearn.classifier import FewShotClassifier as FewShotClassifier
    from quickstudy.sklearn.regressor import FewShotRegressor as FewShotRegressor
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise MissingPackageError(
        "quickstudy.sklearn",
        expected="scikit-learn, which FewShotClassifier and FewShotRegressor are built on",
        got="none installed",
        do="pip install quickstudy[sklearn]",
    ) from error
