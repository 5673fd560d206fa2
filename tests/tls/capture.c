/* Reads every packet of an interface and looks for a text in it, as somebody on the wire would.
 *
 * usage: capture INTERFACE TEXT.  On SIGUSR1, once all that came before is looked at, it prints how many
 * packets
 * there were since the last time, how many held the text, and how many the kernel dropped. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (512 << 20)

static volatile sig_atomic_t asked;

static void ask(int sig)
{
	(void)sig;
	asked = 1;
}

static int open_interface(const char *name)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), size = BUFFER;

	addr.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || !addr.sll_ifindex)
		err(1, "%s", name);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		err(1, "receive buffer");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		err(1, "bind");
	return fd;
}

static unsigned dropped(int fd)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_drops;
}

int main(int argc, char **argv)
{
	static char packet[1 << 18];
	unsigned long packets = 0, hits = 0;
	sigset_t usr1, none;
	struct pollfd wanted;

	if (argc != 3)
		errx(2, "usage: capture INTERFACE TEXT");
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	signal(SIGUSR1, ask);
	wanted = (struct pollfd){open_interface(argv[1]), POLLIN, 0};
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t n = recv(wanted.fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (n > 0) {
			packets++;
			hits += memmem(packet, (size_t)n, argv[2], strlen(argv[2])) != NULL;
		} else if (asked) {
			asked = 0;
			printf("%lu packets, %lu clear, %u lost\n", packets, hits, dropped(wanted.fd));
			fflush(stdout);
			packets = hits = 0;
		} else {
			ppoll(&wanted, 1, NULL, &none);
		}
	}
}
