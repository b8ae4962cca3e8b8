"""Operations, and which one comes next.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import random
import typing


class NotNow(Exception):
    """An operation makes no sense as things are."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something that can be done at any time. It gets the world and a source
    of random numbers, and says what it does before it does it; or it raises
    NotNow."""
    name: str
    weight: int
    run: typing.Callable


OPERATIONS = []


def operation(weight):
    """Make a function an operation that is chosen that often."""
    def register(function):
        name = function.__name__.replace('_', ' ')
        OPERATIONS.append(Operation(name, weight, function))
        return function
    return register


def choose(seed, step):
    """The operation of a step, and its random numbers. They do not depend on
    the steps before it, which may have found another state of things."""
    numbers = random.Random(f'{seed}/{step}')
    weights = [op.weight for op in OPERATIONS]
    return numbers.choices(OPERATIONS, weights)[0], numbers


def some_size(numbers, least, most, unit):
    """A multiple of the unit; small ones are as likely as large ones."""
    size = least * (most / least) ** numbers.random()
    return max(least, min(most, int(size) // unit * unit))
