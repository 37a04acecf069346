/* Settings: command line > environment > file (WEFT_CONFIG, an INI file without sections) >
 * default. The one list of all settings is settings.h; a WEFT_* name that is not in it is warned
 * about with a suggestion. */
#ifndef WEFT_BASE_CONFIG_H
#define WEFT_BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Reads file and environment, checks names and values, warns about unknown names; forgets what
 * weft__config_set() set. Before it everything has its default. On an error all values stay as they
 * were. Call once at start, before threads. Errors: WEFT_ENOENT the file named by WEFT_CONFIG
 * cannot be read; WEFT_EINVAL a line or value is wrong; WEFT_ERANGE. */
int weft__config_load(void);
/* Whether weft__config_load() has read the settings, or weft__config_set() has set one. */
bool weft__config_is_loaded(void);
/* Overrides a setting for this process, e.g. from an option of the command line; before threads.
 * Errors: WEFT_ENOENT no such setting, naming the nearest; WEFT_EINVAL, WEFT_ERANGE wrong value;
 * WEFT_ENOMEM. */
int weft__config_set(const char *name, const char *value);
/* The value as text (never NULL: the default where nothing is set). name must be in settings.h
 * (checked). */
const char *weft__config_text(const char *name);
/* The value of a NUMBER or SIZE (in bytes); a value outside the setting's range was refused by
 * load. */
uint64_t weft__config_u64(const char *name);
/* Where the value comes from: "option", "environment", "file" or "default". */
const char *weft__config_source(const char *name);
/* One line per setting: name, value, source, text. */
void weft__config_print(FILE *out);

#endif
