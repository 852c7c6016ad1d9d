"""A learner whose collectors get its first policy and no other: imported by a gin file or binding, it is wrong."""

import math

from slac_tf.distributed import protocol

protocol.seconds_until_next = lambda seconds: math.inf
