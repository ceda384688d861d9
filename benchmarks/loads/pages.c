// SPDX-License-Identifier: Apache-2.0
/* Fills a pipe with 16 pages and empties it: the pipe keeps two of them, the others are allocated and freed. */
#define _GNU_SOURCE
#include "load.h"
#include <fcntl.h>

#define BYTES (16 * 4096)

static int ends[2];
static char buffer[BYTES];

static void cleanup(void)
{
}

static void setup(void)
{
	must(pipe(ends), "pipe");
	must(fcntl(ends[1], F_SETPIPE_SZ, BYTES), "F_SETPIPE_SZ");
}

static void operation(void)
{
	must(write(ends[1], buffer, BYTES), "write");
	must(read(ends[0], buffer, BYTES), "read");
}
