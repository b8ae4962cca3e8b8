/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/trace-remote_memory_backends_hostmem_remote.h"
