/* One TLS session over memory (RFC 8446, RFC 5246), on GnuTLS.  No socket, no waiting: ciphertext comes in
 * as bytes, ciphertext to send is taken out as bytes.
 *
 * Locking: every function takes the session's own mutex around its GnuTLS calls (GnuTLS 3.7.9 breaks at a
 * peer's KeyUpdate when one thread sends while another receives).  One thread may receive while another
 * sends. Two threads in the same direction must be ordered by the caller, from tls_session_seal() to the
 * end of its send(2), and from recv(2)'s peek to its removal; likewise taking output and sealing.
 *
 * fork(2): both processes may go on, one in each direction; never both in the same one (AES-GCM would use
 * a nonce twice).  tls_session_lock() and _unlock() are for pthread_atfork(3).
 *
 * Errors are -errno: -EPROTO for whatever the peer or the policy refused, -EPIPE for sending after
 * closing, -ENOMEM.  tls_session_reason() has the human-readable line. */
#ifndef TAPS_CORE_TLS_SESSION_H
#define TAPS_CORE_TLS_SESSION_H

#include "core/tls_credentials.h"
#include "core/tls_tickets.h"
#include "core/trace.h"

#include <sys/uio.h>

#define TLS_HEADER_SIZE 5
#define TLS_PLAIN_MAX 16384            /* application bytes in one record */
#define TLS_RECORD_MAX (5 + 16384 + 2048) /* RFC 5246 §6.2.3; TLS 1.3 allows 256 for the 2048 */

struct tls_session;

/* Whom the session is with. */
struct tls_peer {
	const char *name;    /* that the application looked up, or NULL */
	const char *address; /* numeric, no port, no brackets: the identity when no name is known */
};

/* A session in its first state.  Takes a reference to the credentials.  A client needs a reference
 * identity: options.peer_name, peer->name or peer->address, in this order; a server ignores the peer.
 * `ticket` (client; may be NULL or empty) is used if it is unexpired and was made under the same policy
 * and for the same identity, else ignored; the caller frees it either way.  Returns 0 or -errno, with the
 * reason. */
int tls_session_new(struct tls_session **ret, struct tls_credentials *credentials,
		    const struct tls_peer *peer, const struct tls_ticket *ticket, struct tls_reason *reason);
/* NULL is no-op.  Sends nothing, wipes the keys. */
void tls_session_free(struct tls_session *session);

/* Client, before the first handshake step: the same ticket, had later. */
void tls_session_resume(struct tls_session *session, const struct tls_ticket *ticket);
/* How many bytes could go as early data now: what the ticket and options.early_data_max allow; 0: none. */
size_t tls_session_early_room(struct tls_session *session);
/* Client, before the first handshake step, with a ticket: queues replayable bytes (RFC 8446 §2.3) up to
 * options.early_data_max and to what the server allows.  Returns how many were taken, 0 if early data
 * cannot be used.  When the handshake is over, tls_session_early_accepted() says whether the server took
 * them; if not, the caller sends them again. */
ssize_t tls_session_early_data(struct tls_session *session, const void *data, size_t size);
bool tls_session_early_accepted(struct tls_session *session);

enum tls_progress {
	TLS_DONE,           /* handshake over, peer accepted */
	TLS_WANT_INPUT,     /* needs bytes that have not come yet */
	TLS_WANT_VERIFIER,  /* needs tls_session_verifier_said() */
};

/* Goes on with the handshake.  `in` is any split of the peer's bytes; *ret_consumed says how many were used.
 * At TLS_DONE the next unused byte begins a record.  Send tls_session_take_output() after every call, before
 * waiting, even after a failure (the alert).  Returns enum tls_progress, or -errno for good. */
int tls_session_handshake(struct tls_session *session, const void *in, size_t len, size_t *ret_consumed);
/* Sends what the kernel takes of a message of the handshake without waiting; returns how many bytes. */
typedef size_t tls_sender(void *context, const struct iovec *iov, int n);
/* From here on handshake messages go out as soon as they are made, as far as `send` takes them, so that the
 * peer works on the first while the next is made; what it does not take is queued output as before.  It is
 * called with the session's lock held, by tls_session_handshake() alone. */
void tls_session_set_sender(struct tls_session *session, tls_sender *send, void *context);
/* The peer ended its direction without a close_notify (RFC 8446 §6.1).  Returns -ECONNRESET and leaves a
 * reason; 0 if the close_notify had come. */
int tls_session_truncated(struct tls_session *session);

/* Copies queued ciphertext (handshake, alerts, close_notify) to buf and removes it.  Returns the count. */
size_t tls_session_take_output(struct tls_session *session, void *buf, size_t max);
size_t tls_session_output_size(struct tls_session *session);

