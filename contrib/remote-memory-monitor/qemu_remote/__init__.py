"""Watch virtual machines with remote memory, by QMP.

Data, which know nothing of how they are shown:

  sockets    which QMP sockets are meant
  machine    a VM: its connection, what it says at a moment
  fleet      all VMs
  sample     what a VM said at a moment
  rates      differences of two samples
  histogram  log2 histograms, and quantiles of them
  history    samples over time
  estimate   what other cache sizes would fetch
  demand     what they would wait

A budget of memory, and who has which part of it:

  share      who should have it: pure policy
  balancer   rounds: ask, decide, shrink, grow

Views:

  units      numbers for people
  ram        what kinds of memory there are
  lines      a VM as lines of text
  terminal   the screen of qemu-remote-top
  charts     plots as SVG
  report     a page with them
  metrics    the metrics of qemu-remote-exporter

SPDX-License-Identifier: GPL-2.0-or-later
"""
