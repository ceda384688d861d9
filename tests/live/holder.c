// SPDX-License-Identifier: Apache-2.0
/*
 * A workload whose dentries and inodes are known.
 *
 *   holder FOLDER SOCKETS PIPES OPEN NEGATIVE CLOSED
 *
 * A child, which has loaded no program and so made no other dentry, holds SOCKETS sockets, PIPES
 * pipes and OPEN new files in FOLDER; it looks up NEGATIVE names that do not exist there, and
 * makes and closes CLOSED more files, which are written to the disk.  It prints its pid, and keeps
 * all until stdin ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int new_file(const char *kind, int number)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "%s-%d", kind, number);
	fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0)
		fail(name);
	return fd;
}

static void look_up(int number)
{
	char name[64];
	struct stat status;

	snprintf(name, sizeof(name), "missing-%d", number);
	if (!stat(name, &status))
		exit(1);
}

static void hold(char **counts)
{
	int ends[2], fd = -1;
	char byte;

	for (int i = 0; i < atoi(counts[0]); i++)
		if (socket(AF_INET, SOCK_DGRAM, 0) < 0)
			fail("socket");
	for (int i = 0; i < atoi(counts[1]); i++)
		if (pipe(ends) < 0)
			fail("pipe");
	for (int i = 0; i < atoi(counts[2]); i++)
		new_file("open", i);
	for (int i = 0; i < atoi(counts[3]); i++)
		look_up(i);
	for (int i = 0; i < atoi(counts[4]); i++) {
		fd = new_file("closed", i);
		if (i == atoi(counts[4]) - 1 && syncfs(fd) < 0)
			fail("syncfs");
		close(fd);
	}
	printf("%d\n", getpid());
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	int status = 1;
	pid_t child;

	if (argc != 7 || chdir(argv[1]) < 0)
		return 2;
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child) {
		hold(argv + 2);
		return 0;
	}
	waitpid(child, &status, 0);
	return status != 0;
}
