"""report.html as a parser sees it: whole, alone, safe, with the run's own numbers in it."""

import re

import pytest
import torch
from tests.report.reported import Page, images, report

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import metric_named
from quickstudy.report import draw, learning_curves, measure, write_report
from quickstudy.report.example_episodes import example_of
from quickstudy.report.pictures import chosen
from quickstudy.report.task_plots import target_plot

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

SECTIONS = (
    "headline",
    "controls",
    "learning-curves",
    "inner-steps",
    "shots",
    "scores",
    "classes",
    "reliability",
    "episodes",
    "config",
)


@pytest.fixture(scope="module")
def html():
    return report()[0].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_section_is_there_once_and_is_linked(page):
    assert len(page.ids) == len(set(page.ids))
    assert set(SECTIONS) <= set(page.ids)
    links = {given["href"] for tag, given in page.elements if tag == "a"}
    assert links == {f"#{name}" for name in SECTIONS if name != "headline"}


def test_nothing_is_fetched(html, page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", html.split("<body>")[0] + re.sub(r"base64,[^\"]*", "", html))
    assert "<script" not in html
    assert "<link" not in html
    for _, given in page.elements:
        assert given.get("src", "data:").startswith("data:image/png;base64,") or "src" not in given
        assert given.get("href", "#").startswith("#")
        assert not [name for name in given if name.startswith("on")]


def test_every_reference_within_a_plot_is_to_an_id_of_the_page(html, page):
    used = set(re.findall(r"url\(#([^)]+)\)", html)) | {given["href"][1:] for tag, given in page.elements if tag == "use"}
    assert used
    assert used <= set(page.ids)


def test_the_colours_are_the_pages(html):
    body = html.split("<body>")[1]
    assert "var(--first)" in body
    assert not re.search(r"(?:fill|stroke): #", body), "a colour of its own would not change with the theme"
    assert "prefers-color-scheme: dark" in html


def test_the_text_of_a_plot_is_text(page):
    assert "accuracy (%)" in page.texts["inner-steps"]
    assert "meta-step" in page.texts["learning-curves"]


def test_what_a_user_wrote_is_escaped(html, page):
    assert "alert('control')" in page.texts["controls"]
    assert "</pre><b>bold & bad</b>" in page.texts["config"]
    assert "<b>bold" not in html


def test_the_headline_says_score_protocol_policy_and_verdict(page):
    _, evaluation, _, _ = report()
    said = page.texts["headline"]
    assert f"{100 * evaluation.mean:.2f} ± {100 * evaluation.ci95:.2f} %" in said
    assert "3-way 1-shot" in said
    assert "support" in said
    assert "not transductive" in said
    assert "40 tasks, seed 7" in said
    assert re.search(r"[Cc]ontrol wins", said)


def test_a_transductive_score_says_so():
    _, evaluation, _, _ = report()
    protocol = {**evaluation.protocol, "normalisation": "transductive", "transductive": True}
    shown = Evaluation(evaluation.mean, evaluation.ci95, evaluation.per_episode, protocol, 0.1, 0.0, "MAML")
    measures = measure(qs.NearestCentroid(), images().test, evaluation, episodes=2)
    said = Page(draw(shown, measures)).texts["headline"]
    assert "not transductive" not in said
    assert "depends on the others" in said


def test_the_table_holds_every_control_with_its_interval(page):
    _, evaluation, controls, _ = report()
    for one in (evaluation, *controls):
        assert f"{100 * one.mean:.2f} ± {100 * one.ci95:.2f} %" in page.texts["controls"]
        assert one.name in page.texts["controls"]


def test_the_numbers_under_the_plots_are_the_runs(page):
    _, _, _, run = report()
    curves = learning_curves(run.history, metric_named("accuracy"))
    for point in curves.validation:
        assert f"{100 * point.mean:.2f} ± {100 * point.ci95:.2f} %" in page.texts["learning-curves"]
    assert f"those of step {run.best['step']}," in page.texts["learning-curves"]


