/* Ten thousand connects in one process, a thousand of them at a time in one epoll set: all finish, and the
 * process holds as many descriptors, threads and pages afterwards as before. */
#include "tests/preload/support/net.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH 1000
#define BATCHES 10
#define PATIENCE_MS 20000
/* What an allocator may keep back, and the kernel's own counting. */
#define SLACK_KB 1500
#define SANITIZER_KB 12000 /* AddressSanitizer keeps back what is freed */

struct usage {
	int fds;
	int threads;
	long peak_kb; /* not of this moment: an allocator gives memory back and takes it again */
};

static int entries(const char *folder)
{
	DIR *dir = opendir(folder);
	int n = 0;

	need(dir != NULL, folder);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long peak_kb(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long ret = -1;

	need(file != NULL, "status");
	while (ret < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %ld", &ret) != 1)
			ret = -1;
	fclose(file);
	return ret;
}

static struct usage usage_now(void)
{
	return (struct usage){entries("/proc/self/fd"), entries("/proc/self/task"), peak_kb()};
}

/* Returns how many were connected. */
static int batch(const struct peer *peer)
{
	static struct epoll_event events[BATCH];
	int set = epoll_create1(EPOLL_CLOEXEC), pending = 0, good = 0, n;

	for (int i = 0; i < BATCH; i++) {
		struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT,
					    .data.fd = net_socket(peer, SOCK_NONBLOCK)};
		if (i % 2)
			epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
		int result = peer_connect(event.data.fd, peer);
		need(result == 0 || errno == EINPROGRESS, "connect");
		epoll_ctl(set, i % 2 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, event.data.fd, &event);
		pending++;
	}
	while (pending > 0 && (n = epoll_wait(set, events, BATCH, PATIENCE_MS)) > 0) {
		for (int i = 0; i < n; i++) {
			int error = -1;
			socklen_t len = sizeof(error);
			getsockopt(events[i].data.fd, SOL_SOCKET, SO_ERROR, &error, &len);
			good += error == 0 && events[i].events == EPOLLOUT;
			close(events[i].data.fd);
		}
		pending -= n;
	}
	say("%d connected, %d pending", good, pending);
	close(set);
	return good;
}

/* As many at once as there will ever be: allocators keep what they needed at their busiest. */
static void warm_up(void)
{
	static int fds[BATCH];
	struct peer dead = net_peer(DEAD);

	for (int i = 0; i < BATCH; i++) {
		fds[i] = net_socket(&dead, SOCK_NONBLOCK);
		peer_connect(fds[i], &dead);
	}
	pause_ms(600);
	for (int i = 0; i < BATCH; i++)
		close(fds[i]);
	pause_ms(300);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	struct rlimit r;
	struct peer peer = net_peer(ECHO);
	int good = 0;

	need(getrlimit(RLIMIT_NOFILE, &r) == 0, "getrlimit");
	r.rlim_cur = r.rlim_max;
	need(setrlimit(RLIMIT_NOFILE, &r) == 0, "setrlimit");
	warm_up();
	batch(&peer);
	batch(&peer);
	struct usage before = usage_now();
	for (int i = 0; i < BATCHES; i++)
		good += batch(&peer);
	pause_ms(300);
	struct usage after = usage_now();
	say("%d of %d connected", good, BATCH * BATCHES);
	say("descriptors %s", after.fds <= before.fds ? "as before" : "grew");
	say("threads %s", after.threads <= before.threads ? "as before" : "grew");
	if (after.peak_kb > before.peak_kb + (getenv("ASAN_OPTIONS") ? SANITIZER_KB : SLACK_KB))
		say("memory grew from %ld to %ld KiB", before.peak_kb, after.peak_kb);
	return 0;
}
