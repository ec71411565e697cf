"""What is seen of a result in a console, one line with the facts, and in a notebook: tables, curves and pictures."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.targets.known_classes import KnownClasses

TASKS = qs.tasks.GaussianClasses(ways=3, dim=4)
NETWORK = qs.models.mlp(4, 3, hidden=(5,))


def drawings():
    torch.manual_seed(0)
    images, labels = torch.rand(60, 1, 8, 8), torch.arange(60) // 5
    return qs.tasks.from_arrays(images, labels, kind="images", ways=2, shots=2, queries=1, split=(4, 4, 4))


REPRS = [
    (qs.MAML(NETWORK), "MAML(network=MLP(43 parameters), inner_lr=0.1)"),
    (qs.MAML(NETWORK, inner_lr=0.5, inner_steps=5), "MAML(network=MLP(43 parameters), inner_lr=0.5, inner_steps=5)"),
    (qs.MAML(NETWORK, normalisation="running"), "MAML(network=MLP(43 parameters), inner_lr=0.1, normalisation='running')"),
    (qs.Prototypical(nn.Linear(4, 2)), "Prototypical(embed=Linear(in_features=4, out_features=2, bias=True))"),
    (qs.Prototypical(nn.Identity()), "Prototypical(embed=Identity())"),
    (qs.NearestCentroid(nn.Linear(4, 2)), "NearestCentroid(embed=Linear(in_features=4, out_features=2, bias=True))"),
]


@pytest.mark.parametrize(("learner", "text"), REPRS, ids=[text for _, text in REPRS])
def test_a_learner_is_a_line(learner, text):
    assert repr(learner) == text


def test_phi_beyond_the_networks_is_counted():
    assert repr(qs.MetaSGD(NETWORK)).endswith("; 86 parameters)")


def test_the_network_keeps_its_tree():
    assert "(head): Linear" in repr(qs.MAML(NETWORK).network)


def test_results_are_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = qs.Prototypical(qs.models.mlp(4, 8))
    result = qs.meta_train(learner, TASKS, steps=3, tasks_per_step=2, validation_episodes=5, out="run", progress=False)
    evaluation = qs.evaluate(learner, TASKS.test, episodes=5, metrics=["accuracy", "nll"])
    lines = {
        "result": (result, r"TrainingResult(3 steps, last loss "),
        "evaluation": (evaluation, "Evaluation(Prototypical: accuracy="),
        "score": (evaluation.score, "Score(accuracy="),
        "comparison": (qs.compare([learner, learner], TASKS.test, episodes=5), "Comparison(Evaluation(Prototypical: accuracy="),
        "predictor": (learner.adapt(TASKS.test.sample(1)[0].support), "Predictor(Prototypical(embed=MLP("),
        "run": (qs.Run.open("run"), "Run('run': prototypical on GaussianClasses, finished)"),
        "tasks": (TASKS.test, "GaussianTasks('test', ways=3, shots=1, queries=15)"),
    }
    for one, begins in lines.values():
        assert repr(one).startswith(begins)
        assert "\n" not in repr(one)
        assert len(repr(one)) < 400
    assert "over 5 tasks" in repr(evaluation)
    assert ", nll=" in repr(evaluation)
    assert "Labels(count=3), features of shape (4,))" in repr(lines["predictor"][0])


def test_a_run_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "config.yaml").write_text("{", encoding="utf-8")
    assert repr(qs.Run(tmp_path)) == f"Run({str(tmp_path)!r}, not readable)"


def test_a_training_is_shown_by_its_curves():
    learner = qs.Prototypical(qs.models.mlp(4, 8))
    result = qs.meta_train(learner, TASKS, steps=3, tasks_per_step=2, validation_episodes=5, progress=False)
    html = result._repr_html_()
    assert html.count("<svg ") == 2
    assert "3 meta-steps" in html
    assert "<script" not in html
    result.best = None
    assert result._repr_html_().count("<svg ") == 1
    result.history = []
    assert "<svg" not in result._repr_html_()


def test_an_evaluation_is_a_table():
    html = qs.evaluate(qs.Prototypical(nn.Identity()), TASKS.test, episodes=5, metrics=["accuracy", "nll"])._repr_html_()
    assert html.startswith("<table>")
    assert "accuracy" in html
    assert "negative log likelihood" in html
    assert "ways 3, shots 1" in html


def test_tasks_of_images_are_shown_by_pictures():
    tasks, state = drawings(), torch.get_rng_state()
    html = tasks.train._repr_html_()
    assert html.count("<img ") == 4
    assert html == tasks.train._repr_html_()
    assert torch.equal(torch.get_rng_state(), state)
    assert tasks._repr_html_().count("<img ") == 12


def test_tasks_without_images_have_no_pictures():
    assert TASKS._repr_html_() is None
    assert TASKS.test._repr_html_() is None
    assert qs.tasks.Sinusoid().test._repr_html_() is None


def test_an_episode_of_images_is_shown_by_pictures_with_the_names_of_its_classes():
    batch = drawings().train.sample(2, generator=torch.Generator().manual_seed(0))
    html, of_batch = batch[0]._repr_html_(), batch._repr_html_()
    assert html.count("<img ") == 4
    for name in batch[0].class_names:
        assert f">{name}<" in html
    assert "the first of 2" in of_batch
    assert of_batch.replace(", the first of 2", "") == html


def test_an_episode_without_images_is_a_table_of_facts():
    task = TASKS.test.sample(1)[0]
    html = task._repr_html_()
    assert html.startswith("<table>")
    assert "support: Examples(x=(3, 4), y=(3,), Labels(count=3))" in html
    named = qs.Examples([[0.0], [1.0]], ["<low>", "high"])
    assert "classes: &lt;low&gt;, high" in qs.Episode(named, named)._repr_html_()
    assert "classes" not in qs.tasks.Sinusoid().test.sample(1)[0]._repr_html_()


def test_an_evaluation_shows_its_worst_classes_and_confusions():
    html = qs.evaluate(qs.NearestCentroid(), drawings().test, episodes=20)._repr_html_()
    assert "worst of 4 classes:" in html
    assert "taken for" in html


def test_a_learner_is_a_table_of_its_arguments():
    html = qs.MAML(NETWORK, inner_lr=0.5, normalisation="running")._repr_html_()
    for fact in ("MAML", "0.5", "running", "MLP(43 parameters)", "43 parameters</td>"):
        assert fact in html
    assert html.count("<tr>") == html.count("</tr>") == 5


def test_a_predictor_is_a_table_with_the_names_of_its_classes():
    named = qs.Examples([[0.0], [1.0]], ["<low>", "high"])
    html = qs.NearestCentroid().adapt(named)._repr_html_()
    assert "&lt;low&gt;, high" in html
    assert "(1,)" in html
    values = qs.Ridge(nn.Identity()).adapt(qs.Examples(torch.randn(4, 2), torch.randn(4, 1)))._repr_html_()
    assert "Values" in values
    assert "ways" not in values


def test_a_run_is_a_table_with_its_curves(tmp_path):
    learner = qs.Prototypical(qs.models.mlp(4, 8))
    qs.meta_train(learner, TASKS, steps=3, tasks_per_step=2, validation_episodes=5, out=tmp_path / "run", progress=False)
    run = qs.Run.open(tmp_path / "run")
    html = run._repr_html_()
    assert html.count("<svg ") == 2
    assert "finished" in html
    assert "meta-test" not in html
    found = run.score(4)
    assert found.score.text() + " over 4 tasks" in run._repr_html_()
    (tmp_path / "run" / "config.yaml").write_text("{", encoding="utf-8")
    assert "not readable" in qs.Run.open(tmp_path / "run")._repr_html_()


def test_no_repr_prints_tensors():
    x, y = torch.randn(60, 4), torch.arange(60) // 10
    tasks = qs.tasks.LabelledTasks(
        x, y, ways=2, queries=2, columns={"kind": dict(zip("012345", "aabbcc", strict=True))}, within="kind"
    )
    shown = [
        qs.tasks.digits(),
        tasks,
        tasks.columns,
        tasks.within,
        KnownClasses(torch.tensor([2, 0]), names=["ant", "bee", "cat"]),
        qs.calibrate(qs.NearestCentroid(), tasks.with_(within=False)),
    ]
    for one in shown:
        assert "tensor(" not in repr(one)
        assert len(repr(one)) < 500
    assert repr(qs.tasks.digits()) == "DigitImages(1347 for training, 450 for testing, of shape (1, 8, 8), 0..16)"


def test_plots_are_imported_only_where_they_are_drawn():
    code = "import sys, quickstudy as qs; repr(qs.MAML(qs.models.mlp(1, 1))); assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
