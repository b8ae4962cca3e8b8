"""Operations: evacuate, warm, other stores, cancel.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import itertools

import lib
from lib import require
from soak.operations import operation
from soak.world import NEVER, Job

MOVE = 'remote-memory-set-store'
CACHE = ['remote-memory-evacuate', 'remote-memory-warm']


def start(world, command, name, refusal, **arguments):
    """Start a job, which may be refused if there is one that it cannot go
    together with."""
    job_id = f'job{world.step}'
    world.say(f'{command} {name} {arguments} {job_id}')
    if world.attempt(refusal, command, id=name, job_id=job_id, **arguments):
        world.jobs[job_id] = Job(command, name, **arguments)
        return True
    return False


@operation(5)
def evacuate(world, numbers):
    """All of a backend into its store."""
    name = numbers.choice(sorted(world.infos()))
    refusal = 'by another job' if world.jobs_of(name, *CACHE) else NEVER
    if start(world, 'remote-memory-evacuate', name, refusal):
        world.caches.pop(name, None)


@operation(5)
def warm(world, numbers):
    """Back what was local last."""
    name = numbers.choice(sorted(world.infos()))
    refusal = 'by another job' if world.jobs_of(name, *CACHE) else NEVER
    start(world, 'remote-memory-warm', name, refusal)


@operation(5)
def set_store(world, numbers):
    """All of a backend into another store."""
    name, info = numbers.choice(sorted(world.infos().items()))
    store = numbers.choice(sorted(world.stores))
    moves = world.jobs_of(name, MOVE)
    refusals = []
    if moves:
        refusals.append('moved by another job')
    # One that has just ended has moved it there.
    if store in [info['store'], *(job.store for job in moves)]:
        refusals.append(f"its store is '{store}' already")
    start(world, MOVE, name, '|'.join(refusals) or NEVER, store=store)


@operation(5)
def cancel(world, numbers):
    """Cancel a job."""
    world.need(world.jobs)
    job_id = numbers.choice(sorted(world.jobs))
    world.say(f'cancel {job_id}')
    # It may have come to its end just now.
    world.attempt('in state .* cannot accept|Job not found',
                  'job-cancel', id=job_id)
    world.jobs[job_id].cancelled = True


@operation(3)
def replace_store(world, numbers):
    """Delete a store, and make it anew if nobody used it."""
    name = numbers.choice(sorted(world.stores))
    world.say(f'replace {name}')
    in_use = any(info['store'] == name
                 for info in world.infos().values())
    moving = any(job.store == name or job.command == MOVE
                 for job in world.jobs.values())
    if world.attempt('in use' if in_use or moving else NEVER,
                     'object-del', id=name):
        require(not in_use or moving, f'{name} was deleted under its user')
        objects = lib.store_objects(world.stores[name], itertools.count())
        world.command('object-add', **objects[-1])
