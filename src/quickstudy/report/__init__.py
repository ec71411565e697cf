"""report: a run as one HTML file. `measure` computes the numbers, `draw` renders them, `write_report` does both and saves."""

from quickstudy.report.curves import LearningCurves as LearningCurves
from quickstudy.report.curves import Point as Point
from quickstudy.report.curves import learning_curves as learning_curves
from quickstudy.report.example_episodes import ExampleEpisode as ExampleEpisode
from quickstudy.report.measures import Measures as Measures
from quickstudy.report.measures import measure as measure
from quickstudy.report.write import draw as draw
from quickstudy.report.write import write_report as write_report

__all__ = ["LearningCurves", "Measures", "Point", "ExampleEpisode", "draw", "learning_curves", "measure", "write_report"]
