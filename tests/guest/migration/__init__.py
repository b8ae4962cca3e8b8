"""Live migration of a guest that writes and verifies all the time.

  guest.py     the guest, and what it has said
  sides.py     the memory of a machine, and the stores that it can be on
  trip.py      one migration: how it is made, and what must be true of it
  journey.py   a guest and the machines that it has been on
  rows.py      the trips that are tried out
  wire.py      a connection that stops after so many bytes
  moments.py   moments drawn at random, from a seed that is printed
  failures.py  what fails in the middle of a migration
  friends.py   what else there is beside plain live migration, and whether it
               works
  table.py     the latter as documentation

SPDX-License-Identifier: GPL-2.0-or-later
"""
