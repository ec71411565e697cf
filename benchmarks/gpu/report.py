"""The findings as Markdown, each figure beside its goal; and which of them are failures."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.speed import COMPILED, CONTIGUOUS, HIGHER, JAX, PRECISIONS, SUPERVISED, VMAP

TIMES_HIGHER, TIMES_JAX = 20.0, 1.3  # at least so many times faster than higher's loop; at most so many times JAX's time
SAME_LOSS = 0.05  # of a first loss: contenders of one precision compute the same
CONTENDERS = (VMAP, COMPILED, HIGHER, JAX, SUPERVISED, CONTIGUOUS)

Found = dict[str, Any]


def failures(found: Found) -> list[str]:
    """Whatever is wrong, a line each: a gradient, a life, a section that failed. A goal of speed that is missed is not."""
    lines = []
    for way, own in found.get("gradients", {}).get("ways", {}).items():
        lines += [f"{way}: {name}: {fault}" for name, fault in own["faults"].items()]
    for check in found.get("life", {}).get("checks", []):
        if not check["ok"]:
            lines.append(f"{check['life']}: {check['check']}: {shown(check)}")
    lines += [
        f"{name}: it found nothing" for name in ("life", "gradients") if name in found["made"]["sections"] and not found.get(name)
    ]
    return lines + [f"{name}: the section ended with {status}" for name, status in found.get("broken", {}).items()]


def goals(row: Found) -> list[Found]:
    """Ours beside the peers, of one workload in one precision."""
    ms = {name: own["ms"] for name, own in row.items() if "ms" in own}
    ours = min((ms[name] for name in (VMAP, COMPILED) if name in ms), default=None)
    plain = min((ms[name] for name in (SUPERVISED, CONTIGUOUS) if name in ms), default=None)
    if ours is None:
        return []
    made = []
    if HIGHER in ms:
        faster = ms[HIGHER] / ours
        made.append({"what": "times faster than higher's loop", "got": faster, "goal": f"at least {TIMES_HIGHER:g}",
                     "reached": faster >= TIMES_HIGHER})  # fmt: skip
    if JAX in ms:
        slower = ours / ms[JAX]
        made.append({"what": "times JAX's time", "got": slower, "goal": f"at most {TIMES_JAX:g}", "reached": slower <= TIMES_JAX})
    if plain is not None:
        made.append({"what": "times the supervised pass", "got": ours / plain, "goal": "none", "reached": None})
    return made


def page(found: Found) -> str:
    """All of it."""
    made = found["made"]
    cut = ", cut down to a test's size" if made["small"] else ""
    head = [
        "# On a GPU" if made["device"] == "cuda" else f"# On a GPU: a trial on {made['device']}",
        "",
        f"Made by `make gpu`{cut} in {found['seconds']:.0f} s.",
        "",
        f"*{made['hardware']}, torch {made['torch']}, JAX {made['jax'] or 'absent'}, higher {made['higher'] or 'absent'}, "
        f"Python {made['python']}, {made['date']}*",
    ]
    lines = failures(found)
    verdict = [
        "",
        "No check of a gradient or of a run's life failed." if not lines else f"**{len(lines)} checks failed:**",
        "",
    ]
    verdict += [f"* {line}" for line in lines]
    verdict += [f"* out of time before its end: {name}" for name in found.get("cut short", [])]
    parts = [
        *head,
        *verdict,
        *gradients(found.get("gradients", {})),
        *life(found.get("life", {})),
        *speed(found.get("speed", {})),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def gradients(found: Found) -> list[str]:
    """The table of every learner's gradients."""
    if not found:
        return []
    rows = [
        "",
        f"## {found['learners']} learners in {found['variants']} variants beside a CPU, in float64",
        "",
        f"| | compared | learners | largest gap (goal: {found['tolerance']:.0e}) | faults | refused | not reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, own in found["ways"].items():
        gap = "" if own["largest gap"] is None else f"{own['largest gap']:.1e} ({own['of']})"
        rows.append(
            f"| {way} | {own['compared']} | {own['learners']} | {gap} | {len(own['faults'])} | {len(own['refused'])} "
            f"| {len(own['not reached'])} |"
        )
    for title, key in (("Refused", "refused"), ("Not reached", "not reached")):
        named = [f"* {title}, {way}: {', '.join(own[key])}" for way, own in found["ways"].items() if own[key]]
        rows += ["", *named] if named else []
    return rows


def life(found: Found) -> list[str]:
    """The table of what was checked of the runs."""
    if not found:
        return []
    rows = ["", "## A run's whole life", "", "| run | check | found | goal | |", "|---|---|---|---|---|"]
    for check in found["checks"]:
        goal = f"at most {check['goal']:.1e}" if "goal" in check else ""
        rows.append(f"| {check['life']} | {check['check']} | {shown(check)} | {goal} | {'ok' if check['ok'] else '**FAILED**'} |")
    return rows


def shown(check: Found) -> str:
    """What a check found."""
    return check["got"] if "got" in check else f"{check['gap']:.1e}"


def speed(found: Found) -> list[str]:
    """A table for each workload: milliseconds in every precision; then the goals."""
    rows = ["", "## Milliseconds of a whole meta-step"] if found else []
    for title, precisions in found.get("races", {}).items():
        rows += ["", f"{title}:", "", "| | " + " | ".join(PRECISIONS) + " |", "|---" * (len(PRECISIONS) + 1) + "|"]
        for name in CONTENDERS:
            cells = [precisions.get(precision, {}).get(name) for precision in PRECISIONS]
            if any(cells):
                rows.append(f"| {name} | " + " | ".join(cell(one) for one in cells) + " |")
        made = {precision: goals(precisions.get(precision, {})) for precision in PRECISIONS}
        for what in dict.fromkeys(one["what"] for own in made.values() for one in own):
            rows.append(f"| *quickstudy: {what}* | " + " | ".join(verdict(own, what) for own in made.values()) + " |")
        rows += notes(precisions)
    return rows


def cell(one: Found | None) -> str:
    """Milliseconds, or why there are none."""
    if one is None:
        return ""
    return f"{one['ms']:.3g}" if "ms" in one else one["missed"].replace("|", "/")


def verdict(own: list[Found], what: str) -> str:
    """A figure beside its goal."""
    for one in own:
        if one["what"] == what:
            reached = {True: ", reached", False: ", missed", None: ""}[one["reached"]]
            return f"{one['got']:.2f} (goal: {one['goal']}{reached})" if one["goal"] != "none" else f"{one['got']:.2f}"
    return ""


def notes(precisions: Found) -> list[str]:
    """What the table must not hide: pieces, memory, and a contender that computes something else."""
    lines = []
    for precision, row in precisions.items():
        ours = row.get(VMAP, {})
        if "pieces" in ours:
            lines.append(f"* {precision}, {VMAP}: in {ours['pieces']} pieces, since all tasks at once did not fit")
        if "peak GiB" in ours:
            lines.append(f"* {precision}, {VMAP}: {ours['peak GiB']:.1f} GiB at most")
        for name in (COMPILED, HIGHER, JAX):
            theirs = row.get(name, {})
            if "loss" in ours and "loss" in theirs and abs(theirs["loss"] / ours["loss"] - 1) > SAME_LOSS:
                both = f"its first loss is {theirs['loss']:.4g}, ours {ours['loss']:.4g}"
                lines.append(f"* {precision}, {name}: not the same maths: {both}")
    return ["", *lines] if lines else []