/* The full length of the record that begins with these bytes, header included, or -EPROTO if they begin no
 * TLS record.  Pure. */
ssize_t tls_record_length(const uint8_t header[TLS_HEADER_SIZE]);

/* What a receiving call did. */
struct tls_received {
	size_t bytes;    /* application bytes stored (or, peeking, copied) */
	size_t consumed; /* ciphertext bytes used up; a record boundary unless TLS_RECV_PARTIAL */
	size_t pending;  /* decrypted bytes that wait in the session */
	size_t missing;  /* TLS_RECV_PARTIAL: bytes that the record begun still needs (at least) */
	size_t output;   /* queued ciphertext that should be sent */
	bool closed;     /* the peer's close_notify has come */
	bool hold;       /* the descriptor must stay readable: pending bytes, end or error to report */
};

enum tls_recv_flag {
	TLS_RECV_PEEK = 1u << 0,    /* the bytes stay pending */
	TLS_RECV_PARTIAL = 1u << 1, /* consume incomplete records too: a receive buffer too small */
};

/* Decrypts records from memory until the vector is full or the complete records are used up.  `in` begins
 * at a record boundary, unless the last call left `missing` bytes; it may hold more than one record and
 * end inside one. `len` may be 0 to get what is pending.  Records without application data (tickets, key
 * updates, padding) are consumed; then bytes may be 0 with nothing wrong.  Bytes before an error or end
 * are delivered first. Returns 0, or -errno with bytes 0. */
int tls_session_recv(struct tls_session *session, const void *in, size_t len, const struct iovec *iov,
		     int n_iov, unsigned flags, struct tls_received *ret);
/* The same into the session's own memory, until at least `want` bytes are pending. */
int tls_session_fill(struct tls_session *session, const void *in, size_t len, size_t want, unsigned flags,
		     struct tls_received *ret);
/* Decrypted bytes that wait; without the lock, so a hint to other threads. */
size_t tls_session_pending(const struct tls_session *session);

/* Encrypts application bytes into full records at `out`, queued output first.  Small pieces are gathered into
 * full records.  Takes only as much as is sure to fit.  Returns the application bytes taken (0: `cap` is too
 * small for one) and the ciphertext bytes in *ret_out, or -errno with possibly an alert in the queue. */
ssize_t tls_session_seal(struct tls_session *session, const struct iovec *iov, int n_iov, void *out,
			 size_t cap, size_t *ret_out);
/* Room that `plain` application bytes need at most. */
size_t tls_session_sealed_size(struct tls_session *session, size_t plain);

/* Queues close_notify; sending is over, receiving goes on (TLS 1.3 half-close).  Returns 0 or -errno. */
int tls_session_close(struct tls_session *session);
/* Queues a KeyUpdate, with `both` also asking the peer for one (GnuTLS 3.7 takes a request of the peer's
 * that crosses ours for an error).  -EOPNOTSUPP before TLS 1.3. */
int tls_session_rekey(struct tls_session *session, bool both);

/* Moves the oldest ticket that has arrived into *ret (the caller frees it), its lifetime limited by the
 * options and by the end of the peer's certificate.  Returns false if there is none. */
bool tls_session_take_ticket(struct tls_session *session, struct tls_ticket *ret);

/* For the external verifier, at TLS_WANT_VERIFIER: the peer's chain in PEM, leaf first; malloc'ed, NULL if
 * memory is short.  Its answer; `line` is the reason of a refusal. */
char *tls_session_chain_pem(struct tls_session *session);
void tls_session_verifier_said(struct tls_session *session, bool accepted, const char *line);

/* What was agreed, for the trace.  Text is "" where it does not apply. */
struct tls_facts {
	char version[16];
	char cipher[64];
	char group[32];
	char signature[40];
	char alpn[64];
	char identity[256];     /* client: what the certificate was checked against */
	char server_name[256];  /* server: the name that the client asked for */
	char peer_subject[256]; /* RFC 4514; only of an accepted certificate */
	char peer_issuer[256];
	char peer_pin[48];      /* base64 of the leaf key's SHA-256 */
	bool resumed;
	bool early_data;
	bool unverified;        /* insecure_no_verify let it pass */
};
void tls_session_facts(struct tls_session *session, struct tls_facts *ret);
/* The same as the trace has them. */
void tls_session_tell(struct tls_session *session, trace_hear *hear, void *context);

/* Why it failed; "" if it did not.  The text stays valid and unchanged once a call has failed. */
const char *tls_session_reason(const struct tls_session *session);

void tls_session_lock(struct tls_session *session);
void tls_session_unlock(struct tls_session *session);

#endif
