/* The arena knows every page that the program has mapped; what lies in front of it in the range
 * (the rank's heap, which libmpi and weft_alloc() use) is readable and writable throughout.
 * Rejected: process_vm_readv() on the own process, which costs a system call for each word and is
 * forbidden in many containers. */
#include "cell/user.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const void *at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

static bool is_near(const struct weft__space_host *host, uint64_t address, uint64_t len_bytes)
{
    uint64_t begin = (uint64_t)(uintptr_t)host->region->base;
    uint64_t room = host->region->len_bytes;
    return address >= begin && address - begin <= room && len_bytes <= room - (address - begin);
}

bool weft__user_holds(const struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                      int prot)
{
    const struct weft__space *space = host->space;
    const struct weft__arena *arena = &space->arena;
    if (!is_near(host, address, len_bytes))
        return len_bytes == 0;
    uint64_t end = address + len_bytes;
    if (address < space->begin) {
        if (end <= space->begin)
            return true;
        address = space->begin;
    }
    const struct weft__arena_extent *extent = weft__arena_find(arena, address);
    for (; address < end; address = extent->end, extent++)
        if (!extent || extent >= arena->extents + arena->n || extent->begin > address ||
            ((int)extent->prot & prot) != prot)
            return false;
    return true;
}

bool weft__user_buffer(const struct weft__space_host *host, uint64_t address, uint64_t len_bytes)
{
    return len_bytes == 0 ||
           (is_near(host, address, len_bytes) && weft__user_holds(host, address, 1, PROT_NONE));
}

int weft__user_read(const struct weft__space_host *host, void *into, uint64_t address, size_t len)
{
    if (!weft__user_holds(host, address, len, PROT_READ))
        return -EFAULT;
    if (len)
        memcpy(into, at(address), len);
    return 0;
}

int weft__user_write(const struct weft__space_host *host, uint64_t address, const void *from,
                     size_t len)
{
    if (!weft__user_holds(host, address, len, PROT_WRITE))
        return -EFAULT;
    if (len)
        memcpy((void *)(uintptr_t)address, from, len);
    return 0;
}

int weft__user_text(const struct weft__space_host *host, char *into, uint64_t address, size_t room)
{
    for (size_t done = 0; done < room;) {
        size_t len = WEFT__ARENA_PAGE - address % WEFT__ARENA_PAGE;
        if (len > room - done)
            len = room - done;
        if (weft__user_read(host, into + done, address, len) != 0)
            return -EFAULT;
        if (memchr(into + done, 0, len))
            return 0;
        done += len;
        address += len;
    }
    return -ENAMETOOLONG;
}
