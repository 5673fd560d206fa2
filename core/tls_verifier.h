/* The external verifier: a command of the administrator's that must agree to a peer's certificate. */
#ifndef TAPS_CORE_TLS_VERIFIER_H
#define TAPS_CORE_TLS_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>

struct secure_context;

/* Runs the rule's verifier with /bin/sh, the chain (PEM, leaf first) on its standard input; waits at
 * most the rule's time, and ends it then. Exit status 0 accepts. Otherwise `line` says why. No child,
 * signal or descriptor of it is seen by the application. */
bool tls_verifier_ask(struct secure_context *context, const char *chain, char *line, size_t size);

/* What is run and for how long (core/tls_context.c). */
const char *tls_context_verifier(const struct secure_context *context, unsigned *ret_timeout_ms);

#endif
