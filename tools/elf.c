/* Reading executables.  Nothing in a file is trusted: every offset goes through pread(2), which refuses
 * what lies outside, and every count has a bound. */
#include "tools/elf.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 128
#define ENTRIES_MAX 4096
#define NOTES_MAX 4096

#if UINTPTR_MAX > UINT32_MAX
#define OWN_CLASS ELFCLASS64
#else
#define OWN_CLASS ELFCLASS32
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_DATA ELFDATA2LSB
#else
#define OWN_DATA ELFDATA2MSB
#endif

struct image {
	int fd;
	unsigned n_segments;
	ElfW(Phdr) segment[SEGMENTS_MAX];
};

static int read_at(int fd, void *buf, size_t n, uint64_t offset)
{
	ssize_t got;

	if (offset > INT64_MAX - n)
		return -EBADMSG;
	got = pread(fd, buf, n, (off_t)offset);
	if (got < 0)
		return -errno;
	return got == (ssize_t)n ? 0 : -EBADMSG;
}

/* Where in the file an address of the running program comes from, or -1. */
static int64_t file_offset(const struct image *image, uint64_t address)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		const ElfW(Phdr) *s = &image->segment[i];

		if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz)
			return (int64_t)(s->p_offset + (address - s->p_vaddr));
	}
	return -1;
}

