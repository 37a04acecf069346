/* The app's program: a shared object that is loaded once per rank, or an executable for ranks in
 * cells, with a dynamic linker or without. */
#ifndef WEFT_EXEC_PROGRAM_H
#define WEFT_EXEC_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/elf.h"

struct weft_program {
    char *path;
    int fd; /* of the file as it was when the app's process began */
    uint64_t len_bytes;
    struct weft__elf elf;
};

typedef int weft_program_main(int argc, char **argv, char **envp);

/* One rank's own copy: its globals are its own. */
struct weft_program_copy {
    int fd; /* stays open, so that the path stays unique */
    void *handle;
    weft_program_main *main;
    uintptr_t origin; /* what addresses of the file count from */
    uintptr_t text_begin, text_end;
};

/* Whether a library, by its file's name, is an MPI with an ABI of its own. */
bool weft__program_is_foreign(const char *library);
/* Reads and checks the file; elf.executable tells which of the two it is.
 * Errors: WEFT_ENOENT; WEFT_EACCES; WEFT_ENOEXEC neither of them, not for this machine, or without
 * main; the text says how to link it. */
int weft__program_open(const char *path, struct weft_program *program_out);
/* The same for programs that run as processes of their own: every executable, and shared objects
 * with a main. */
int weft__program_open_apart(const char *path, struct weft_program *program_out);
/* Whether the kernel can start it; else it is a shared object. */
static inline bool weft__program_is_executable(const struct weft_program *program)
{
    return program->elf.fixed || program->elf.executable || program->elf.interpreter[0];
}
void weft__program_close(struct weft_program *program); /* fine on a zeroed one */
/* Errors: WEFT_ENOEXEC unresolved symbols and other complaints of the dynamic linker; WEFT_ENOMEM.
 */
int weft__program_load(const struct weft_program *program, struct weft_program_copy *copy_out);
void weft__program_unload(struct weft_program_copy *copy);
/* Errors: WEFT_EINVAL the function is not one of the program's own. */
int weft__program_offset_of(const struct weft_program_copy *copy, uintptr_t function,
                            uint64_t *offset_out);
/* 0: no code of the program lies there. */
uintptr_t weft__program_at(const struct weft_program_copy *copy, uint64_t offset);

#endif
