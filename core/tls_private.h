/* What the files of the TLS module share: the insides of credentials and sessions. */
#ifndef TAPS_CORE_TLS_PRIVATE_H
#define TAPS_CORE_TLS_PRIVATE_H

#include "core/tls_file.h"
#include "core/tls_name.h"
#include "core/tls_replay.h"
#include "core/tls_session.h"
#include "core/tls_verify.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>

/* A file that the credentials were made from. */
struct tls_watched {
	const char *path;
	struct tls_file_id id;
};

struct tls_credentials {
	atomic_uint refs;
	const struct tls_options *options;
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t certificates; /* all of them */
	struct tls_named *named;                       /* server with several: by name */
	unsigned n_named;
	gnutls_psk_client_credentials_t psk_client; /* of these two at most one */
	gnutls_psk_server_credentials_t psk_server;
	struct tls_policy verify;
	gnutls_datum_t ticket_key; /* server with resumption */
	gnutls_anti_replay_t anti_replay; /* server with early data */
	struct tls_replay *replay;
	struct tls_watched *watched;
	unsigned n_watched;
	int64_t checked; /* ns, when the files were last looked at */
	uint8_t policy[TLS_POLICY_SIZE];
};

enum tls_state { TLS_HANDSHAKING, TLS_OPEN, TLS_FAILED };

/* Decrypted bytes that the application has not had room for: one record's, or early data. */
struct tls_pending {
	struct tls_pending *next;
	gnutls_packet_t packet; /* owns `data`; NULL: `copy` does */
	const uint8_t *data;
	size_t size;
	uint8_t copy[];
};

/* Bytes to send, from `start` to `end`. */
struct tls_queue {
	uint8_t *data;
	size_t start, end, room;
};

/* The keys of one direction, for core/tls_direct.c. */
struct tls_direct {
	gnutls_aead_cipher_hd_t aead; /* NULL until its first use */
	uint8_t key[32], iv[12];
	unsigned key_size;
	uint64_t number; /* of the next record, within a window */
};

#define TLS_TICKETS_HELD 4

struct tls_session {
	pthread_mutex_t lock; /* over everything below but what is said to be atomic */
	gnutls_session_t tls;
	struct tls_credentials *credentials;
	enum tls_state state;
	int error;                   /* of TLS_FAILED: -errno */
	struct tls_reason reason;
	char identity[TLS_NAME_MAX]; /* client: checked against the certificate */

	const uint8_t *in; /* what pull may hand out, during a call */
	size_t in_len, in_pos;
	uint8_t *sink;     /* where push writes to, during tls_session_seal(); else to `out` */
	size_t sink_room, sink_len;
	struct tls_queue out;
	tls_sender *send; /* during the handshake, in front of `out` */
	void *send_context;

	struct tls_pending *pending, **pending_end;
	_Atomic size_t pending_size;
	uint8_t header[TLS_HEADER_SIZE]; /* of a record consumed in part */
	unsigned header_len;
	size_t missing;                  /* bytes of its body still to come */

	unsigned record_max, overhead; /* once open */
	bool direct;                   /* records may go past GnuTLS: TLS 1.3 */
	struct tls_direct sealing, opening;
	size_t sendable;               /* bytes that GnuTLS is known to put into one record */
	bool update_due;               /* the peer asked for new keys; GnuTLS' next record brings them */
	bool heard;         /* the first byte has come */
	bool resuming;      /* a ticket was offered */
	bool early_usable;  /* its server did not ask for another group */
	bool read_closed;   /* close_notify received */
	bool write_closed;  /* close_notify queued */
	bool verified;      /* the verify callback accepted, in this handshake */
	bool unverified;    /* insecure_no_verify accepted */
	bool checked;       /* the checks of our own are passed */
	bool asks_verifier; /* waiting for tls_session_verifier_said() */
	bool verifier_accepted;
	int refusal_alert;  /* to send for `reason`, set by the verify callback; 0: GnuTLS knows */
	int64_t peer_expires; /* end of the peer's certificate, seconds since the epoch; 0: unknown */

	uint32_t ticket_lifetime; /* of the ticket being received */
	struct tls_ticket tickets[TLS_TICKETS_HELD]; /* oldest first */
	unsigned n_tickets;
};

#endif
