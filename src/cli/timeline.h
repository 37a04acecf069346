/* What has happened to an app, as a picture: JSON in the trace event format that chrome://tracing
 * and ui.perfetto.dev show. */
#ifndef WEFT_CLI_TIMELINE_H
#define WEFT_CLI_TIMELINE_H

#include <stdint.h>

#include "cli/cli.h"
#include "cli/events.h"

/* One process per host, one row per rank on it; see timeline.c. The events are those of the whole
 * cluster, with the traced messages, in order of time. */
json_t *cli_timeline(const struct cli_events *events, uint64_t app);

/* Gathers the events and writes the picture of the app to a file ("-": stdout). Prints what is
 * wrong; returns an exit code. */
int cli_timeline_write(struct cli *cli, uint64_t app, const char *path);

#endif
