/* The pin of a certificate in a file. */
#ifndef TAPS_CORE_TLS_PIN_H
#define TAPS_CORE_TLS_PIN_H

/* SHA-256 of the SubjectPublicKeyInfo of the first certificate in a PEM file, in hexadecimal (RFC 7469
 * §2.4).  The caller frees it; NULL if there is none. */
char *tls_pin_of_file(const char *path);

#endif
