/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every load is one operation() in a loop, told on stdin how long to run:
 *
 *   ops N     do N operations
 *   secs S    do operations for S seconds
 *
 * After each line it prints "OPERATIONS NS YARDSTICK".  NS is CPU time, so that whatever else wants
 * the CPU meanwhile does not count; programs attached to tracepoints run on the load's time and do.
 *
 * YARDSTICK is the CPU time in ns of a system call that allocates nothing, measured in between
 * (0 with `secs`).  The speed of a virtual CPU changes by the half from one second to the next;
 * operation and yardstick change together, to within a hundredth, and their quotient stays.
 *
 * A load ends with its stdin, so that it never outlives whoever started it, and takes with it all
 * it made.  One process lives through all rounds of a comparison: nothing about it differs between
 * two tracers.
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
