/* An app as text for people. */
#ifndef WEFT_CLI_APP_SHOW_H
#define WEFT_CLI_APP_SHOW_H

#include <stdbool.h>

#include "wire/host.pb-c.h"

/* What it is, where its ranks are, what has moved, what the planner thinks; in full: each rank and
 * each move too. */
void cli_app_show(const Weft__Host__AppInfo *app, bool in_full);
/* "2 moves (fewer hosts): hosts 3 -> 2, ...: go", with the line's end. */
void cli_plan_show(const Weft__Host__PlanInfo *plan);

#endif
