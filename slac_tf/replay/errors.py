"""How replay fails."""


class ReplayError(RuntimeError):
    """The replay server did not take or give data in time; the message says what helps."""


class EmptyReplayError(ReplayError):
    """The replay server answers, but has nothing to give."""
