/* What tapsrun finds out before it starts a program: on the system's own files, and on made-up ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/elf.h"
#include "tools/preflight.h"

static char dir[64];
static struct preflight_user user;
static struct preflight result;

/* An executable of a header, up to four segments and their contents. */
struct made {
	ElfW(Ehdr) header;
	ElfW(Phdr) segment[4];
	char text[1024];
};

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static unsigned next;
	char *ret = path[next++ % 4];

	snprintf(ret, sizeof(path[0]), "%s/%s", dir, name);
	return ret;
}

static const char *write_file(const char *name, const void *data, size_t n, mode_t mode)
{
	const char *path = in_dir(name);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static const char *write_text(const char *name, const char *text)
{
	return write_file(name, text, strlen(text), 0755);
}

static struct elf_info read_elf(const char *path, int want)
{
	struct elf_info info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(elf_read(fd, &info), want);
	close(fd);
	return info;
}

static void made_init(struct made *made)
{
	struct elf_info own = read_elf("/proc/self/exe", 0);

	memset(made, 0, sizeof(*made));
	memcpy(made->header.e_ident, ELFMAG, SELFMAG);
	made->header.e_ident[EI_CLASS] = own.class;
	made->header.e_ident[EI_DATA] = own.data;
	made->header.e_ident[EI_VERSION] = EV_CURRENT;
	made->header.e_type = ET_DYN;
	made->header.e_machine = own.machine;
	made->header.e_phoff = offsetof(struct made, segment);
	made->header.e_phentsize = sizeof(ElfW(Phdr));
}

/* Adds a segment with contents at offset `at` of the text. */
static void made_segment(struct made *made, uint32_t type, size_t at, const void *data, size_t n)
{
	ElfW(Phdr) *s = &made->segment[made->header.e_phnum++];

	s->p_type = type;
	s->p_offset = s->p_vaddr = offsetof(struct made, text) + at;
	s->p_filesz = n;
	memcpy(made->text + at, data, n);
}

static void made_interpreter(struct made *made, const char *loader)
{
	made_segment(made, PT_INTERP, 0, loader, strlen(loader) + 1);
}

static void made_go(struct made *made)
{
	static const struct {
		uint32_t name_size, size, type;
		char name[4], build_id[4];
	} note = { 4, 4, 4, "Go", "abc" };

	made_segment(made, PT_NOTE, 200, &note, sizeof(note));
}

/* A dynamic section with one name: DT_NEEDED or DT_SONAME, before the string table's address. */
static void made_dynamic(struct made *made, int64_t tag, const char *name)
{
	ElfW(Dyn) entries[] = {
		{ .d_tag = tag, .d_un.d_val = 1 },
		{ .d_tag = DT_STRTAB, .d_un.d_ptr = offsetof(struct made, text) + 700 },
		{ .d_tag = DT_NULL },
	};

	made_segment(made, PT_DYNAMIC, 300, entries, sizeof(entries));
	made_segment(made, PT_LOAD, 700, "\0", 1);
	memcpy(made->text + 701, name, strlen(name) + 1);
	made->segment[made->header.e_phnum - 1].p_filesz = 100;
}

static const char *made_write(const struct made *made, const char *name)
{
	return write_file(name, made, sizeof(*made), 0755);
}

static void expect(const char *command, enum preflight_verdict verdict, const char *reason)
{
	preflight(command, &user, &result);
	if (result.verdict != verdict || !strstr(result.reason, reason))
		fail_msg("%s: verdict %d: %s", command, (int)result.verdict, result.reason);
	if (verdict == PREFLIGHT_REFUSED)
		assert_true(result.way_out[0]);
}

static int reset(void **state)
{
	(void)state;
	preflight_myself(&user);
	user.path = "/usr/bin:/bin:/usr/sbin:/sbin";
	user.shim = read_elf("/proc/self/exe", 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/preflight-test-%d", (int)getpid());
	return mkdir(dir, 0755);
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void test_own_system(void **state)
{
	struct elf_info info = read_elf("/bin/sh", 0);

	(void)state;
	assert_true(info.dynamic);
	assert_true(strstr(info.interpreter, "ld"));
	assert_false(info.go);
	assert_false(info.asan);
	info = read_elf(info.interpreter, 0); /* the loader run by hand */
	assert_true(info.dynamic);
	assert_string_equal(info.interpreter, "");
	expect("true", PREFLIGHT_OK, "");
	assert_string_equal(result.names[0], "true");
	expect("/bin/sh", PREFLIGHT_OK, "");
	assert_string_equal(result.path, "/bin/sh");
	assert_false(result.shell);
}

static void test_lookup(void **state)
{
	char path[512];

	(void)state;
	write_file("plain", "#!/bin/sh\n", 10, 0644);
	expect("no-such-command-here", PREFLIGHT_NOT_FOUND, "command not found");
	expect("", PREFLIGHT_NOT_FOUND, "command not found");
	expect("/no/such/file", PREFLIGHT_NOT_FOUND, "No such file");
	expect("/bin/sh/x", PREFLIGHT_NOT_FOUND, "Not a directory");
	expect(in_dir("plain"), PREFLIGHT_NOT_EXECUTABLE, "Permission denied");
	expect(dir, PREFLIGHT_NOT_EXECUTABLE, "Permission denied");

	/* A file that may not be executed is passed over; without a better one it decides. */
	snprintf(path, sizeof(path), "/nonexistent:%s:/usr/bin:/bin", dir);
	user.path = path;
	expect("plain", PREFLIGHT_NOT_EXECUTABLE, "Permission denied");
	write_file("true", "", 0, 0644);
	expect("true", PREFLIGHT_OK, "");
	assert_non_null(strstr(result.path, "bin/true"));

	/* An empty element is the current folder; no PATH is the default one. */
	write_text("here", "#!/bin/sh\n");
	assert_int_equal(chdir(dir), 0);
	user.path = "/nonexistent:";
	expect("here", PREFLIGHT_OK, "");
	assert_string_equal(result.path, "here");
	assert_int_equal(chdir("/"), 0);
	user.path = NULL;
	expect("sh", PREFLIGHT_OK, "");
}

static void test_scripts(void **state)
{
	char text[256], path[512];

	(void)state;
	expect(write_text("sh-script", "#! /bin/sh -e \nexit 0\n"), PREFLIGHT_OK, "");
	assert_string_equal(result.names[0], "sh-script");
	assert_string_equal(result.names[1], "sh");
	assert_false(result.shell);
	expect(write_text("bare", "exit 0\n"), PREFLIGHT_OK, "");
	assert_true(result.shell);
	expect(write_text("empty", ""), PREFLIGHT_OK, "");
	assert_true(result.shell);
	expect(write_text("blank", "#!\nexit 0\n"), PREFLIGHT_OK, "");
	assert_true(result.shell);
	expect(write_file("binary", "\1\2\0\3", 4, 0755), PREFLIGHT_OK, "");
	assert_false(result.shell);
	expect(write_text("lost", "#!/no/such/interpreter\n"), PREFLIGHT_NOT_EXECUTABLE,
	       "/no/such/interpreter");

	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", dir);
	user.path = path;
	write_text("target", "#!/bin/sh\n");
	expect(write_text("env1", "#!/usr/bin/env target\n"), PREFLIGHT_OK, "");
	assert_string_equal(result.names[0], "env1");
	assert_string_equal(result.names[1], "target");
	assert_string_equal(result.names[2], "sh");
	expect(write_text("env2", "#!/usr/bin/env -S -i -u X A=b target -x\n"), PREFLIGHT_OK, "");
	assert_string_equal(result.names[1], "target");
	expect(write_text("env3", "#!/usr/bin/env no-such-command-here\n"), PREFLIGHT_OK, "");
	expect(write_text("env4", "#!/usr/bin/env\n"), PREFLIGHT_OK, "");
	expect(write_text("loop", "#!/usr/bin/env loop\n"), PREFLIGHT_NOT_EXECUTABLE, "too many levels");

	write_text("chain0", "#!/bin/sh\n");
	for (int i = 1; i < 7; i++) {
		char name[32];

		snprintf(name, sizeof(name), "chain%d", i);
		snprintf(text, sizeof(text), "#!%s/chain%d\n", dir, i - 1);
		write_text(name, text);
	}
	expect(in_dir("chain4"), PREFLIGHT_OK, "");
	expect(in_dir("chain5"), PREFLIGHT_NOT_EXECUTABLE, "too many levels");
}

static void test_made_programs(void **state)
{
	struct elf_info sh = read_elf("/bin/sh", 0);
	struct made made;
	char text[256];

	(void)state;
	made_init(&made);
	expect(made_write(&made, "static"), PREFLIGHT_REFUSED, "statically linked");
	snprintf(text, sizeof(text), "#!%s/static\n", dir);
	expect(write_text("static-script", text), PREFLIGHT_REFUSED, "static-script runs in");
	made_go(&made);
	expect(made_write(&made, "static-go"), PREFLIGHT_REFUSED, "a Go program");

	made_init(&made);
	made_interpreter(&made, sh.interpreter);
	expect(made_write(&made, "dynamic"), PREFLIGHT_OK, "");
	assert_string_equal(result.note, "");
	made_go(&made);
	expect(made_write(&made, "dynamic-go"), PREFLIGHT_OK, "");
	assert_non_null(strstr(result.note, "Go program"));

	made_init(&made);
	made_interpreter(&made, sh.interpreter);
	made_dynamic(&made, DT_NEEDED, "libasan.so.8");
	expect(made_write(&made, "asan"), PREFLIGHT_OK, "");
	assert_true(result.asan);
	made_init(&made);
	made_dynamic(&made, DT_SONAME, "ld-linux-any.so.2");
	expect(made_write(&made, "loader"), PREFLIGHT_OK, "");

	made_init(&made);
	made_interpreter(&made, "/lib/ld-musl-any.so.1");
	expect(made_write(&made, "lost-loader"), PREFLIGHT_NOT_EXECUTABLE, "ld-musl-any");
	made_init(&made);
	snprintf(text, sizeof(text), "%s/ld-musl-any.so.1", dir);
	write_text("ld-musl-any.so.1", "");
	made_interpreter(&made, text);
	expect(made_write(&made, "musl"), PREFLIGHT_REFUSED, "linked with musl");
}

static void test_machines(void **state)
{
	const struct elf_info odd = { .machine = 64999, .class = ELFCLASS64 };
	struct made made;
	char name[64];

	(void)state;
	made_init(&made);
	made.header.e_machine = EM_S390;
	expect(made_write(&made, "s390"), PREFLIGHT_REFUSED, "s390x");
	made_init(&made);
	made.header.e_ident[EI_CLASS] ^= ELFCLASS32 ^ ELFCLASS64;
	expect(made_write(&made, "width"), PREFLIGHT_REFUSED, "and the shim for");
	made_init(&made);
	made.header.e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB;
	made.header.e_machine = __builtin_bswap16(EM_MIPS);
	expect(made_write(&made, "order"), PREFLIGHT_REFUSED, "mips");
	assert_string_equal(elf_machine_name(&odd, name), "64-bit machine 64999");
}

/* No file, however broken, is read outside of its bounds; a header alone decides for what it tells. */
static void test_damaged(void **state)
{
	struct made made;
	unsigned char *bytes = (unsigned char *)&made;
	unsigned seed = 1;

	(void)state;
	made_init(&made);
	made_interpreter(&made, "/lib64/ld.so");
	made_go(&made);
	made_dynamic(&made, DT_NEEDED, "libasan.so.8");
	for (size_t n = 0; n < sizeof(made); n += 7) {
		struct elf_info info;
		const char *path = write_file("short", &made, n, 0755);
		int fd = open(path, O_RDONLY | O_CLOEXEC), r = elf_read(fd, &info);

		close(fd);
		assert_true(n < 4 ? r == -ENOEXEC : r == 0 || r == -EBADMSG);
		preflight(path, &user, &result);
	}
	for (int i = 0; i < 3000; i++) {
		size_t at = (size_t)rand_r(&seed) % 300;
		unsigned char was = bytes[at];

		bytes[at] = (unsigned char)rand_r(&seed);
		preflight(made_write(&made, "mutant"), &user, &result);
		if (i % 5)
			bytes[at] = was;
	}
	made_init(&made);
	made.header.e_phnum = 60000;
	expect(made_write(&made, "many"), PREFLIGHT_REFUSED, "damaged");
}

static void test_set_id(void **state)
{
	struct elf_info sh = read_elf("/bin/sh", 0);
	struct statvfs fs;
	struct made made;
	const char *path;

	(void)state;
	if (statvfs(dir, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		skip();
	made_init(&made);
	made_interpreter(&made, sh.interpreter);
	path = write_file("set-user", &made, sizeof(made), 04755);
	expect(path, PREFLIGHT_OK, ""); /* to ourselves */
	user.uid = user.euid = user.uid + 1;
	expect(path, PREFLIGHT_REFUSED, "set-user-ID");
	user.no_new_privs = true;
	expect(path, PREFLIGHT_OK, "");

	reset(NULL);
	path = write_file("set-group", &made, sizeof(made), 02755);
	expect(path, PREFLIGHT_OK, "");
	user.gid = user.egid = user.gid + 1;
	expect(path, PREFLIGHT_REFUSED, "set-group-ID");
	expect(write_file("lock-bit", &made, sizeof(made), 02745), PREFLIGHT_OK, "");

	/* The bits of a script mean nothing, those of its interpreter do. */
	user.uid = user.euid = user.uid + 1;
	expect(write_file("script", "#!/bin/sh\n", 10, 06755), PREFLIGHT_OK, "");

	reset(NULL);
	user.uid++;
	expect("true", PREFLIGHT_REFUSED, "real and effective IDs that differ");
}

static void test_capabilities(void **state)
{
	struct vfs_cap_data data = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE };
	struct elf_info sh = read_elf("/bin/sh", 0);
	struct statvfs fs;
	struct made made;
	const char *path;

	(void)state;
	made_init(&made);
	made_interpreter(&made, sh.interpreter);
	path = made_write(&made, "capable");
	data.data[0].permitted = 1u << CAP_NET_RAW;
	if (setxattr(path, "security.capability", &data, sizeof(data), 0) < 0)
		skip();
	if (statvfs(dir, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		skip();
	user.uid = user.euid = 0;
	expect(path, PREFLIGHT_OK, "");
	user.uid = user.euid = 1000;
	expect(path, PREFLIGHT_REFUSED, "file capabilities");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_own_system, reset),
		cmocka_unit_test_setup(test_lookup, reset),
		cmocka_unit_test_setup(test_scripts, reset),
		cmocka_unit_test_setup(test_made_programs, reset),
		cmocka_unit_test_setup(test_machines, reset),
		cmocka_unit_test_setup(test_damaged, reset),
		cmocka_unit_test_setup(test_set_id, reset),
		cmocka_unit_test_setup(test_capabilities, reset),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, setup, teardown);
}
