/* An index of certificate files by subject: where to find which certificate, without importing any. */
#ifndef TAPS_CORE_TLS_INDEX_H
#define TAPS_CORE_TLS_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_index_source;

/* One certificate. */
struct tls_index_entry {
	uint64_t subject; /* tls_index_hash() of the Name; equal hashes only mean: look at the certificate */
	uint32_t source, offset, size;
	bool der;
	bool imported; /* the user's own mark */
};

/* Zero is an empty index. */
struct tls_index {
	struct tls_index_source *sources;
	unsigned n_sources;
	struct tls_index_entry *entries; /* by subject */
	unsigned n_entries, room;
};

uint64_t tls_index_hash(const uint8_t *name, size_t size);

/* Indexes the certificates of a file (PEM, or one in DER), or of all files of a directory, of which
 * unreadable ones are passed over.  Returns 0 or -errno with the index empty. */
int tls_index_file(struct tls_index *index, const char *path);
int tls_index_directory(struct tls_index *index, const char *path);
void tls_index_drop(struct tls_index *index);

/* The first entry of the subject; the others follow it.  NULL if there is none. */
struct tls_index_entry *tls_index_find(const struct tls_index *index, uint64_t subject);
/* The entry after `entry` if it is of the same subject, else NULL. */
struct tls_index_entry *tls_index_next(const struct tls_index *index, const struct tls_index_entry *entry);

/* Reads the certificate in DER; the caller frees *ret.  -ESTALE if the file has changed since, -EINVAL if the
 * text is no base64. */
int tls_index_read(const struct tls_index *index, const struct tls_index_entry *entry, uint8_t **ret,
		   size_t *ret_size);

#endif
