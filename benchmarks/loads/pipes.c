// SPDX-License-Identifier: Apache-2.0
/* Opens and closes a pipe: inode, dentry, two files, the ring of buffers, many of them freed by RCU. */
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
