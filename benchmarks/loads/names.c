// SPDX-License-Identifier: Apache-2.0
/*
 * names N: look up N names that do not exist, then print the own pid.
 *
 * The kernel caches each as a negative dentry, which stays long after this program has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	char name[64];
	struct stat found;

	for (unsigned long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "/tmp/slabtrace-no-such-name-%d-%lu", getpid(), i);
		if (!stat(name, &found))
			return 1;
	}
	printf("%d\n", getpid());
	return 0;
}
