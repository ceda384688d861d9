// SPDX-License-Identifier: Apache-2.0
/* A connection over the loopback: accepted, ten requests and answers of 512 bytes each, closed. */
#include "load.h"
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define EXCHANGES 10
#define BYTES	  512

static struct sockaddr_in address = {.sin_family = AF_INET};
static pid_t server;

static void whole(int socket, int answers)
{
	char bytes[BYTES] = {0};

	for (;;) {
		if (recv(socket, bytes, BYTES, MSG_WAITALL) != BYTES)
			return;
		if (answers && send(socket, bytes, BYTES, MSG_NOSIGNAL) != BYTES)
			return;
		if (!answers)
			return;
	}
}

static void serve(int listener)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0)
			_exit(1);
		whole(connection, 1);
		close(connection);
	}
}

static void setup(void)
{
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	must(listener, "socket");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(listener, (struct sockaddr *)&address, length), "bind");
	must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
	must(listen(listener, 128), "listen");
	server = fork();
	must(server, "fork");
	if (!server)
		serve(listener);
	close(listener);
}

static void cleanup(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

static void operation(void)
{
	struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */
	int connection = socket(AF_INET, SOCK_STREAM, 0);
	char bytes[BYTES] = {0};

	must(connection, "socket");
	must(connect(connection, (struct sockaddr *)&address, sizeof(address)), "connect");
	for (int i = 0; i < EXCHANGES; i++) {
		must(send(connection, bytes, BYTES, MSG_NOSIGNAL), "send");
		whole(connection, 0);
	}
	setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(connection);
}
