"""Who looks at the guest's memory from outside.

content.py  what must be there
dump.py     the guest's memory out of a dump of any format
gdb.py      a client of the gdb stub
ways.py     all ways to read
SPDX-License-Identifier: GPL-2.0-or-later
"""
