/* Finds the files of each layer, follows their includes, and puts the options on top.
 *
 * After a failure there is no configuration, and so none of its security rules: whether there may be one in
 * any of the sources is found out from their bare text, since the file at fault cannot be asked. */
#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/file.h"
#include "conf/load.h"
#include "conf/option.h"

#define INCLUDE_DEPTH_MAX 8
#define FILES_MAX 64
#define PROGRAM_NAME_MAX 200

/* What every spelling and most misspellings of `security` have in common. */
#define SECURITY_WORD "secur"

/* A file that is being read, and the one that includes it. */
struct opened {
	const struct opened *includer;
	dev_t dev;
	ino_t ino;
	unsigned depth;
};

struct source {
	const struct conf_sources *sources;
	struct arena *arena;   /* what the configuration keeps */
	struct arena *scratch; /* texts */
	struct conf_error *error;
	unsigned n_files;
	bool secures; /* what was read so far mentions security, or could not be read */
};

static int fail_memory(struct source *source, const char *path)
{
	return conf_fail(source->error, ENOMEM, &(struct origin){path, 0}, "out of memory");
}

static const char *directory(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return "";
	return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

static bool is_absent(int error)
{
	return error == -ENOENT || error == -ENOTDIR;
}

static int read_file(struct source *source, const char *path, const struct origin *asked,
		     const struct opened *includer, struct conf_layer *ret);

static int check_loop(struct source *source, const char *path, const struct origin *asked,
		      const struct opened *opened)
{
	for (const struct opened *o = opened->includer; o; o = o->includer)
		if (o->dev == opened->dev && o->ino == opened->ino)
			return conf_fail(source->error, ELOOP, asked,
					 "include loop: '%s' is being read already", path);
	if (opened->depth > INCLUDE_DEPTH_MAX)
		return conf_fail(source->error, ELOOP, asked, "includes are nested more than %d deep",
				 INCLUDE_DEPTH_MAX);
	if (++source->n_files > FILES_MAX)
		return conf_fail(source->error, EMFILE, asked, "more than %d files", FILES_MAX);
	return 0;
}

static int read_includes(struct source *source, const struct opened *opened, struct conf_layer *layer)
{
	const struct origin *asked = layer->values.origin[KEY_TOP_include];

	for (unsigned i = 0; i < layer->include.n; i++) {
		struct conf_layer *under = arena_alloc(source->arena, sizeof(*under));
		int r;

		if (!under)
			return fail_memory(source, layer->include.item[i]);
		r = read_file(source, layer->include.item[i], asked, opened, under);
		if (r == 0 && layer_add(source->arena, layer, under) < 0)
			r = fail_memory(source, layer->include.item[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is wrong with a file that could be opened is said of the file, else of the line that asks for it. */
static int fail_file(struct source *source, int error, const char *path, const struct origin *asked,
		     const struct conf_file *file)
{
	if (asked && file->ino == 0)
		return conf_fail(source->error, -error, asked, "'%s' %s", path, file->problem);
	return conf_fail(source->error, -error, &(struct origin){path, 1}, "%s", file->problem);
}

/* `asked` is the line that includes the file, or NULL. */
static int read_file(struct source *source, const char *path, const struct origin *asked,
		     const struct opened *includer, struct conf_layer *ret)
{
	struct conf_file file;
	struct opened opened = {.includer = includer, .depth = includer ? includer->depth + 1 : 0};
	struct load_source text = {.file = arena_strdup(source->arena, path), .has_lines = true};
	int r = file_read(source->scratch, path, &file);

	source->secures |=
		file_mentions(&file, SECURITY_WORD) || (r < 0 && !file.text && !(is_absent(r) && !asked));
	if (r < 0)
		return fail_file(source, r, path, asked, &file);
	opened.dev = file.dev;
	opened.ino = file.ino;
	r = check_loop(source, path, asked ? asked : &(struct origin){path, 0}, &opened);
	if (r < 0)
		return r;
	text.text = file.text;
	text.len = file.len;
	text.label = text.file;
	text.dir = directory(source->arena, path);
	if (!text.file || !text.dir)
		return fail_memory(source, path);
	r = load_text(&text, source->arena, source->scratch, ret, source->error);
	ret->file = text.file;
	return r < 0 ? r : read_includes(source, &opened, ret);
}

/* The n-th place to look for a layer's file; 1, or 0 when there is none, or -ENOMEM. */
static int layer_path(const struct conf_sources *sources, enum layer_rank rank, unsigned n,
		      struct arena *arena, const char **ret)
{
	bool system = layer_is_system(rank);
	const char *dir = system ? sources->system_dir : sources->user_dir;
	const char *program;

	if (rank == LAYER_FILE) {
		*ret = sources->file;
		return n == 0 && sources->file;
	}
	if (rank == LAYER_OPTIONS || !dir)
		return 0;
	if (rank == LAYER_SYSTEM || rank == LAYER_USER) {
		*ret = arena_printf(arena, "%s/%s", dir, system ? "system.conf" : "taps.conf");
		return n > 0 ? 0 : *ret ? 1 : -ENOMEM;
	}
	program = sources->programs ? sources->programs[n] : NULL;
	if (!program)
		return 0;
	*ret = arena_printf(arena, "%s/apps/%s.conf", dir, program);
	return *ret ? 1 : -ENOMEM;
}

static bool is_program_name(const char *name)
{
	return *name != '\0' && *name != '.' && !strchr(name, '/') && strlen(name) <= PROGRAM_NAME_MAX;
}

/* A directory of another user's, into which this one cannot look, holds nothing of this user's: unless it did
 * when this one was still the other. */
static bool is_foreign(const struct conf_sources *sources, enum layer_rank rank, int error)
{
	return error == -EACCES && !sources->user_secures && (rank == LAYER_USER || rank == LAYER_USER_APP) &&
	       faccessat(AT_FDCWD, sources->user_dir, X_OK, AT_EACCESS) < 0;
}

static bool is_optional(const struct conf_sources *sources, enum layer_rank rank, int error)
{
	return rank != LAYER_FILE && (is_absent(error) || is_foreign(sources, rank, error));
}

static bool is_candidate(const struct conf_sources *sources, enum layer_rank rank, unsigned n)
{
	return (rank != LAYER_SYSTEM_APP && rank != LAYER_USER_APP) || is_program_name(sources->programs[n]);
}

/* Only the first file that is there is read: the most specific name of the program. */
static int read_layer(struct source *source, enum layer_rank rank, struct conf_layer *ret)
{
	const char *path;
	int more;

	for (unsigned n = 0; (more = layer_path(source->sources, rank, n, source->scratch, &path)) > 0; n++) {
		bool secures = source->secures;
		int r;

		if (!is_candidate(source->sources, rank, n))
			continue;
		r = read_file(source, path, NULL, NULL, ret);
		if (r == 0 || ret->file || !is_optional(source->sources, rank, r))
			return r;
		source->secures = secures;
	}
	return more < 0 ? fail_memory(source, "configuration") : 0;
}

static int read_option(struct source *source, const char *option, struct conf_layer *ret)
{
	const char *label = arena_printf(source->scratch, "-o %s", option);
	struct load_source text = {.file = "-o", .label = label, .dir = ""};
	int r = label ? option_text(source->scratch, option, &text.text) : -ENOMEM;

	if (r == -ENOMEM)
		return fail_memory(source, "-o");
	if (r < 0)
		return conf_fail(source->error, EINVAL, &(struct origin){label, 0}, "expected KEY=VALUE");
	text.len = strlen(text.text);
	r = load_text(&text, source->arena, source->scratch, ret, source->error);
	return r < 0 ? r : read_includes(source, &(struct opened){0}, ret);
}

/* Later options override earlier ones, so the last one begins. */
static int read_options(struct source *source, struct conf_layer *ret)
{
	const char *const *options = source->sources->options;
	unsigned n = 0;

	while (options && options[n])
		n++;
	while (n-- > 0) {
		struct conf_layer *one = arena_alloc(source->arena, sizeof(*one));
		int r = one ? read_option(source, options[n], one) : fail_memory(source, "-o");

		if (r == 0 && layer_add(source->arena, ret, one) < 0)
			r = fail_memory(source, "-o");
		if (r < 0)
			return r;
		ret->file = "-o";
	}
	return 0;
}

static bool text_secures(const char *text)
{
	struct conf_file file = {.text = (char *)text, .len = strlen(text)};

	return file_mentions(&file, SECURITY_WORD) || file_mentions(&file, "include");
}

static bool file_secures(struct source *source, enum layer_rank rank, const char *path)
{
	struct conf_file file;
	int r = file_read(source->scratch, path, &file);

	if (!file.text)
		return !is_optional(source->sources, rank, r);
	return file_mentions(&file, SECURITY_WORD) || file_mentions(&file, "include");
}

/* May a source not read, or not to the end, hold a security rule?  An include may. */
static bool rest_secures(struct source *source, enum layer_rank from)
{
	const char *const *option = source->sources->options;
	const char *path;

	for (unsigned rank = from; rank < LAYER_OPTIONS; rank++) {
		int more;

		for (unsigned n = 0;
		     (more = layer_path(source->sources, rank, n, source->scratch, &path)) > 0; n++)
			if (is_candidate(source->sources, rank, n) && file_secures(source, rank, path))
				return true;
		if (more < 0)
			return true;
	}
	for (; option && *option; option++)
		if (text_secures(*option))
			return true;
	return false;
}

int source_read(const struct conf_sources *sources, struct arena *arena, struct conf_layer layer[LAYERS_N],
		struct conf_error *error)
{
	struct arena scratch = {0};
	struct source source = {sources, arena, &scratch, error, 0, false};
	unsigned rank = 0;
	int r = 0;

	for (; rank < LAYERS_N && r == 0; rank++)
		r = rank == LAYER_OPTIONS ? read_options(&source, &layer[rank])
					  : read_layer(&source, rank, &layer[rank]);
	if (r < 0)
		error->security |= source.secures || rest_secures(&source, rank - 1);
	arena_fini(&scratch);
	return r;
}
