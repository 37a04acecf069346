/* Memory calls of a program, carried out on its range.
 *
 * The range is one mapping of a sparse file, readable and writable everywhere: memory that the
 * program maps is there already, and costs nothing until it is touched. So most calls only keep the
 * books. Memory that is given back is punched out of the file: it is zeros when it is mapped again,
 * and is not moved. Protections are set where they differ from the range's.
 *
 * Object files are mapped as far as they are not to be written: dynamic linkers map a whole library
 * so, then put its data on top, which are copied as the bytes of all other files are. Pages of an
 * object that are to be written after all become the range's own.
 *
 * Refused: shared mappings, which would tie the rank to its host, and memory that is both writable
 * and executable code of its own (just-in-time compilers), as PROT_EXEC on the range's pages.
 */
#include "cell/space.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "cell/clock.h"
#include "cell/wait.h"
#include "weft/error.h"

#define MAGIC UINT64_C(0x3263617073666577)
#define EXTENTS 4096u
#define PAGE ((uint64_t)WEFT__ARENA_PAGE)
#define PROTECTIONS ((uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
#define RW ((uint32_t)(PROT_READ | PROT_WRITE))

static uint64_t pages(uint64_t len_bytes)
{
    return (len_bytes + PAGE - 1) & ~(PAGE - 1);
}

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static int64_t code_of(int err)
{
    return err == WEFT_EEXIST ? -EEXIST : err == WEFT_ENOMEM ? -ENOMEM : err ? -EINVAL : 0;
}

/* ---- memory ---- */

/* Makes the pages the range's own again: zeros, readable and writable. */
static int64_t clear(const struct weft__space_host *host, uint64_t begin, uint64_t end)
{
    const struct weft_region *region = host->region;
    const struct weft__arena_extent *extent = weft__arena_find(&host->space->arena, begin);
    for (; extent && extent->begin < end &&
           extent < host->space->arena.extents + host->space->arena.n;
         extent++) {
        uint64_t from = extent->begin > begin ? extent->begin : begin;
        uint64_t len = (extent->end < end ? extent->end : end) - from;
        uint64_t offset = from - (uint64_t)(uintptr_t)region->base;
        if (extent->source && mmap(at(from), len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                   region->fd, (off_t)offset) == MAP_FAILED)
            return -errno;
        if (extent->prot != RW && !extent->source &&
            mprotect(at(from), len, PROT_READ | PROT_WRITE) != 0)
            return -errno;
        if (!extent->source && weft__region_punch(region, offset, len) != WEFT_OK)
            return -EIO;
    }
    return 0;
}

/* The descriptor that extents of this source are mapped from. */
static int file_of(const struct weft__space_host *host, uint32_t source)
{
    const struct weft__object *object =
        source > WEFT__SPACE_PROGRAM ? host->objects[source - WEFT__SPACE_PROGRAM - 1] : NULL;
    return source == WEFT__SPACE_PROGRAM ? host->program : object ? object->fd : -1;
}

/* Gives pages of the range what their extent says. */
static int64_t dress(const struct weft__space_host *host, const struct weft__arena_extent *extent)
{
    uint64_t len = extent->end - extent->begin;
    if (extent->source) {
        void *got = mmap(at(extent->begin), len, (int)extent->prot, MAP_PRIVATE | MAP_FIXED,
                         file_of(host, extent->source), (off_t)extent->offset);
        return got == MAP_FAILED ? -errno : 0;
    }
    if (extent->prot != RW && mprotect(at(extent->begin), len, (int)extent->prot) != 0)
        return -errno;
    return 0;
}