def test_queries_are_marked_as_they_were_answered(page):
    right, wrong = page.classed("right"), page.classed("wrong")
    _, evaluation, _, _ = report()
    assert len(right) + len(wrong) == 3 * 9  # 3 tasks, 3 ways, 3 of 4 queries each
    assert page.texts["episodes"].count("✓") - 1 == len(right)  # one stands in the words above
    assert page.texts["episodes"].count("✗") - 1 == len(wrong)
    for index in range(3):
        count = round(12 * evaluation.per_episode[index])
        assert f"{count} of all 12 queries right" in page.texts["episodes"]


def test_pictured_queries_are_not_chosen_by_their_answer():
    learner = qs.NearestCentroid()
    shown = measure(learner, images().test, qs.evaluate(learner, images().test, 2), episodes=2).examples[0]
    rows = chosen(shown)
    assert shown.query.y[rows].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for label in range(3):
        assert rows[3 * label : 3 * label + 3] == (shown.query.y == label).nonzero().flatten()[:3].tolist()


def test_classes_have_their_names_and_their_scores(page):
    _, evaluation, _, _ = report()
    said = page.texts["classes"]
    for one in evaluation.by_class.classes:
        assert one.name in said, "in the folded table"
        assert one.name.removeprefix("seed0/") in said
        assert f"{100 * one.accuracy:.1f} ± {100 * one.ci95:.1f} %" in said
    for one in evaluation.by_class.confusions:
        assert f"{one.times} of {one.chances}" in said
    names = {one.name.removeprefix("seed0/") for one in evaluation.by_class.classes}
    assert any(name in page.texts["episodes"] for name in names)
    assert not re.search(r"\b[ABC]\b", page.texts["episodes"]), "no letters beside the names"


def test_many_classes_are_bars_of_the_worst():
    torch.manual_seed(0)
    x, y = torch.randn(300, 2), torch.arange(300) // 10
    names = [f"kind/{'long_' * 9}{label}" for label in range(30)]
    tasks = qs.tasks.LabelledTasks(x, y, ways=3, shots=2, queries=4, class_names=names)
    evaluation = qs.evaluate(qs.NearestCentroid(), tasks, 60)
    said = Page(draw(evaluation, measure(qs.NearestCentroid(), tasks, evaluation, episodes=4))).texts["classes"]
    assert "the 24 worst of 30 classes" in said
    first = evaluation.by_class.confusions[0]
    assert said.count(f"{first.times} of {first.chances}") >= 2, "in the plot and in the table"
    assert all(name in said for name in names)
    assert "\N{HORIZONTAL ELLIPSIS}" in said


