"""A discrete-event model of collectors, brake and learner: what N collectors give, on paper hardware.

`python benchmarks/distributed_model.py` prints the table of docs/distributed.md. Nothing in it is measured.
"""

import heapq
import random
from typing import NamedTuple

LEAD = 200  # Distributed.max_lead_agent_steps
INITIAL = 10_000
SECONDS = 400


class Result(NamedTuple):
    """Of the second half of a run.

    Attributes:
        agent_steps: A second.
        train_steps: A second.
        waiting: Share of their time that collectors wait for the learner.
    """

    agent_steps: float
    train_steps: float
    waiting: float


def simulate(collectors: int, step_seconds: float, train_seconds: float, updates: float, seed: int = 0) -> Result:
    """Lets collectors and a learner run beside each other.

    Args:
        collectors: How many.
        step_seconds: Of one agent step in one of them, the policy's part included.
        train_seconds: Of one train step.
        updates: Train steps for each agent step.
        seed: Of the jitter of agent steps, 20 % to both sides.

    Returns:
        Rates.
    """
    generator = random.Random(seed)
    inserted = gone_through = INITIAL
    trained, owed, idle = 0, 0.0, True
    waiting = {}  # since when, by collector
    waited, now, half = 0.0, 0.0, None
    learner = collectors  # its number among the events
    events = [(generator.uniform(0, step_seconds), number) for number in range(collectors)]
    heapq.heapify(events)
    while now < SECONDS:
        now, who = heapq.heappop(events)
        if half is None and now > SECONDS / 2:
            half = (now, inserted, trained, waited)
        if who == learner:
            idle, trained, owed = True, trained + 1, owed - 1
        else:
            waiting[who] = now
        moved = True
        while moved:
            moved = False
            if waiting and inserted - gone_through < LEAD:
                number = min(waiting, key=waiting.__getitem__)
                waited += now - waiting.pop(number)
                inserted += 1
                heapq.heappush(events, (now + step_seconds * generator.uniform(0.8, 1.2), number))
                moved = True
            if idle and owed < 1 and gone_through < inserted:
                gone_through, owed, moved = gone_through + 1, owed + updates, True
            if idle and owed >= 1:
                idle = False
                heapq.heappush(events, (now + train_seconds, learner))
    seconds = now - half[0]
    waited += sum(now - max(since, half[0]) for since in waiting.values())
    return Result(
        (inserted - half[1]) / seconds, (trained - half[2]) / seconds, (waited - half[3]) / seconds / collectors
    )


def main() -> None:
    """Prints the table."""
    names = ("collectors", "agent step", "train step", "updates per agent step")
    print("|", " | ".join((*names, "agent steps/s", "train steps/s", "collectors wait")), "|")
    print("|---|---|---|---|---|---|---|")
    for collectors, step_seconds, train_seconds, updates in (
        (1, 0.04, 0.85, 1),
        (3, 0.04, 0.85, 1),
        (1, 0.05, 0.01, 1),
        (4, 0.05, 0.01, 1),
        (10, 0.04, 0.01, 1),
        (20, 2.0, 0.1, 1),
        (100, 0.04, 0.01, 0.04),
    ):
        found = simulate(collectors, step_seconds, train_seconds, updates)
        print(
            f"| {collectors} | {1000 * step_seconds:.0f} ms | {1000 * train_seconds:.0f} ms | {updates} | "
            f"{found.agent_steps:.1f} | {found.train_steps:.1f} | {100 * found.waiting:.0f} % |"
        )


if __name__ == "__main__":
    main()
