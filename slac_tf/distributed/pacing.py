"""The update ratio with collectors that nobody waits for: arithmetic alone.

The server counts agent steps: `inserted`, which collectors raise, and `taken`, which the learner raises; it lets no
more than `max_lead` be inserted beyond those taken. The learner goes through agent steps one by one, each with the
train steps that it makes due, and takes what it has gone through. So the train steps are exact at each agent step,
collectors are never more than the lead ahead, and neither depends on how many collectors there are.

Server and learner have checkpoints of their own, and either may come back with an older one. Then the count of agent
steps goes on from where the learner is, and the server's is only ever raised: no one waits for ever.
"""

from typing import NamedTuple


class Ledger(NamedTuple):
    """What the learner knows of the server's counts; part of its checkpoint.

    Attributes:
        inserted: The server's count when it was last seen.
        offset: Agent steps of the run that are not in it: of a server that came back with fewer. They were made and
            stay counted, part of them without their windows.
    """

    inserted: int = 0
    offset: int = 0

    def seen(self, inserted: int) -> "Ledger":
        """The ledger once the server's count is seen again.

        Args:
            inserted: The count now.

        Returns:
            One with as many steps made, or more.
        """
        return Ledger(inserted, self.offset + max(0, self.inserted - inserted))

    @property
    def made(self) -> int:
        """Agent steps of the run that collectors have made."""
        return self.offset + self.inserted

    def to_take(self, agent_step: int, inserted: int, taken: int) -> int:
        """How many agent steps to take of the server, so that collectors may make others.

        Args:
            agent_step: The learner's: steps that it has gone through, with the train steps that they made due.
            inserted: The server's count, now.
            taken: Same.

        Returns:
            As many as there are at once: whoever takes them need not wait.
        """
        return max(0, min(agent_step - self.offset, inserted) - taken)
