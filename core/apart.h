/* A call that the end of the process does not cut short. */
#ifndef TAPS_CORE_APART_H
#define TAPS_CORE_APART_H

/* Calls `call` once, in a process that shares this one's memory and descriptors (record locks too) but is in
 * a session of its own, and waits for it: clone(2), CLONE_VFORK.  SIGKILL of the caller, or of its group,
 * does not reach it.  Without such a process (EAGAIN, seccomp) it is called here.  `call` may use
 * async-signal-safe functions only, and 16 KiB of stack.  Returns what it returned.  One thread at a time,
 * signals blocked; the application is told of no child. */
int apart_call(int (*call)(void *arg), void *arg);

#endif
