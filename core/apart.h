/* Processes that share this one's memory for a moment, and of which the application is told nothing. */
#ifndef TAPS_CORE_APART_H
#define TAPS_CORE_APART_H

/* Calls `call` once, in a process that shares this one's memory and descriptors (record locks too) but is in
 * a session of its own, and waits for it: clone(2), CLONE_VFORK.  SIGKILL of the caller, or of its group,
 * does not reach it.  Without such a process (EAGAIN, seccomp) it is called here.  `call` may use
 * async-signal-safe functions only, and 16 KiB of stack.  Returns what it returned.  One thread at a time,
 * signals blocked; the application is told of no child. */
int apart_call(int (*call)(void *arg), void *arg);

/* fork(3), in such a process, which ends at once: run(arg) is called in a process that is nobody's child, of
 * which neither SIGCHLD nor wait(2) tells, and which ends when it returns.  It is the C library's fork, so
 * that the allocator and every lock of ours are whole there.  Returns 0 or -errno.  Any thread, with
 * cancellation off and signals blocked; they are in `run` too, which has 1 MiB of stack. */
int apart_fork(void (*run)(void *arg), void *arg);

#endif
