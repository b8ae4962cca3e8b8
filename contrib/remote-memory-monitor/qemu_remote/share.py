"""How a budget of local memory is shared: pure policy.

Memory goes where it saves most waiting. What each would wait with other sizes
is a curve, of which the lower convex hull counts, to both sides of the present
size: then what the next piece of memory saves falls from piece to piece, and
taking the best piece again and again leads to the least sum, as in Zhou et
al., "Dynamic Tracking of Page Miss Ratio Curve for Memory Management" (ASPLOS
2004). With weights it is what Waldspurger does with shares and a tax on idle
memory ("Memory Resource Management in VMware ESX Server", OSDI 2002): who does
not use its memory has a flat curve, and loses nothing by giving it away.

What keeps it from going to and fro: a piece moves only if that saves clearly
more than it costs, a plan is carried out only if all of it saves something
worth the trouble, and who had to get back what was taken from it keeps what it
has for some time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import typing

from .units import PAGE, whole_pages

# Of the budget, what moves at a time.
PIECES = 256

# How much more a piece must save than it costs.
CLEARLY = 1.25

# What a plan must save at least: of the time of one thread, and, if somebody
# is to wait more for it, of all that is waited.
WORTH_TIME = 0.001
WORTH_SHARE = 0.05

# How much is taken at most in a round: so far does a curve reach; and if it is
# only a guess, of what is in use.
HALF = 1 / 2
GUESS = 1 / 8

# Who had to get memory back so many rounds after some was taken was wrongly
# taken for somebody who does not need it. Then nothing is taken for some
# rounds, and for twice as many if it happens again.
REGRET_ROUNDS = 6
HOLD_LEAST, HOLD_MOST = 12, 384


@dataclasses.dataclass
class Client:  # pylint: disable=too-many-instance-attributes
    """Somebody who has a share. Sizes are in bytes; the curve is pairs of a
    size and how many threads wait with it, on average, smallest size first."""

    key: typing.Hashable
    size: int                   # more is of no use
    cache: int                  # its share now
    local: int                  # what of it is used
    floor: int                  # less is not wanted
    weight: float = 1
    curve: typing.Sequence[typing.Tuple[int, float]] = ()
    guessed: bool = False       # the curve is no more than that
    fresh: bool = False         # nothing is known of it yet

    def least(self):
        """The smallest share in the next round."""
        if self.fresh:
            return self.cache
        if self.guessed:
            low = min(self.cache, self.local) * (1 - GUESS)
        else:
            low = self.cache * HALF
        return min(self.cache, max(self.floor, whole_pages(low)))

    def least_of_all(self):
        """The smallest share that there may be."""
        return min(self.cache, self.floor)

    def most(self):
        """The largest one."""
        return min(self.size, 2 * self.cache)


def hull(points):
    """Of a curve, the corners of its lower convex hull; what goes up with the
    size is noise."""
    corners = []
    for size, wait in points:
        if corners:
            wait = min(wait, corners[-1][1])
        while len(corners) > 1 and _above(corners[-2], corners[-1],
                                          (size, wait)):
            corners.pop()
        corners.append((size, wait))
    return corners


def _above(first, middle, last):
    """Whether the middle is not below the line between the others."""
    return ((middle[1] - first[1]) * (last[0] - first[0]) >=
            (last[1] - first[1]) * (middle[0] - first[0]))


def both_ways(points, size):
    """The same from a size on and up to it: who has a cliff before it gains by
    passing it, and loses nothing as long as it has not."""
    return hull([point for point in points if point[0] <= size]) + \
        hull([point for point in points if point[0] >= size])


def waited(corners, size):
    """What is waited with a size. Nothing is known of less than the first one,
    but that it is not better than from there on."""
    for (left, high), (right, low) in zip(corners, corners[1:]):
        if size <= right:
            return high - (high - low) * (size - left) / max(right - left, 1)
    return corners[-1][1] if corners else 0


class Shares:
    """A distribution in the making."""

    def __init__(self, clients, budget, held=()):
        self.clients = {client.key: client for client in clients}
        self.budget = budget
        self.piece = max(whole_pages(budget / PIECES), PAGE)
        self.corners = {client.key: both_ways(client.curve, client.cache)
                        for client in clients}
        self.held = held        # keys of those of whom nothing is taken
        self.now = {client.key: client.cache for client in clients}

    def free(self):
        """What nobody has."""
        return self.budget - sum(self.now.values())

    def cost(self, key, size):
        """Weighted time that is waited with a size."""
        return self.clients[key].weight * waited(self.corners[key], size)

    def least(self, client):
        """The smallest share of somebody in the next round."""
        return client.cache if client.key in self.held else client.least()

    def is_worth(self, before):
        """Whether this is worth the trouble, compared with other sizes."""
        changes = {key: self.cost(key, size) -
                   self.cost(key, before[key])
                   for key, size in self.now.items()}
        least = WORTH_TIME
        if any(change > 0 for change in changes.values()):
            least = max(least, WORTH_SHARE * sum(
                self.cost(key, size)
                for key, size in before.items()))
        return -sum(changes.values()) >= least

    def taker(self):
        """Who gains most by a byte, and how much; or None."""
        gains = []
        for key, size in self.now.items():
            room = min(self.clients[key].most() - size, self.piece)
            if room >= PAGE:
                saved = self.cost(key, size) - \
                    self.cost(key, size + room)
                gains.append((saved / room, key, room))
        return max(gains, key=lambda gain: gain[0], default=None)

    def giver(self, low, but=None):
        """Who loses least by a byte, and how much, of those who have more than
        low(client); or None. Of equals, who has most."""
        losses = []
        for key, size in self.now.items():
            room = min(size - low(self.clients[key]), self.piece)
            if room >= PAGE and key != but:
                lost = self.cost(key, size - room) - self.cost(key, size)
                losses.append((lost / room, -size, key, room))
        loss = min(losses, key=lambda loss: loss[:2], default=None)
        return loss and (loss[0], loss[2], loss[3])

    def cut(self):
        """Come down to the budget: first those who have just come with more
        than was free, then others as far as is known of them."""
        for low in (lambda client: client.least_of_all() if client.fresh
                    else client.cache, self.least, Client.least_of_all):
            while self.free() < 0:
                loss = self.giver(low)
                if not loss:
                    break
                self.now[loss[1]] -= min(loss[2], -self.free())

    def fill(self):
        """Give what is free to those who gain by it."""
        while self.free() >= PAGE:
            gain = self.taker()
            if not gain or gain[0] <= 0:
                break
            self.now[gain[1]] += min(gain[2], whole_pages(self.free()))

    def trade(self):
        """Move pieces as long as that clearly saves something."""
        for _ in range(4 * PIECES):
            gain = self.taker()
            loss = gain and self.giver(self.least, but=gain[1])
            if not loss or gain[0] <= CLEARLY * loss[0]:
                break
            amount = min(gain[2], loss[2])
            self.now[gain[1]] += amount
            self.now[loss[1]] -= amount


@dataclasses.dataclass
class Past:
    """What has happened to somebody, by numbers of rounds."""

    shrunk: int = -REGRET_ROUNDS - 1
    hold: int = 0
    held_until: int = 0


class Policy:
    """The rounds."""

    def __init__(self):
        self.round = 0
        self.past = {}

    def plan(self, clients, budget):
        """New sizes by key, which sum up to the budget at most, if floors
        allow that."""
        self.round += 1
        self.past = {client.key: self.past.get(client.key) or Past()
                     for client in clients}
        held = {key for key, past in self.past.items()
                if self.round <= past.held_until}
        shares = Shares(clients, budget, held)
        shares.cut()
        must = dict(shares.now)
        shares.fill()
        shares.trade()
        if not shares.is_worth(must):
            shares.now = must
        for client in clients:
            self._remember(client, shares.now[client.key])
        return shares.now

    def _remember(self, client, size):
        past = self.past[client.key]
        if size < client.cache:
            past.shrunk = self.round
        elif size > client.cache and \
                self.round - past.shrunk <= REGRET_ROUNDS:
            past.hold = min(max(2 * past.hold, HOLD_LEAST), HOLD_MOST)
            past.held_until = self.round + past.hold
        elif self.round - past.held_until > past.hold:
            past.hold = 0


def fit_floors(floors, budget):
    """Floors that a budget can hold: lower ones in proportion, if it has to
    be."""
    total = sum(floors.values())
    if total <= budget:
        return floors
    return {key: whole_pages(floor * budget / total)
            for key, floor in floors.items()}
