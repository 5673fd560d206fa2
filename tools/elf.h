/* What a launcher must know of an executable: the parts of elf(5) that decide whether an object can be
 * preloaded into it. */
#ifndef TAPS_TOOLS_ELF_H
#define TAPS_TOOLS_ELF_H

#include <stdbool.h>
#include <stdint.h>

#define ELF_NAME_MAX 256

struct elf_info {
	uint8_t class;    /* ELFCLASS32 or ELFCLASS64 */
	uint8_t data;     /* ELFDATA2LSB or ELFDATA2MSB */
	uint16_t machine; /* EM_… */
	/* The rest is known for files of this machine's own class and byte order. */
	bool dynamic;                   /* names a dynamic loader, or is one */
	bool go;                        /* carries a Go build ID: sockets are used by raw system calls */
	bool asan;                      /* needs the shared AddressSanitizer runtime */
	char interpreter[ELF_NAME_MAX]; /* path of the dynamic loader, or "" */
};

/* Reads the file behind `fd`, by pread(2) only.  Returns 0; -ENOEXEC if it is no ELF file; -EBADMSG if its
 * tables point outside of it or are absurdly large; or -errno. */
int elf_read(int fd, struct elf_info *ret);

/* May an object like `a` be loaded into a process of `b`? */
bool elf_same_machine(const struct elf_info *a, const struct elf_info *b);
/* "x86-64", "i386", "64-bit machine 243"…; written to `buf` where it has no name. */
const char *elf_machine_name(const struct elf_info *info, char buf[64]);

#endif
