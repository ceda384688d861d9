// SPDX-License-Identifier: Apache-2.0
/* A pipe made and closed: inode, dentry, two files, the ring of buffers, much of it freed by RCU. */
#include "load.h"
#include <unistd.h>

static void setup(void)
{
}

static void cleanup(void)
{
}

static void operation(void)
{
	int ends[2];

	must(pipe(ends), "pipe");
	close(ends[0]);
	close(ends[1]);
}
