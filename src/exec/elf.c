/* Reading ELF files: header, program headers, dynamic section, notes.
 *
 * Everything that is used later is copied out and checked here once: that segments lie in the file,
 * ascend, do not share a page and do not wrap around, that the way in is code. So loading has
 * nothing left to doubt. Rejected: libelf, which needs the section table and checks none of this.
 */
#include "exec/elf.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "weft/error.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "elf.c knows x86-64 and aarch64"
#endif

#define PAGE 4096ull
#define SPAN_MAX (1ull << 40)

const void *weft__elf_at(const struct weft__elf_file *file, uint64_t offset, uint64_t len_bytes)
{
    return offset <= file->len_bytes && len_bytes <= file->len_bytes - offset ? file->bytes + offset
                                                                              : NULL;
}

bool weft__elf_copy(const struct weft__elf_file *file, uint64_t offset, void *into,
                    size_t len_bytes)
{
    const void *from = weft__elf_at(file, offset, len_bytes);
    if (from)
        memcpy(into, from, len_bytes);
    return from != NULL;
}

static int broken(const struct weft__elf_file *file, const char *what)
{
    return weft_fail(WEFT_ENOEXEC, "%s is damaged: %s", file->name, what);
}

static int read_header(const struct weft__elf_file *file, const ElfW(Ehdr) * header,
                       struct weft__elf *elf)
{
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return weft_fail(WEFT_ENOEXEC, "%s is not an ELF file; %s", file->name, file->advice);
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != MACHINE)
        return weft_fail(WEFT_ENOEXEC, "%s is built for another machine (ELF machine %u)",
                         file->name, header->e_machine);
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return weft_fail(WEFT_ENOEXEC, "%s is no program (ELF type %u); %s", file->name,
                         header->e_type, file->advice);
    if (header->e_phentsize != sizeof(ElfW(Phdr)))
        return broken(file, "its program headers have another size");
    elf->fixed = header->e_type == ET_EXEC;
    elf->entry = header->e_entry;
    return WEFT_OK;
}

static int protection(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
           (flags & PF_X ? PROT_EXEC : 0);
}

static uint64_t page_end(uint64_t address)
{
    return (address + PAGE - 1) & ~(PAGE - 1);
}

static int read_load(const struct weft__elf_file *file, const ElfW(Phdr) * load,
                     struct weft__elf *elf)
{
    if (load->p_memsz == 0)
        return WEFT_OK;
    if (elf->segments_n == WEFT__ELF_SEGMENTS_MAX)
        return weft_fail(WEFT_ENOEXEC, "%s has more than %u segments", file->name,
                         WEFT__ELF_SEGMENTS_MAX);
    if (!weft__elf_at(file, load->p_offset, load->p_filesz))
        return weft_fail(WEFT_ENOEXEC, "%s is cut short", file->name);
    if (load->p_filesz > load->p_memsz || load->p_vaddr > SPAN_MAX || load->p_memsz > SPAN_MAX)
        return broken(file, "a segment has an impossible size");
    if ((load->p_vaddr ^ load->p_offset) % PAGE)
        return broken(file, "a segment cannot be mapped by pages");
    if (elf->segments_n && load->p_vaddr - load->p_vaddr % PAGE < elf->end)
        return broken(file, "its segments overlap");
    if (elf->segments_n == 0)
        elf->begin = load->p_vaddr - load->p_vaddr % PAGE;
    elf->segments[elf->segments_n++] =
        (struct weft__elf_segment){.address = load->p_vaddr,
                                   .mem_bytes = load->p_memsz,
                                   .offset = load->p_offset,
                                   .file_bytes = load->p_filesz,
                                   .prot = protection(load->p_flags)};
    elf->end = page_end(load->p_vaddr + load->p_memsz);
    return WEFT_OK;
}

static int read_interpreter(const struct weft__elf_file *file, const ElfW(Phdr) * segment,
                            struct weft__elf *elf)
{
    const char *path = weft__elf_at(file, segment->p_offset, segment->p_filesz);
    if (!path || segment->p_filesz == 0 || segment->p_filesz > sizeof(elf->interpreter) ||
        path[segment->p_filesz - 1] != '\0')
        return broken(file, "the name of its dynamic linker");
    memcpy(elf->interpreter, path, segment->p_filesz);
    return WEFT_OK;
}

static void read_dynamic(const struct weft__elf_file *file, const ElfW(Phdr) * dynamic,
                         struct weft__elf *elf)
{
    elf->dynamic = true;
    elf->dynamic_offset = dynamic->p_offset;
    elf->dynamic_bytes = dynamic->p_filesz;
    for (uint64_t i = 0; i + sizeof(ElfW(Dyn)) <= dynamic->p_filesz; i += sizeof(ElfW(Dyn))) {
        ElfW(Dyn) entry;
        if (!weft__elf_copy(file, dynamic->p_offset + i, &entry, sizeof(entry)) ||
            entry.d_tag == DT_NULL)
            return;
        if (entry.d_tag == DT_FLAGS_1)
            elf->executable = entry.d_un.d_val & DF_1_PIE;
        if (entry.d_tag == DT_TEXTREL ||
            (entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_TEXTREL)))
            elf->writes_text = true;
    }
}

