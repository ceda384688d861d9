// SPDX-License-Identifier: Apache-2.0
/* Sends 64 bytes through a System V queue: one kmalloc, its kfree, and one kfree(NULL). */
#include "load.h"
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>

static int queue = -1;
static struct {
	long type;
	char body[64];
} message = {.type = 1};

static void cleanup(void)
{
	msgctl(queue, IPC_RMID, NULL);
}

static void leave(int signal)
{
	(void)signal;
	cleanup();
	_Exit(1);
}

static void setup(void)
{
	signal(SIGINT, leave);
	signal(SIGTERM, leave);
	queue = msgget(IPC_PRIVATE, 0600);
	must(queue, "msgget");
}

static void operation(void)
{
	must(msgsnd(queue, &message, sizeof(message.body), 0), "msgsnd");
	must(msgrcv(queue, &message, sizeof(message.body), 0, 0), "msgrcv");
}
