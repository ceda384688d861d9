// SPDX-License-Identifier: Apache-2.0
/*
 * A workload with a known outcome, in prime numbers.
 *
 *   leaver MESSAGES EXCHANGED PIPES KEPT
 *
 * leaves MESSAGES messages of 64 bytes in a new System V queue, sends and receives EXCHANGED
 * more, makes PIPES pipes and closes all of them but KEPT, which a child left behind keeps open
 * until its stdin ends or it is killed (KEPT = 0: no child).  Prints "QUEUE-ID CHILD-PID" (0
 * without child) so that the caller can clean up.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

struct message {
	long type;
	char body[64];
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int leave_messages(int count, int exchanged)
{
	struct message message = {.type = 1};
	int queue = msgget(IPC_PRIVATE, 0600);

	if (queue < 0)
		fail("msgget");
	for (int i = 0; i < exchanged; i++) {
		if (msgsnd(queue, &message, sizeof(message.body), 0) < 0)
			fail("msgsnd");
		if (msgrcv(queue, &message, sizeof(message.body), 0, 0) < 0)
			fail("msgrcv");
	}
	for (int i = 0; i < count; i++)
		if (msgsnd(queue, &message, sizeof(message.body), 0) < 0)
			fail("msgsnd");
	return queue;
}

static void make_pipes(int count, int kept)
{
	int ends[2];

	for (int i = 0; i < count; i++) {
		if (pipe(ends) < 0)
			fail("pipe");
		if (i >= kept) {
			close(ends[0]);
			close(ends[1]);
		}
	}
}

int main(int argc, char **argv)
{
	int kept, queue, child = 0;

	if (argc != 5)
		return 2;
	queue = leave_messages(atoi(argv[1]), atoi(argv[2]));
	kept = atoi(argv[4]);
	make_pipes(atoi(argv[3]), kept);
	if (kept) {
		child = fork();
		if (child < 0)
			fail("fork");
		if (!child) {
			fclose(stdout); /* nobody shall wait for our end of it */
			fclose(stderr);
			setsid();
			pause();
			return 0;
		}
	}
	printf("%d %d\n", queue, child);
	return 0;
}
