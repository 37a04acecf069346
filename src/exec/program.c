/* Programs: checking a shared object, loading a private copy of it per rank.
 *
 * dlopen() gives the same handle for the same path and for the same inode, so each rank's copy is a
 * memfd of its own, opened by /proc/self/fd/N, and N stays open as long as the object is loaded: a
 * path that is used again would silently give the old object. Where dlclose() leaves an object
 * behind, its descriptor stays open for ever for the same reason.
 *
 * What can be known from the file is checked before anything runs, so that people get a sentence
 * instead of the dynamic linker's words. Rejected: dlmopen (about a dozen namespaces, each with its
 * own libc).
 */
#include "exec/program.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "weft/error.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "program.c knows x86-64 and aarch64"
#endif

#define HOW_TO_LINK "link it with weftcc (or cc -shared -fPIC)"

/* The file in memory while it is checked. */
struct view {
    const char *path;
    const unsigned char *bytes;
    size_t len;
};

static const void *at(const struct view *view, uint64_t offset, uint64_t len)
{
    return offset <= view->len && len <= view->len - offset ? view->bytes + offset : NULL;
}

static int check_header(const struct view *view, const ElfW(Ehdr) * header)
{
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return weft_fail(WEFT_ENOEXEC, "%s is not an ELF shared object; " HOW_TO_LINK, view->path);
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != MACHINE)
        return weft_fail(WEFT_ENOEXEC, "%s is built for another machine (ELF machine %u)",
                         view->path, header->e_machine);
    if (header->e_type == ET_EXEC)
        return weft_fail(WEFT_ENOEXEC, "%s is an executable, not a shared object; " HOW_TO_LINK,
                         view->path);
    if (header->e_type != ET_DYN)
        return weft_fail(WEFT_ENOEXEC, "%s is not a shared object (ELF type %u); " HOW_TO_LINK,
                         view->path, header->e_type);
    return WEFT_OK;
}

/* Position-independent executables are shared objects by type, and only a flag tells them apart. */
static bool is_pie(const struct view *view, const ElfW(Phdr) * dynamic)
{
    for (uint64_t i = 0; i + sizeof(ElfW(Dyn)) <= dynamic->p_filesz; i += sizeof(ElfW(Dyn))) {
        const ElfW(Dyn) *entry = at(view, dynamic->p_offset + i, sizeof(*entry));
        if (!entry || entry->d_tag == DT_NULL)
            return false;
        if (entry->d_tag == DT_FLAGS_1)
            return entry->d_un.d_val & DF_1_PIE;
    }
    return false;
}

static void read_build_id(const struct view *view, const ElfW(Phdr) * note,
                          struct weft_program *program)
{
    uint64_t offset = note->p_offset, end = note->p_offset + note->p_filesz;
    while (offset + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *head = at(view, offset, sizeof(*head));
        if (!head)
            return;
        uint64_t name = offset + sizeof(*head);
        uint64_t desc = name + ((head->n_namesz + 3ull) & ~3ull);
        const unsigned char *text = at(view, name, 4);
        const unsigned char *id = at(view, desc, head->n_descsz);
        if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && text &&
            memcmp(text, "GNU", 4) == 0 && id && head->n_descsz > 0 &&
            head->n_descsz <= WEFT_BUILD_ID_MAX) {
            memcpy(program->build_id, id, head->n_descsz);
            program->build_id_len = head->n_descsz;
            return;
        }
        offset = desc + ((head->n_descsz + 3ull) & ~3ull);
    }
}

