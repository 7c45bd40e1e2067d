/*
 * poweroff.c - switches the machine off.
 */
#include "libpup.h"

int main(void)
{
    flush();
    return sys(SYS_reboot, REBOOT_POWEROFF);
}
