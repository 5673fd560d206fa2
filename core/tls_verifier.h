/* The external verifier: a command of the administrator's that must agree to a peer's certificate. */
#ifndef TAPS_CORE_TLS_VERIFIER_H
#define TAPS_CORE_TLS_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct secure_context;

/* One that is being asked. */
struct tls_verifier {
	int answer; /* to be waited for (POLLIN); -1: none is asked */
	pid_t group;
	int64_t end; /* ns, monotonic: when no answer is one, too */
};

/* Runs the rule's verifier with /bin/sh, the chain (PEM, leaf first) on its standard input.  No child, signal
 * or descriptor of it is seen by the application.  Returns 0, or -errno. */
int tls_verifier_ask(struct secure_context *context, const char *chain, struct tls_verifier *ret);
/* Its verdict: 1 accepts (exit status 0), 0 does not, with the reason in `line`; -EAGAIN: none yet, unless
 * it waits.  At its end it is killed.  After a verdict it is asked no more. */
int tls_verifier_hear(struct tls_verifier *verifier, bool waits, char *line, size_t size);
/* Ends it, if one is asked. */
void tls_verifier_stop(struct tls_verifier *verifier);

/* What is run and for how long (core/tls_context.c). */
const char *tls_context_verifier(const struct secure_context *context, unsigned *ret_timeout_ms);

#endif
