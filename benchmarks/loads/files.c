// SPDX-License-Identifier: Apache-2.0
/* Creates, writes, closes and removes a file: inodes, dentries, extents, many of them freed by RCU. */
#include "load.h"
#include <fcntl.h>
#include <unistd.h>

static char folder[] = "/tmp/slabtrace-files-XXXXXX";

static void setup(void)
{
	must(mkdtemp(folder) ? 0 : -1, "mkdtemp");
	must(chdir(folder), "chdir");
}

static void cleanup(void)
{
	must(chdir("/"), "chdir");
	rmdir(folder);
}

static void operation(void)
{
	int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);

	must(file, "open");
	must(write(file, "text", 4), "write");
	close(file);
	must(unlink("file"), "unlink");
}
