/* Settings: environment > file (WEFT_CONFIG, an INI file without sections) > default.
 * The one list of all settings is settings.h; a WEFT_* name that is not in it is warned about with a suggestion. */
#ifndef WEFT_BASE_CONFIG_H
#define WEFT_BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Reads the file, checks names, warns about unknown ones. Call once at start, before threads.
 * Errors: WEFT_ENOENT the file named by WEFT_CONFIG cannot be read; WEFT_EINVAL a line or value is wrong. */
int weft__config_load(void);
/* The value as text (never NULL: the default where nothing is set). name must be in settings.h (assert). */
const char *weft__config_text(const char *name);
/* The value as a number; a value outside the setting's range was refused by load. */
uint64_t weft__config_u64(const char *name);
/* Where the value comes from: "environment", "file" or "default". */
const char *weft__config_source(const char *name);
/* One line per setting: name, value, source, text. */
void weft__config_print(FILE *out);

#endif
