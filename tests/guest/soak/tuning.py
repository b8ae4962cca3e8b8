"""Operations: caches, prefetching, stores that err, the balloon.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from lib import MIB, PAGE, TINY_CACHE
from soak.operations import operation, some_size
from soak.world import NEVER

# With less, the guest has no room for what it does all the time.
LEAST_GUEST = 304 * MIB

PREFETCH = ['off', 'readahead', 'stride', 'adaptive']

# Rarely enough that three in a row do not happen.
RATES = [0, 0, 0.0005]
DELAYS_US = [0, 0, 50, 200]

EVACUATING = 'a job evacuates the cache'


@operation(30)
def resize(world, numbers):
    """Another cache size, down to the smallest that is promised."""
    name, size = numbers.choice(sorted(world.backends().items()))
    cache = some_size(numbers, TINY_CACHE, size, PAGE)
    world.say(f'cache of {name}: {cache // PAGE} pages')
    evacuates = world.jobs_of(name, 'remote-memory-evacuate')
    if world.attempt(EVACUATING if evacuates else NEVER,
                     'remote-memory-set-cache-size', id=name,
                     cache_size=cache):
        world.caches[name] = cache


@operation(6)
def set_prefetch(world, numbers):
    """Another way to fetch ahead."""
    name = numbers.choice(sorted(world.backends()))
    way = numbers.choice(PREFETCH)
    world.say(f'prefetch of {name}: {way}')
    world.set_property(name, prefetch=way)


@operation(4)
def inject_faults(world, numbers):
    """A store that errs and is slow, or not."""
    rates = {'error_rate': numbers.choice(RATES),
             'corrupt_rate': numbers.choice(RATES),
             'delay_us': numbers.choice(DELAYS_US)}
    world.say(f'faults: {rates}')
    world.set_property('fault', **rates)


@operation(8)
def balloon(world, numbers):
    """Let the guest have less, or more again."""
    total = world.machine.size + sum(
        plug.size for plug in world.plugs.values())
    size = numbers.randrange(LEAST_GUEST // MIB, total // MIB + 1) * MIB
    world.say(f'balloon: {size // MIB} MiB')
    world.command('balloon', value=size)
