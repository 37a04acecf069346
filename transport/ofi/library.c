/* libfabric, loaded when the first endpoint is opened.
 *
 * Linking it would run the constructors of all that it depends on before main, in every process:
 * Debian's psm libraries spend 200 ms there measuring a clock, which is more than a whole host
 * needs to start and stop. So the program is linked without it, and the few functions that are not
 * inline in its headers are defined here and handed on; everything else goes through the tables
 * that these return. They are hidden, so that libfabric keeps finding its own. It is never
 * unloaded.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "transport/ofi/impl.h"
#include "weft/error.h"

#define LIBRARY "libfabric.so.1"

static struct {
    pthread_once_t once;
    char why[256]; /* it could not be loaded; "": it is */
    __typeof__(&fi_getinfo) getinfo;
    __typeof__(&fi_freeinfo) freeinfo;
    __typeof__(&fi_dupinfo) dupinfo;
    __typeof__(&fi_fabric) fabric;
    __typeof__(&fi_strerror) strerror;
} library = {.once = PTHREAD_ONCE_INIT};

static void note_failure(void)
{
    const char *text = dlerror();
    snprintf(library.why, sizeof(library.why), "%s", text ? text : "no reason given");
}

/* function_out: where a pointer to a function lies; ISO C knows no conversion to one. */
static void find(void *handle, const char *name, void *function_out)
{
    void *address = dlsym(handle, name);
    if (!address)
        note_failure();
    memcpy(function_out, &address, sizeof(address));
}

static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        note_failure();
        return;
    }
    find(handle, "fi_getinfo", &library.getinfo);
    find(handle, "fi_freeinfo", &library.freeinfo);
    find(handle, "fi_dupinfo", &library.dupinfo);
    find(handle, "fi_fabric", &library.fabric);
    find(handle, "fi_strerror", &library.strerror);
}

int weft__ofi_library_load(void)
{
    pthread_once(&library.once, load);
    if (library.why[0])
        return weft_fail(WEFT_ENOTSUP, "libfabric cannot be loaded: %s; install libfabric1",
                         library.why);
    return WEFT_OK;
}

/* lint: libfabric's parameters */
int fi_getinfo(uint32_t version, const char *node, const char *service, uint64_t flags,
               const struct fi_info *hints, struct fi_info **info)
{
    return library.getinfo(version, node, service, flags, hints, info);
}

void fi_freeinfo(struct fi_info *info)
{
    library.freeinfo(info);
}

struct fi_info *fi_dupinfo(const struct fi_info *info)
{
    return library.dupinfo(info);
}

int fi_fabric(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context)
{
    return library.fabric(attr, fabric, context);
}

const char *fi_strerror(int errnum)
{
    return library.strerror(errnum);
}