/* Maps and dresses; what was there goes, but not for a call that is refused. */
static int64_t place(struct weft__space_host *host, const struct weft__arena_map *what)
{
    uint64_t address = 0, len = pages(what->len_bytes);
    struct weft__arena *arena = &host->space->arena;
    if (what->fixed && !what->careful && what->address >= arena->begin &&
        what->address < arena->end && len <= arena->end - what->address &&
        what->address % PAGE == 0 && weft__arena_has_room(arena)) {
        int64_t rc = clear(host, what->address, what->address + len);
        if (rc)
            return rc;
    }
    int err = weft__arena_map(arena, what, &address);
    if (err)
        return code_of(err);
    const struct weft__arena_extent extent = {.begin = address,
                                              .end = address + len,
                                              .prot = what->prot,
                                              .source = what->source,
                                              .offset = what->offset};
    int64_t rc = dress(host, &extent);
    if (rc) {
        (void)weft__arena_unmap(arena, address, len);
        return rc;
    }
    return (int64_t)address;
}

/* ---- the image ---- */

/* A file that is loaded, and where. */
struct image {
    const struct weft__elf *elf;
    uint32_t source;
    uint64_t origin;
};

static int read_at(int fd, void *into, uint64_t len_bytes, uint64_t offset)
{
    unsigned char *to = into;
    while (len_bytes > 0) {
        ssize_t n = pread(fd, to, len_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return weft_fail(n < 0 ? -errno : WEFT_EIO, "cannot read the program: %s",
                             n < 0 ? strerrordesc_np(errno) : "it became shorter");
        to += n;
        offset += (uint64_t)n;
        len_bytes -= (uint64_t)n;
    }
    return WEFT_OK;
}

/* Code and constants are mapped from the file; data are copied. */
static int load_segment(struct weft__space_host *host, const struct image *image,
                        const struct weft__elf_segment *segment)
{
    uint64_t address = image->origin + segment->address;
    uint64_t begin = address & ~(PAGE - 1), end = pages(address + segment->mem_bytes);
    bool writable = segment->prot & PROT_WRITE;
    if (!writable && segment->mem_bytes > segment->file_bytes)
        return weft_fail(WEFT_ENOEXEC, "the program has constants that are not in its file");
    const struct weft__arena_map map = {.address = begin,
                                        .len_bytes = end - begin,
                                        .fixed = true,
                                        .careful = true,
                                        .prot = (uint32_t)segment->prot,
                                        .source = writable ? 0 : image->source,
                                        .offset = segment->offset & ~(PAGE - 1)};
    int64_t rc = place(host, &map);
    if (rc < 0)
        return weft_fail((int)rc, "cannot map the program: %s", strerrordesc_np((int)-rc));
    return writable ? read_at(file_of(host, image->source), at(address), segment->file_bytes,
                              segment->offset)
                    : WEFT_OK;
}

static int load(struct weft__space_host *host, const struct image *image)
{
    int err = WEFT_OK;
    for (unsigned i = 0; !err && i < image->elf->segments_n; i++)
        err = load_segment(host, image, &image->elf->segments[i]);
    return err;
}

static int64_t place_own(struct weft__space_host *host, uint64_t begin, uint64_t end, uint32_t prot)
{
    return place(host, &(struct weft__arena_map){.address = begin,
                                                 .len_bytes = end - begin,
                                                 .fixed = true,
                                                 .careful = true,
                                                 .prot = prot});
}

/* The last page in front of the break is code of the runtime's, the same for all but for the
 * address of the clock: vdso.S and wait.S. */
static int place_code(struct weft__space_host *host, uint64_t clock)
{
    struct weft__space *space = host->space;
    const uint64_t vdso_len = (uint64_t)(weft__vdso_end - weft__vdso);
    const uint64_t code_len = (uint64_t)(weft__wait_code_end - weft__wait_code);
    space->vdso = space->break_begin - PAGE;
    space->code = (space->vdso + vdso_len + 63) & ~UINT64_C(63);
    weft__check(space->code + code_len <= space->break_begin);
    if (place_own(host, space->vdso, space->break_begin, RW) < 0)
        return weft_fail(WEFT_ENOMEM, "cannot lay out the memory of a rank");
    memcpy(at(space->vdso), weft__vdso, vdso_len);
    memcpy(at(space->vdso + (uint64_t)(weft__vdso_clock - weft__vdso)), &clock, sizeof(clock));
    memcpy(at(space->code), weft__wait_code, code_len);
    int err = weft__arena_protect(&host->space->arena, space->vdso, PAGE, PROT_READ | PROT_EXEC);
    if (!err && mprotect(at(space->vdso), PAGE, PROT_READ | PROT_EXEC) != 0)
        err = weft_fail(-errno, "cannot make a page of a rank executable: %s",
                        strerrordesc_np(errno));
    return err;
}

static uint64_t span(const struct weft__elf *elf)
{
    return elf->end - elf->begin;
}

/* It lies behind the program, and is an object like the libraries that it will map itself. */
static int open_linker(struct weft__space_host *host, const char *path)
{
    struct weft__object *linker;
    int err = weft__object_open(path, &linker);
    if (err)
        return weft_fail(err, "cannot load the program's dynamic linker %s: %s", path,
                         err == WEFT_ENOENT ? "it is not on this host" : weft_fail_text(err));
    host->objects[0] = linker;
    if (linker->elf.fixed || linker->elf.writes_text || !linker->elf.entry)
        return weft_fail(WEFT_ENOEXEC, "%s is no dynamic linker", path);
    return WEFT_OK;
}

static int load_linker(struct weft__space_host *host)
{
    const struct weft__object *linker = host->objects[0];
    struct weft__space *space = host->space;
    const struct image image = {.elf = &linker->elf,
                                .source = WEFT__SPACE_PROGRAM + 1,
                                .origin = space->linker - linker->elf.begin};
    space->entry = image.origin + linker->elf.entry;
    weft__object_describe(linker, &space->objects[0]);
    return load(host, &image);
}

/* Fills in the space for an image of so many bytes, without and with its dynamic linker. */
static int lay_out(struct weft__space_host *host, const struct weft__space_desc *desc,
                   const struct weft__elf *elf)
{
    const struct weft__object *linker = host->objects[0];
    uint64_t names = desc->begin + pages(sizeof(struct weft__space));
    uint64_t table = names + pages(WEFT__SPACE_OBJECTS * sizeof(struct weft__object_name));
    uint64_t image =
        table + pages(EXTENTS * sizeof(struct weft__arena_extent)) + pages(desc->colour);
    uint64_t behind = image + span(elf) + WEFT__SPACE_GUARD;
    uint64_t image_end = behind + (linker ? span(&linker->elf) + WEFT__SPACE_GUARD : 0);
    uint64_t stack = pages(desc->stack_bytes), least = 1 << 20;
    if (desc->end < image_end || desc->end - image_end < stack + 2 * least)
        return weft_fail(WEFT_ENOMEM, "the rank's memory is too small for its program and stack; "
                                      "raise --rank-memory");
    struct weft__space *space = at(desc->begin);
    *space = (struct weft__space){.magic = MAGIC,
                                  .begin = desc->begin,
                                  .end = desc->end,
                                  .origin = image - elf->begin,
                                  .linker = linker ? behind : 0,
                                  .entry = image - elf->begin + elf->entry,
                                  .break_begin = image_end,
                                  .stack_end = desc->end,
                                  .objects = at(names)};
    space->stack_begin = space->stack_end - stack;
    space->break_now = space->break_begin;
    space->break_end =
        space->break_begin + (((space->stack_begin - space->break_begin) / 2) & ~(PAGE - 1));
    weft__arena_init(&space->arena, image, desc->end, at(table), EXTENTS);
    space->arena.floor = space->break_end;
    host->space = space;
    return WEFT_OK;
}

int weft__space_init(struct weft__space_host *host, const struct weft__space_desc *desc,
                     const struct weft__elf *elf)
{
    int err = desc->linker ? open_linker(host, desc->linker) : WEFT_OK;
    if (!err)
        err = lay_out(host, desc, elf);
    if (err)
        return err;
    const struct weft__space *space = host->space;
    err = load(host, &(struct image){elf, WEFT__SPACE_PROGRAM, space->origin});
    if (!err && desc->linker)
        err = load_linker(host);
    if (!err && (place_own(host, space->stack_begin - WEFT__SPACE_GUARD, space->stack_begin,
                           PROT_NONE) < 0 ||
                 place_own(host, space->stack_begin, space->stack_end, RW) < 0 ||
                 place_own(host, space->break_begin - WEFT__SPACE_GUARD, space->break_begin - PAGE,
                           PROT_NONE) < 0))
        err = weft_fail(WEFT_ENOMEM, "cannot lay out the memory of a rank");
    return err ? err : place_code(host, desc->clock);
}

/* ---- arrival ---- */

static bool is_sound(uint64_t begin, uint64_t end)
{
    const struct weft__space *space = at(begin);
    uint64_t names = begin + pages(sizeof(*space));
    uint64_t table = names + pages(WEFT__SPACE_OBJECTS * sizeof(*space->objects));
    const struct weft__arena *arena = &space->arena;
    bool sound = table < end && space->magic == MAGIC && space->begin == begin &&
                 space->end == end && (uintptr_t)space->objects == names &&
                 (uintptr_t)arena->extents == table && arena->max == EXTENTS && arena->end == end &&
                 arena->begin >= table + EXTENTS * sizeof(*arena->extents) &&
                 weft__arena_is_sound(arena);
    for (uint32_t i = 0; sound && i < arena->n; i++)
        sound = arena->extents[i].source <= WEFT__SPACE_PROGRAM + WEFT__SPACE_OBJECTS;
    return sound;
}

void weft__space_fini(struct weft__space_host *host)
{
    for (unsigned i = 0; i < WEFT__SPACE_OBJECTS; i++) {
        weft__object_put(host->objects[i]);
        host->objects[i] = NULL;
    }
}

int weft__space_arrive(struct weft__space_host *host, uint64_t begin, uint64_t end)
{
    int err = WEFT_OK;
    weft__space_fini(host);
    if (!is_sound(begin, end))
        return weft_fail(WEFT_EPROTO, "the program that has arrived has a damaged address space");
    const struct weft__space *space = at(begin);
    for (uint32_t i = 0; !err && i < space->arena.n; i++) {
        uint32_t source = space->arena.extents[i].source;
        if (source <= WEFT__SPACE_PROGRAM)
            continue;
        uint32_t object = source - WEFT__SPACE_PROGRAM - 1;
        if (!host->objects[object])
            err = weft__object_find(&space->objects[object], &host->objects[object]);
    }
    if (err)
        weft__space_fini(host);
    return err;
}

int weft__space_restore(struct weft__space_host *host, uint64_t begin, uint64_t end)
{
    if (!is_sound(begin, end))
        return weft_fail(WEFT_EPROTO, "the program that has arrived has a damaged address space");
    host->space = at(begin);
    const struct weft__arena *arena = &host->space->arena;
    for (uint32_t i = 0; i < arena->n; i++) {
        int64_t rc = dress(host, &arena->extents[i]);
        if (rc)
            return weft_fail((int)rc, "cannot map the program that has arrived: %s",
                             strerrordesc_np((int)-rc));
    }
    return WEFT_OK;
}

/* Pages of objects are not among what moves. */
int weft__space_reveal(const struct weft__space_host *host, bool all)
{
    const struct weft__arena *arena = host->space ? &host->space->arena : NULL;
    for (uint32_t i = 0; arena && i < arena->n; i++) {
        const struct weft__arena_extent *extent = &arena->extents[i];
        if (extent->source || extent->prot & PROT_READ)
            continue;
        if (mprotect(at(extent->begin), extent->end - extent->begin,
                     (int)extent->prot | (all ? PROT_READ : 0)) != 0)
            return weft_fail(-errno, "cannot %s memory that the program has protected: %s",
                             all ? "read" : "close", strerrordesc_np(errno));
    }
    return WEFT_OK;
}

bool weft__space_holds(const struct weft__space_host *host, uint64_t begin, uint64_t end)
{
    const struct weft__arena_extent *extent = weft__arena_find(&host->space->arena, begin);
    return extent && extent->begin <= begin && end <= extent->end && !extent->source &&
           (extent->prot & RW) == RW;
}

/* ---- calls ---- */

int64_t weft__space_brk(struct weft__space_host *host, uint64_t address)
{
    struct weft__space *space = host->space;
    if (address < space->break_begin || address > space->break_end)
        return (int64_t)space->break_now;
    uint64_t had = pages(space->break_now), wanted = pages(address);
    int64_t rc = 0;
    if (wanted > had)
        rc = place_own(host, had, wanted, RW);
    else if (wanted < had)
        rc = weft__space_munmap(host, wanted, had - wanted);
    if (rc >= 0)
        space->break_now = address;
    return (int64_t)space->break_now;
}

/* Bytes of a file become memory of the rank's own: it sees the file as it is now. */
static int64_t read_file(uint64_t address, const uint64_t args[6])
{
    uint64_t done = 0;
    while (done < args[1]) {
        ssize_t n =
            pread((int)args[4], at(address + done), args[1] - done, (off_t)(args[5] + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (uint64_t)n;
    }
    return (int64_t)address;
}

/* ---- objects ---- */

static bool is_used(const struct weft__arena *arena, uint32_t source)
{
    for (uint32_t i = 0; i < arena->n; i++)
        if (arena->extents[i].source == source)
            return true;
    return false;
}

/* A place for one more object: free, or of one that is not mapped any more. */
static unsigned free_object(struct weft__space_host *host)
{
    unsigned i = 0;
    while (i < WEFT__SPACE_OBJECTS && host->objects[i] &&
           is_used(&host->space->arena, WEFT__SPACE_PROGRAM + 1 + i))
        i++;
    if (i < WEFT__SPACE_OBJECTS) {
        weft__object_put(host->objects[i]);
        host->objects[i] = NULL;
    }
    return i;
}

/* The source for a file; 0: its bytes are to be copied, since it is no object, or one too many. */
static uint32_t source_of(struct weft__space_host *host, int fd)
{
    struct weft__object *object;
    if (weft__object_get(fd, &object) != WEFT_OK)
        return 0;
    unsigned i = 0;
    while (i < WEFT__SPACE_OBJECTS && host->objects[i] != object)
        i++;
    if (i < WEFT__SPACE_OBJECTS) {
        weft__object_put(object); /* it has a use already */
        return WEFT__SPACE_PROGRAM + 1 + i;
    }
    i = free_object(host);
    if (i == WEFT__SPACE_OBJECTS) {
        weft__object_put(object);
        return 0;
    }
    host->objects[i] = object;
    weft__object_describe(object, &host->space->objects[i]);
    return WEFT__SPACE_PROGRAM + 1 + i;
}

/* Maps what there is of the object; pages behind its end are the rank's own. */
static int64_t map_object(struct weft__space_host *host, uint32_t source,
                          struct weft__arena_map *map, uint64_t offset)
{
    const struct weft__object *object = host->objects[source - WEFT__SPACE_PROGRAM - 1];
    uint64_t len = pages(map->len_bytes), end = pages(object->size);
    struct weft__arena_map part = *map;
    part.len_bytes = offset < end ? end - offset : 0;
    part.source = source;
    part.offset = offset;
    if (offset % PAGE)
        return -EINVAL;
    if (part.len_bytes >= len) {
        part.len_bytes = len;
        return place(host, &part);
    }
    map->prot &= ~(uint32_t)PROT_EXEC;
    int64_t address = place(host, map);
    if (address < 0 || part.len_bytes == 0)
        return address;
    part.address = (uint64_t)address;
    part.fixed = true;
    part.careful = false;
    int64_t rc = place(host, &part);
    if (rc < 0)
        (void)weft__space_munmap(host, (uint64_t)address, len);
    return rc < 0 ? rc : address;
}

/* Copies the bytes of any other file, or of an object that is written. */
static int64_t map_bytes(struct weft__space_host *host, struct weft__arena_map *map,
                         const uint64_t args[6])
{
    uint32_t prot = map->prot;
    map->prot = RW;
    int64_t address = place(host, map);
    if (address < 0)
        return address;
    int64_t rc = read_file((uint64_t)address, args);
    if (rc >= 0 && prot != RW)
        rc = weft__space_mprotect(host, (uint64_t)address, args[1], (int)prot);
    if (rc < 0)
        (void)weft__space_munmap(host, (uint64_t)address, args[1]);
    return rc < 0 ? rc : address;
}

int64_t weft__space_mmap(struct weft__space_host *host, const uint64_t args[6])
{
    int flags = (int)args[3];
    uint32_t prot = (uint32_t)args[2], source = 0;
    bool file = !(flags & MAP_ANONYMOUS);
    if ((flags & MAP_TYPE) != MAP_PRIVATE)
        return -ENODEV;
    if (prot & ~PROTECTIONS)
        return -EACCES;
    if (file && !(prot & PROT_WRITE))
        source = source_of(host, (int)args[4]);
    if (prot & PROT_EXEC && !source)
        return -EACCES;
    struct weft__arena_map map = {.address = args[0],
                                  .len_bytes = args[1],
                                  .fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE),
                                  .careful = flags & MAP_FIXED_NOREPLACE,
                                  .prot = prot};
    if (!map.fixed)
        map.address = 0; /* a wish of a process, not of a rank */
    if (source)
        return map_object(host, source, &map, args[5]);
    return file ? map_bytes(host, &map, args) : place(host, &map);
}

int64_t weft__space_munmap(struct weft__space_host *host, uint64_t address, uint64_t len_bytes)
{
    struct weft__arena *arena = &host->space->arena;
    uint64_t len = pages(len_bytes);
    if (address % PAGE || len == 0 || address < arena->begin || address > arena->end ||
        len > arena->end - address)
        return -EINVAL;
    if (!weft__arena_has_room(arena))
        return -ENOMEM;
    int64_t rc = clear(host, address, address + len);
    return rc ? rc : code_of(weft__arena_unmap(arena, address, len));
}

/* Pages of objects become the range's own, with the same bytes. */
static int64_t make_own(struct weft__space_host *host, uint64_t begin, uint64_t end)
{
    struct weft__arena *arena = &host->space->arena;
    for (uint64_t from = begin; from < end;) {
        const struct weft__arena_extent *extent = weft__arena_find(arena, from);
        if (!extent || extent >= arena->extents + arena->n || extent->begin >= end)
            break;
        if (extent->begin > from)
            from = extent->begin;
        uint64_t to = extent->end < end ? extent->end : end;
        if (extent->source) {
            const uint64_t args[6] = {from,
                                      to - from,
                                      RW,
                                      0,
                                      (uint64_t)file_of(host, extent->source),
                                      extent->offset + (from - extent->begin)};
            struct weft__arena_map map = {
                .address = from, .len_bytes = to - from, .fixed = true, .prot = RW};
            int64_t rc = map_bytes(host, &map, args);
            if (rc < 0)
                return rc;
        }
        from = to;
    }
    return 0;
}

int64_t weft__space_mprotect(struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                             int prot)
{
    struct weft__arena *arena = &host->space->arena;
    if (len_bytes == 0)
        return 0;
    if ((uint32_t)prot & ~PROTECTIONS)
        return -EINVAL;
    uint64_t end = address + pages(len_bytes);
    const struct weft__arena_extent *extent = weft__arena_find(arena, address);
    for (; extent && extent < arena->extents + arena->n && extent->begin < end; extent++)
        if (prot & PROT_EXEC && (!extent->source || prot & PROT_WRITE))
            return -EACCES;
    if (address % PAGE == 0 && prot & PROT_WRITE) {
        int64_t rc = make_own(host, address, end);
        if (rc < 0)
            return rc;
    }
    int err = weft__arena_protect(arena, address, len_bytes, (uint32_t)prot);
    if (err)
        return code_of(err);
    return mprotect(at(address), pages(len_bytes), prot) == 0 ? 0 : -errno;
}

/* Grows and shrinks by moving bytes where it must: the pages are of a file, which mremap() of the
 * kernel would not move within. */
int64_t weft__space_mremap(struct weft__space_host *host, const uint64_t args[6])
{
    uint64_t address = args[0], had = pages(args[1]), wanted = pages(args[2]);
    const struct weft__arena_extent *extent = weft__arena_find(&host->space->arena, address);
    if (args[3] & ~(uint64_t)MREMAP_MAYMOVE || wanted == 0 || had == 0 || address % PAGE)
        return -EINVAL;
    if (!extent || extent->begin > address || extent->end - address < had || extent->source)
        return -EFAULT;
    uint32_t prot = extent->prot;
    if (wanted <= had)
        return wanted == had                                                  ? (int64_t)address
               : weft__space_munmap(host, address + wanted, had - wanted) < 0 ? -ENOMEM
                                                                              : (int64_t)address;
    if (place_own(host, address + had, address + wanted, prot) >= 0)
        return (int64_t)address;
    if (!(args[3] & MREMAP_MAYMOVE))
        return -ENOMEM;
    int64_t moved = place(host, &(struct weft__arena_map){.len_bytes = wanted, .prot = RW});
    if (moved < 0)
        return moved;
    if (prot & PROT_READ)
        memcpy(at((uint64_t)moved), at(address), had);
    (void)weft__space_munmap(host, address, had);
    if (prot != RW)
        (void)weft__space_mprotect(host, (uint64_t)moved, wanted, (int)prot);
    return moved;
}

int64_t weft__space_madvise(struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                            int advice)
{
    const struct weft__arena *arena = &host->space->arena;
    uint64_t end = address + pages(len_bytes);
    if (address % PAGE || end < address || address < arena->begin || end > arena->end)
        return -EINVAL;
    if (advice != MADV_DONTNEED && advice != MADV_FREE)
        return 0; /* advice may be ignored, but the promise of zeros may not */
    const struct weft__arena_extent *extent = weft__arena_find(arena, address);
    for (; extent && extent < arena->extents + arena->n && extent->begin < end; extent++) {
        uint64_t from = extent->begin > address ? extent->begin : address;
        uint64_t to = extent->end < end ? extent->end : end;
        uint64_t offset = from - (uint64_t)(uintptr_t)host->region->base;
        if (!extent->source && weft__region_punch(host->region, offset, to - from) != WEFT_OK)
            return -EIO;
    }
    return 0;
}

/* Where in its object a byte of a file lies when that is loaded. */
static uint64_t address_of(const struct weft__elf *elf, uint64_t offset)
{
    for (unsigned i = 0; i < elf->segments_n; i++) {
        const struct weft__elf_segment *segment = &elf->segments[i];
        if (offset >= (segment->offset & ~(PAGE - 1)) &&
            offset < pages(segment->offset + segment->file_bytes) && segment->prot & PROT_EXEC)
            return segment->address + offset - segment->offset;
    }
    return offset;
}

const char *weft__space_name(const struct weft__space_host *host, uint64_t address,
                             uint64_t *offset_out, int *fd_out)
{
    const struct weft__space *space = host->space;
    const struct weft__arena_extent *extent = weft__arena_find(&space->arena, address);
    if (!extent || extent->begin > address || !extent->source)
        return NULL;
    if (extent->source == WEFT__SPACE_PROGRAM) {
        *offset_out = address - space->origin;
        *fd_out = host->program;
        return "program";
    }
    const struct weft__object *object = host->objects[extent->source - WEFT__SPACE_PROGRAM - 1];
    if (!object)
        return NULL;
    *offset_out = address_of(&object->elf, extent->offset + (address - extent->begin));
    *fd_out = object->fd;
    return strrchr(object->path, '/') + 1;
}