static int check_segments(const struct view *view, const ElfW(Ehdr) * header,
                          struct weft_program *program)
{
    const ElfW(Phdr) *dynamic = NULL;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        const ElfW(Phdr) *segment =
            at(view, header->e_phoff + (uint64_t)i * sizeof(ElfW(Phdr)), sizeof(*segment));
        if (!segment)
            return weft_fail(WEFT_ENOEXEC, "%s is cut short", view->path);
        if (segment->p_type == PT_LOAD && !at(view, segment->p_offset, segment->p_filesz))
            return weft_fail(WEFT_ENOEXEC, "%s is cut short", view->path);
        if (segment->p_type == PT_DYNAMIC)
            dynamic = segment;
        if (segment->p_type == PT_NOTE && !program->build_id_len)
            read_build_id(view, segment, program);
    }
    if (!dynamic)
        return weft_fail(WEFT_ENOEXEC, "%s is statically linked; " HOW_TO_LINK, view->path);
    if (is_pie(view, dynamic))
        return weft_fail(WEFT_ENOEXEC, "%s is an executable, not a shared object; " HOW_TO_LINK,
                         view->path);
    return WEFT_OK;
}

static bool exports_main(const struct view *view, const ElfW(Shdr) * symbols,
                         const ElfW(Shdr) * strings)
{
    for (uint64_t i = 0; i + sizeof(ElfW(Sym)) <= symbols->sh_size; i += sizeof(ElfW(Sym))) {
        const ElfW(Sym) *symbol = at(view, symbols->sh_offset + i, sizeof(*symbol));
        if (!symbol)
            return false;
        const char *name = symbol->st_name + 5ull <= strings->sh_size
                               ? at(view, strings->sh_offset + symbol->st_name, 5)
                               : NULL;
        if (name && symbol->st_shndx != SHN_UNDEF && memcmp(name, "main", 5) == 0)
            return true;
    }
    return false;
}

/* Where the section table was stripped away, loading will tell. */
static int check_main(const struct view *view, const ElfW(Ehdr) * header)
{
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *section =
            at(view, header->e_shoff + (uint64_t)i * sizeof(ElfW(Shdr)), sizeof(*section));
        if (!section || section->sh_type != SHT_DYNSYM)
            continue;
        const ElfW(Shdr) *strings =
            at(view, header->e_shoff + (uint64_t)section->sh_link * sizeof(ElfW(Shdr)),
               sizeof(*strings));
        if (strings && !exports_main(view, section, strings))
            return weft_fail(WEFT_ENOEXEC, "%s has no main, or hides it; " HOW_TO_LINK, view->path);
    }
    return WEFT_OK;
}

static int check(const struct view *view, struct weft_program *program)
{
    const ElfW(Ehdr) *header = at(view, 0, sizeof(*header));
    int err = check_header(view, header);
    if (!err)
        err = check_segments(view, header, program);
    if (!err)
        err = check_main(view, header);
    if (!err && !program->build_id_len) {
        XXH128_canonical_t sum;
        XXH128_canonicalFromHash(&sum, XXH3_128bits(view->bytes, view->len));
        memcpy(program->build_id, sum.digest, sizeof(sum.digest));
        program->build_id_len = sizeof(sum.digest);
    }
    return err;
}

