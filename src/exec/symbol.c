/* Looks through a file's symbol table, once, from its beginning to its end: it is asked when a
 * program has crashed. Of the two tables that there may be the full one is taken; a stripped
 * program has the other one, or none. Functions written in assembler may not say how long they are:
 * they go to the next one. */
#include "exec/symbol.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "exec/elf.h"

struct found {
    uint64_t value, name; /* name: offset in the file */
    bool there;
};

static bool is_function(const ElfW(Sym) * symbol)
{
    unsigned type = symbol->st_info & 0xfu;
    return symbol->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

/* The function that the address lies in, or else the last one before it that has no length. */
static struct found search(const struct weft__elf_file *file, const ElfW(Shdr) * table,
                           const ElfW(Shdr) * strings, uint64_t address)
{
    struct found best = {.there = false};
    for (uint64_t i = 0; i + sizeof(ElfW(Sym)) <= table->sh_size; i += sizeof(ElfW(Sym))) {
        ElfW(Sym) symbol;
        if (!weft__elf_copy(file, table->sh_offset + i, &symbol, sizeof(symbol)))
            break;
        if (!is_function(&symbol) || symbol.st_value > address ||
            symbol.st_name >= strings->sh_size ||
            (symbol.st_size && address - symbol.st_value >= symbol.st_size))
            continue;
        if (!best.there || symbol.st_value >= best.value)
            best = (struct found){symbol.st_value, strings->sh_offset + symbol.st_name, true};
    }
    return best;
}

static struct found search_tables(const struct weft__elf_file *file, uint64_t address)
{
    struct found best = {.there = false};
    ElfW(Ehdr) header;
    if (!weft__elf_copy(file, 0, &header, sizeof(header)))
        return best;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        ElfW(Shdr) table, strings;
        if (!weft__elf_copy(file, header.e_shoff + (uint64_t)i * sizeof(table), &table,
                            sizeof(table)) ||
            (table.sh_type != SHT_SYMTAB && (table.sh_type != SHT_DYNSYM || best.there)) ||
            !weft__elf_copy(file, header.e_shoff + (uint64_t)table.sh_link * sizeof(strings),
                            &strings, sizeof(strings)))
            continue;
        struct found here = search(file, &table, &strings, address);
        if (here.there)
            best = here;
    }
    return best;
}

bool weft__symbol_at(int fd, uint64_t address, char *text, size_t room)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size <= 0)
        return false;
    size_t len = (size_t)status.st_size;
    void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    const struct weft__elf_file file = {.name = "", .advice = "", .bytes = bytes, .len_bytes = len};
    struct found found = search_tables(&file, address);
    const char *name = found.there ? weft__elf_at(&file, found.name, 1) : NULL;
    size_t name_len = name ? strnlen(name, len - found.name) : 0;
    if (name_len)
        snprintf(text, room, "%.*s+0x%llx", (int)(name_len < 120 ? name_len : 120), name,
                 (unsigned long long)(address - found.value));
    munmap(bytes, len);
    return name_len != 0;
}
