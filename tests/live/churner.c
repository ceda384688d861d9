// SPDX-License-Identifier: Apache-2.0
/*
 * A workload that leaks nothing.
 *
 *   churner COUNT FOLDER
 *
 * makes, writes, closes and removes COUNT files in FOLDER, one at a time; opens and closes as many
 * pairs of sockets, and maps and unmaps as many pages.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static void file(const char *folder, int number)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/churn-%d", folder, number);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	must(fd, "open");
	must(write(fd, "x", 1), "write");
	close(fd);
	must(unlink(path), "unlink");
}

static void sockets(void)
{
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	must(write(pair[0], "x", 1), "write");
	close(pair[0]);
	close(pair[1]);
}

static void mapping(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(page == MAP_FAILED ? -1 : 0, "mmap");
	*page = 1;
	munmap(page, 4096);
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[1]) : 0;

	if (count < 1) {
		fprintf(stderr, "usage: churner COUNT FOLDER\n");
		return 2;
	}
	for (int i = 0; i < count; i++) {
		file(argv[2], i);
		sockets();
		mapping();
	}
	return 0;
}
