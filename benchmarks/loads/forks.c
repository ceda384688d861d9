// SPDX-License-Identifier: Apache-2.0
/* A process begins and ends, at most a thousand times a second; each eighth executes a file. */
#include "load.h"
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#define PERIOD_NS 1000000
#define EXECUTES  8

static unsigned long count, next_ns;

static void setup(void)
{
}

static void cleanup(void)
{
}

static void wait_for_turn(void)
{
	struct timespec until = {0};
	unsigned long now = clock_ns(CLOCK_MONOTONIC);

	next_ns = next_ns + PERIOD_NS > now ? next_ns + PERIOD_NS : now;
	until.tv_sec = next_ns / 1000000000ul;
	until.tv_nsec = next_ns % 1000000000ul;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void operation(void)
{
	char number[24];
	char *arguments[] = {"/bin/true", number, NULL};
	pid_t child;

	wait_for_turn();
	snprintf(number, sizeof(number), "%lu", ++count);
	child = vfork();
	must(child, "vfork");
	if (!child) {
		if (count % EXECUTES == 0)
			execv(arguments[0], arguments);
		_exit(0);
	}
	must(waitpid(child, NULL, 0), "waitpid");
}
