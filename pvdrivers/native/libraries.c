#include "pvdrivers/native/libraries.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- A logger that says nothing (struct xentoollog_logger of libxentoollog's ABI) -------------
 */

static void discard_message(struct xentoollog_logger *logger, int level, int error,
                            const char *context, const char *format, va_list arguments)
{
    (void)logger, (void)level, (void)error, (void)context, (void)format, (void)arguments;
}

static void discard_progress(struct xentoollog_logger *logger, const char *context,
                             const char *what, int percent, unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)what, (void)percent, (void)done, (void)total;
}

static void keep(struct xentoollog_logger *logger)
{
    (void)logger;
}

struct xentoollog_logger {
    void (*vmessage)(struct xentoollog_logger *, int, int, const char *, const char *, va_list);
    void (*progress)(struct xentoollog_logger *, const char *, const char *, int, unsigned long,
                     unsigned long);
    void (*destroy)(struct xentoollog_logger *);
};

struct xentoollog_logger native_quiet_logger = {discard_message, discard_progress, keep};

/* ---- Loading ----------------------------------------------------------------------------------
 */

static const char *const sonames[NATIVE_LIBRARIES] = {
    "libxenevtchn.so.1",
    "libxengnttab.so.1",
    "libxenforeignmemory.so.1",
};

#define SYMBOL(library, name) {library, #name, offsetof(struct native_libraries, name)}

static const struct {
    int library;
    const char *name;
    size_t offset;
} symbols[] = {
    SYMBOL(0, xenevtchn_open),
    SYMBOL(0, xenevtchn_close),
    SYMBOL(0, xenevtchn_fd),
    SYMBOL(0, xenevtchn_notify),
    SYMBOL(0, xenevtchn_bind_unbound_port),
    SYMBOL(0, xenevtchn_bind_interdomain),
    SYMBOL(0, xenevtchn_bind_virq),
    SYMBOL(0, xenevtchn_unbind),
    SYMBOL(0, xenevtchn_pending),
    SYMBOL(0, xenevtchn_unmask),
    SYMBOL(1, xengnttab_open),
    SYMBOL(1, xengnttab_close),
    SYMBOL(1, xengnttab_map_grant_refs),
    SYMBOL(1, xengnttab_map_domain_grant_refs),
    SYMBOL(1, xengnttab_unmap),
    SYMBOL(1, xengnttab_grant_copy),
    SYMBOL(1, xengntshr_open),
    SYMBOL(1, xengntshr_close),
    SYMBOL(1, xengntshr_share_pages),
    SYMBOL(2, xenforeignmemory_open),
    SYMBOL(2, xenforeignmemory_close),
    SYMBOL(2, xenforeignmemory_map),
    SYMBOL(2, xenforeignmemory_unmap),
};

static void *open_library(const char *folder, const char *soname)
{
    char path[4096];
    int length = folder ? snprintf(path, sizeof path, "%s/%s", folder, soname)
                        : snprintf(path, sizeof path, "%s", soname);
    return length < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

int native_load(struct native_libraries *libraries, const char *folder, char *problem,
                size_t problem_size)
{
    *libraries = (struct native_libraries){0};
    for (int i = 0; i < NATIVE_LIBRARIES; i++) {
        libraries->opened[i] = open_library(folder, sonames[i]);
        if (!libraries->opened[i]) {
            const char *why = dlerror();
            snprintf(problem, problem_size, "%s", why ? why : "the folder's name is too long");
            native_unload(libraries);
            return -ENOENT;
        }
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *function = dlsym(libraries->opened[symbols[i].library], symbols[i].name);
        if (!function) {
            snprintf(problem, problem_size, "%s has no function %s", sonames[symbols[i].library],
                     symbols[i].name);
            native_unload(libraries);
            return -ENOENT;
        }
        /* ISO C does not convert an object pointer to a function pointer; POSIX does. */
        memcpy((char *)libraries + symbols[i].offset, &function, sizeof function);
    }
    return 0;
}

void native_unload(struct native_libraries *libraries)
{
    for (int i = 0; i < NATIVE_LIBRARIES; i++)
        if (libraries->opened[i])
            dlclose(libraries->opened[i]);
    *libraries = (struct native_libraries){0};
}
