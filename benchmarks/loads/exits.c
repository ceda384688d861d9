// SPDX-License-Identifier: Apache-2.0
/* A process that has touched 8 MiB ends: the kernel gets 2,048 pages back at once. */
#include "load.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define TOUCHED (8ul << 20)
#define PAGE	4096

static void setup(void)
{
}

static void cleanup(void)
{
}

static void operation(void)
{
	pid_t child = fork();

	must(child, "fork");
	if (!child) {
		char *memory = mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory != MAP_FAILED)
			for (unsigned long at = 0; at < TOUCHED; at += PAGE)
				memory[at] = 1;
		_exit(0);
	}
	must(waitpid(child, NULL, 0), "waitpid");
}
