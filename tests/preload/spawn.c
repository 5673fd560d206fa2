/* New programs: vfork, posix_spawn, system, popen and each of the exec family, with inherited sockets. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

extern char **environ;

static const char *child;

/* vfork()'s child shares the parent's memory: what it closes must stay open in the parent. */
static void by_vfork(void)
{
	say("-- vfork");
	int fd = net_connect(ECHO), other = net_connect(ECHO),
	    spare = net_socket(&(struct peer){.addr.ss_family = AF_INET}, 0);
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(other, 40);
		close(fd);
		close(other);
		close(spare);
		execl(child, "child", "echo", "40", "by the child", (char *)NULL);
		_exit(127);
	}
	show_wait(pid);
	SHOW(fcntl(40, F_GETFD));
	show_echo(fd, "by the parent");
	show_echo(other, "by the parent too");
	SHOW(close(fd));
	SHOW(close(other));
	SHOW(close(spare));
	int next = net_connect(ECHO);
	show_echo(next, "and on");
	SHOW(close(next));
}

static void vfork_while_connecting(void)
{
	say("-- vfork while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	pid_t pid = vfork();
	if (pid == 0) {
		close(fd);
		execl(child, "child", "count", "3", (char *)NULL);
		_exit(127);
	}
	show_wait(pid);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_echo(fd, "by the parent");
	SHOW(close(fd));
}

static void by_posix_spawn(bool search)
{
	say("-- posix_spawn%s", search ? "p" : "");
	int fd = net_connect(ECHO), marked = fcntl(fd, F_DUPFD_CLOEXEC, 30);
	posix_spawn_file_actions_t actions;
	char *args[] = {(char *)"child", (char *)"echo", (char *)"0", (char *)"by standard input", NULL};
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	posix_spawn_file_actions_addclose(&actions, fd);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	int result = (search ? posix_spawnp : posix_spawn)(&pid, child, &actions, NULL, args, environ);
	show_wait(pid);
	say("posix_spawn = %d", result);
	posix_spawn_file_actions_destroy(&actions);
	SHOW((search ? posix_spawnp : posix_spawn)(&pid, "/nonexistent", NULL, NULL, args, environ));
	show_echo(fd, "by the parent");
	show_echo(marked, "by the copy");
	SHOW(close(fd));
	SHOW(close(marked));
}

static void by_shell(void)
{
	say("-- system and popen");
	int fd = net_connect(ECHO);
	char command[700], line[100] = "";

	SHOW(dup2(fd, 9));
	snprintf(command, sizeof(command), "%s echo 9 'by the shell'; exit 5", child);
	fflush(stdout);
	int status = system(command);
	say("status %d", WEXITSTATUS(status));
	snprintf(command, sizeof(command), "%s echo 9 'through a pipe'", child);
	FILE *in = popen(command, "r");
	need(in && fgets(line, sizeof(line), in), "popen");
	printf("popen: %s", line);
	SHOW(pclose(in));
	FILE *out = popen("cat >&9", "w");
	need(out != NULL, "popen");
	SHOW(fputs("into a pipe", out));
	SHOW(pclose(out));
	show_read(fd, 11);
	SHOW(close(9));
	SHOW(close(fd));
}

/* Each of these replaces the process; argument 0 is the way, 1 the descriptor of the program. */
static void by_exec(int way, int program)
{
	static const char *const names[] = {"execl",  "execlp",  "execle",  "execv",   "execvp",
					    "execve", "execvpe", "fexecve", "execveat"};
	char *args[] = {(char *)"child", (char *)"echo", (char *)"50", (char *)names[way], NULL};

	switch (way) {
	case 0:
		execl(child, "child", "echo", "50", "execl", (char *)NULL);
		break;
	case 1:
		execlp(child, "child", "echo", "50", "execlp", (char *)NULL);
		break;
	case 2:
		execle(child, "child", "echo", "50", "execle", (char *)NULL, environ);
		break;
	case 3:
		execv(child, args);
		break;
	case 4:
		execvp(child, args);
		break;
	case 5:
		execve(child, args, environ);
		break;
	case 6:
		execvpe(child, args, environ);
		break;
	case 7:
		fexecve(program, args, environ);
		break;
	default:
		execveat(program, "", args, environ, AT_EMPTY_PATH);
	}
	say("exec failed: %s", strerrorname_np(errno));
	exit(1);
}

static void every_exec(void)
{
	say("-- exec");
	int fd = net_connect(ECHO), program = open(child, O_PATH | O_CLOEXEC);

	SHOW(dup2(fd, 50));
	SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
	for (int way = 0; way < 9; way++) {
		fflush(stdout);
		pid_t pid = fork();
		need(pid >= 0, "fork");
		if (pid == 0)
			by_exec(way, program);
		show_wait(pid);
	}
	show_echo(fd, "by the parent");
	SHOW(close(fd));
	SHOW(close(50));
	SHOW(close(program));
	SHOW(execl("/nonexistent", "x", (char *)NULL));
	SHOW(execv("/", (char *[]){(char *)"x", NULL}));
}

static void run_child(const char *verb, const char *number)
{
	fflush(stdout);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0) {
		execl(child, "child", verb, number, net_host(), net_port(), (char *)NULL);
		_exit(127);
	}
	show_wait(pid);
}

/* The new program connects what it was given. */
static void unconnected(int flags)
{
	say("-- exec with an unconnected socket, %s", flags ? "non-blocking" : "blocking");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, flags);

	SHOW(dup2(fd, 60));
	SHOW(close(fd));
	if (!flags)
		run_child("connect", "60");
	SHOW(fcntl(60, F_SETFD, FD_CLOEXEC));
	run_child("count", "3");
	SHOW(close(60));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	child = net_program("child");
	by_vfork();
	by_posix_spawn(false);
	by_posix_spawn(true);
	by_shell();
	every_exec();
	unconnected(0);
	unconnected(SOCK_NONBLOCK);
	if (net_loses())
		vfork_while_connecting();
	return 0;
}
