"""How far a run is: a bar on a terminal, a log line an interval elsewhere."""

import sys
import time
from typing import Any, Callable, Dict, Mapping

import tqdm
from absl import logging


class Progress:
    """Progress of one phase of a run."""

    def __init__(
        self,
        phase: str,
        total: int,
        done: int,
        unit: str,
        interval_seconds: float,
        on_interval: Callable[[], Mapping[str, int]],
    ):
        """Constructor.

        Args:
            phase: What it is called.
            total: Steps of the phase.
            done: Steps made before, by the run that this one resumes.
            unit: Of the steps.
            interval_seconds: Between log lines.
            on_interval: Called once in each interval; gives `rss_bytes` for the line.
        """
        self._phase, self._total, self._unit = phase, total, unit
        self._interval_seconds, self._on_interval = interval_seconds, on_interval
        self._done = self._first = done
        self._counts: Dict[str, float] = {}
        self._start = self._last_line = time.monotonic()
        self._bar = tqdm.tqdm(total=total, initial=done, desc=phase, unit=unit, disable=None, file=sys.stderr)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def rates(self) -> Dict[str, float]:
        """Steps a second since the phase began, by the names that `update` was given."""
        seconds = max(time.monotonic() - self._start, 1e-6)
        return {name: count / seconds for name, count in self._counts.items()}

    def update(self, done: int, counts: Mapping[str, float], notes: Mapping[str, Any]) -> None:
        """Shows progress, where it is time to.

        Args:
            done: Steps of the phase made so far.
            counts: Added up to rates: steps since the last call by name.
            notes: Shown as they are.
        """
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0.0) + count
        self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        if now - self._last_line < self._interval_seconds:
            return
        self._last_line = now
        memory = self._on_interval()["rss_bytes"] / 2**30
        shown = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in notes.items()}
        rates = {f"{name}/s": f"{rate:.1f}" for name, rate in self.rates().items()}
        if not self._bar.disable:
            self._bar.set_postfix({**shown, **rates})
            return
        made, left = done - self._first, self._total - done
        eta = f"{(now - self._start) / made * left:.0f}s" if made else "?"
        fields = [f"{name} {value}" for name, value in {**shown, **rates}.items()]
        percent = 100 * done / max(self._total, 1)
        logging.info(
            "%s %d/%d %s (%.1f%%) | %s | rss %.1fG | eta %s",
            *(self._phase, done, self._total, self._unit, percent, " | ".join(fields), memory, eta),
        )
