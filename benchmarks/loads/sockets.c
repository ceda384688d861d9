// SPDX-License-Identifier: Apache-2.0
/* Opens a pair of Unix sockets, sends a message, closes both: sockets, files, skbs. */
#include "load.h"
#include <sys/socket.h>
#include <unistd.h>

static void setup(void)
{
}

static void cleanup(void)
{
}

static void operation(void)
{
	char text[64] = {};
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
	must(write(ends[0], text, sizeof(text)), "write");
	must(read(ends[1], text, sizeof(text)), "read");
	close(ends[0]);
	close(ends[1]);
}