static int check_file(const char *path, struct weft_program *program)
{
    struct stat status;
    if (fstat(program->fd, &status) < 0)
        return weft_fail(-errno, "cannot look at %s: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return weft_fail(WEFT_ENOEXEC, "%s is not an ELF shared object; " HOW_TO_LINK, path);
    program->len_bytes = (uint64_t)status.st_size;
    void *bytes = mmap(NULL, program->len_bytes, PROT_READ, MAP_PRIVATE, program->fd, 0);
    if (bytes == MAP_FAILED)
        return weft_fail(-errno, "cannot read %s: %s", path, strerrordesc_np(errno));
    int err = check(&(struct view){path, bytes, program->len_bytes}, program);
    munmap(bytes, program->len_bytes);
    return err;
}

int weft__program_open(const char *path, struct weft_program *program_out)
{
    struct weft_program program = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (program.fd < 0)
        return weft_fail(-errno, "cannot open the program %s: %s", path, strerrordesc_np(errno));
    int err = check_file(path, &program);
    if (!err && !(program.path = strdup(path)))
        err = weft_fail(WEFT_ENOMEM, "no memory to load %s", path);
    if (err) {
        close(program.fd);
        return err;
    }
    *program_out = program;
    return WEFT_OK;
}

void weft__program_close(struct weft_program *program)
{
    if (!program->path)
        return;
    close(program->fd);
    free(program->path);
    *program = (struct weft_program){0};
}

static int copy_file(const struct weft_program *program)
{
    int fd = memfd_create("weft-program", MFD_CLOEXEC);
    if (fd < 0)
        return weft_fail(-errno, "cannot make a copy of %s: %s", program->path,
                         strerrordesc_np(errno));
    off_t from = 0;
    while ((uint64_t)from < program->len_bytes) {
        ssize_t n = sendfile(fd, program->fd, &from, program->len_bytes - (uint64_t)from);
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        int err = n < 0 ? -errno : WEFT_ENOEXEC;
        weft_fail(err, "cannot copy %s: %s", program->path,
                  n < 0 ? strerrordesc_np(errno) : "it became shorter");
        close(fd);
        return err;
    }
    return fd;
}

/* Says what the dynamic linker said, of the program instead of the copy's path. */
static int load_error(const struct weft_program *program, const char *copy_path)
{
    const char *text = dlerror();
    size_t prefix = strlen(copy_path);
    if (text && strncmp(text, copy_path, prefix) == 0 && text[prefix] == ':')
        text += prefix + 1 + (text[prefix + 1] == ' ');
    return weft_fail(WEFT_ENOEXEC, "cannot load %s: %s", program->path,
                     text ? text : "no reason given");
}

struct text_search {
    const struct link_map *map;
    struct weft_program_copy *copy;
};

static int find_text(struct dl_phdr_info *info, size_t len, void *ctx)
{
    (void)len;
    struct text_search *search = ctx;
    if (info->dlpi_addr != search->map->l_addr || strcmp(info->dlpi_name, search->map->l_name) != 0)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        search->copy->text_begin = info->dlpi_addr + segment->p_vaddr;
        search->copy->text_end = search->copy->text_begin + segment->p_memsz;
        return 1;
    }
    return 0;
}

static int look_up(const struct weft_program *program, struct weft_program_copy *copy)
{
    struct link_map *map;
    if (dlinfo(copy->handle, RTLD_DI_LINKMAP, &map) != 0)
        return weft_fail(WEFT_ENOEXEC, "cannot load %s: %s", program->path, dlerror());
    copy->origin = map->l_addr;
    dl_iterate_phdr(find_text, &(struct text_search){map, copy});
    *(void **)&copy->main = dlsym(copy->handle, "main");
    uintptr_t entry = (uintptr_t)copy->main;
    if (entry < copy->text_begin || entry >= copy->text_end)
        return weft_fail(WEFT_ENOEXEC, "%s has no main, or hides it; " HOW_TO_LINK, program->path);
    return WEFT_OK;
}

int weft__program_load(const struct weft_program *program, struct weft_program_copy *copy_out)
{
    struct weft_program_copy copy = {.fd = copy_file(program)};
    if (copy.fd < 0)
        return copy.fd;
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", copy.fd);
    copy.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int err = copy.handle ? look_up(program, &copy) : load_error(program, path);
    if (!err)
        *copy_out = copy;
    else if (copy.handle)
        weft__program_unload(&copy);
    else
        close(copy.fd);
    return err;
}

void weft__program_unload(struct weft_program_copy *copy)
{
    if (!copy->handle)
        return;
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", copy->fd);
    dlclose(copy->handle);
    void *left = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (left)
        dlclose(left); /* still there: the path must not be used again */
    else
        close(copy->fd);
    *copy = (struct weft_program_copy){0};
}

int weft__program_offset_of(const struct weft_program_copy *copy, uintptr_t function,
                            uint64_t *offset_out)
{
    if (function < copy->text_begin || function >= copy->text_end)
        return weft_fail(WEFT_EINVAL,
                         "the entry of a migration point is not a function of the program");
    *offset_out = function - copy->origin;
    return WEFT_OK;
}

uintptr_t weft__program_at(const struct weft_program_copy *copy, uint64_t offset)
{
    uintptr_t function = copy->origin + offset;
    return function >= copy->text_begin && function < copy->text_end ? function : 0;
}
