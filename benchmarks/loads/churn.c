// SPDX-License-Identifier: Apache-2.0
/*
 * churn SECONDS ROUNDS LEAKS
 *
 * Every CPU creates and releases files, sockets, pipes, messages and sometimes a process, ROUNDS
 * times a second.  In addition, LEAKS messages a second (0: none) stay in a queue.  The function
 * that sends them also sends thousands that are received again.  The program stops after SECONDS,
 * or as soon as its stdin ends, and releases everything.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS	   5000000ul
#define SECOND	   1000000000ul
#define FORK_EVERY 64 /* rounds: one process causes as many events as several rounds */
#define KEPT	   1
#define PASSED	   2

struct message {
	long type;
	char text[64];
};

static int queue;

static unsigned long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static void sleep_until(unsigned long ns)
{
	struct timespec then = {ns / SECOND, ns % SECOND};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
}

static void send_message(long type)
{
	struct message message = {.type = type};

	if (msgsnd(queue, &message, sizeof(message.text), 0)) {
		perror("msgsnd");
		exit(1);
	}
}

static void round_trip(int ends[2])
{
	char byte = 0;

	if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
		exit(1);
	close(ends[0]);
	close(ends[1]);
}

static void one_round(unsigned long number)
{
	struct message message;
	int ends[2];

	close(open("/proc/self/stat", O_RDONLY));
	if (!pipe(ends))
		round_trip(ends);
	if (!socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		round_trip(ends);
	send_message(PASSED);
	msgrcv(queue, &message, sizeof(message.text), PASSED, 0);
	if (number % FORK_EVERY == 0) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
}

/* Waits `ms` ms or until stdin ends; returns 0 if stdin ended. */
static int goes_on(long ms)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};

	return poll(&in, 1, ms > 0 ? ms : 0) == 0;
}

static void churn(int cpu, unsigned long until, unsigned long rounds)
{
	unsigned long begun = now_ns(), done = 0;
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (unsigned long tick = begun; tick < until; tick += TICK_NS) {
		for (; done < (tick - begun) / (double)SECOND * rounds; done++)
			one_round(done);
		sleep_until(tick + TICK_NS);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned long begun = now_ns(), until;
	double leaks;

	if (argc != 4)
		return 2;
	until = begun + strtoul(argv[1], NULL, 10) * SECOND;
	leaks = strtod(argv[3], NULL);
	queue = msgget(IPC_PRIVATE, 0600);
	setpgid(0, 0);
	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++)
		if (!fork())
			churn(cpu, until, strtoul(argv[2], NULL, 10));
	for (unsigned long next = begun; leaks && next < until && goes_on(0);
	     next += SECOND / leaks) {
		send_message(KEPT);
		goes_on((next + SECOND / leaks - now_ns()) / 1000000);
	}
	while (now_ns() < until && goes_on(100))
		;
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	return msgctl(queue, IPC_RMID, NULL);
}
