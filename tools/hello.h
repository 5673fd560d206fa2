/* Proof of attachment: does the shim load into the program that tapsrun becomes? */
#ifndef TAPS_TOOLS_HELLO_H
#define TAPS_TOOLS_HELLO_H

/* Starts a watcher, which is no child of this process, and leaves it a pipe whose other end the program
 * inherits.  The shim finds that end in TAPS_HELLO ("fd:inode"), writes a byte, closes it and takes the
 * variable out.  If the end is closed without a byte, or none comes within two seconds, the watcher
 * says on stderr that nothing is intercepted in `program`.
 *
 * The mask and dispositions of signals stay as they are, and no SIGCHLD is sent.  Returns the inherited
 * descriptor, or -errno; without a watcher the program simply runs unwatched. */
int hello_start(const char *program);

/* The program could not be executed after all: sends the watcher away.  `fd` came from hello_start(). */
void hello_cancel(int fd);

#endif