static void read_build_id(const struct weft__elf_file *file, const ElfW(Phdr) * note,
                          struct weft__elf *elf)
{
    uint64_t offset = note->p_offset, end = note->p_offset + note->p_filesz;
    while (offset + sizeof(ElfW(Nhdr)) <= end) {
        ElfW(Nhdr) head;
        if (!weft__elf_copy(file, offset, &head, sizeof(head)))
            return;
        uint64_t name = offset + sizeof(head);
        uint64_t desc = name + ((head.n_namesz + 3ull) & ~3ull);
        const unsigned char *text = weft__elf_at(file, name, 4);
        const unsigned char *id = weft__elf_at(file, desc, head.n_descsz);
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && text &&
            memcmp(text, "GNU", 4) == 0 && id && head.n_descsz > 0 &&
            head.n_descsz <= WEFT_BUILD_ID_MAX) {
            memcpy(elf->build_id, id, head.n_descsz);
            elf->build_id_len = head.n_descsz;
            return;
        }
        offset = desc + ((head.n_descsz + 3ull) & ~3ull);
    }
}

static int read_segment(const struct weft__elf_file *file, const ElfW(Phdr) * segment,
                        struct weft__elf *elf)
{
    switch (segment->p_type) {
    case PT_LOAD:
        return read_load(file, segment, elf);
    case PT_INTERP:
        return read_interpreter(file, segment, elf);
    case PT_DYNAMIC:
        read_dynamic(file, segment, elf);
        return WEFT_OK;
    case PT_NOTE:
        if (!elf->build_id_len)
            read_build_id(file, segment, elf);
        return WEFT_OK;
    default:
        return WEFT_OK;
    }
}

/* Where the program headers lie when loaded: in the segment that holds their bytes of the file. */
static void find_headers(const ElfW(Ehdr) * header, struct weft__elf *elf)
{
    uint64_t len = (uint64_t)header->e_phnum * sizeof(ElfW(Phdr));
    elf->headers_n = header->e_phnum;
    for (unsigned i = 0; i < elf->segments_n; i++) {
        const struct weft__elf_segment *segment = &elf->segments[i];
        if (header->e_phoff >= segment->offset && len <= segment->file_bytes &&
            header->e_phoff - segment->offset <= segment->file_bytes - len)
            elf->headers = segment->address + (header->e_phoff - segment->offset);
    }
}

static bool is_code(const struct weft__elf *elf, uint64_t address)
{
    for (unsigned i = 0; i < elf->segments_n; i++) {
        const struct weft__elf_segment *segment = &elf->segments[i];
        if ((segment->prot & PROT_EXEC) && address >= segment->address &&
            address - segment->address < segment->file_bytes)
            return true;
    }
    return false;
}

int weft__elf_read(const struct weft__elf_file *file, struct weft__elf *elf_out)
{
    struct weft__elf elf = {0};
    ElfW(Ehdr) header = {0};
    (void)weft__elf_copy(file, 0, &header, sizeof(header)); /* else it is not ELF */
    int err = read_header(file, &header, &elf);
    for (unsigned i = 0; !err && i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        if (weft__elf_copy(file, header.e_phoff + (uint64_t)i * sizeof(segment), &segment,
                           sizeof(segment)))
            err = read_segment(file, &segment, &elf);
        else
            err = weft_fail(WEFT_ENOEXEC, "%s is cut short", file->name);
    }
    if (err)
        return err;
    if (elf.segments_n == 0)
        return broken(file, "nothing of it is to be loaded");
    if (elf.entry && !is_code(&elf, elf.entry))
        return broken(file, "its entry is no code");
    find_headers(&header, &elf);
    elf.executable |= elf.interpreter[0] && elf.entry && !elf.fixed; /* old linkers say no more */
    if (!elf.build_id_len) {
        XXH128_canonical_t sum;
        XXH128_canonicalFromHash(&sum, XXH3_128bits(file->bytes, file->len_bytes));
        memcpy(elf.build_id, sum.digest, sizeof(sum.digest));
        elf.build_id_len = sizeof(sum.digest);
    }
    *elf_out = elf;
    return WEFT_OK;
}

/* ---- libraries ---- */

/* The value of the n-th entry of this kind. */
static bool find_entry(const struct weft__elf_file *file, const struct weft__elf *elf, int64_t tag,
                       unsigned n, uint64_t *value_out)
{
    for (uint64_t i = 0; i + sizeof(ElfW(Dyn)) <= elf->dynamic_bytes; i += sizeof(ElfW(Dyn))) {
        ElfW(Dyn) entry;
        if (!weft__elf_copy(file, elf->dynamic_offset + i, &entry, sizeof(entry)) ||
            entry.d_tag == DT_NULL)
            return false;
        if (entry.d_tag == tag && n-- == 0) {
            *value_out = entry.d_un.d_val;
            return true;
        }
    }
    return false;
}

const char *weft__elf_needed(const struct weft__elf_file *file, const struct weft__elf *elf,
                             unsigned i)
{
    uint64_t strings, name;
    if (!find_entry(file, elf, DT_STRTAB, 0, &strings) ||
        !find_entry(file, elf, DT_NEEDED, i, &name))
        return NULL;
    for (unsigned k = 0; k < elf->segments_n; k++) {
        const struct weft__elf_segment *segment = &elf->segments[k];
        if (strings < segment->address || strings - segment->address >= segment->file_bytes)
            continue;
        uint64_t at = segment->offset + (strings - segment->address) + name;
        if (at < name || at >= file->len_bytes)
            return NULL;
        const char *text = (const char *)file->bytes + at;
        return memchr(text, 0, file->len_bytes - at) ? text : NULL;
    }
    return NULL;
}
