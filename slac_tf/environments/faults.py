"""What an environment may do wrong."""


class FaultyEnvironmentError(RuntimeError):
    """An environment failed, or gave what it must not give; the message says what, in which task and when."""
