"""Run as a program: trains in a child process that is killed at random moments, again and again, until the run is done.

python kill_a_run.py OUT KILLS [conv4]      prints how many kills there were and what the run ended with, as JSON
"""

import hashlib
import json
import os
import random
import signal
import sys
import time

import torch

import quickstudy as qs

SETTINGS = {
    "steps": 120,
    "tasks_per_step": 3,
    "validate_every": 7,
    "validation_episodes": 4,
    "executor": "loop",
    "progress": False,
}


CONV4 = "conv4" in sys.argv  # its weights lie channels last, and so do the moments of the fused Adam that moves them
if CONV4:
    SETTINGS |= {"steps": 40, "executor": "threads"}


def learner():
    torch.manual_seed(0)
    if CONV4:
        return qs.Prototypical(qs.models.conv4(channels=4))
    network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    return qs.MAML(network, inner_lr=0.01)


def train(out=None):
    """One whole run, or what is left of it."""
    trained = learner()
    tasks = qs.tasks.Strokes(ways=3, shots=1, queries=2, classes=(6, 4, 4)) if CONV4 else qs.tasks.Sinusoid()
    run = qs.meta_train(trained, tasks, out=out, resume=out is not None, **SETTINGS)
    digest = hashlib.sha256(b"".join(parameter.detach().numpy().tobytes() for parameter in trained.parameters())).hexdigest()
    history = [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]
    return {"weights": digest, "history": history, "best": run.best}


def broken(out, kills, longest, moments):
    """A run killed up to `kills` times, each time within `longest` seconds, then left to end: how it ended, and the kills."""
    answer, killed = f"{out}/answer.json", 0
    while not os.path.exists(answer):
        child = os.fork()
        if child == 0:
            found = train(out)
            with open(answer + ".part", "w") as file:
                json.dump(found, file)
            os.replace(answer + ".part", answer)
            os._exit(0)
        if killed < kills:
            time.sleep(moments.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open(answer) as file:
        return json.load(file), killed


def main(out, kills):
    torch.set_num_threads(1)  # a process that has never used threads can be forked
    began = time.perf_counter()
    whole = train()
    took = time.perf_counter() - began
    moments, killed, same, rounds = random.Random(0), 0, True, 0
    while killed < kills:
        found, more = broken(f"{out}/{rounds}", kills - killed, took / 6, moments)
        killed, same, rounds = killed + more, same and found == whole, rounds + 1
    print(json.dumps({"kills": killed, "same": same, "rounds": rounds, "steps": len(whole["history"])}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
