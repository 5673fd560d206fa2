/* A program with an allocator of its own, which aborts when it is given what it did not hand out. */
#include "tests/preload/support/net.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC 0x6f776e6d616c6c6full
#define ARENA (256u << 20)

struct head {
	uint64_t magic;
	size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *arena;
static size_t used;

/* Hands out and never takes back: only whose memory it is matters here. */
static void *take(size_t align, size_t size)
{
	pthread_mutex_lock(&lock);
	if (!arena)
		arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     -1, 0);
	size_t at = (used + sizeof(struct head) + align - 1) / align * align;
	void *ret = at + size <= ARENA ? arena + at : NULL;
	used = at + size;
	pthread_mutex_unlock(&lock);
	if (!ret)
		return NULL;
	((struct head *)ret)[-1] = (struct head){MAGIC, size};
	return ret;
}

static struct head *head_of(void *p)
{
	struct head *head = (struct head *)p - 1;
	static const char text[] = "memory of another allocator\n";

	if ((unsigned char *)p < arena || (unsigned char *)p >= arena + ARENA || head->magic != MAGIC) {
		if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
			abort();
	}
	return head;
}

void *malloc(size_t size)
{
	return take(16, size);
}

void *calloc(size_t n, size_t size)
{
	return take(16, n * size);
}

void free(void *p)
{
	if (p)
		head_of(p)->magic = 0;
}

void *realloc(void *p, size_t size)
{
	void *ret = take(16, size);

	if (ret && p) {
		size_t old = head_of(p)->size;
		memcpy(ret, p, old < size ? old : size);
		free(p);
	}
	return ret;
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size)
{
	return take(align < 16 ? 16 : align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	*ret = memalign(align, size);
	return *ret ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *p);
size_t malloc_usable_size(void *p)
{
	return p ? head_of(p)->size : 0;
}

static void *connection(void *arg)
{
	int fd = net_connect_quiet(ECHO);

	if (!arg)
		show_echo(fd, "by a thread");
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char *copy = strdup("copied");

	net_start(argc, argv);
	say("%s", copy);
	free(copy);
	for (int i = 0; i < 3; i++) {
		int fd = net_connect(ECHO);
		show_echo(fd, "own memory");
		SHOW(close(fd));
	}
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, 10000);
	show_echo(fd, "non-blocking");
	SHOW(close(fd));
	need(pthread_create(&thread, NULL, connection, NULL) == 0, "thread");
	pthread_join(thread, NULL);
	struct hostent *host = gethostbyname(net_host());
	say("gethostbyname: %d", host != NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		connection(argv);
		exit(0);
	}
	show_wait(pid);
	return 0;
}
