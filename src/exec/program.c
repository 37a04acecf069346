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

#include "exec/elf.h"
#include "weft/error.h"

#define HOW_TO_LINK "link it with weftcc (or cc -shared -fPIC)"

static int check_kind(const struct weft__elf_file *file, const struct weft__elf *elf)
{
    if (elf->fixed)
        return weft_fail(WEFT_ENOEXEC,
                         "%s is an executable for one address (-no-pie); compile it with -fPIE and "
                         "link it with -pie, or with weftcc; or run it as it is, with --process",
                         file->name);
    if (!elf->dynamic)
        return weft_fail(WEFT_ENOEXEC, "%s is statically linked; " HOW_TO_LINK, file->name);
    if (elf->writes_text)
        return weft_fail(WEFT_ENOEXEC, "%s has relocations in its code; compile it with -fPIC",
                         file->name);
    return WEFT_OK;
}

bool weft__program_is_foreign(const char *library)
{
    static const char *const prefixes[] = {
        "libmpi.so.",        "libmpich.so.",     "libmpicxx.so.",  "libmpifort.so.",
        "libmpichcxx.so.",   "libmpichfort.so.", "libmpi_cxx.so.", "libmpi_mpifh.so.",
        "libmpi_usempif08.", "libmpi_usempi",    "libmvapich.so."};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(library, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Programs that have been compiled for another MPI take its constants and sizes for granted. */
static int check_libraries(const struct weft__elf_file *file, const struct weft__elf *elf)
{
    const char *library;
    for (unsigned i = 0; (library = weft__elf_needed(file, elf, i)); i++)
        if (weft__program_is_foreign(library))
            return weft_fail(WEFT_ENOEXEC,
                             "%s needs %s, an MPI with an ABI of its own; compile it with weftcc, "
                             "or against the standard ABI (libmpi_abi.so)",
                             file->name, library);
    return WEFT_OK;
}

static bool exports_main(const struct weft__elf_file *file, const ElfW(Shdr) * symbols,
                         const ElfW(Shdr) * strings)
{
    for (uint64_t i = 0; i + sizeof(ElfW(Sym)) <= symbols->sh_size; i += sizeof(ElfW(Sym))) {
        ElfW(Sym) symbol;
        if (!weft__elf_copy(file, symbols->sh_offset + i, &symbol, sizeof(symbol)))
            return false;
        const char *name = symbol.st_name + 5ull <= strings->sh_size
                               ? weft__elf_at(file, strings->sh_offset + symbol.st_name, 5)
                               : NULL;
        if (name && symbol.st_shndx != SHN_UNDEF && memcmp(name, "main", 5) == 0)
            return true;
    }
    return false;
}

/* Where the section table was stripped away, loading will tell. */
static int check_main(const struct weft__elf_file *file)
{
    ElfW(Ehdr) header;
    if (!weft__elf_copy(file, 0, &header, sizeof(header)))
        return WEFT_OK;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        ElfW(Shdr) section, strings;
        if (!weft__elf_copy(file, header.e_shoff + (uint64_t)i * sizeof(section), &section,
                            sizeof(section)) ||
            section.sh_type != SHT_DYNSYM)
            continue;
        if (weft__elf_copy(file, header.e_shoff + (uint64_t)section.sh_link * sizeof(strings),
                           &strings, sizeof(strings)) &&
            !exports_main(file, &section, &strings))
            return weft_fail(WEFT_ENOEXEC, "%s has no main, or hides it; " HOW_TO_LINK, file->name);
    }
    return WEFT_OK;
}

static int check(const struct weft__elf_file *file, struct weft_program *program, bool apart)
{
    int err = weft__elf_read(file, &program->elf);
    if (!err && !(apart && weft__program_is_executable(program)))
        err = check_kind(file, &program->elf);
    if (!err)
        err = check_libraries(file, &program->elf);
    if (!err && !weft__program_is_executable(program))
        err = check_main(file);
    return err;
}

static int check_file(const char *path, struct weft_program *program, bool apart)
{
    struct stat status;
    if (fstat(program->fd, &status) < 0)
        return weft_fail(-errno, "cannot look at %s: %s", path, strerrordesc_np(errno));
    if (S_ISDIR(status.st_mode))
        return weft_fail(WEFT_ENOEXEC, "%s is a folder, not a program", path);
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return weft_fail(WEFT_ENOEXEC, "%s is not an ELF shared object; " HOW_TO_LINK, path);
    program->len_bytes = (uint64_t)status.st_size;
    void *bytes = mmap(NULL, program->len_bytes, PROT_READ, MAP_PRIVATE, program->fd, 0);
    if (bytes == MAP_FAILED)
        return weft_fail(-errno, "cannot read %s: %s", path, strerrordesc_np(errno));
    const struct weft__elf_file file = {
        .name = path, .advice = HOW_TO_LINK, .bytes = bytes, .len_bytes = program->len_bytes};
    int err = check(&file, program, apart);
    munmap(bytes, program->len_bytes);
    return err;
}

static int open_program(const char *path, struct weft_program *program_out, bool apart)
{
    struct weft_program program = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (program.fd < 0)
        return weft_fail(-errno, "cannot open the program %s: %s", path, strerrordesc_np(errno));
    int err = check_file(path, &program, apart);
    if (!err && !(program.path = strdup(path)))
        err = weft_fail(WEFT_ENOMEM, "no memory to load %s", path);
    if (err) {
        close(program.fd);
        return err;
    }
    *program_out = program;
    return WEFT_OK;
}

int weft__program_open(const char *path, struct weft_program *program_out)
{
    return open_program(path, program_out, false);
}

int weft__program_open_apart(const char *path, struct weft_program *program_out)
{
    return open_program(path, program_out, true);
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
