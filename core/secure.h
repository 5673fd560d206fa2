/* Security layers: the contract between the core and the TLS module (libtaps-tls.so), which is loaded
 * when a policy first secures a connection; GnuTLS costs a process a millisecond to load. */
#ifndef TAPS_CORE_SECURE_H
#define TAPS_CORE_SECURE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/security.h"
#include "core/api.h"

#define SECURE_VERSION 3u
#define SECURE_REASON_MAX 320

struct layer;
struct secure_context;

enum secure_role {
	SECURE_CLIENT,
	SECURE_SERVER,
	SECURE_SERVER_REPLAYABLE, /* what clients send may arrive more than once: early data is taken */
};

/* Counts a listener's handshakes that are under way, in all processes that have it.  Any thread. */
struct secure_gate {
	int (*enter)(struct secure_gate *gate); /* a seat; -EAGAIN: as many as there may be are under way */
	void (*leave)(struct secure_gate *gate, int seat);
	void (*done)(struct secure_gate *gate); /* once, when the handshake is over or the layer ends */
};

/* With whom, for the certificate's check (reference/identity: RFC 9525). */
struct secure_peer {
	const char *name;    /* that the application looked up, or NULL */
	const char *address; /* numeric, without port */
	uint16_t port;
	/* Client, may be NULL: one for all attempts of a race, which use one ticket at most.  Must stay until
	 * the layer's first connect() above a ready transport, or its end. */
	bool *ticket_used;
	struct secure_gate *gate; /* server, may be NULL: whom to ask; done() is owed from success on */
	bool isolated;   /* client: no ticket of another connection's is used, none is kept for another
			  * (RFC 9622 §8.1.10; without groups each connection stands alone) */
	bool replayable; /* client: the application's data may arrive more than once (RFC 9622 §9.1.3.4) */
	bool any_fd;     /* who drives the handshake waits for whatever descriptor the layer names */
};

/* What libtaps-tls.so offers.  Thread-safe. */
struct secure_module {
	uint32_t version;
	/* Credentials of one `security` group in one role, made once and kept; files that changed are read
	 * anew for a server.  Returns NULL with a reason. */
	struct secure_context *(*context)(const struct security *security, enum secure_role role,
					  char reason[SECURE_REASON_MAX]);
	/* A layer over `below` (taken over on success).  Returns NULL with a reason. */
	struct layer *(*layer)(struct secure_context *context, const struct secure_peer *peer,
			       struct layer *below, char reason[SECURE_REASON_MAX]);
	/* pthread_atfork(3); `ours`: the child is a process of the core's own (core/relay.h). */
	void (*fork_prepare)(void);
	void (*fork_parent)(void);
	void (*fork_child)(bool ours);
};

/* The module's only symbol. */
const struct secure_module *taps_tls_open(const struct taps_host *host);

/* Puts the layer that `security` asks for over `below`, loading the module if need be.  Returns the new top
 * of the chain, or NULL with the reason: the caller ends `below` and fails; nothing is ever sent in clear. */
struct layer *secure_layer(const struct security *security, enum secure_role role,
			   const struct secure_peer *peer, struct layer *below,
			   char reason[SECURE_REASON_MAX]);
/* Is the module there and are the credentials good?  For listen(2), which should fail early. */
bool secure_check(const struct security *security, enum secure_role role, char reason[SECURE_REASON_MAX]);
void secure_fork_prepare(void);
void secure_fork_parent(void);
void secure_fork_child(bool ours);

#endif
