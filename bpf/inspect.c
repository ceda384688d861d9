// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The programs that only read kernel memory, for `slabtrace census`: nothing of the event path.
 *
 * Configured as slab.c is, by -D numbers (capture/kernel/features.py).
 */
#include "peek.h"
#include "percpu.h"
