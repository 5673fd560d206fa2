/* The client's tickets and both sides' early data, for the handshake.  With the session's lock held. */
#ifndef TAPS_CORE_TLS_RESUME_H
#define TAPS_CORE_TLS_RESUME_H

#include "core/tls_private.h"

/* A NewSessionTicket, before and after GnuTLS has parsed it. */
void tls_resume_ticket_arrives(struct tls_session *session, bool parsed, const gnutls_datum_t *message);
/* Offers the ticket if it was made under the same policy for the same identity and has not expired. */
void tls_resume_use_ticket(struct tls_session *session, const struct tls_ticket *ticket);
/* Before TLS 1.3: the ticket, or what stands for one, at the end of the handshake. */
void tls_resume_make_ticket(struct tls_session *session);
/* What a server took as early data becomes pending.  Returns 0 or a GnuTLS error code. */
int tls_resume_fetch_early_data(struct tls_session *session);

#endif
