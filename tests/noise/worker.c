// SPDX-License-Identifier: Apache-2.0
/*
 * The work of other processes, on one CPU: objects of many kinds come and go, some are held for seconds.
 *
 *   worker CPU STEPS-A-SECOND FOLDER
 *
 * It uses the call sites and slab caches that the live tests count in: pipes, sockets, eventfds,
 * System V messages of 64 bytes, files, mappings, processes.  First it prints the ids of its message
 * queues, so that its parent can remove them should it be killed.  On SIGTERM, or when its parent
 * ends, it removes them itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICKS	    100 /* a second; in each, its share of the steps */
#define HELD	    300 /* objects at most */
#define HOLD_ONE_IN 16
#define HOLD_TICKS  (3 * TICKS)
#define QUEUES	    4
#define SIZE	    4096

/* What one step made: files to close, or a message to receive (its type, in queue fd[0]). */
struct made {
	int fd[3];
	long message;
	long due; /* the tick when a held one is given back; 0: none */
};

static int queues[QUEUES], listener;
static struct sockaddr_in address = {.sin_family = AF_INET};
static const char *folder;
static long number; /* of the step */
static volatile sig_atomic_t ended;
static char bytes[SIZE];

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	ended = 1;
}

static void make_pipe(struct made *made)
{
	must(pipe(made->fd), "pipe");
	must(write(made->fd[1], bytes, 1), "write");
}

static void make_unix(struct made *made)
{
	must(socketpair(AF_UNIX, number % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, made->fd), "socketpair");
	must(write(made->fd[1], bytes, 1 + number % 1999), "write");
}

static void make_tcp(struct made *made)
{
	struct linger at_once = {.l_onoff = 1}; /* closed by a reset, not kept in TIME_WAIT */

	made->fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(made->fd[0], (void *)&address, sizeof(address)), "connect");
	made->fd[1] = accept(listener, NULL, NULL);
	must(made->fd[1], "accept");
	setsockopt(made->fd[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	must(write(made->fd[0], bytes, 1 + number % 3001), "write");
	must(read(made->fd[1], bytes, SIZE), "read");
}

static void make_udp(struct made *made)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = address.sin_addr};
	socklen_t size = sizeof(own);

	made->fd[0] = socket(AF_INET, SOCK_DGRAM, 0);
	must(bind(made->fd[0], (void *)&own, sizeof(own)), "bind");
	getsockname(made->fd[0], (void *)&own, &size);
	must(sendto(made->fd[0], bytes, 1 + number % 997, 0, (void *)&own, sizeof(own)), "sendto");
}

static void make_event(struct made *made)
{
	struct epoll_event event = {.events = EPOLLIN};

	made->fd[0] = eventfd(0, 0);
	made->fd[1] = epoll_create1(0);
	made->fd[2] = timerfd_create(CLOCK_MONOTONIC, 0);
	must(epoll_ctl(made->fd[1], EPOLL_CTL_ADD, made->fd[0], &event), "epoll_ctl");
	must(epoll_ctl(made->fd[1], EPOLL_CTL_ADD, made->fd[2], &event), "epoll_ctl");
}

static void make_file(struct made *made)
{
	char path[SIZE];

	snprintf(path, sizeof(path), "%s/%d-%ld", folder, getpid(), number);
	made->fd[0] = open(path, O_CREAT | O_RDWR, 0600);
	must(made->fd[0], "open");
	must(write(made->fd[0], bytes, 1 + number % SIZE), "write");
	must(unlink(path), "unlink");
}

static void make_message(struct made *made)
{
	struct {
		long type;
		char body[SIZE];
	} message = {.type = 1 + number};
	int queue = queues[number % QUEUES];
	size_t size = number % 3 ? 64 : number % 509; /* most as the tests send them */

	if (msgsnd(queue, &message, size, IPC_NOWAIT) == 0) {
		made->fd[0] = queue;
		made->message = message.type;
	} else if (errno != EAGAIN) { /* EAGAIN: a queue holds 16 KiB */
		must(-1, "msgsnd");
	}
}

static void make_mapping(struct made *made)
{
	char *pages =
		mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)made;
	must(pages == MAP_FAILED ? -1 : 0, "mmap");
	pages[SIZE] = 1;
	munmap(pages, 2 * SIZE);
}

static void make_process(struct made *made)
{
	pid_t child = fork();

	(void)made;
	must(child, "fork");
	if (!child) {
		if (number % 2)
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* How often of 1,000 steps; a process costs as much as a hundred of the rest. */
static const struct kind {
	void (*make)(struct made *made);
	int share;
} kinds[] = {
	{make_pipe, 150}, {make_unix, 150},    {make_tcp, 45},
	{make_udp, 100},  {make_event, 120},   {make_message, 250},
	{make_file, 80},  {make_mapping, 100}, {make_process, 5},
};

static void give_back(struct made *made)
{
	if (made->message) {
		msgrcv(made->fd[0], bytes, SIZE - sizeof(long), made->message, IPC_NOWAIT);
	} else {
		for (int i = 0; i < 3; i++)
			if (made->fd[i] >= 0)
				close(made->fd[i]);
	}
	made->due = 0;
}

static unsigned int draw(void)
{
	static unsigned int state = 2463534242u; /* xorshift: the same steps in every run */

	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

static void step(long tick, struct made *held)
{
	struct made made = {.fd = {-1, -1, -1}};
	struct made *place = &held[draw() % HELD];
	int drawn = draw() % 1000;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (drawn < kinds[i].share) {
			kinds[i].make(&made);
			break;
		}
		drawn -= kinds[i].share;
	}
	number++;
	if (draw() % HOLD_ONE_IN || place->due) {
		give_back(&made);
		return;
	}
	made.due = tick + 1 + draw() % HOLD_TICKS;
	*place = made;
}

static void work(long steps_a_tick)
{
	static struct made held[HELD];
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long tick = 0; !ended; tick++) {
		for (long i = 0; i < steps_a_tick && !ended; i++)
			step(tick, held);
		for (int i = 0; i < HELD; i++)
			if (held[i].due && held[i].due <= tick)
				give_back(&held[i]);
		next.tv_nsec += 1000000000 / TICKS;
		if (next.tv_nsec >= 1000000000) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		clock_gettime(CLOCK_MONOTONIC,
			      &next); /* what a busy machine delayed is not caught up */
	}
}

static void end(int number)
{
	(void)number;
	ended = 1;
}

static void listen_somewhere(void)
{
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	must(bind(listener, (void *)&address, sizeof(address)), "bind");
	must(listen(listener, 16), "listen");
	getsockname(listener, (void *)&address, &size);
}

static void settle_on(int cpu)
{
	struct rlimit files;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	setpriority(PRIO_PROCESS, 0, 10);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = end};
	pid_t parent = getppid();

	if (argc != 4) {
		fprintf(stderr, "usage: worker CPU STEPS-A-SECOND FOLDER\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return 1;
	settle_on(atoi(argv[1]));
	folder = argv[3];
	for (int i = 0; i < QUEUES; i++) {
		queues[i] = msgget(IPC_PRIVATE, 0600);
		must(queues[i], "msgget");
		printf(i < QUEUES - 1 ? "%d " : "%d\n", queues[i]);
	}
	fflush(stdout);
	listen_somewhere();
	work(atol(argv[2]) / TICKS);
	for (int i = 0; i < QUEUES; i++)
		msgctl(queues[i], IPC_RMID, NULL);
	rmdir(folder); /* succeeds for the last worker */
	return 0;
}
