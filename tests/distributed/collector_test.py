"""What a collector tells the learner."""

import math
from unittest import mock

import numpy as np

from slac_tf.distributed import collector, connection, protocol


def test_a_report_that_another_thread_sent_is_not_taken_from_the_next_one():
    link = mock.create_autospec(connection.Connection, instance=True)
    reporter = collector.Reporter(link, 0, mock.create_autospec(collector.Subscriber, instance=True))
    reporter._queue.extend(protocol.Report(0, math.nan, 0.0, value) for value in (1.0, 2.0))
    sent = []

    def insert(values, priorities):
        sent.append(float(np.asarray(values[3])))
        if len(sent) == 1:  # the call hung, and meanwhile another thread made it
            reporter._queue.popleft()

    (send,) = link.does.call_args.args
    send(mock.Mock(insert=insert), {})
    assert sent == [1.0, 2.0]
    assert not reporter._queue
