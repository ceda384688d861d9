// SPDX-License-Identifier: Apache-2.0
/*
 * Threads that only take their kernel stacks.
 *
 *   sleepers COUNT
 *
 * starts COUNT threads, which share one small area as user stacks and sleep; prints "ready" and exits, with
 * all of them, when stdin ends.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK 512 /* bytes: a thread only makes one system call */

static int sleeper(void *unused)
{
	(void)unused;
	for (;;)
		syscall(SYS_pause);
	return 0;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	int flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	char *stacks = mmap(NULL, (count + 1) * STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t all;
	char end;

	syscall(SYS_getpid); /* bound now: the dynamic linker needs more stack than a thread has */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL); /* no thread ever runs a handler */
	for (long i = 1; i <= count; i++) {
		if (stacks == MAP_FAILED ||
		    clone(sleeper, stacks + (i + 1) * STACK - 16, flags, NULL) < 0) {
			perror("clone");
			_exit(1);
		}
	}
	puts("ready");
	fflush(stdout);
	while (read(0, &end, 1) > 0)
		;
	_exit(0);
}
