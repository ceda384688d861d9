// SPDX-License-Identifier: Apache-2.0
/* A load: every CPU makes and closes pipes until the process group is killed. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static void make_pipes(int cpu)
{
	cpu_set_t set;
	int ends[2];

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (;;) {
		if (pipe(ends) < 0)
			_exit(1);
		close(ends[0]);
		close(ends[1]);
	}
}

int main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (int cpu = 1; cpu < cpus; cpu++)
		if (!fork())
			make_pipes(cpu);
	make_pipes(0);
}
