/* Loading of the TLS module. */
#include "core/secure.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/host.h"

#define MODULE_NAME "libtaps-tls.so"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct secure_module *module;

/* Beside the core, in the same manner as the shim opens the core. */
static const struct secure_module *open_module(char reason[SECURE_REASON_MAX])
{
	bool sanitized = dlsym(RTLD_DEFAULT, "__asan_init") != NULL;
	const struct secure_module *(*tls_open)(const struct taps_host *);
	const char *slash, *why;
	char path[PATH_MAX];
	Dl_info self;
	void *handle;

	if (!dladdr((void *)open_module, &self))
		return NULL;
	slash = strrchr(self.dli_fname, '/');
	snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - self.dli_fname + 1) : 0, self.dli_fname,
		 MODULE_NAME);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | (sanitized ? 0 : RTLD_DEEPBIND));
	tls_open = handle ? (const struct secure_module *(*)(const struct taps_host *))dlsym(handle,
											     "taps_tls_open")
			  : NULL;
	if (!tls_open) {
		why = dlerror();
		snprintf(reason, SECURE_REASON_MAX, "TLS cannot be loaded: %.200s", why ? why : MODULE_NAME);
		return NULL;
	}
	return tls_open(taps_host);
}

static const struct secure_module *get_module(char reason[SECURE_REASON_MAX])
{
	snprintf(reason, SECURE_REASON_MAX, "TLS cannot be loaded");
	pthread_mutex_lock(&lock);
	if (!module)
		module = open_module(reason);
	pthread_mutex_unlock(&lock);
	return module && module->version == SECURE_VERSION ? module : NULL;
}

struct layer *secure_layer(const struct security *security, enum secure_role role,
			   const struct secure_peer *peer, struct layer *below,
			   char reason[SECURE_REASON_MAX])
{
	const struct secure_module *m = get_module(reason);
	struct secure_context *context = m ? m->context(security, role, reason) : NULL;

	return context ? m->layer(context, peer, below, reason) : NULL;
}

bool secure_check(const struct security *security, enum secure_role role, char reason[SECURE_REASON_MAX])
{
	const struct secure_module *m = get_module(reason);

	return m && m->context(security, role, reason);
}

void secure_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	if (module)
		module->fork_prepare();
}

void secure_fork_parent(void)
{
	if (module)
		module->fork_parent();
	pthread_mutex_unlock(&lock);
}

void secure_fork_child(bool ours)
{
	if (module)
		module->fork_child(ours);
	pthread_mutex_unlock(&lock);
}