@pytest.mark.parametrize("names", [["a$b$", "\u732b", "<b>bold</b>"], ["_under", "__", "$"]])
def test_any_text_is_a_name(names, recwarn):
    torch.manual_seed(0)
    tasks = qs.tasks.LabelledTasks(torch.randn(60, 2), torch.arange(60) // 20, ways=3, queries=4, class_names=names)
    evaluation = qs.evaluate(qs.NearestCentroid(), tasks, 10)
    html = draw(evaluation, measure(qs.NearestCentroid(), tasks, evaluation, episodes=4))
    page = Page(html)
    for name in names:
        assert page.texts["classes"].count(name) >= 3, "twice in plots, once in the table"
        assert name in page.texts["episodes"]
    assert "<b>bold" not in html
    assert not recwarn.list


def test_the_data_set_is_named(page):
    said = page.texts["headline"]
    assert "3-way 1-shot on Strokes" in said
    assert "meta-test: 4 classes, 32 examples of shape (1, 16, 16); 6 to train, 4 to validate" in said


def test_config_and_environment(page):
    assert "name: maml" in page.texts["config"]
    assert qs.__version__ in page.texts["config"]
    assert torch.__version__ in page.texts["config"]
    assert "transductive: false" in page.texts["config"]


def test_a_regression_leaves_out_what_does_not_fit():
    learner, tasks = qs.MAML(qs.models.mlp(), inner_lr=0.01), qs.tasks.Sinusoid(shots=5, queries=8)
    evaluation = qs.evaluate(learner, tasks.test, 4, executor="vmap")
    page = Page(draw(evaluation, measure(learner, tasks.test, evaluation, episodes=4)))
    assert "reliability" not in page.ids
    assert "learning-curves" not in page.ids
    assert {"headline", "controls", "inner-steps", "shots", "scores", "episodes", "config"} <= set(page.ids)
    assert "after adaptation" in page.texts["episodes"]
    assert "No control was scored" in page.texts["headline"]
    assert f"{evaluation.mean:.4g}" in page.texts["headline"]


def test_tasks_that_are_neither_images_nor_functions():
    tasks = qs.tasks.GaussianClasses(ways=3, dim=6, separation=2.0, shots=2, queries=5).test
    evaluation = qs.evaluate(qs.NearestCentroid(), tasks, 4)
    page = Page(draw(evaluation, measure(qs.NearestCentroid(), tasks, evaluation, episodes=4)))
    assert "class C" in page.texts["episodes"]
    assert "classes" not in page.ids, "they have no names"
    assert "inner-steps" not in page.ids


def test_targets_of_several_inputs_are_drawn_against_predictions():
    x = torch.randn(2, 6, 4)
    learner = qs.MAML(qs.models.mlp(4, 1), inner_lr=0.01)
    episode = qs.Episode(qs.Examples(x[0], x[0, :, :1]), qs.Examples(x[1], x[1, :, :1]))
    answered = example_of(learner, episode)
    assert answered.function is None
    assert torch.equal(answered.prediction, learner.adapt(episode.support)(episode.query.x))
    assert "true target" in target_plot(answered, "task")


def test_the_same_numbers_give_the_same_page():
    tasks = images().test
    evaluation = qs.evaluate(qs.NearestCentroid(), tasks, 2)
    measures = measure(qs.NearestCentroid(), tasks, evaluation, episodes=2)
    first, second = (re.sub(r"<td>\d{4}-\d\d-\d\d [^<]*", "", draw(evaluation, measures)) for _ in range(2))
    assert first == second


def test_a_folder_gets_report_html_and_no_part_is_left(tmp_path):
    tasks = images().test
    evaluation = qs.evaluate(qs.NearestCentroid(), tasks, 2)
    path = write_report(
        tmp_path, learner=qs.NearestCentroid(), tasks=tasks, history=[], evaluation=evaluation, episodes=2, seed=0
    )
    assert path == tmp_path / "report.html"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_protocol_is_the_evaluations(tmp_path):
    tasks, learner = images(), qs.NearestCentroid()
    evaluation = qs.evaluate(learner, tasks.test.with_(ways=2, queries=2), 2)
    path = write_report(tmp_path, learner=learner, tasks=tasks, history=[], evaluation=evaluation, episodes=2)
    assert "of all 4 queries right" in Page(path.read_text(encoding="utf-8")).texts["episodes"]


def test_bad_arguments(tmp_path):
    tasks, learner = images().test, qs.NearestCentroid()
    evaluation = qs.evaluate(learner, tasks, 2)
    other = Evaluation(1.0, 0.1, [1.0, 1.0], {**evaluation.protocol, "metric": "mse"}, 0.0, 0.0, "mean")
    give = lambda **more: write_report(tmp_path, learner=learner, tasks=tasks, history=[], evaluation=evaluation, **more)
    with pytest.raises(ArgumentError, match="`controls`: expected evaluations by accuracy"):
        give(controls=[other])
    with pytest.raises(ArgumentError, match="`episodes`: expected 2 or more, got 1"):
        give(episodes=1)
    assert not list(tmp_path.iterdir())