/* A string of the dynamic string table; "" where it cannot be read. */
static void read_string(const struct image *image, uint64_t table, uint64_t index, char buf[ELF_NAME_MAX])
{
	int64_t offset = file_offset(image, table + index);
	ssize_t n = offset < 0 ? 0 : pread(image->fd, buf, ELF_NAME_MAX - 1, offset);

	buf[n > 0 ? n : 0] = 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* The loader may be run by hand: "ld.so PROGRAM".  It names no interpreter, and yet preloads. */
static bool is_loader_name(const char *soname)
{
	return has_prefix(soname, "ld-linux") || has_prefix(soname, "ld64.so") || has_prefix(soname, "ld.so");
}

static int read_dynamic(const struct image *image, const ElfW(Phdr) *segment, struct elf_info *ret)
{
	uint64_t table = 0, n = segment->p_filesz / sizeof(ElfW(Dyn));
	char name[ELF_NAME_MAX];
	ElfW(Dyn) entry;

	if (n > ENTRIES_MAX)
		return -EBADMSG;
	/* The string table's address stands behind the names that it holds. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint64_t i = 0; i < n; i++) {
			uint64_t at = segment->p_offset + i * sizeof(entry);
			int r = read_at(image->fd, &entry, sizeof(entry), at);

			if (r < 0)
				return r;
			if (entry.d_tag == DT_NULL)
				break;
			if (entry.d_tag == DT_STRTAB)
				table = entry.d_un.d_ptr;
			if (pass == 0 || (entry.d_tag != DT_NEEDED && entry.d_tag != DT_SONAME))
				continue;
			read_string(image, table, entry.d_un.d_val, name);
			if (entry.d_tag == DT_SONAME)
				ret->dynamic = ret->dynamic || is_loader_name(name);
			else if (has_prefix(name, "libasan.") || has_prefix(name, "libclang_rt.asan"))
				ret->asan = true;
		}
	}
	return 0;
}

static int read_interpreter(const struct image *image, const ElfW(Phdr) *segment, struct elf_info *ret)
{
	int r;

	if (segment->p_filesz < 2 || segment->p_filesz > sizeof(ret->interpreter))
		return -EBADMSG;
	r = read_at(image->fd, ret->interpreter, segment->p_filesz, segment->p_offset);
	ret->interpreter[segment->p_filesz - 1] = 0;
	ret->dynamic = true;
	return r;
}

/* Go's linker leaves a note of owner "Go", type 4: the build ID. */
static int read_notes(const struct image *image, const ElfW(Phdr) *segment, struct elf_info *ret)
{
	size_t size = segment->p_filesz < NOTES_MAX ? segment->p_filesz : NOTES_MAX;
	char buf[NOTES_MAX];
	size_t at = 0;
	int r = read_at(image->fd, buf, size, segment->p_offset);

	if (r < 0)
		return r;
	while (at + sizeof(ElfW(Nhdr)) <= size) {
		ElfW(Nhdr) note;
		uint64_t name_size, all;

		memcpy(&note, buf + at, sizeof(note));
		name_size = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
		all = sizeof(note) + name_size + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
		if (all > size - at)
			break;
		if (note.n_namesz == 4 && note.n_type == 4 && !memcmp(buf + at + sizeof(note), "Go\0", 4))
			ret->go = true;
		at += all;
	}
	return 0;
}

static int read_segments(struct image *image, const ElfW(Ehdr) *header)
{
	if (header->e_phnum == 0)
		return 0;
	if (header->e_phnum > SEGMENTS_MAX || header->e_phentsize != sizeof(ElfW(Phdr)))
		return -EBADMSG;
	image->n_segments = header->e_phnum;
	return read_at(image->fd, image->segment, header->e_phnum * sizeof(ElfW(Phdr)), header->e_phoff);
}

static int read_native(int fd, const ElfW(Ehdr) *header, struct elf_info *ret)
{
	static const struct {
		uint32_t type;
		int (*read)(const struct image *, const ElfW(Phdr) *, struct elf_info *);
	} readers[] = {
		{ PT_INTERP, read_interpreter },
		{ PT_DYNAMIC, read_dynamic },
		{ PT_NOTE, read_notes },
	};
	struct image image = { .fd = fd };
	int r = read_segments(&image, header);

	for (unsigned i = 0; i < image.n_segments && r >= 0; i++)
		for (unsigned k = 0; k < sizeof(readers) / sizeof(readers[0]) && r >= 0; k++)
			if (image.segment[i].p_type == readers[k].type)
				r = readers[k].read(&image, &image.segment[i], ret);
	return r;
}

int elf_read(int fd, struct elf_info *ret)
{
	ElfW(Ehdr) header = { 0 };
	ssize_t n = pread(fd, &header, sizeof(header), 0);

	memset(ret, 0, sizeof(*ret));
	if (n < 0)
		return -errno;
	if (n < SELFMAG || memcmp(header.e_ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (n < (ssize_t)sizeof(Elf32_Ehdr))
		return -EBADMSG;
	ret->class = header.e_ident[EI_CLASS];
	ret->data = header.e_ident[EI_DATA];
	ret->machine = ret->data == OWN_DATA ? header.e_machine : __builtin_bswap16(header.e_machine);
	if (ret->class != OWN_CLASS || ret->data != OWN_DATA)
		return 0;
	return n == sizeof(header) ? read_native(fd, &header, ret) : -EBADMSG;
}

bool elf_same_machine(const struct elf_info *a, const struct elf_info *b)
{
	return a->class == b->class && a->data == b->data && a->machine == b->machine;
}

const char *elf_machine_name(const struct elf_info *info, char buf[64])
{
	static const struct {
		uint16_t machine;
		uint8_t class;
		const char *name;
	} known[] = {
		{ EM_X86_64, ELFCLASS64, "x86-64" }, { EM_X86_64, ELFCLASS32, "x32" },
		{ EM_386, ELFCLASS32, "i386" },      { EM_AARCH64, ELFCLASS64, "arm64" },
		{ EM_ARM, ELFCLASS32, "arm" },       { EM_RISCV, ELFCLASS64, "riscv64" },
		{ EM_PPC64, ELFCLASS64, "ppc64" },   { EM_S390, ELFCLASS64, "s390x" },
		{ EM_MIPS, ELFCLASS32, "mips" },     { EM_MIPS, ELFCLASS64, "mips64" },
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].machine == info->machine && known[i].class == info->class)
			return known[i].name;
	snprintf(buf, 64, "%u-bit machine %u", info->class == ELFCLASS64 ? 64u : 32u,
		 (unsigned)info->machine);
	return buf;
}
