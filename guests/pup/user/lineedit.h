#ifndef LINEEDIT_H
#define LINEEDIT_H
#include "libpup.h"
#define LINE_MAX 256
int edit_line(const char *prompt, char *line);
const char *history_line(u32 index);
#endif
