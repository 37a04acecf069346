/* What an ELF file says of itself and of how it wants to be loaded. Reads the file's bytes, trusts
 * none of them, and loads nothing. */
#ifndef WEFT_EXEC_ELF_H
#define WEFT_EXEC_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT__ELF_SEGMENTS_MAX 16u
#define WEFT__ELF_PATH_MAX 256u
#define WEFT_BUILD_ID_MAX 64

/* The file in memory. */
struct weft__elf_file {
    const char *name;   /* in texts */
    const char *advice; /* what they end with: how to make the right kind of file */
    const unsigned char *bytes;
    size_t len_bytes;
};

/* A piece of the file that has a place in memory. */
struct weft__elf_segment {
    uint64_t address; /* of its first byte, from the image's origin on */
    uint64_t mem_bytes;
    uint64_t offset;     /* in the file; on the same byte of a page as address */
    uint64_t file_bytes; /* <= mem_bytes; the rest is zeros */
    int prot;
};

struct weft__elf {
    bool fixed;      /* an executable for one address: cannot be loaded elsewhere */
    bool executable; /* position-independent, with a way in of its own; else a shared object */
    uint64_t dynamic_offset, dynamic_bytes; /* of its dynamic section, in the file */
    bool dynamic;     /* has a dynamic section: relocates itself, or is relocated */
    bool writes_text; /* relocations in its code */
    char interpreter[WEFT__ELF_PATH_MAX]; /* the dynamic linker that it wants; "" none */
    uint64_t entry;
    uint64_t headers; /* where its program headers lie when loaded; 0: nowhere */
    unsigned headers_n;
    struct weft__elf_segment segments[WEFT__ELF_SEGMENTS_MAX]; /* ascending, apart by pages */
    unsigned segments_n;
    uint64_t begin, end;                 /* whole pages that they span */
    uint8_t build_id[WEFT_BUILD_ID_MAX]; /* of its note, or a hash of its bytes where there is
                                            none */
    uint32_t build_id_len;
};

/* Thread: any.  Blocks: no.  Errors: WEFT_ENOEXEC not ELF, not for this machine, cut short, or
 * contradicting itself; the text says which. */
int weft__elf_read(const struct weft__elf_file *file, struct weft__elf *elf_out);
/* len_bytes of the file; NULL: it has no such bytes. */
const void *weft__elf_at(const struct weft__elf_file *file, uint64_t offset, uint64_t len_bytes);
/* Copies them, wherever they lie; false: as above. */
bool weft__elf_copy(const struct weft__elf_file *file, uint64_t offset, void *into,
                    size_t len_bytes);
/* The name of the i-th library that it needs, in the file's bytes; NULL: there are no more. */
const char *weft__elf_needed(const struct weft__elf_file *file, const struct weft__elf *elf,
                             unsigned i);

#endif
