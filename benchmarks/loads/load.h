/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every load runs one operation() in a loop.  A line on stdin says for how long:
 *
 *   ops N     do N operations
 *   secs S    do operations for S seconds
 *
 * After each line it prints "OPERATIONS NS YARDSTICK".  NS is CPU time: it does not include other
 * tasks on the CPU, but it includes the programs attached to tracepoints, which run in the load's
 * time.
 *
 * YARDSTICK is the CPU time in ns of a system call that allocates nothing, measured between the
 * operations (0 with `secs`).  The speed of a virtual CPU can change by half from one second to the
 * next.  Operation and yardstick change together, and their quotient stays the same within 1 %.
 *
 * A load ends when its stdin ends, so it never outlives the process that started it, and it removes
 * everything it created.  One process runs through all rounds of a comparison, so that the load is
 * the same for all tracers.
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STRETCH 128 /* operations, then as many yardsticks */

static void setup(void);
static void operation(void);
static void cleanup(void);

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	cleanup();
	exit(1);
}

static unsigned long clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ul + now.tv_nsec;
}

static void run_operations(unsigned long count)
{
	unsigned long done = 0, ns = 0, yardstick_ns = 0;

	for (; done < count; done += STRETCH) {
		unsigned long begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID), middle;

		for (int i = 0; i < STRETCH; i++)
			operation();
		middle = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		for (int i = 0; i < STRETCH; i++)
			syscall(SYS_getppid);
		ns += middle - begin;
		yardstick_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - middle;
	}
	printf("%lu %lu %f\n", done, ns, (double)yardstick_ns / done);
}

static void run_for(double seconds)
{
	unsigned long deadline = clock_ns(CLOCK_MONOTONIC) + (unsigned long)(seconds * 1e9);
	unsigned long begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	unsigned long done = 0;

	for (; clock_ns(CLOCK_MONOTONIC) < deadline; done += STRETCH)
		for (int i = 0; i < STRETCH; i++)
			operation();
	printf("%lu %lu 0\n", done, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin);
}

int main(void)
{
	char unit[8];
	double amount;

	setup();
	while (scanf("%7s %lf", unit, &amount) == 2) {
		if (!strcmp(unit, "secs"))
			run_for(amount);
		else
			run_operations(amount);
		fflush(stdout);
	}
	cleanup();
	return 0;
}
